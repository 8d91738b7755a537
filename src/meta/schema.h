// JSON Schema (draft 2020-12, as OpenAPI 3.1 has it) of what the codec reads and writes, derived from the same
// described structs and marks. What JSON Schema has no word for is said by x-krake-required, -readonly, -immutable,
// -subresource, -secret and -additive. Pure.
//
// A type with a Codec of its own has a SchemaOf of its own beside it.
#pragma once

#include <map>
#include <set>
#include <span>
#include <typeindex>

#include "base/check.h"
#include "meta/codec.h"

namespace krake {

// What a person should know of a field of a described struct; of the struct itself when `field` is empty.
struct FieldText {
  std::string_view type;  // the struct's name in C++, without namespaces
  std::string_view field;
  std::string_view text;
};

// All texts of a program. They outlive it: tables are constants.
class FieldTexts {
 public:
  FieldTexts() = default;
  explicit FieldTexts(std::initializer_list<std::span<const FieldText>> tables);
  std::string_view find(std::string_view type, std::string_view field) const;  // "": nobody has written one
  std::vector<std::string> names() const;                                      // "Type", "Type.field"

 private:
  std::map<std::string, std::string_view, std::less<>> texts_;
};

namespace schema {

// The forms a type has on the wire. create: the body of a POST; update: of a PUT.
enum class Use : std::uint8_t { answer, create, update };

// Named schemas, made when they are first referred to.
class Components {
 public:
  explicit Components(const FieldTexts& texts) : texts_(texts) {}

  // {"$ref": "#/components/schemas/NAME"}. `of`: what the name stands for; two things of one name are a bug.
  template <class Make>
  json::Object refer(const std::string& name, std::type_index of, Make make) {
    const auto [known, added] = types_.emplace(name, of);
    CHECK(known->second == of, name);
    if (added) {
      schemas_.set(name, nullptr);  // its place, before what it refers to
      json::Object made = make();
      schemas_.set(name, std::move(made));
    }
    return {{"$ref", "#/components/schemas/" + name}};
  }
  // The schema behind {"$ref": ...}.
  json::Object& target(const json::Object& reference);
  // Sets `description`, where there is a text.
  void describe(json::Object& schema, std::string_view type, std::string_view field = {});

  const json::Object& schemas() const { return schemas_; }
  // "Type" and "Type.field" of all that describe() was asked for.
  const std::set<std::string, std::less<>>& described() const { return described_; }

 private:
  const FieldTexts& texts_;
  std::map<std::string, std::type_index, std::less<>> types_;
  json::Object schemas_;
  std::set<std::string, std::less<>> described_;
};

// "ApplicationSpec"
template <class T>
constexpr std::string_view type_name() {
  constexpr std::string_view kBefore = "T = ";
  std::string_view text = __PRETTY_FUNCTION__;  // "... [T = krake::ApplicationSpec]"
  text = text.substr(text.rfind(kBefore) + kBefore.size());
  text.remove_suffix(1);
  const auto scope = text.rfind("::");
  return scope == std::string_view::npos ? text : text.substr(scope + 2);
}

template <class T>
struct SchemaOf;  // static json::Object of(Components&, Use)

template <class T>
json::Object of(Components& components, Use use) {
  return SchemaOf<T>::of(components, use);
}

json::Object nullable(json::Object schema);
json::Array string_array(std::initializer_list<std::string_view> texts);
// Beside a type or a reference.
void add_marks(json::Object& property, unsigned marks, Use use);
void add_limit(json::Object& property, const FieldLimit& limit, bool is_text);

template <>
struct SchemaOf<std::string> {
  static json::Object of(Components&, Use) { return {{"type", "string"}}; }
};
template <>
struct SchemaOf<Integer> {
  static json::Object of(Components& components, Use use);
};
template <>
struct SchemaOf<double> {
  static json::Object of(Components& components, Use use);
};
template <>
struct SchemaOf<bool> {
  static json::Object of(Components& components, Use use);
};
template <>
struct SchemaOf<DateTime> {
  static json::Object of(Components& components, Use use);
};
template <>
struct SchemaOf<json::Object> {
  static json::Object of(Components&, Use) { return {{"type", "object"}, {"additionalProperties", true}}; }
};
template <>
struct SchemaOf<json::Value> {
  static json::Object of(Components&, Use) { return {}; }
};

template <class T>
struct SchemaOf<std::optional<T>> {
  static json::Object of(Components& components, Use use) { return nullable(schema::of<T>(components, use)); }
};
template <class T>
struct SchemaOf<std::vector<T>> {
  static json::Object of(Components& components, Use use) {
    return {{"type", "array"}, {"items", schema::of<T>(components, use)}};
  }
};
template <class T>
struct SchemaOf<StringMap<T>> {
  static json::Object of(Components& components, Use use) {
    return {{"type", "object"}, {"additionalProperties", schema::of<T>(components, use)}};
  }
};
template <class E>
  requires std::is_enum_v<E>
struct SchemaOf<E> {
  static json::Object of(Components&, Use) {
    json::Array names;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>(
        [&](auto d) { names.emplace_back(codec::json_name(d.name)); });
    return {{"type", "string"}, {"enum", std::move(names)}};
  }
};

// Whether bodies of POST and PUT differ: somewhere in it is a field that is the server's.
template <class T>
constexpr bool has_server_fields() {
  if constexpr (codec::is_optional<T> || codec::is_vector<T>) {
    return has_server_fields<typename T::value_type>();
  } else if constexpr (codec::Described<T>) {
    bool found = false;
    boost::mp11::mp_for_each<codec::Members<T>>([&](auto member) {
      using Member = std::decay_t<decltype(std::declval<T&>().*member.pointer)>;
      const unsigned marks = codec::marks_of<T>(codec::json_name(member.name));
      found = found || (marks & (kReadonly | kSubresource)) != 0 || has_server_fields<Member>();
    });
    return found;
  }
  return false;
}

template <class T>
std::string component_name(Use use) {
  std::string name(type_name<T>());
  if (use == Use::answer) return name;
  if constexpr (!has_server_fields<T>()) return name + "Input";
  return name + (use == Use::create ? "Create" : "Update");
}

// One field of an object.
template <class T, class Member>
json::Object property_of(Components& components, Use use, std::string_view name, const Member& initial) {
  const unsigned marks = codec::marks_of<T>(name);
  json::Object property;
  if constexpr (codec::is_optional<Member>) {
    // An answer leaves it out while it is empty.
    if (use == Use::answer && (marks & kAdditive)) property = of<typename Member::value_type>(components, use);
  }
  if (property.empty()) property = of<Member>(components, use);
  if constexpr (requires { T::kLimits; }) {
    using Bare = std::conditional_t<std::is_same_v<Member, std::optional<std::string>>, std::string, Member>;
    for (const auto& limit : T::kLimits) {
      if (limit.name == name && use != Use::answer) add_limit(property, limit, std::is_same_v<Bare, std::string>);
    }
  }
  components.describe(property, type_name<T>(), name);
  add_marks(property, marks, use);
  if (!(marks & (kRequired | kReadonly | kAdditive))) property.set("default", to_value(initial));
  return property;
}

template <class T>
json::Object object_schema(Components& components, Use use) {
  json::Object properties;
  json::Array required;
  if constexpr (codec::HasKind<T>) {
    for (const auto& [name, value] : {std::pair{"api", T::kApi}, std::pair{"kind", T::kKindName}}) {
      properties.set(name, json::Object{{"type", "string"}, {"const", value}});
      if (use == Use::answer) required.emplace_back(name);
    }
  }
  if constexpr (requires { T::kOfTheAnswer; }) {
    if (use == Use::answer) {
      json::Object property{{"type", "string"}};
      components.describe(property, type_name<T>(), T::kOfTheAnswer);
      add_marks(property, kReadonly | kAdditive, use);
      properties.set(T::kOfTheAnswer, std::move(property));
    }
  }
  const T initial{};
  codec::for_each_member<T>([&](std::string_view name, auto pointer) {
    const unsigned marks = codec::marks_of<T>(name);
    if (use == Use::create && (marks & (kReadonly | kSubresource))) return;
    properties.set(name, property_of<T>(components, use, name, initial.*pointer));
    if (use == Use::answer ? !(marks & kAdditive) : (marks & kRequired) != 0) required.emplace_back(name);
  });
  json::Object schema{{"type", "object"}};
  components.describe(schema, type_name<T>());
  schema.set("properties", std::move(properties));
  if (!required.empty()) schema.set("required", std::move(required));
  // Bodies may say what nobody knows: it is passed over. Answers have it where stored values keep it.
  schema.set("additionalProperties", use != Use::answer || requires(T t) { t.unknown; });
  return schema;
}

template <codec::Described T>
struct SchemaOf<T> {
  static json::Object of(Components& components, Use use) {
    return components.refer(component_name<T>(use), typeid(T), [&] { return object_schema<T>(components, use); });
  }
};

// {"type": "<tag>", "<tag>": {...}}: one named schema for each, so that `type` may tell them apart.
template <class... Vs>
struct SchemaOf<OneOf<Vs...>> {
  template <class V>
  static json::Object choice(Components& components, Use use) {
    const auto make = [&] {
      json::Object properties{{"type", json::Object{{"type", "string"}, {"const", V::kTag}}}};
      properties.set(V::kTag, schema::of<V>(components, use));
      return json::Object{{"type", "object"},
                          {"properties", std::move(properties)},
                          {"required", string_array({"type", V::kTag})},
                          {"additionalProperties", use != Use::answer}};
    };
    return components.refer(component_name<V>(use) + "Choice", typeid(OneOf<V>), make);
  }
  static json::Object of(Components& components, Use use) {
    json::Array choices;
    json::Object mapping;
    const auto add = [&]<class V>(const V*) {
      auto reference = choice<V>(components, use);
      mapping.set(V::kTag, *reference.find("$ref"));
      choices.emplace_back(std::move(reference));
    };
    (add(static_cast<const Vs*>(nullptr)), ...);
    return {{"oneOf", std::move(choices)},
            {"discriminator", json::Object{{"propertyName", "type"}, {"mapping", std::move(mapping)}}}};
  }
};

// A body that is no resource, like a binding.
template <class T>
json::Object request(Components& components) {
  return of<T>(components, Use::update);
}

}  // namespace schema
}  // namespace krake
