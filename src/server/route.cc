#include "server/route.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/encoding.h"
#include "base/names.h"

namespace krake::server {

namespace {

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const auto end = path.find('/');
    parts.push_back(path.substr(0, end));
    path.remove_prefix(end == std::string_view::npos ? path.size() : end);
  }
  return parts;
}

struct Target {
  const Kind* kind = nullptr;
  std::string_view ns;  // still encoded
  std::string_view name;
  std::string_view sub;
  bool has_ns = false;
};

// /group/plural[/name[/sub]] or /group/namespaces/ns/plural[/name[/sub]]
std::optional<Target> match(const Registry& registry, const std::vector<std::string_view>& parts) {
  if (parts.size() < 2 || std::ranges::any_of(parts, &std::string_view::empty)) return std::nullopt;
  Target target;
  target.has_ns = parts[1] == "namespaces" && parts.size() > 2;
  const std::size_t base = target.has_ns ? 3 : 1;
  if (parts.size() <= base || parts.size() > base + 3) return std::nullopt;
  target.kind = registry.find(parts[0], parts[base]);
  if (!target.kind) return std::nullopt;
  if (target.has_ns) target.ns = parts[2];
  if (parts.size() > base + 1) target.name = parts[base + 1];
  if (parts.size() > base + 2) target.sub = parts[base + 2];
  // A namespaced kind has only its all-namespaces collection without a namespace; the others know no namespace.
  if (target.has_ns != target.kind->namespaced && !(target.kind->namespaced && target.name.empty()))
    return std::nullopt;
  return target;
}

using Methods = std::vector<std::pair<std::string_view, Operation>>;

const Subresource* find_subresource(const Kind& kind, std::string_view name) {
  for (const auto& sub : kind.subresources) {
    if (sub.name == name) return &sub;
  }
  return nullptr;
}

std::optional<Methods> methods_of(const Target& target) {
  const Kind& kind = *target.kind;
  if (!target.sub.empty()) {
    if (target.sub == "status" && kind.has_status)
      return Methods{{"PUT", Operation::status}, {"PATCH", Operation::patch_status}};
    if (find_subresource(kind, target.sub)) return Methods{{"PUT", Operation::subresource}};
    return std::nullopt;
  }
  if (!target.name.empty()) {
    if (kind.leased)
      return Methods{{"GET", Operation::read}, {"PUT", Operation::lease_acquire}, {"DELETE", Operation::lease_release}};
    return Methods{{"GET", Operation::read},
                   {"PUT", Operation::update},
                   {"PATCH", Operation::patch},
                   {"DELETE", Operation::remove}};
  }
  if (kind.leased || (kind.namespaced && !target.has_ns)) return Methods{{"GET", Operation::list}};
  return Methods{{"GET", Operation::list}, {"POST", Operation::create}};
}

struct Miscellaneous {
  std::string_view path;
  std::string_view method;
  Operation operation;
};
constexpr Miscellaneous kMiscellaneous[] = {{"/", "GET", Operation::index},
                                            {"/me", "GET", Operation::me},
                                            {"/me/access", "POST", Operation::review},
                                            {"/me/rules", "GET", Operation::rules},
                                            {"/release", "GET", Operation::release},
                                            {"/openapi.json", "GET", Operation::openapi},
                                            {"/backup", "POST", Operation::backup}};

Methods miscellaneous(std::string_view path) {
  Methods methods;
  for (const auto& known : kMiscellaneous) {
    if (known.path == path) methods.emplace_back(known.method, known.operation);
  }
  return methods;
}

// Every shape of path of a kind.
std::vector<Target> targets_of(const Kind& kind) {
  constexpr std::string_view ns = "{namespace}", name = "{name}";
  const bool has_ns = kind.namespaced;
  std::vector<Target> targets{{.kind = &kind, .ns = has_ns ? ns : "", .has_ns = has_ns}};
  if (has_ns) targets.push_back({.kind = &kind});
  const auto on_object = [&](std::string_view sub) {
    targets.push_back({.kind = &kind, .ns = has_ns ? ns : "", .name = name, .sub = sub, .has_ns = has_ns});
  };
  on_object("");
  if (kind.has_status) on_object("status");
  for (const auto& sub : kind.subresources) on_object(sub.name);
  return targets;
}

std::string path_of(const Target& target) {
  std::string path = fmt::format("/{}", target.kind->group);
  if (target.has_ns) fmt::format_to(std::back_inserter(path), "/namespaces/{}", target.ns);
  for (const auto part : {target.kind->plural, target.name, target.sub}) {
    if (!part.empty()) fmt::format_to(std::back_inserter(path), "/{}", part);
  }
  return path;
}

std::string allow_of(const Methods& methods) {
  std::vector<std::string> names{"OPTIONS"};
  for (const auto& [method, operation] : methods) {
    names.emplace_back(method);
    if (method == "GET") names.emplace_back("HEAD");
  }
  std::ranges::sort(names);
  return fmt::format("{}", fmt::join(names, ","));
}

}  // namespace

std::string Route::resource() const {
  if (operation == Operation::backup) return "backup";
  if (operation == Operation::status || operation == Operation::patch_status)
    return std::string(kind->plural) + "/status";
  if (subresource) return std::string(subresource->resource);
  return std::string(kind->plural);
}

std::string_view Route::verb() const {
  switch (operation) {
    case Operation::index:
    case Operation::me:
    case Operation::release:
    case Operation::openapi:
    case Operation::review:
    case Operation::rules:
      return "";
    case Operation::create:
    case Operation::backup:  // who may only read everything is not given all secrets in one file
      return "create";
    case Operation::list:
      return "list";
    case Operation::read:
      return "get";
    case Operation::update:
    case Operation::patch:
    case Operation::status:
    case Operation::patch_status:
    case Operation::subresource:
    case Operation::lease_acquire:
      return "update";
    case Operation::remove:
    case Operation::lease_release:
      return "delete";
  }
  return "";
}

Routed route(const Registry& registry, std::string_view method, std::string_view path) {
  Methods methods = miscellaneous(path);
  std::optional<Target> target;
  if (methods.empty()) {
    target = path.starts_with('/') ? match(registry, split(path)) : std::nullopt;
    auto known = target ? methods_of(*target) : std::nullopt;
    if (!known) return {};
    methods = std::move(*known);
  }
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const auto& [name, operation] : methods) {
    if (name != wanted) continue;
    Route found{.operation = operation};
    if (target) {
      found.kind = target->kind;
      if (operation == Operation::subresource) found.subresource = find_subresource(*target->kind, target->sub);
      const auto ns = percent_decode(target->ns);
      const auto object = percent_decode(target->name);
      found.ns = ns.value_or(std::string(target->ns));
      found.name = object.value_or(std::string(target->name));
      found.names_valid = (!target->has_ns || valid_resource_name(found.ns)) &&
                          (target->name.empty() || valid_resource_name(found.name));
    }
    return {.route = std::move(found), .status = 200};
  }
  return {.status = 405, .allow = allow_of(methods)};
}

std::vector<RouteTemplate> all_routes(const Registry& registry) {
  std::vector<RouteTemplate> all;
  for (const auto& known : kMiscellaneous) {
    all.push_back({known.method, std::string(known.path), Route{.operation = known.operation}});
  }
  for (const auto& kind : registry.kinds()) {
    for (const auto& target : targets_of(*kind)) {
      const auto methods = methods_of(target);
      CHECK(methods.has_value(), path_of(target));
      for (const auto& [method, operation] : *methods) {
        Route route{.operation = operation, .kind = target.kind};
        route.ns = target.ns;
        route.name = target.name;
        if (operation == Operation::subresource) route.subresource = find_subresource(*kind, target.sub);
        all.push_back({method, path_of(target), std::move(route)});
      }
    }
  }
  return all;
}

const std::string* find_parameter(const Query& query, std::string_view name) {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

bool switched_on(const Query& query, std::string_view name) {
  const auto* value = find_parameter(query, name);
  return value && (*value == "true" || *value == "True" || *value == "1");
}

}  // namespace krake::server
