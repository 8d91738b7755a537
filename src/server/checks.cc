// What a write is looked at for beside the schema of its kind: what upstream accepts and what is most often a mistake
// is told in Warning headers; more is refused where a switch or ?strict=true wants it.
#include "meta/body.h"
#include "server/api_server.h"

namespace krake::server {

namespace {

Problem doubtful(std::string_view where, const std::vector<std::string>& found) {
  FieldErrors errors;
  for (const auto& sentence : found) errors.at(std::string(where)).add(sentence);
  return {.status = 422, .detail = errors.render()};
}

std::optional<Problem> unknown_in(const json::Value& given, const json::Value& known) {
  FieldErrors errors;
  report_unknown(given, known, errors);
  if (errors.empty()) return std::nullopt;
  return Problem{.status = 422, .detail = errors.render()};
}

}  // namespace

// From the cache: what is being written at the same moment may be missed.
OwnersOf ApiServer::owners_of() {
  return [this](const ResourceRef& ref) -> const std::vector<ResourceRef>* {
    const Kind* kind = registry_.find_by_kind(ref.api, ref.kind);
    if (!kind || kind->namespaced != ref.namespace_.has_value()) return nullptr;
    const auto& cache = cache_.of(*kind);
    if (const auto object = cache.find(ref.namespace_.value_or(""), ref.name)) return &object->owners;  // kept there
    // What is there and cannot be read is there.
    static const std::vector<ResourceRef> unknown;
    return cache.unreadable.contains(kind->storage_key(ref.namespace_.value_or(""), ref.name)) ? &unknown : nullptr;
  };
}

std::optional<Problem> ApiServer::look_at(Request& request, const Object* stored, const Object& wanted) {
  const auto operation = request.route.operation;
  if (operation != Operation::create && operation != Operation::update && operation != Operation::patch)
    return std::nullopt;
  if (auto may = authorizer_.may_grant(request.user, stored, wanted); !may)
    return plain_problem(http_status(may.error().code), may.error().message);
  if (stored) {
    const auto may = authorizer_.may_finalize(request.user, request.route, stored->meta(), wanted.meta());
    if (!may) return Problem{.status = http_status(may.error().code), .detail = may.error().message};
  }
  request.warnings.clear();  // of an attempt before
  const std::vector<ResourceRef> none;
  const auto added = added_owners(wanted.meta().owners, stored ? stored->meta().owners : none);
  if (!added.empty()) {
    auto found = doubtful_owners(wanted.kind().ref(wanted.meta()), added, owners_of());
    if (!found.empty() && options_.auth.access.check_references) return doubtful("metadata.owners", found);
    request.warnings = std::move(found);
  }
  if (wanted.kind().advise) wanted.kind().advise(wanted, request.warnings);
  for (const auto& role : authorizer_.missing_roles(wanted))
    request.warnings.push_back(fmt::format("role '{}' does not exist", role));
  return std::nullopt;
}

std::optional<Problem> ApiServer::look_at_target(Request& request, const json::Value& body) {
  const auto& kinds = request.route.subresource->target_kinds;
  if (kinds.empty()) return std::nullopt;
  auto found = doubtful_targets(body, kinds, owners_of());
  if (!found.empty() && options_.auth.access.check_references) return doubtful("_schema", found);
  request.warnings = std::move(found);
  return std::nullopt;
}

std::optional<Problem> ApiServer::unknown_keys(const Request& request, const json::Value& body,
                                               const Object& known) const {
  if (!switched_on(request.query, "strict")) return std::nullopt;
  std::string text;
  known.encode(text);
  auto document = json::parse(text).value_or(json::Value());
  // What answers have beside what is stored, and what the form of a new object does not look at.
  auto& members = document.make_object();
  members["metadata"].make_object().set(ObjectMeta::kOfTheAnswer, nullptr);
  json::Value given = body;
  if (request.route.operation == Operation::create && given.is_object()) given.if_object()->erase("status");
  return unknown_in(given, document);
}

std::optional<Problem> ApiServer::unknown_keys_of_subresource(const Request& request, const json::Value& body) const {
  const auto rewrite = request.route.subresource->rewrite;
  if (!rewrite || !switched_on(request.query, "strict")) return std::nullopt;
  std::string text;
  rewrite(body, text);
  return unknown_in(body, json::parse(text).value_or(json::Value()));
}

bool ApiServer::sees_secrets(const Request& request) const {
  return authorizer_.sight(request.user, *request.route.kind).full(request.route.ns);
}

json::Value ApiServer::with_secrets(const Request& request, json::Value body, const json::Value& stored) const {
  json::Value masked = stored;
  request.route.kind->mask(masked);
  restore_masked(body, masked, stored);
  return body;
}

Problem ApiServer::invalid_with_secrets(FieldErrors errors, FieldErrors of_shown) {
  if (!of_shown.empty()) return {.status = 422, .detail = of_shown.render()};
  errors.withhold("Not valid together with what is stored here and is not shown to you.");
  return {.status = 422, .detail = errors.render()};
}

}  // namespace krake::server
