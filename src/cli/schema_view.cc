#include "cli/schema_view.h"

#include <fmt/format.h>

#include "cli/args.h"
#include "cli/table.h"

namespace krake::cli {

namespace {

constexpr std::size_t kMaxDepth = 32;  // of references to references: a document may be anybody's

std::vector<std::string> strings_of(const json::Value* value) {
  std::vector<std::string> strings;
  const auto* array = value ? value->if_array() : nullptr;
  if (!array) return strings;
  for (const auto& element : *array) {
    if (const auto* text = element.if_string()) strings.push_back(*text);
  }
  return strings;
}

std::string name_of(std::string_view reference) { return std::string(reference.substr(reference.rfind('/') + 1)); }

// A schema with what is behind its reference; what stands beside the reference holds.
struct Node {
  json::Object schema;
  std::string name;  // of the schema referred to; may be empty
};

void overlay(json::Object& below, const json::Object& above) {
  for (const auto& [key, value] : above) {
    const auto* properties = value.if_object();
    auto* present = below.find(key);
    if (key == "properties" && properties && present && present->if_object()) {
      overlay(*present->if_object(), *properties);
    } else {
      below.set(key, value);
    }
  }
}

const json::Object* object_at(const json::Object& schema, std::string_view key) {
  const auto* value = schema.find(key);
  return value ? value->if_object() : nullptr;
}

// The one of "this or null".
const json::Object* not_null(const json::Object& schema) {
  const auto* any = schema.find("anyOf");
  const auto* choices = any ? any->if_array() : nullptr;
  const json::Object* found = nullptr;
  if (!choices) return nullptr;
  for (const auto& choice : *choices) {
    const auto* object = choice.if_object();
    if (!object || choice.string_at({"type"}) == "null") continue;
    if (found) return nullptr;
    found = object;
  }
  return found;
}

Node resolved(const json::Object& schemas, const json::Object& schema, std::size_t depth = 0) {
  json::Object rest = schema;
  const json::Object* inner = nullptr;
  std::string name;
  if (const auto* reference = schema.find("$ref"); reference && reference->if_string()) {
    name = name_of(*reference->if_string());
    inner = object_at(schemas, name);
    rest.erase("$ref");
  } else if ((inner = not_null(schema))) {
    rest.erase("anyOf");
  }
  if (!inner || depth > kMaxDepth) return {std::move(rest), std::move(name)};
  Node node = resolved(schemas, *inner, depth + 1);
  if (!name.empty()) node.name = std::move(name);
  overlay(node.schema, rest);
  return node;
}

std::string type_of(const json::Object& schemas, const Node& node, std::size_t depth = 0);

std::string type_inside(const json::Object& schemas, const json::Object& schema, std::size_t depth) {
  return depth > kMaxDepth ? "Object" : type_of(schemas, resolved(schemas, schema), depth + 1);
}

std::string type_of(const json::Object& schemas, const Node& node, std::size_t depth) {
  auto types = strings_of(node.schema.find("type"));
  if (const auto* type = node.schema.find("type"); type && type->if_string()) types.push_back(*type->if_string());
  std::erase(types, "null");
  if (types.size() > 1) return fmt::format("{}", fmt::join(types, " or "));
  std::string type = types.empty() ? "object" : types.front();
  const auto* format = node.schema.find("format");
  if (format && format->if_string() && *format->if_string() == "date-time") return "time";
  if (const auto* items = object_at(node.schema, "items"); items && type == "array")
    return "[]" + type_inside(schemas, *items, depth);
  if (type != "object") return type;
  if (!node.name.empty()) return node.name;
  if (const auto* values = object_at(node.schema, "additionalProperties"))
    return fmt::format("map[{}]", type_inside(schemas, *values, depth));
  return "Object";
}

// What a step goes into: the elements of a list, the values of a map.
Node inside(const json::Object& schemas, Node node) {
  for (std::size_t depth = 0; depth < kMaxDepth; ++depth) {
    const auto* next = object_at(node.schema, "items");
    if (!next && !node.schema.contains("properties")) next = object_at(node.schema, "additionalProperties");
    if (!next) break;
    node = resolved(schemas, *next);
  }
  return node;
}

// Of all choices, where it is one of several.
json::Object properties_of(const json::Object& schemas, const Node& node) {
  json::Object all;
  if (const auto* properties = object_at(node.schema, "properties")) all = *properties;
  const auto* one_of = node.schema.find("oneOf");
  const auto* choices = one_of ? one_of->if_array() : nullptr;
  if (!choices) return all;
  json::Array tags;
  for (const auto& choice : *choices) {
    if (!choice.if_object()) continue;
    const auto choice_node = resolved(schemas, *choice.if_object());
    const auto* properties = object_at(choice_node.schema, "properties");
    if (!properties) continue;
    for (const auto& [name, value] : *properties) {
      if (name == "type") tags.emplace_back(value.string_at({"const"}));
      if (name != "type") all.set(name, value);
    }
  }
  json::Object with_type{{"type", json::Object{{"type", "string"},
                                               {"enum", std::move(tags)},
                                               {"x-krake-required", true},
                                               {"description", "Which one of the others is given."}}}};
  for (const auto& [name, value] : all) with_type.set(name, value);
  return with_type;
}

FieldInfo info_of(const json::Object& schemas, std::string name, const Node& node) {
  constexpr std::pair<std::string_view, std::string_view> kMarks[] = {
      {"x-krake-required", "required"}, {"readOnly", "read-only"},        {"x-krake-immutable", "immutable"},
      {"x-krake-secret", "secret"},     {"x-krake-additive", "additive"}, {"x-krake-subresource", "sub-resource"}};
  FieldInfo info{.name = std::move(name), .type = type_of(schemas, node)};
  if (const auto* text = node.schema.find("description"); text && text->if_string())
    info.description = *text->if_string();
  for (const auto& [key, mark] : kMarks) {
    if (const auto* value = node.schema.find(key); value && value->if_bool() && *value->if_bool())
      info.marks.emplace_back(mark);
  }
  if (const auto* value = node.schema.find("default")) info.marks.push_back("default: " + json::print(*value));
  info.values = strings_of(node.schema.find("enum"));
  return info;
}

std::string marks_text(const FieldInfo& info) {
  std::string text;
  for (const auto& mark : info.marks)
    text += mark.contains(':') ? fmt::format("  {}", mark) : fmt::format(" -{}-", mark);
  return text;
}

std::string indented(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  const std::size_t room = width > indent + 20 ? width - indent : 0;
  while (!text.empty()) {
    auto cut = text.size();
    if (room > 0 && text.size() > room) {
      cut = text.rfind(' ', room);
      if (cut == std::string_view::npos) cut = std::min(text.find(' '), text.size());
    }
    out += std::string(indent, ' ');
    out += printable(text.substr(0, cut));
    out += '\n';
    text.remove_prefix(std::min(text.size(), cut + 1));
  }
  return out;
}

std::string enum_text(const FieldInfo& info, std::size_t indent, std::size_t width) {
  return info.values.empty() ? "" : indented(fmt::format("one of: {}", fmt::join(info.values, ", ")), indent, width);
}

json::Object document_of(const FieldInfo& info) {
  json::Array marks, values;
  for (const auto& mark : info.marks) marks.emplace_back(mark);
  for (const auto& value : info.values) values.emplace_back(value);
  json::Object document{
      {"name", info.name}, {"type", info.type}, {"description", info.description}, {"marks", std::move(marks)}};
  if (!info.values.empty()) document.set("values", std::move(values));
  return document;
}

}  // namespace

std::vector<KindInfo> kinds_of(const json::Object& schemas) {
  std::vector<KindInfo> kinds;
  for (const auto& [name, schema] : schemas) {
    const auto* kind = schema.at_path({"x-krake-kind"});
    if (!kind) continue;
    const auto* namespaced = kind->at_path({"namespaced"});
    kinds.push_back({.schema = name,
                     .group = std::string(kind->string_at({"group"})),
                     .kind = std::string(kind->string_at({"kind"})),
                     .plural = std::string(kind->string_at({"plural"})),
                     .namespaced = namespaced && namespaced->if_bool() && *namespaced->if_bool(),
                     .verbs = strings_of(kind->at_path({"verbs"})),
                     .subresources = strings_of(kind->at_path({"subresources"}))});
  }
  return kinds;
}

Outcome<Explanation> explain_field(const json::Object& schemas, const KindInfo& kind,
                                   const std::vector<std::string>& path) {
  Node node = resolved(schemas, {{"$ref", "#/components/schemas/" + kind.schema}});
  std::string so_far = kind.kind;
  for (const auto& step : path) {
    const auto properties = properties_of(schemas, inside(schemas, std::move(node)));
    const auto* next = object_at(properties, step);
    if (!next) {
      std::vector<std::string_view> known;
      for (const auto& [name, property] : properties) known.push_back(name);
      const auto fields = known.empty() ? std::string("it has no fields that are known")
                                        : fmt::format("it has: {}", fmt::join(known, ", "));
      return stop(fmt::format("{} has no field '{}'{}", so_far, step, suggestion(step, known)), fields);
    }
    node = resolved(schemas, *next);
    so_far += "." + step;
  }
  Explanation explanation{.kind = kind, .field = info_of(schemas, path.empty() ? "" : path.back(), node), .fields = {}};
  const auto properties = properties_of(schemas, inside(schemas, std::move(node)));
  for (const auto& [name, property] : properties) {
    if (property.if_object())
      explanation.fields.push_back(info_of(schemas, name, resolved(schemas, *property.if_object())));
  }
  return explanation;
}

std::string text_of(const Explanation& explanation, std::size_t width) {
  const auto& field = explanation.field;
  std::string out = fmt::format("GROUP:      {}\nKIND:       {}\n\n", explanation.kind.group, explanation.kind.kind);
  if (!field.name.empty()) {
    out += fmt::format("FIELD: {} <{}>{}\n", field.name, field.type, marks_text(field));
    out += enum_text(field, 4, width) + "\n";
  }
  out += "DESCRIPTION:\n" + indented(field.description.empty() ? "-" : field.description, 4, width);
  if (explanation.fields.empty()) return out;
  out += "\nFIELDS:\n";
  bool first = true;
  for (const auto& inner : explanation.fields) {
    if (!std::exchange(first, false)) out += "\n";
    out += fmt::format("  {} <{}>{}\n", inner.name, inner.type, marks_text(inner));
    out += enum_text(inner, 4, width);
    out += indented(inner.description, 4, width);
  }
  return out;
}

json::Value document_of(const Explanation& explanation) {
  json::Array fields;
  for (const auto& field : explanation.fields) fields.emplace_back(document_of(field));
  json::Object document{{"group", explanation.kind.group}, {"kind", explanation.kind.kind}};
  for (const auto& [key, value] : document_of(explanation.field)) document.set(key, value);
  document.set("fields", std::move(fields));
  return document;
}

}  // namespace krake::cli
