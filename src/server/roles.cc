#include "server/roles.h"

#include <fmt/format.h>

#include "base/encoding.h"

namespace krake {

namespace {

json::Array texts(std::initializer_list<std::string_view> items) {
  json::Array array;
  for (const auto item : items) array.emplace_back(item);
  return array;
}
json::Value rule(std::string_view api, std::initializer_list<std::string_view> resources,
                 std::initializer_list<std::string_view> verbs) {
  return json::Object{
      {"api", api}, {"resources", texts(resources)}, {"namespaces", texts({""})}, {"verbs", texts(verbs)}};
}
// `name` is the user's but for the administrator, where upstream's role set has another.
void grant(ShippedRoles& out, std::string_view user, json::Array rules, std::string_view name = {}) {
  if (name.empty()) name = user;
  const std::string role = fmt::format("role:{}", name);
  out.roles.emplace_back(json::Object{{"metadata", json::Object{{"name", role}}}, {"rules", std::move(rules)}});
  out.bindings.emplace_back(json::Object{{"metadata", json::Object{{"name", fmt::format("rolebinding:{}", name)}}},
                                         {"users", json::Array{user}},
                                         {"roles", json::Array{role}}});
}

constexpr std::size_t kMark = 12;  // digits of a uid's last group

std::string marked(std::string_view uid, std::string_view kind, std::string_view name) {
  const auto head = uid.substr(0, uid.size() - kMark);
  return fmt::format("{}{}", head, sha256_hex(fmt::format("shipped {}/{} {}", kind, name, head)).substr(0, kMark));
}

}  // namespace

std::string shipped_uid(Random& random, std::string_view kind, std::string_view name) {
  return marked(random.uuid4(), kind, name);
}

bool is_shipped_uid(std::string_view uid, std::string_view kind, std::string_view name) {
  return uid.size() > kMark && marked(uid, kind, name) == uid;
}

ShippedRoles shipped_roles() {
  ShippedRoles out;
  const json::Value leases = rule("core", {"leases"}, {"get", "list", "update", "delete"});
  grant(out, "system:admin", {rule("", {""}, {"create", "list", "get", "update", "delete"})}, "system");
  const std::initializer_list<std::string_view> all = {"list", "get", "update", "delete"};
  grant(out, "system:gc",
        {rule("core",
              {"globalmetrics", "globalmetricsproviders", "metrics", "metricsproviders", "roles", "rolebindings"}, all),
         rule("kubernetes", {"applications", "clusters"}, all),
         rule("infrastructure", {"globalinfrastructureproviders", "infrastructureproviders", "globalclouds", "clouds"},
              all),
         rule("openstack", {"projects", "magnumclusters"}, all), leases});
  grant(
      out, "system:scheduler",
      {rule("core", {"globalmetrics", "globalmetricsproviders", "metrics", "metricsproviders"}, {"get", "list"}),
       rule("core", {"globalmetricsproviders/secrets", "metricsproviders/secrets"}, {"get"}),
       rule("kubernetes", {"applications", "clusters"}, {"get", "list"}),
       rule("kubernetes", {"applications/binding", "applications/status", "clusters/status", "clusters/binding"},
            {"update"}),
       rule("infrastructure", {"globalclouds", "clouds"}, {"get", "list"}),
       rule("openstack", {"projects"}, {"get", "list"}),
       rule("openstack", {"magnumclusters"}, {"get", "list", "update"}),
       rule("openstack", {"magnumclusters/binding", "magnumclusters/status", "projects/status"}, {"update"}), leases});
  grant(out, "system:kubernetes-application",
        {rule("kubernetes", {"applications", "applications/status"}, {"get", "list", "update"}),
         rule("kubernetes", {"clusters"}, {"get", "list"}),
         rule("kubernetes", {"applications/secrets", "clusters/secrets"}, {"get"}), leases});
  grant(out, "system:kubernetes-cluster",
        {rule("kubernetes", {"clusters", "clusters/status"}, {"get", "list", "update"}),
         rule("kubernetes", {"clusters/secrets"}, {"get"}), leases});
  grant(out, "system:infrastructure",
        {rule("kubernetes", {"clusters", "clusters/status"}, {"get", "list", "update"}),
         rule("infrastructure", {"globalinfrastructureproviders", "infrastructureproviders", "globalclouds", "clouds"},
              {"get", "list"}),
         rule("kubernetes", {"clusters/secrets"}, {"get"}),
         rule("infrastructure",
              {"globalinfrastructureproviders/secrets", "infrastructureproviders/secrets", "globalclouds/secrets",
               "clouds/secrets"},
              {"get"}),
         leases});
  grant(out, "system:magnum",
        {rule("openstack", {"magnumclusters"}, {"get", "list", "update"}),
         rule("openstack", {"magnumclusters/status"}, {"update"}), rule("openstack", {"projects"}, {"get", "list"}),
         rule("openstack", {"projects/secrets"}, {"get"}),
         rule("kubernetes", {"clusters"}, {"create", "get", "list", "update"}),
         rule("kubernetes", {"clusters/secrets"}, {"get"}), leases});
  grant(out, "system:complete-hook", {rule("kubernetes", {"applications/complete"}, {"update"})});
  grant(out, "system:shutdown-hook", {rule("kubernetes", {"applications/shutdown"}, {"update"})});
  return out;
}

Result<std::unique_ptr<Object>> decode_default(const Kind& kind, const json::Value& value) {
  FieldErrors errors;
  auto object = kind.decode(kind, value, Form::create, errors);
  if (!object) return fail(Code::invalid_object, fmt::format("default {}: {}", kind.name, errors.render()));
  return object;
}

}  // namespace krake
