#include "meta/schema.h"

namespace krake {

namespace {
std::string name_of(std::string_view type, std::string_view field) {
  return field.empty() ? std::string(type) : fmt::format("{}.{}", type, field);
}
}  // namespace

FieldTexts::FieldTexts(std::initializer_list<std::span<const FieldText>> tables) {
  for (const auto& table : tables) {
    for (const auto& entry : table) {
      auto name = name_of(entry.type, entry.field);
      const bool added = texts_.emplace(name, entry.text).second;
      CHECK(added, name);
    }
  }
}

std::string_view FieldTexts::find(std::string_view type, std::string_view field) const {
  const auto found = texts_.find(name_of(type, field));
  return found == texts_.end() ? std::string_view() : found->second;
}

std::vector<std::string> FieldTexts::names() const {
  std::vector<std::string> names;
  for (const auto& [name, text] : texts_) names.push_back(name);
  return names;
}

namespace schema {

namespace {

constexpr std::string_view kBlanks = "[ \\t\\n\\r\\f\\v]*";
constexpr std::string_view kDigits = "[0-9](_?[0-9])*";

// What the codec takes for a value of a type that has a name of its own in schemas of bodies.
json::Object input(Components& components, const std::string& name, std::type_index of, json::Object schema) {
  return components.refer(name, of, [&] { return std::move(schema); });
}

json::Object text_like(const std::string& pattern) { return {{"type", "string"}, {"pattern", "^" + pattern + "$"}}; }

}  // namespace

json::Object& Components::target(const json::Object& reference) {
  const auto* path = reference.find("$ref");
  CHECK(path && path->if_string(), "a reference");
  auto* schema = schemas_.find(std::string_view(*path->if_string()).substr(path->if_string()->rfind('/') + 1));
  CHECK(schema && schema->if_object(), *path->if_string());
  return *schema->if_object();
}

void Components::describe(json::Object& schema, std::string_view type, std::string_view field) {
  described_.insert(name_of(type, field));
  if (const auto text = texts_.find(type, field); !text.empty()) schema.set("description", text);
}

json::Object nullable(json::Object schema) {
  auto* type = schema.find("type");
  if (type && type->is_string() && !schema.contains("enum")) {
    *type = json::Array{*type, "null"};
    return schema;
  }
  if (schema.empty()) return schema;  // anything: null too
  return {{"anyOf", json::Array{std::move(schema), json::Object{{"type", "null"}}}}};
}

json::Array string_array(std::initializer_list<std::string_view> texts) {
  json::Array array;
  for (const auto text : texts) array.emplace_back(text);
  return array;
}

void add_marks(json::Object& property, unsigned marks, Use use) {
  const auto mark = [&](std::string_view name) { property.set(name, true); };
  if ((marks & kRequired) && !(marks & (kReadonly | kSubresource))) mark("x-krake-required");
  // To OpenAPI, what is readOnly is in no body: that of a PUT must have it.
  if (marks & kReadonly) mark(use == Use::answer ? "readOnly" : "x-krake-readonly");
  if (marks & kImmutable) mark("x-krake-immutable");
  if (marks & kSubresource) mark("x-krake-subresource");
  if (marks & kSecret) mark("x-krake-secret");
  if (marks & kAdditive) mark("x-krake-additive");
}

void add_limit(json::Object& property, const FieldLimit& limit, bool is_text) {
  if (!limit.pattern.empty()) property.set("pattern", limit.pattern);
  if (limit.min) property.set(is_text ? "minLength" : "minimum", *limit.min);
  if (limit.max) property.set(is_text ? "maxLength" : "maximum", *limit.max);
}

json::Object SchemaOf<Integer>::of(Components& components, Use use) {
  if (use == Use::answer) return {{"type", "integer"}};
  return input(components, "IntegerInput", typeid(Integer),
               {{"description", "A whole number of any size. A fraction is cut off; text with a number is taken too."},
                {"anyOf", json::Array{json::Object{{"type", "number"}},
                                      text_like(fmt::format("{0}[+-]?{1}{0}", kBlanks, kDigits))}}});
}

json::Object SchemaOf<double>::of(Components& components, Use use) {
  if (use == Use::answer) return {{"type", "number"}};
  const auto fraction = fmt::format("({0}\\.?({0})?|\\.{0})([eE][+-]?{0})?", kDigits);
  return input(components, "NumberInput", typeid(double),
               {{"description", "A finite number. Text with a number is taken too."},
                {"anyOf", json::Array{json::Object{{"type", "number"}},
                                      text_like(fmt::format("{0}[+-]?{1}{0}", kBlanks, fraction))}}});
}

json::Object SchemaOf<bool>::of(Components& components, Use use) {
  if (use == Use::answer) return {{"type", "boolean"}};
  json::Array known{true, false, 1, 0};
  for (const auto text :
       {"1", "t", "T", "true",  "True",  "TRUE",  "y", "Y", "yes", "Yes", "YES", "on",  "On",  "ON",
        "0", "f", "F", "false", "False", "FALSE", "n", "N", "no",  "No",  "NO",  "off", "Off", "OFF"}) {
    known.emplace_back(text);
  }
  return input(components, "BooleanInput", typeid(bool),
               {{"description", "True or false. Numbers and text that mean one of them are taken too."},
                {"enum", std::move(known)}});
}

json::Object SchemaOf<DateTime>::of(Components& components, Use use) {
  if (use == Use::answer) {
    auto schema =
        text_like("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{6})?([+-][0-9]{2}:[0-9]{2})?");
    schema.set("format", "date-time");
    return schema;
  }
  return input(components, "DateTimeInput", typeid(DateTime),
               {{"description",
                 "A time as RFC 3339 writes it, kept with the offset it has. Seconds and offset may be left out, and a "
                 "blank may stand for the T."},
                {"type", "string"},
                {"format", "date-time"}});
}

}  // namespace schema
}  // namespace krake
