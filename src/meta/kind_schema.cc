#include "meta/kind_schema.h"

namespace krake::schema {

namespace {

// Stand for the schemas that are no type's.
struct ListSchema {};
struct ListMetadata {};
struct LineSchema {};
struct Bookmark {};

json::Object constant(std::string_view value) { return {{"type", "string"}, {"const", value}}; }
json::Object array_of(json::Object items) { return {{"type", "array"}, {"items", std::move(items)}}; }
json::Object described(json::Object schema, std::string_view text) {
  schema.set("description", text);
  return schema;
}
json::Object revision(std::string_view text) {
  return {{"type", "string"}, {"pattern", "^[0-9]+$"}, {"description", text}};
}

json::Object list_metadata(Components& components) {
  const auto make = [] {
    json::Object properties;
    properties.set("resource_version", revision("Where a watch goes on, as its `since`."));
    properties.set("store", described({{"type", "string"}}, "The store this revision is of."));
    properties.set("continue", described({{"type", "string"}}, "Asks for the next page. Not there on the last one."));
    properties.set("remaining", described({{"type", "integer"}, {"minimum", 0}}, "Objects after this page."));
    return json::Object{{"type", "object"},
                        {"properties", std::move(properties)},
                        {"required", string_array({"resource_version", "store"})},
                        {"additionalProperties", false}};
  };
  return components.refer("ListMetadata", typeid(ListMetadata), make);
}

json::Object bookmark(Components& components) {
  const auto make = [] {
    json::Object properties;
    properties.set("type", constant("BOOKMARK"));
    properties.set("object", json::Object{{"type", "null"}});
    properties.set("revision", revision("Everything up to this revision was sent."));
    return json::Object{{"type", "object"},
                        {"description", "The heartbeat of a watch that asked for bookmarks."},
                        {"properties", std::move(properties)},
                        {"required", string_array({"type", "object", "revision"})},
                        {"additionalProperties", false}};
  };
  return components.refer("Bookmark", typeid(Bookmark), make);
}

json::Object list_schema(Components& components, const Kind& kind, const json::Object& answer) {
  json::Object properties;
  properties.set("api", constant(kind.group));
  properties.set("kind", constant(fmt::format("{}List", kind.name)));
  properties.set("metadata", list_metadata(components));
  properties.set("items", described(array_of(answer), "In the order of namespaces and names."));
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", string_array({"api", "kind", "metadata", "items"})},
          {"additionalProperties", false}};
}

json::Object event_schema(const json::Object& answer) {
  json::Object properties;
  properties.set("type", json::Object{{"type", "string"}, {"enum", string_array({"ADDED", "MODIFIED", "DELETED"})}});
  properties.set("object", described(answer, "The object as it is now; of DELETED as it was last."));
  properties.set("revision", revision("Of the change. Others of the same revision may follow."));
  properties.set("gap",
                 revision("The server missed what happened between this revision and `revision`: the line is the "
                          "difference."));
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", string_array({"type", "object", "revision"})},
          {"additionalProperties", false}};
}

json::Object about(const Kind& kind) {
  json::Array verbs;
  for (const auto verb : verbs_of(kind)) verbs.emplace_back(verb);
  json::Array subresources;
  if (kind.has_status) subresources.emplace_back("status");
  for (const auto& sub : kind.subresources) subresources.emplace_back(sub.name);
  return {{"group", kind.group},           {"kind", kind.name},         {"plural", kind.plural},
          {"namespaced", kind.namespaced}, {"verbs", std::move(verbs)}, {"subresources", std::move(subresources)}};
}

// Of a lease, which says also who has taken it when.
void add_epoch(json::Object& schema) {
  auto& metadata = schema["properties"].make_object()["metadata"].make_object();
  json::Object epoch{{"type", "string"},
                     {"description", "Another one each time the lease is taken: what the header Krake-Leader names."}};
  add_marks(epoch, kReadonly | kAdditive, Use::answer);
  metadata.set("properties", json::Object{{"epoch", std::move(epoch)}});
  metadata.set("required", string_array({"epoch"}));
}

}  // namespace

std::vector<std::string_view> verbs_of(const Kind& kind) {
  if (kind.leased) return {"delete", "get", "list", "update", "watch"};
  return {"create", "delete", "get", "list", "patch", "update", "watch"};
}

KindSchemas add_kind(Components& components, const Kind& kind) {
  KindSchemas schemas;
  schemas.answer = kind.schema(components, Use::answer);
  auto& answer = components.target(schemas.answer);
  if (!answer.contains("x-krake-kind")) {
    answer.set("x-krake-kind", about(kind));
    if (kind.leased) add_epoch(answer);
  }
  if (!kind.leased) {
    schemas.create = kind.schema(components, Use::create);
    schemas.update = kind.schema(components, Use::update);
  }
  const std::string name(kind.name);
  schemas.list = components.refer(name + "List", typeid(ListSchema),
                                  [&] { return list_schema(components, kind, schemas.answer); });
  const auto event =
      components.refer(name + "WatchEvent", typeid(LineSchema), [&] { return event_schema(schemas.answer); });
  schemas.line = {{"anyOf", json::Array{event, bookmark(components)}}};
  return schemas;
}

json::Object schemas_of(const Registry& registry, const FieldTexts& texts) {
  Components components(texts);
  for (const auto& kind : registry.kinds()) add_kind(components, *kind);
  return components.schemas();
}

}  // namespace krake::schema
