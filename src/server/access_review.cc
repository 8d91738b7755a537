// What one may do oneself: POST /me/access asks about one thing, GET /me/rules lists the rules. By the same code that
// decides about requests.
#include "server/api_server.h"

namespace krake::server {

namespace {

struct AccessQuestion {
  std::string verb;
  std::string resource;            // PLURAL or PLURAL/PART
  std::optional<std::string> api;  // found by the plural when it is not given
  std::optional<std::string> namespace_;
  std::optional<std::string> name;

  static constexpr FieldMark kMarks[] = {{"verb", kRequired}, {"resource", kRequired}};
};
BOOST_DESCRIBE_STRUCT(AccessQuestion, (), (verb, resource, api, namespace_, name))

const Subresource* find_part(const Kind& kind, std::string_view part) {
  const auto it = std::ranges::find(kind.subresources, part, &Subresource::name);
  return it == kind.subresources.end() ? nullptr : &*it;
}

// Parts that have no route of their own are rights all the same.
bool has_part(const Kind& kind, std::string_view part) {
  return part == "force" || (part == "status" && kind.has_status) || (part == "secrets" && kind.mask) ||
         find_part(kind, part) != nullptr;
}

const Kind* kind_named(const Registry& registry, const std::optional<std::string>& api, std::string_view plural) {
  for (const auto& kind : registry.kinds()) {
    if (kind->plural == plural && (!api || *api == kind->group)) return kind.get();
  }
  return nullptr;
}

json::Array texts(const std::vector<std::string>& items) { return {items.begin(), items.end()}; }

json::Value rule_value(const access::Rule& rule) {
  json::Array verbs;
  for (const auto verb : rule.verbs) verbs.emplace_back(access::to_string(verb));
  return json::Object{{"api", rule.api},
                      {"resources", texts(rule.resources)},
                      {"namespaces", texts(rule.namespaces)},
                      {"verbs", std::move(verbs)}};
}

ServerReply reply_with(const json::Object& document) {
  ServerReply reply;
  reply.headers.add("Content-Type", "application/json; charset=utf-8");
  reply.body.push_back(share_bytes(json::print(document)));
  return reply;
}

}  // namespace

Awaitable<Answer> ApiServer::review(Request& request) {
  auto body = co_await read_body(request);
  if (!body) co_return refuse(body.error());
  AccessQuestion question;
  FieldErrors errors;
  const bool good = codec::decode(*body, question, errors, Form::full);
  const auto slash = question.resource.find('/');
  const std::string plural = question.resource.substr(0, slash);
  const std::string part = slash == std::string::npos ? "" : question.resource.substr(slash + 1);
  const auto verb = access::parse_verb(question.verb);
  if (good && !verb) errors.at("verb").add("Invalid enum member " + question.verb);
  const Kind* kind = kind_named(registry_, question.api, plural);
  const bool backup = question.resource == "backup" && question.api.value_or("core") == "core";
  if (good && !backup && (!kind || (slash != std::string::npos && !has_part(*kind, part))))
    errors.at("resource").add(fmt::format("Unknown resource '{}'.", question.resource));
  errors.prune();
  if (!errors.empty()) co_return refuse(Problem{.status = 422, .detail = errors.render()});
  if (auto fresh = co_await cache_.fresh(&request.confirmed); !fresh) co_return refuse(fresh.error());

  Right right{.kind = kind,
              .api = kind ? kind->group : "core",
              .resource = question.resource,
              .verb = *verb,
              .ns = {},
              .name = {}};
  if (kind && kind->namespaced && question.namespace_) right.ns = *question.namespace_;
  if (question.name) right.name = *question.name;
  bool allowed = authorizer_.allowed(request.user, right).has_value();
  if (const auto* sub = kind ? find_part(*kind, part) : nullptr; sub && !allowed) {
    right.resource = sub->resource;
    allowed = authorizer_.allowed(request.user, right).has_value();
  }
  co_return reply_with({{"user", request.user},
                        {"verb", question.verb},
                        {"api", right.api},
                        {"resource", question.resource},
                        {"namespace", right.ns.empty() ? json::Value() : json::Value(right.ns)},
                        {"allowed", allowed}});
}

Answer ApiServer::rules(const Request& request) const {
  json::Array rules;
  switch (authorizer_.options().mode) {
    case access::Authorization::always_deny:
      break;
    case access::Authorization::always_allow:
      rules.push_back(rule_value({.api = "",
                                  .resources = {""},
                                  .namespaces = {""},
                                  .verbs = {access::Verb::create, access::Verb::list, access::Verb::get,
                                            access::Verb::update, access::Verb::delete_}}));
      break;
    case access::Authorization::rbac:
      if (request.user == kAnonymous) break;
      for (const auto& rule : authorizer_.rules_of(request.user)) rules.push_back(rule_value(rule));
  }
  return reply_with({{"user", request.user},
                     {"authorization", access::to_string(authorizer_.options().mode)},
                     {"roles", texts(authorizer_.roles_of(request.user))},
                     {"rules", std::move(rules)}});
}

}  // namespace krake::server
