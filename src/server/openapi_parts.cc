// The components of the OpenAPI document that no kind decides.
#include <fmt/format.h>

#include "api/core/lease.h"
#include "api/core/role.h"
#include "base/check.h"
#include "base/names.h"
#include "server/openapi.h"

namespace krake::server {

namespace {

using json::Array;
using json::Object;
using schema::string_array;

Object reference(std::string_view kind, std::string_view name) {
  return {{"$ref", fmt::format("#/components/{}/{}", kind, name)}};
}
Object text() { return {{"type", "string"}}; }
Object pattern(std::string_view pattern) { return {{"type", "string"}, {"pattern", pattern}}; }
Object whole_number(int least) { return {{"type", "integer"}, {"minimum", least}}; }
Object flag() { return {{"type", "boolean"}}; }
Object constant(std::string_view value) { return {{"type", "string"}, {"const", value}}; }
Object closed(Object properties, Array required) {
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

Object parameter(std::string_view place, std::string_view name, Object schema, std::string_view description) {
  Object made{{"name", name}, {"in", place}, {"description", description}};
  if (place == "path") made.set("required", true);
  made.set("schema", std::move(schema));
  return made;
}

void add_query_parameters(Object& all) {
  const auto query = [&](std::string_view key, std::string_view name, Object schema, std::string_view description) {
    all.set(key, parameter("query", name, std::move(schema), description));
  };
  query("Watch", "watch", text(),
        "With any value, also none: the answer is a stream of lines, one for each change from now on.");
  all["Watch"].if_object()->set("allowEmptyValue", true);
  query("Heartbeat", "heartbeat", whole_number(0),
        "Of a watch: seconds between empty lines. 0: none. 10 unless it is told.");
  query("Bookmarks", "bookmarks", flag(),
        "Of a watch: the heartbeat is a line of type BOOKMARK, which says up to which revision everything was sent.");
  query("Since", "since", pattern("^[0-9]+$"),
        "Of a watch: first what changed after this revision; 410 when that is no longer kept.");
  query("Store", "store", text(), "With `since`: the store the revision is of; 410 when this is another.");
  query("Initial", "initial", flag(), "Of a watch: first an ADDED for each object there is. Ignored with `since`.");
  const auto each = [&](std::string_view key, std::string_view name, Object items, std::string_view description) {
    query(key, name, Object{{"type", "array"}, {"items", std::move(items)}, {"maxItems", 32}}, description);
    all[key].if_object()->set("explode", true);
  };
  each("Labels", "labels", Object{{"type", "string"}, {"format", "krake-label-constraint"}},
       "A label constraint like `location is DE`. May be repeated: all must hold.");
  each("Fields", "fields", pattern("^(metadata\\.(name|namespace|uid)|status\\.state)="),
       "FIELD=VALUE for `metadata.name`, `metadata.namespace`, `metadata.uid` or `status.state`. May be repeated: all "
       "must "
       "hold.");
  query("Limit", "limit", whole_number(1), "Objects of a page, 100,000 at the most. More follow with `continue`.");
  query("Continue", "continue", text(),
        "`metadata.continue` of the page before: the next one of the same list. 410 after a minute.");
  query("Consistency", "consistency", text(),
        "`cached`: from the memory of this server, which may be behind. Else the answer shows everything acknowledged "
        "before it was asked.");
  query("Strict", "strict", flag(),
        "Keys that the schema does not know are refused with 422. Else they are passed over.");
  query("Force", "force", text(),
        "`True`, `true` or `1`: remove it at once, whatever its finalizers; nobody cleans up behind it. Of kinds other "
        "than "
        "applications and clusters it removes only stored values that nobody can decode. Another value means nothing.");
  query("Blocking", "blocking", text(),
        "A `status.state` in lower case, or `deleted`: answer when the object has it, after a minute in any case. "
        "`False`: at once. Another value is refused with 422.");
  query("Holder", "holder", text(), "Who holds the lease: it is given back only by that name.");
}

void add_header_parameters(Object& all) {
  const auto header = [&](std::string_view key, std::string_view name, std::string_view description) {
    all.set(key, parameter("header", name, text(), description));
  };
  header("IfMatch", "If-Match",
         "The ETag of an earlier answer: 412 when the object is at another revision. `*` is no condition.");
  header("IfNoneMatch", "If-None-Match", "ETags of earlier answers: 304 when one of them is still the present one.");
  header("KrakeStore", "Krake-Store",
         "With If-Match: the store the revision is of, `metadata.store` of lists; 412 when this is another.");
  header("KrakeLeader", "Krake-Leader",
         "LEASE/EPOCH: do it only if that lease is still held in that epoch; 412 otherwise.");
}

struct Answered {
  int status;
  std::string_view name;
  std::string_view description;
  bool plain = false;  // may be text: what was sent is no HTTP, or there are too many connections
};
constexpr Answered kAnswered[] = {
    {400, "BadRequest",
     "`UPDATE_ERROR`: nothing to update, an immutable field, no retry needed. Without title: an If-Match that is no "
     "revision. As text: what was sent is no HTTP.",
     true},
    {401, "Unauthorized", "Nobody knows who asks, or the token is wrong."},
    {403, "Forbidden", "Who asks may not do this."},
    {404, "NotFound", "`NOT_FOUND_ERROR`: there is no such object. Without title: no such path."},
    {405, "MethodNotAllowed", "The path does not know this method. `Allow` names those it knows."},
    {408, "RequestTimeout", "The body did not come in time."},
    {409, "Conflict",
     "`RESOURCE_ALREADY_EXISTS`: the name is taken. `TRANSACTION_ERROR`: others were faster, again and again. "
     "`UPDATE_ERROR`: a finalizer was added during a deletion. Without title: another holds the lease, which is "
     "`lease`."},
    {410, "Gone", "`since` or `continue` is no longer known. List again."},
    {412, "PreconditionFailed", "If-Match or Krake-Leader does not hold."},
    {413, "ContentTooLarge", "The body, or the object with its status, is too large."},
    {415, "UnsupportedMediaType",
     "The body is no JSON in its charset (UTF-8 where none is named), or is nested too deeply. Or the charset is not "
     "known."},
    {422, "UnprocessableContent",
     "JSON, but not what is wanted: `detail` names the errors by field. Or a parameter of the query is wrong."},
    {429, "TooManyRequests", "Too much at once. Try again after `Retry-After` seconds."},
    {431, "RequestHeaderFieldsTooLarge", "The header is too large.", true},
    {500, "InternalServerError",
     "With `Retry-After`: the store is away and nothing was done. Else `detail` says that the outcome of a write is "
     "not "
     "known, or there is a damaged object, or a bug.",
     true},
    {503, "ServiceUnavailable",
     "Who asks cannot be found out now, because the service that knows him is away; or there are too many connections.",
     true},
};

Object response_of(const Answered& answered) {
  Object made{{"description", answered.description}};
  Object headers;
  if (answered.status == 429 || answered.status >= 500)
    headers.set("Retry-After", Object{{"description", "Seconds."}, {"schema", whole_number(0)}});
  if (answered.status == 405) headers.set("Allow", Object{{"schema", text()}});
  if (!headers.empty()) made.set("headers", std::move(headers));
  Object content;
  const auto problem = answered.status == 409 ? "ConflictProblem" : "Problem";
  if (answered.status != 431)
    content.set("application/problem+json", Object{{"schema", reference("schemas", problem)}});
  if (answered.plain) content.set("text/plain", Object{{"schema", text()}});
  made.set("content", std::move(content));
  return made;
}

Object problem_schema() {
  Object properties;
  properties.set(
      "type", Object{{"type", "string"}, {"description", "`about:blank`, or with a title a link to what it means."}});
  properties.set(
      "title",
      Object{{"type", "string"},
             {"enum", string_array({"NOT_FOUND_ERROR", "TRANSACTION_ERROR", "UPDATE_ERROR", "INVALID_KEYSTONE_TOKEN",
                                    "INVALID_KEYCLOAK_TOKEN", "RESOURCE_ALREADY_EXISTS"})},
             {"description", "The class of the error. Not there when the status says it all."}});
  properties.set("status", Object{{"type", "integer"}, {"description", "The status of the answer."}});
  properties.set("detail", Object{{"type", "string"}, {"description", "What is wrong with this request."}});
  return {{"type", "object"},
          {"description", "What went wrong (RFC 9457)."},
          {"properties", std::move(properties)},
          {"required", string_array({"type", "status", "detail"})},
          {"additionalProperties", true}};
}

// The body of PUT /core/leases/NAME: the spec, alone or in an object as GET answers it (api/core/lease.h).
Object lease_request() {
  Object properties;
  Object holder = text();
  Object seconds{{"type", "integer"}};
  for (const auto& limit : LeaseSpec::kLimits)
    schema::add_limit(limit.name == "holder" ? holder : seconds, limit, limit.name == "holder");
  holder.set("description", "Who wants to hold it: the same name each time.");
  seconds.set("description", "How long it is held without being renewed. Unless it is told, 6, or what it was.");
  properties.set("holder", std::move(holder));
  properties.set("ttl_seconds", std::move(seconds));
  const Object spec{{"type", "object"}, {"properties", properties}, {"required", string_array({"holder"})}};
  const Object whole{{"type", "object"},
                     {"properties", Object{{"api", constant("core")}, {"kind", constant("Lease")}, {"spec", spec}}},
                     {"required", string_array({"spec"})}};
  Object alone = spec;
  alone.set("not", Object{{"required", string_array({"spec"})}});
  return {{"description", "I want to hold this lease: the spec alone, or an object that has it."},
          {"anyOf", Array{std::move(alone), whole}}};
}

// One line of a backup (backup/file.h).
Object backup_line() {
  const auto one_of = [](std::string_view name, std::string_view other) {
    return Array{Object{{"required", string_array({name})}}, Object{{"required", string_array({other})}}};
  };
  const Object header = closed(Object{{"format", constant("krake-backup")},
                                      {"version", whole_number(1)},
                                      {"store_id", text()},
                                      {"time", Object{{"type", "string"}, {"format", "date-time"}}}},
                               string_array({"format", "version", "store_id", "time"}));
  Object put = closed(Object{{"key", text()}, {"key_base64", text()}, {"value", text()}, {"value_base64", text()}}, {});
  put.set("allOf",
          Array{Object{{"oneOf", one_of("key", "key_base64")}}, Object{{"oneOf", one_of("value", "value_base64")}}});
  Object removed = closed(Object{{"key", text()}, {"key_base64", text()}, {"removed", Object{{"const", true}}}},
                          string_array({"removed"}));
  removed.set("oneOf", one_of("key", "key_base64"));
  const Object end =
      closed(Object{{"end", Object{{"const", true}}}, {"revision", whole_number(0)}, {"records", whole_number(0)}},
             string_array({"end", "revision", "records"}));
  const Object sum = closed(Object{{"sha256", pattern("^[0-9a-f]{64}$")}}, string_array({"sha256"}));
  return {{"description", "A header; a line for each key, of which a later one holds; the end; a checksum."},
          {"anyOf", Array{header, put, removed, end, sum}}};
}

// Of /me/access and /me/rules (access_review.cc).
void add_access_schemas(Object& schemas) {
  const Object nullable = {{"type", Array{"string", "null"}}};
  const FieldTexts no_texts;
  schema::Components components(no_texts);
  const Object verbs = schema::of<Verb>(components, schema::Use::answer);
  Object question = {{"verb", verbs},
                     {"resource", Object{{"type", "string"}, {"description", "As in rules: applications/status."}}},
                     {"api", Object{{"type", Array{"string", "null"}}, {"description", "The group; null: whichever."}}},
                     {"namespace", Object{{"type", Array{"string", "null"}}, {"description", "Null: in all."}}},
                     {"name", nullable}};
  schemas.set("AccessQuestion", Object{{"type", "object"},
                                       {"properties", std::move(question)},
                                       {"required", string_array({"verb", "resource"})}});
  schemas.set("AccessReview", closed(Object{{"user", text()},
                                            {"verb", verbs},
                                            {"api", text()},
                                            {"resource", text()},
                                            {"namespace", nullable},
                                            {"allowed", Object{{"type", "boolean"}}}},
                                     string_array({"user", "verb", "api", "resource", "namespace", "allowed"})));
  const Object texts = {{"type", "array"}, {"items", text()}};
  Object rule = closed(Object{{"api", text()},
                              {"resources", texts},
                              {"namespaces", texts},
                              {"verbs", Object{{"type", "array"}, {"items", verbs}}}},
                       string_array({"api", "resources", "namespaces", "verbs"}));
  schemas.set("MyRules",
              closed(Object{{"user", text()},
                            {"authorization", Object{{"enum", string_array({"always-allow", "always-deny", "RBAC"})}}},
                            {"roles", texts},
                            {"rules", Object{{"type", "array"}, {"items", std::move(rule)}}}},
                     string_array({"user", "authorization", "roles", "rules"})));
}

}  // namespace

std::string_view openapi_response_name(int status) {
  for (const auto& answered : kAnswered) {
    if (answered.status == status) return answered.name;
  }
  CHECK(false, "a status without description");
  return {};
}

Object openapi_parameters() {
  Object all;
  all.set("Namespace",
          parameter("path", "namespace", pattern(kNamePattern), "The namespace. It comes into being by its use."));
  all.set("Name", parameter("path", "name", pattern(kNamePattern), "The name of the object."));
  add_query_parameters(all);
  add_header_parameters(all);
  return all;
}

Object openapi_responses() {
  Object all;
  for (const auto& answered : kAnswered) all.set(answered.name, response_of(answered));
  return all;
}

Object openapi_security_schemes() {
  return {{"bearer",
           Object{{"type", "http"},
                  {"scheme", "bearer"},
                  {"description", "A token of the server's configuration, or of an identity provider it trusts."}}},
          {"token", Object{{"type", "apiKey"},
                           {"in", "header"},
                           {"name", "Authorization"},
                           {"description", "A Keystone or Keycloak token as it is, without a scheme before it."}}},
          {"certificate", Object{{"type", "mutualTLS"},
                                 {"description", "The common name of a client certificate is the user's name."}}}};
}

void add_openapi_schemas(Object& schemas) {
  schemas.set("Problem", problem_schema());
  Object conflict = problem_schema();
  Object lease = reference("schemas", "Lease");
  lease.set("description", "The lease that another holds.");
  conflict["properties"].if_object()->set("lease", std::move(lease));
  schemas.set("ConflictProblem", std::move(conflict));
  schemas.set(
      "MergePatch",
      Object{{"type", "object"},
             {"description",
              "A JSON merge patch (RFC 7386) of what GET answers: members replace, null removes or sets back to the "
              "default. What comes of it must be a valid body of PUT."}});
  schemas.set(
      "Index",
      closed(Object{{"version", Object{{"type", "string"}, {"description", "The version of the API that is spoken."}}}},
             string_array({"version"})));
  schemas.set("Me", closed(Object{{"user", Object{{"type", "string"}, {"description", "Who one is to the server."}}},
                                  {"roles", Object{{"type", "array"},
                                                   {"items", text()},
                                                   {"description", "Names of the roles bound to that user, sorted."}}}},
                           string_array({"user", "roles"})));
  add_access_schemas(schemas);
  schemas.set(
      "Removed",
      Object{{"type", "object"},
             {"description", "What can be said of a stored value that nobody could decode, and that is gone now."},
             {"properties", Object{{"api", text()},
                                   {"kind", text()},
                                   {"metadata", closed(Object{{"name", text()}}, string_array({"name"}))}}},
             {"required", string_array({"api", "kind", "metadata"})},
             {"additionalProperties", false}});
  schemas.set("LeaseRequest", lease_request());
  schemas.set("BackupLine", backup_line());
}

}  // namespace krake::server
