// The schemas of a kind in the forms that are not of one object: lists and lines of watches; and what the kind is, as
// `x-krake-kind` of its schema. Pure.
#pragma once

#include "meta/kind.h"

namespace krake::schema {

// References into `components`.
struct KindSchemas {
  json::Object answer;
  json::Object create;
  json::Object update;
  json::Object list;
  json::Object line;  // of a watch: a change, or the bookmark of those who ask for it
};
KindSchemas add_kind(Components& components, const Kind& kind);

// All of the registry's kinds and what they consist of: components/schemas.
json::Object schemas_of(const Registry& registry, const FieldTexts& texts);

// What may be asked of a kind, in the words of `krakectl api-resources`.
std::vector<std::string_view> verbs_of(const Kind& kind);

}  // namespace krake::schema
