// The OpenAPI 3.1 document: every route of route.h, with what it takes and all that it may answer. What can be derived
// is: paths from the routes, schemas from the described structs, descriptions of fields from api/field_texts.h. Pure.
//
// Beyond the standard: x-krake-kind of a schema says what may be asked of a kind; x-krake-lines of a media type, that
// the schema is that of each line; x-krake-operation and x-krake-right (of an operation) say what it is to the server.
#pragma once

#include <string_view>

#include "base/json.h"
#include "meta/kind.h"

namespace krake::server {

// `version`: of the API, what GET / answers.
json::Object openapi_document(const Registry& registry, std::string_view version);

// What all documents share (openapi_parts.cc): components but for the schemas of kinds.
json::Object openapi_parameters();
json::Object openapi_responses();
json::Object openapi_security_schemes();
// Schemas that are of no kind: problems, and the answers of the miscellaneous routes.
void add_openapi_schemas(json::Object& schemas);
// The key in `responses` of a status that is a problem.
std::string_view openapi_response_name(int status);

}  // namespace krake::server
