#include "kubesim/refusal.h"

#include <fmt/format.h>

namespace krake::kubesim {

namespace {

json::Object details_of(const KindInfo& kind, std::string_view name, bool by_kind = false) {
  json::Object details;
  if (!name.empty()) details.set("name", name);
  if (!kind.group.empty()) details.set("group", kind.group);
  // Historically the plural, except in Invalid.
  details.set("kind", by_kind ? kind.kind : kind.plural);
  return details;
}

}  // namespace

Refusal bad_request(std::string message) { return {400, "BadRequest", std::move(message), {}}; }
Refusal unauthorized() { return {401, "Unauthorized", "Unauthorized", {}}; }
Refusal no_such_path() { return {404, "NotFound", "the server could not find the requested resource", {}}; }
Refusal method_not_allowed() {
  return {405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}};
}
Refusal expired(std::string message) { return {410, "Expired", std::move(message), {}}; }
Refusal unsupported_media_type(std::string message) { return {415, "UnsupportedMediaType", std::move(message), {}}; }

Refusal forbidden(const KindInfo& kind, std::string_view name, std::string message) {
  return {403, "Forbidden", fmt::format("{} \"{}\" is forbidden: {}", kind.resource(), name, message),
          details_of(kind, name)};
}

Refusal not_found(const KindInfo& kind, std::string_view name) {
  return {404, "NotFound", fmt::format("{} \"{}\" not found", kind.resource(), name), details_of(kind, name)};
}

Refusal already_exists(const KindInfo& kind, std::string_view name) {
  return {409, "AlreadyExists", fmt::format("{} \"{}\" already exists", kind.resource(), name), details_of(kind, name)};
}

Refusal conflict(const KindInfo& kind, std::string_view name, std::string message) {
  return {409, "Conflict",
          fmt::format("Operation cannot be fulfilled on {} \"{}\": {}", kind.resource(), name, message),
          details_of(kind, name)};
}

Refusal invalid(const KindInfo& kind, std::string_view name, const std::vector<Cause>& causes) {
  std::string text;
  json::Array list;
  for (const Cause& cause : causes) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{}: {}", cause.field, cause.message);
    list.push_back(json::Object{{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
  }
  const bool several = causes.size() > 1;
  const std::string full_kind = kind.group.empty() ? kind.kind : kind.kind + "." + kind.group;
  Refusal refusal{422, "Invalid",
                  fmt::format("{} \"{}\" is invalid: {}", full_kind, name, several ? "[" + text + "]" : text),
                  details_of(kind, name, true)};
  refusal.details.set("causes", std::move(list));
  return refusal;
}

json::Object status_object(const Refusal& refusal) {
  json::Object status{{"kind", "Status"},    {"apiVersion", "v1"},         {"metadata", json::Object{}},
                      {"status", "Failure"}, {"message", refusal.message}, {"reason", refusal.reason}};
  if (!refusal.details.empty()) status.set("details", refusal.details);
  status.set("code", refusal.code);
  return status;
}

ServerReply reply_json(int status, const json::Value& body) {
  ServerReply reply{.status = status};
  reply.headers.set("Content-Type", "application/json");
  reply.body.push_back(share_bytes(json::print(body) + "\n"));
  return reply;
}

ServerReply reply_text(int status, std::string text) {
  ServerReply reply{.status = status};
  reply.headers.set("Content-Type", "text/plain; charset=utf-8");
  reply.body.push_back(share_bytes(std::move(text)));
  return reply;
}

ServerReply reply_refusal(const Refusal& refusal) {
  ServerReply reply = reply_json(refusal.code, status_object(refusal));
  if (refusal.code == 401) reply.headers.set("WWW-Authenticate", "Bearer realm=\"kubesim\"");
  return reply;
}

}  // namespace krake::kubesim
