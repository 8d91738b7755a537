#include "server/openapi.h"

#include <fmt/format.h>

#include "api/field_texts.h"
#include "base/check.h"
#include "meta/kind_schema.h"
#include "server/route.h"

namespace krake::server {

namespace {

using json::Array;
using json::Object;

constexpr std::string_view kAbout =
    "The API of Krake, an orchestrator of applications over many Kubernetes clusters. It is declarative: clients say "
    "what "
    "they want in objects, controllers make it so. HEAD is answered wherever GET is. Keys that no schema knows are "
    "passed "
    "over in bodies. Every answer of 4xx and 5xx is a problem document. `x-krake-additive` marks what the first Krake "
    "does "
    "not have.";

Object reference(std::string_view kind, std::string_view name) {
  return {{"$ref", fmt::format("#/components/{}/{}", kind, name)}};
}
Object content(std::string_view type, Object schema) {
  return {{std::string(type), Object{{"schema", std::move(schema)}}}};
}
Object lines(Object schema) {
  return {{"application/x-ndjson", Object{{"schema", std::move(schema)}, {"x-krake-lines", true}}}};
}

std::string with_article(std::string_view noun) {
  const bool vowel = std::string_view("AEIOU").find(noun.front()) != std::string_view::npos;
  return fmt::format("{} {}", vowel ? "an" : "a", noun);
}

std::string capitalized(std::string_view word) {
  std::string text(word);
  text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  return text;
}

// "GlobalMetricsProviders": the plural with the capitals of the name.
std::string plural_name(const Kind& kind) {
  std::string plural(kind.plural);
  for (std::size_t i = 0; i < std::min(plural.size(), kind.name.size()); ++i) {
    if (std::tolower(static_cast<unsigned char>(kind.name[i])) == plural[i]) plural[i] = kind.name[i];
  }
  return plural;
}

bool over_all_namespaces(const Route& route) { return route.kind && route.kind->namespaced && route.ns.empty(); }

// "updateApplicationStatus": stable, since clients are generated from it.
std::string operation_id(const Route& route) {
  const std::string_view kind = route.kind ? route.kind->name : "";
  switch (route.operation) {
    case Operation::index:
      return "getIndex";
    case Operation::me:
      return "getMe";
    case Operation::review:
      return "reviewMyAccess";
    case Operation::rules:
      return "getMyRules";
    case Operation::release:
      return "getRelease";
    case Operation::openapi:
      return "getOpenapi";
    case Operation::backup:
      return "createBackup";
    case Operation::create:
      return fmt::format("create{}", kind);
    case Operation::list:
      return fmt::format("list{}{}", over_all_namespaces(route) ? "All" : "", plural_name(*route.kind));
    case Operation::read:
      return fmt::format("read{}", kind);
    case Operation::update:
      return fmt::format("update{}", kind);
    case Operation::patch:
      return fmt::format("patch{}", kind);
    case Operation::remove:
      return fmt::format("delete{}", kind);
    case Operation::status:
      return fmt::format("update{}Status", kind);
    case Operation::patch_status:
      return fmt::format("patch{}Status", kind);
    case Operation::subresource:
      return fmt::format("update{}{}", kind, capitalized(route.subresource->name));
    case Operation::lease_acquire:
      return fmt::format("acquire{}", kind);
    case Operation::lease_release:
      return fmt::format("release{}", kind);
  }
  return {};
}

std::string summary_of(const Route& route) {
  const std::string one = route.kind ? with_article(route.kind->name) : "";
  switch (route.operation) {
    case Operation::index:
      return "The version of the API";
    case Operation::me:
      return "Who asks, and which roles he has";
    case Operation::review:
      return "Whether who asks may do something";
    case Operation::rules:
      return "The rules of who asks";
    case Operation::release:
      return "A greeting";
    case Operation::openapi:
      return "This document";
    case Operation::backup:
      return "Everything the server stores, as one file";
    case Operation::create:
      return fmt::format("Create {}", one);
    case Operation::list:
      return fmt::format("List or watch objects of kind {}{}", route.kind->name,
                         over_all_namespaces(route) ? ", of all namespaces" : "");
    case Operation::read:
      return fmt::format("Read {}", one);
    case Operation::update:
      return fmt::format("Replace {}", one);
    case Operation::patch:
      return fmt::format("Change parts of {}", one);
    case Operation::remove:
      return fmt::format("Delete {}", one);
    case Operation::status:
      return fmt::format("Replace the status of {}", one);
    case Operation::patch_status:
      return fmt::format("Change parts of the status of {}", one);
    case Operation::subresource:
      return fmt::format("{} of {}", capitalized(route.subresource->name), one);
    case Operation::lease_acquire:
      return "Take a free lease, or renew one's own";
    case Operation::lease_release:
      return "Give a lease back";
  }
  return {};
}

std::string_view description_of(const Route& route) {
  switch (route.operation) {
    case Operation::index:
    case Operation::me:
    case Operation::review:
    case Operation::rules:
    case Operation::release:
    case Operation::read:
    case Operation::subresource:  // from the table of texts
      return "";
    case Operation::openapi:
      return "It says what this server does; its ETag changes with it.";
    case Operation::backup:
      return "Whoever may have it has every secret. Cut off anywhere, it is refused by `krake restore`.";
    case Operation::create:
      return "Fields that are the server's, the status and the namespace of the body are passed over.";
    case Operation::list:
      return "With `watch`, a stream of lines that begins with what is committed after it was opened.";
    case Operation::update:
      return "The body is the whole object, as GET answers it. What it leaves out is set back to its default; its "
             "status is "
             "not taken. A body that changes nothing is refused with 400, but for global metrics providers. It removes "
             "an "
             "object in deletion whose last finalizer it takes away.";
    case Operation::patch:
      return "A patch that changes nothing is answered with 200, and writes nothing. It removes an object in deletion "
             "whose "
             "last finalizer it takes away.";
    case Operation::remove:
      return "Sets `metadata.deleted` and the finalizer `cascade_deletion`. The object goes when its last finalizer is "
             "taken "
             "away. A second DELETE answers it as it is.";
    case Operation::status:
      return "The body is the whole object; only its status is taken. `metadata.modified` stays.";
    case Operation::patch_status:
      return "Of the patch only `status` is taken. `metadata.modified` stays.";
    case Operation::lease_acquire:
      return "When another holds it: 409, with the present lease. A lease that is not renewed in time vanishes.";
    case Operation::lease_release:
      return "Only its holder can, by his name.";
  }
  return "";
}

bool takes_body(const Route& route) {
  switch (route.operation) {
    case Operation::review:
    case Operation::create:
    case Operation::update:
    case Operation::patch:
    case Operation::status:
    case Operation::patch_status:
    case Operation::lease_acquire:
      return true;
    case Operation::subresource:
      return route.subresource->has_body;
    default:
      return false;
  }
}

// A write of a present object: it may be conditional.
bool modifies(const Route& route) {
  switch (route.operation) {
    case Operation::update:
    case Operation::patch:
    case Operation::remove:
    case Operation::status:
    case Operation::patch_status:
    case Operation::subresource:
    case Operation::lease_release:  // of a value nobody can decode
      return true;
    default:
      return false;
  }
}

std::vector<std::string_view> parameters_of(const Route& route) {
  std::vector<std::string_view> names;
  if (!route.ns.empty()) names.emplace_back("Namespace");
  if (!route.name.empty()) names.emplace_back("Name");
  const auto add = [&](std::initializer_list<std::string_view> more) { names.insert(names.end(), more); };
  const bool forced = route.kind && route.kind->force_delete;
  switch (route.operation) {
    case Operation::list:
      add({"Labels", "Fields", "Limit", "Continue", "Consistency", "Watch", "Heartbeat", "Bookmarks", "Since", "Store",
           "Initial"});
      break;
    case Operation::read:
      add({"Consistency", "IfNoneMatch"});
      break;
    case Operation::openapi:
      add({"IfNoneMatch"});
      break;
    case Operation::create:
    case Operation::remove:
      if (forced) add({"Blocking"});
      break;
    case Operation::lease_release:
      add({"Holder"});
      break;
    default:
      break;
  }
  if (route.operation == Operation::remove || route.operation == Operation::lease_release) add({"Force"});
  if (takes_body(route) && route.kind && route.operation != Operation::lease_acquire) add({"Strict"});
  if (modifies(route)) add({"IfMatch", "KrakeStore"});
  if (modifies(route) || route.operation == Operation::create) add({"KrakeLeader"});
  return names;
}

// Of answers that are problems.
std::set<int> problems_of(const Route& route) {
  // Before anything of the request is looked at but its head.
  std::set<int> all{400, 401, 429, 431, 500, 503};
  const auto add = [&](std::initializer_list<int> more) { all.insert(more); };
  if (route.guarded()) add({403});
  if (route.on_object() && route.operation != Operation::lease_acquire) add({404});
  if (takes_body(route)) add({408, 413, 415, 422});
  if (modifies(route) || route.operation == Operation::create) add({409, 412});
  if (route.operation == Operation::lease_acquire) add({409});
  if (route.operation == Operation::list) add({410, 422});
  if (route.operation == Operation::remove && route.kind->force_delete) add({422});  // blocking
  return all;
}

class Document {
 public:
  Document(const Registry& registry, std::string_view version)
      : registry_(registry), version_(version), components_(field_texts()) {}

  Object make() {
    for (const auto& kind : registry_.kinds()) kinds_[kind.get()] = schema::add_kind(components_, *kind);
    Object paths;
    for (const auto& route : all_routes(registry_)) {
      std::string method(route.method);
      for (char& c : method) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      paths[route.path].make_object().set(method, operation(route.route));
    }
    Object schemas = components_.schemas();
    add_openapi_schemas(schemas);
    Array security;
    const Object schemes = openapi_security_schemes();
    for (const auto& [name, scheme] : schemes) security.emplace_back(Object{{name, Array{}}});
    security.emplace_back(Object{});  // where the server lets anybody in
    return {{"openapi", "3.1.0"},
            {"info", Object{{"title", "Krake"},
                            {"version", version_},
                            {"description", kAbout},
                            {"license", Object{{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
            {"servers", one(Object{{"url", "/"}})},
            {"security", std::move(security)},
            {"tags", tags()},
            {"paths", std::move(paths)},
            {"components", Object{{"schemas", std::move(schemas)},
                                  {"parameters", openapi_parameters()},
                                  {"responses", openapi_responses()},
                                  {"securitySchemes", schemes}}}};
  }

 private:
  static Array one(Object element) {
    Array array;
    array.emplace_back(std::move(element));
    return array;
  }

  Array tags() {
    Array tags = one(Object{{"name", "server"}, {"description", "The server itself."}});
    std::set<std::string_view> known;
    for (const auto& kind : registry_.kinds()) {
      if (!known.insert(kind->group).second) continue;
      Object tag{{"name", kind->group}};
      components_.describe(tag, fmt::format("group {}", kind->group));
      tags.emplace_back(std::move(tag));
    }
    return tags;
  }

  Object operation(const Route& route) {
    Object made;
    made.set("operationId", operation_id(route));
    made.set("tags", schema::string_array({route.kind ? route.kind->group : "server"}));
    made.set("summary", summary_of(route));
    if (const auto text = description_of(route); !text.empty()) made.set("description", text);
    if (route.subresource) components_.describe(made, route.kind->name, fmt::format("/{}", route.subresource->name));
    Array parameters;
    for (const auto name : parameters_of(route)) parameters.emplace_back(reference("parameters", name));
    if (!parameters.empty()) made.set("parameters", std::move(parameters));
    if (takes_body(route)) made.set("requestBody", Object{{"required", true}, {"content", body_of(route)}});
    made.set("responses", responses_of(route));
    if (route.guarded()) {
      made.set("x-krake-right", Object{{"api", route.group()}, {"resource", route.resource()}, {"verb", route.verb()}});
    }
    return made;
  }

  Object body_of(const Route& route) {
    if (route.operation == Operation::patch || route.operation == Operation::patch_status) {
      Object patch = content("application/merge-patch+json", reference("schemas", "MergePatch"));
      patch.set("application/json", Object{{"schema", reference("schemas", "MergePatch")}});
      return patch;
    }
    return content("application/json", body_schema(route));
  }
  Object body_schema(const Route& route) {
    if (route.operation == Operation::lease_acquire) return reference("schemas", "LeaseRequest");
    if (route.operation == Operation::review) return reference("schemas", "AccessQuestion");
    if (route.operation == Operation::create) return kinds_.at(route.kind).create;
    if (!route.subresource) return kinds_.at(route.kind).update;
    CHECK(route.subresource->schema != nullptr, route.subresource->resource);
    return route.subresource->schema(components_);
  }

  Object responses_of(const Route& route) {
    Object responses = answers_of(route);
    for (const int status : problems_of(route))
      responses.set(std::to_string(status), reference("responses", openapi_response_name(status)));
    return responses;
  }

  // What is no problem.
  Object answers_of(const Route& route) {
    const auto ok = [](std::string_view description, Object body) {
      return Object{{"200", Object{{"description", description}, {"content", std::move(body)}}}};
    };
    switch (route.operation) {
      case Operation::index:
        return ok("The version.", content("application/json", reference("schemas", "Index")));
      case Operation::me:
        return ok("User and roles.", content("application/json", reference("schemas", "Me")));
      case Operation::review:
        return ok("What was asked, and `allowed`.", content("application/json", reference("schemas", "AccessReview")));
      case Operation::rules:
        return ok("Roles and their rules.", content("application/json", reference("schemas", "MyRules")));
      case Operation::release:
        return {{"202", Object{{"description", "A greeting."},
                               {"content", content("application/json", Object{{"type", "string"}})}}}};
      case Operation::openapi:
        return with_etag(ok("An OpenAPI document.", content("application/json", Object{{"type", "object"}})), true);
      case Operation::backup:
        return ok("The file, line by line.", lines(reference("schemas", "BackupLine")));
      case Operation::list: {
        Object body = content("application/json", kinds_.at(route.kind).list);
        const Object stream = lines(kinds_.at(route.kind).line);
        for (const auto& [type, media] : stream) body.set(type, media);
        return ok("The list; with `watch` the stream.", std::move(body));
      }
      case Operation::remove:
      case Operation::lease_release:
        return with_etag(
            ok("The object, as it is now or was last.",
               content("application/json",
                       Object{{"anyOf", Array{kinds_.at(route.kind).answer, reference("schemas", "Removed")}}})),
            false);
      case Operation::read:
        return with_etag(ok("The object.", content("application/json", kinds_.at(route.kind).answer)), true);
      default:
        return with_etag(ok("The object as it is now.", content("application/json", kinds_.at(route.kind).answer)),
                         false);
    }
  }

  static Object with_etag(Object responses, bool conditional) {
    const Object header{{"description", "For If-Match and If-None-Match."}, {"schema", Object{{"type", "string"}}}};
    responses["200"].make_object().set("headers", Object{{"ETag", header}});
    if (conditional) {
      responses.set("304", Object{{"description", "The ETag of If-None-Match is still the present one."},
                                  {"headers", Object{{"ETag", header}}}});
    }
    return responses;
  }

  const Registry& registry_;
  std::string_view version_;
  schema::Components components_;
  std::map<const Kind*, schema::KindSchemas> kinds_;
};

}  // namespace

Object openapi_document(const Registry& registry, std::string_view version) {
  return Document(registry, version).make();
}

}  // namespace krake::server
