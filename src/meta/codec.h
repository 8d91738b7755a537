// Structs to and from JSON over Boost.Describe, with the loading rules of api-contract 2.1-2.3: markers, defaults,
// null, coercions, tagged unions, all errors of a body collected.
//
// A type is a described struct. `static constexpr FieldMark kMarks[]` names what is special about its fields;
// `static void check(const T&, FieldChecks&)` holds its validators; a member `Unknown unknown` keeps keys we do not
// know, but for the one called kOfTheAnswer. A std::optional member is nullable with default null. A C++ name ending in
// '_' loses it in JSON (namespace_).
#pragma once

#include <algorithm>
#include <boost/describe.hpp>
#include <boost/mp11.hpp>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/datetime.h"
#include "base/json.h"
#include "meta/errors.h"

namespace krake {

// create: readonly and subresource fields are skipped. full: a PUT body. stored: full, trusted (validators are not run)
// and unknown keys are kept.
enum class Form { create, full, stored };

// kAdditive: a std::optional member that upstream does not have. It is left out while it is empty, and a body that does
// not mention it leaves it as it is; a merge patch with null empties it.
enum Mark : unsigned { kRequired = 1, kReadonly = 2, kImmutable = 4, kSubresource = 8, kSecret = 16, kAdditive = 32 };
struct FieldMark {
  std::string_view name;
  unsigned marks;
};

// What a schema can say of check(): of a text its pattern and length, of a number its least and greatest value. A
// struct with `static constexpr FieldLimit kLimits[]` is tested to refuse what these exclude.
struct FieldLimit {
  std::string_view name;
  std::string_view pattern = {};
  std::optional<std::int64_t> min = {};
  std::optional<std::int64_t> max = {};
};

// Keys found in a stored object that this version does not know. They survive our writes and take no part in equality.
struct Unknown {
  json::Object fields;
  friend bool operator==(const Unknown&, const Unknown&) { return true; }
};

// An integer of any size, as the wire allows. Arithmetic uses the value saturated to 64 bits.
class Integer {
 public:
  Integer() = default;
  Integer(std::int64_t value) : value_(value) {}
  static Integer from_digits(std::string_view digits);  // optional '-', then digits
  operator std::int64_t() const { return value_; }
  std::string text() const { return big_.empty() ? std::to_string(value_) : big_; }
  friend bool operator==(const Integer& a, const Integer& b) { return a.value_ == b.value_ && a.big_ == b.big_; }

 private:
  std::int64_t value_ = 0;
  std::string big_;  // canonical digits, when out of range
};

// The same keys with equal values, in any order.
template <class T>
bool same_entries(const std::vector<std::pair<std::string, T>>& a, const std::vector<std::pair<std::string, T>>& b) {
  if (a.size() != b.size()) return false;
  if (a == b) return true;
  const auto sorted = [](const auto& entries) {
    std::vector<const std::pair<std::string, T>*> order;
    for (const auto& entry : entries) order.push_back(&entry);
    std::ranges::sort(order, {}, [](const auto* entry) -> const std::string& { return entry->first; });
    return order;
  };
  return std::ranges::equal(sorted(a), sorted(b), [](const auto* x, const auto* y) { return *x == *y; });
}

// Ordered map from string to T; equality does not look at the order.
template <class T>
struct StringMap {
  std::vector<std::pair<std::string, T>> entries;
  const T* find(std::string_view key) const {
    for (const auto& [k, v] : entries) {
      if (k == key) return &v;
    }
    return nullptr;
  }
  void set(std::string_view key, T value) {
    for (auto& [k, v] : entries) {
      if (k == key) return void(v = std::move(value));
    }
    entries.emplace_back(std::string(key), std::move(value));
  }
  bool erase(std::string_view key) {
    return std::erase_if(entries, [&](const auto& entry) { return entry.first == key; }) > 0;
  }
  bool empty() const { return entries.empty(); }
  friend bool operator==(const StringMap& a, const StringMap& b) { return same_entries(a.entries, b.entries); }
};

// {"type": "<tag>", "<tag>": {...}}: one of several described structs, each with `static constexpr std::string_view
// kTag`.
template <class... Variants>
struct OneOf {
  std::variant<Variants...> value;
  template <class V>
  const V* as() const {
    return std::get_if<V>(&value);
  }
  friend bool operator==(const OneOf&, const OneOf&) = default;
};

// Where validators report, and which fields were read well enough to be looked at.
class FieldChecks {
 public:
  FieldChecks(FieldErrors& errors, Form form) : form(form), errors_(errors) {}
  const Form form;
  bool loaded(std::string_view field) const { return std::ranges::find(failed_, field) == failed_.end(); }
  void error(std::string_view field, std::string message) { errors_.at(std::string(field)).add(std::move(message)); }
  void schema_error(std::string message) { error("_schema", std::move(message)); }
  void mark_failed(std::string_view field) { failed_.push_back(field); }

 private:
  FieldErrors& errors_;
  std::vector<std::string_view> failed_;
};

namespace codec {

// The one type-directed trait. decode() returns false after reporting; `out` is then unspecified.
template <class T>
struct Codec;

template <class T>
bool decode(const json::Value& in, T& out, FieldErrors& errors, Form form) {
  return Codec<T>::decode(in, out, errors, form);
}
template <class T>
void encode(const T& value, std::string& out) {
  Codec<T>::encode(value, out);
}

bool decode_string(const json::Value& in, std::string& out, FieldErrors& errors);
bool decode_integer(const json::Value& in, Integer& out, FieldErrors& errors);
bool decode_double(const json::Value& in, double& out, FieldErrors& errors);
bool decode_bool(const json::Value& in, bool& out, FieldErrors& errors);
bool decode_datetime(const json::Value& in, DateTime& out, FieldErrors& errors);
bool decode_mapping(const json::Value& in, json::Object& out, FieldErrors& errors);

template <class T>
concept Described = boost::describe::has_describe_members<T>::value && !std::is_enum_v<T>;

constexpr std::string_view json_name(std::string_view name) {
  return name.ends_with('_') ? name.substr(0, name.size() - 1) : name;
}
template <class T>
constexpr unsigned marks_of(std::string_view field) {
  if constexpr (requires { T::kMarks; }) {
    for (const auto& mark : T::kMarks) {
      if (mark.name == field) return mark.marks;
    }
  }
  return 0;
}
template <class T>
using Members = boost::describe::describe_members<T, boost::describe::mod_public>;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_string_map = false;
template <class T>
inline constexpr bool is_string_map<StringMap<T>> = true;
template <class T>
inline constexpr bool is_one_of = false;
template <class... Vs>
inline constexpr bool is_one_of<OneOf<Vs...>> = true;

template <class T, class Fn>
void for_each_member(Fn&& fn) {
  boost::mp11::mp_for_each<Members<T>>([&](auto member) { fn(json_name(member.name), member.pointer); });
}

template <>
struct Codec<std::string> {
  static bool decode(const json::Value& in, std::string& out, FieldErrors& e, Form) {
    return decode_string(in, out, e);
  }
  static void encode(const std::string& v, std::string& out) { json::print_string_to(v, out); }
};
template <>
struct Codec<Integer> {
  static bool decode(const json::Value& in, Integer& out, FieldErrors& e, Form) { return decode_integer(in, out, e); }
  static void encode(const Integer& v, std::string& out) { out += v.text(); }
};
template <>
struct Codec<double> {
  static bool decode(const json::Value& in, double& out, FieldErrors& e, Form) { return decode_double(in, out, e); }
  static void encode(double v, std::string& out) { out += json::print_double(v); }
};
template <>
struct Codec<bool> {
  static bool decode(const json::Value& in, bool& out, FieldErrors& e, Form) { return decode_bool(in, out, e); }
  static void encode(bool v, std::string& out) { out += v ? "true" : "false"; }
};
template <>
struct Codec<DateTime> {
  static bool decode(const json::Value& in, DateTime& out, FieldErrors& e, Form) { return decode_datetime(in, out, e); }
  static void encode(const DateTime& v, std::string& out) { out += '"', out += to_string(v), out += '"'; }
};
template <>
struct Codec<json::Object> {
  static bool decode(const json::Value& in, json::Object& out, FieldErrors& e, Form) {
    return decode_mapping(in, out, e);
  }
  static void encode(const json::Object& v, std::string& out) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : v) {
      if (!std::exchange(first, false)) out += ',';
      json::print_string_to(key, out);
      out += ':';
      json::print_to(member, out);
    }
    out += '}';
  }
};
// Free-form, any type; types that accept only some override by an own Codec.
template <>
struct Codec<json::Value> {
  static bool decode(const json::Value& in, json::Value& out, FieldErrors&, Form) { return out = in, true; }
  static void encode(const json::Value& v, std::string& out) { json::print_to(v, out); }
};

template <class T>
struct Codec<std::optional<T>> {
  static bool decode(const json::Value& in, std::optional<T>& out, FieldErrors& e, Form form) {
    if (in.is_null()) return out.reset(), true;
    return Codec<T>::decode(in, out.emplace(), e, form);
  }
  static void encode(const std::optional<T>& v, std::string& out) {
    if (v) {
      Codec<T>::encode(*v, out);
    } else {
      out += "null";
    }
  }
};

// An element or member that may not be null.
template <class T>
bool decode_present(const json::Value& in, T& out, FieldErrors& errors, Form form) {
  if constexpr (!is_optional<T>) {
    if (in.is_null()) return errors.add("Field may not be null."), false;
  }
  return Codec<T>::decode(in, out, errors, form);
}

template <class T>
struct Codec<std::vector<T>> {
  static bool decode(const json::Value& in, std::vector<T>& out, FieldErrors& errors, Form form) {
    const auto* array = in.if_array();
    if (!array) return errors.add("Not a valid list."), false;
    bool good = true;
    std::size_t wrong = 0;
    out.clear();
    out.reserve(array->size());
    // What is wrong beyond what is shown need not be looked for.
    for (std::size_t i = 0; i < array->size() && wrong <= FieldErrors::kMost; ++i) {
      FieldErrors element;
      T value{};
      if (decode_present((*array)[i], value, element, form)) {
        out.push_back(std::move(value));
      } else {
        errors.at(i) = std::move(element);
        good = false;
        ++wrong;
      }
    }
    return good;
  }
  static void encode(const std::vector<T>& v, std::string& out) {
    out += '[';
    bool first = true;
    for (const auto& item : v) {
      if (!std::exchange(first, false)) out += ',';
      Codec<T>::encode(item, out);
    }
    out += ']';
  }
};

template <class T>
struct Codec<StringMap<T>> {
  static bool decode(const json::Value& in, StringMap<T>& out, FieldErrors& errors, Form form) {
    const auto* object = in.if_object();
    if (!object) return errors.add("Not a valid mapping type."), false;
    bool good = true;
    out.entries.clear();
    for (const auto& [key, member] : *object) {
      FieldErrors element;
      T value{};
      if (decode_present(member, value, element, form)) {
        out.entries.emplace_back(key, std::move(value));
      } else {
        errors.at(key).at("value") = std::move(element);
        good = false;
      }
    }
    return good;
  }
  static void encode(const StringMap<T>& v, std::string& out) {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : v.entries) {
      if (!std::exchange(first, false)) out += ',';
      json::print_string_to(key, out);
      out += ':';
      Codec<T>::encode(value, out);
    }
    out += '}';
  }
};

template <class E>
  requires std::is_enum_v<E>
struct Codec<E> {
  static bool decode(const json::Value& in, E& out, FieldErrors& errors, Form) {
    const auto* text = in.if_string();
    if (!text) return errors.add("Enum name must be string"), false;
    bool found = false;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto d) {
      if (json_name(d.name) == *text) out = d.value, found = true;
    });
    if (!found) errors.add("Invalid enum member " + *text);
    return found;
  }
  static void encode(E v, std::string& out) { out += '"', out += name(v), out += '"'; }
  static std::string_view name(E v) {
    std::string_view result;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto d) {
      if (d.value == v) result = json_name(d.name);
    });
    return result;
  }
};

template <class... Vs>
struct Codec<OneOf<Vs...>> {
  static bool decode(const json::Value& in, OneOf<Vs...>& out, FieldErrors& errors, Form form) {
    const auto* object = in.if_object();
    if (!object) return errors.at("_schema").add("Invalid input type."), false;
    const auto* type = object->find("type");
    if (!type) return errors.at("type").add("Missing data for required field."), false;
    if (type->is_null()) return errors.at("type").add("Field may not be null."), false;
    const auto* tag = type->if_string();
    if (!tag) return errors.at("type").add("Not a valid string."), false;
    bool known = false;
    bool good = false;
    (decode_variant<Vs>(*object, *tag, out, errors, form, known, good), ...);
    if (!known) errors.at("type").add("Unknown type '" + *tag + "'");
    return good;
  }
  template <class V>
  static void decode_variant(const json::Object& object, const std::string& tag, OneOf<Vs...>& out, FieldErrors& errors,
                             Form form, bool& known, bool& good) {
    if (tag != V::kTag) return;
    known = true;
    const auto* body = object.find(tag);
    if (!body) return errors.at(tag).add("Field is required");
    good = Codec<V>::decode(*body, out.value.template emplace<V>(), errors, form);
  }
  static void encode(const OneOf<Vs...>& v, std::string& out) {
    std::visit(
        [&](const auto& variant) {
          using V = std::decay_t<decltype(variant)>;
          fmt::format_to(std::back_inserter(out), "{{\"type\":\"{0}\",\"{0}\":", V::kTag);
          Codec<V>::encode(variant, out);
          out += '}';
        },
        v.value);
  }
};

// `api` and `kind` of a resource or a binding: fixed, optional on input, always on output (api-contract 2.4.3).
template <class T>
concept HasKind = requires { T::kApi, T::kKindName; };
bool check_fixed(const json::Object& object, std::string_view field, std::string_view wanted, FieldErrors& errors);

// What is not inline here is made once for each T named by KRAKE_DECLARE_CODEC.
template <Described T>
struct Codec<T> {
  static bool decode(const json::Value& in, T& out, FieldErrors& errors, Form form);
  static void encode(const T& v, std::string& out);
  // The members whose names are `wanted`.
  static void encode_some(const T& v, std::string& out, auto&& wanted) {
    out += '{';
    bool first = true;
    if constexpr (HasKind<T>) {
      fmt::format_to(std::back_inserter(out), R"("api":"{}","kind":"{}")", T::kApi, T::kKindName);
      first = false;
    }
    for_each_member<T>([&](std::string_view name, auto pointer) {
      if constexpr (is_optional<std::decay_t<decltype(v.*pointer)>>) {
        if ((marks_of<T>(name) & kAdditive) && !(v.*pointer)) return;
      }
      if (!wanted(name)) return;
      if (!std::exchange(first, false)) out += ',';
      out += '"', out += name, out += "\":";
      Codec<std::decay_t<decltype(v.*pointer)>>::encode(v.*pointer, out);
    });
    if constexpr (requires { v.unknown; }) {
      for (const auto& [key, value] : v.unknown.fields) {
        if (!wanted(key)) continue;
        if (!std::exchange(first, false)) out += ',';
        json::print_string_to(key, out);
        out += ':';
        json::print_to(value, out);
      }
    }
    out += '}';
  }

 private:
  // The keys of `object` are distinct: the parser sees to that.
  static void collect_unknown(const json::Object& object, T& out) {
    if constexpr (requires { out.unknown; }) {
      for (const auto& [key, value] : object) {
        bool known = HasKind<T> && (key == "api" || key == "kind");
        if constexpr (requires { T::kOfTheAnswer; }) known = known || key == T::kOfTheAnswer;
        for_each_member<T>([&](std::string_view name, auto) { known = known || name == key; });
        if (!known) out.unknown.fields.append(key, value);
      }
    }
  }
};

template <Described T>
bool Codec<T>::decode(const json::Value& in, T& out, FieldErrors& errors, Form form) {
  const auto* object = in.if_object();
  if (!object) return errors.at("_schema").add("Invalid input type."), false;
  bool good = true;
  if constexpr (HasKind<T>) {
    good = check_fixed(*object, "api", T::kApi, errors);
    good = check_fixed(*object, "kind", T::kKindName, errors) && good;
  }
  FieldChecks checks(errors, form);
  for_each_member<T>([&](std::string_view name, auto pointer) {
    const unsigned marks = marks_of<T>(name);
    if (form == Form::create && (marks & (kReadonly | kSubresource))) return;
    const auto* member = object->find(name);
    if (!member) {
      if (!(marks & kRequired)) return;
      errors.at(std::string(name)).add("Missing data for required field.");
    } else {
      FieldErrors inner;
      if (decode_present(*member, out.*pointer, inner, form)) return;
      errors.at(std::string(name)) = std::move(inner);
    }
    checks.mark_failed(name);
    good = false;
  });
  if (form == Form::stored) collect_unknown(*object, out);
  if constexpr (requires { T::check(out, checks); }) {
    if (form != Form::stored) {
      T::check(out, checks);
      FieldErrors pruned = errors;
      pruned.prune();
      good = good && pruned.empty();
    }
  }
  return good;
}

template <Described T>
void Codec<T>::encode(const T& v, std::string& out) {
  encode_some(v, out, [](std::string_view) { return true; });
}

}  // namespace codec

// The code that reads and writes a T is made in the one source file that defines it, not in each that uses it.
#define KRAKE_DECLARE_CODEC(T) extern template struct codec::Codec<T>;
#define KRAKE_DEFINE_CODEC(T) template struct codec::Codec<T>;

template <class E>
  requires std::is_enum_v<E>
std::string_view enum_name(E value) {
  return codec::Codec<E>::name(value);
}
template <class E>
  requires std::is_enum_v<E>
std::vector<std::string_view> enum_names() {
  std::vector<std::string_view> names;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>(
      [&](auto d) { names.push_back(codec::json_name(d.name)); });
  return names;
}

template <class T>
std::string encode_json(const T& value) {
  std::string out;
  codec::encode(value, out);
  return out;
}
template <class T>
json::Value to_value(const T& value) {
  auto parsed = json::parse(encode_json(value));
  return parsed ? std::move(*parsed) : json::Value();
}
// Code::invalid_object with the rendered errors.
template <class T>
Result<T> decode_json(const json::Value& in, Form form) {
  T out{};
  FieldErrors errors;
  if (!codec::decode(in, out, errors, form)) return fail(Code::invalid_object, errors.render());
  return out;
}

// ---- secrets: what is for people's eyes goes through here, so that the mark in the struct decides

inline constexpr std::string_view kMask = "********";

namespace codec {
void mask_member(json::Value& member);    // as a whole, unless it is null or empty
void redact_member(json::Value& member);  // each text and number in it: what it is made of stays
using MaskMember = void (*)(json::Value& member);
template <class T>
void mask(json::Value& value, MaskMember how);
template <class... Vs>
void mask_variants(json::Object& object, const OneOf<Vs...>*, MaskMember how) {
  const auto one = [&]<class V>(const V*) {
    if (auto* variant = object.find(V::kTag)) mask<V>(*variant, how);
  };
  (one(static_cast<const Vs*>(nullptr)), ...);
}
template <class T>
void mask_fields(json::Object& object, MaskMember how) {
  for_each_member<T>([&](std::string_view name, auto pointer) {
    using Member = std::decay_t<decltype(std::declval<T&>().*pointer)>;
    auto* member = object.find(name);
    if (!member) return;
    if (marks_of<T>(name) & kSecret) {
      how(*member);
    } else {
      mask<Member>(*member, how);
    }
  });
}
template <class T>
void mask(json::Value& value, MaskMember how) {
  auto* object = value.if_object();
  if constexpr (is_optional<T>) {
    mask<typename T::value_type>(value, how);
  } else if constexpr (is_vector<T>) {
    if (auto* array = value.if_array()) {
      for (auto& element : *array) mask<typename T::value_type>(element, how);
    }
  } else if constexpr (is_string_map<T>) {
    using Element = decltype(T::entries)::value_type::second_type;
    if (object) {
      for (auto& entry : *object) mask<Element>(entry.second, how);
    }
  } else if constexpr (is_one_of<T>) {
    if (object) mask_variants(*object, static_cast<const T*>(nullptr), how);
  } else if constexpr (Described<T>) {
    if (object) mask_fields<T>(*object, how);
  }
}

// Whether a field marked as secret is anywhere in a T.
template <class T>
constexpr bool has_secrets();
template <class... Vs>
constexpr bool variants_have_secrets(const OneOf<Vs...>*) {
  return (has_secrets<Vs>() || ...);
}
template <class T>
constexpr bool has_secrets() {
  if constexpr (is_optional<T> || is_vector<T>) {
    return has_secrets<typename T::value_type>();
  } else if constexpr (is_string_map<T>) {
    return has_secrets<typename decltype(T::entries)::value_type::second_type>();
  } else if constexpr (is_one_of<T>) {
    return variants_have_secrets(static_cast<const T*>(nullptr));
  } else if constexpr (Described<T>) {
    bool found = false;
    boost::mp11::mp_for_each<Members<T>>([&](auto member) {
      using Member = std::decay_t<decltype(std::declval<T&>().*member.pointer)>;
      if ((marks_of<T>(json_name(member.name)) & kSecret) || has_secrets<Member>()) found = true;
    });
    return found;
  } else {
    return false;
  }
}
}  // namespace codec

// `value`, the JSON of a T, with kMask in fields marked as secret. It need not be a valid T.
template <class T>
json::Value masked(json::Value value) {
  codec::mask<T>(value, codec::mask_member);
  return value;
}
template <class T>
std::string encode_masked(const T& value) {
  return json::print(masked<T>(to_value(value)));
}

// ---- update semantics (api-contract 6.1), generic over described structs

// The first immutable field, in field order, whose value differs; empty when none does.
template <class T>
std::string_view changed_immutable(const T& body, const T& stored) {
  std::string_view changed;
  codec::for_each_member<T>([&](std::string_view name, auto pointer) {
    if (!changed.empty()) return;
    using Member = std::decay_t<decltype(body.*pointer)>;
    const unsigned marks = codec::marks_of<T>(name);
    if (marks & (kReadonly | kSubresource)) return;
    if (marks & kImmutable) {
      if (!(body.*pointer == stored.*pointer)) changed = name;
    } else if constexpr (codec::Described<Member>) {
      changed = changed_immutable(body.*pointer, stored.*pointer);
    }
  });
  return changed;
}

// Unknown keys of `stored`, wherever both values have the struct they are in. Lists and maps are replaced as a whole.
template <class T>
void keep_unknown(T& body, const T& stored) {
  if constexpr (codec::Described<T>) {
    if constexpr (requires { body.unknown; }) body.unknown = stored.unknown;
    codec::for_each_member<T>([&](std::string_view, auto pointer) { keep_unknown(body.*pointer, stored.*pointer); });
  } else if constexpr (codec::is_optional<T>) {
    if (body && stored) keep_unknown(*body, *stored);
  } else if constexpr (codec::is_one_of<T>) {
    std::visit(
        [&]<class V>(V& variant) {
          if (const auto* same = stored.template as<V>()) keep_unknown(variant, *same);
        },
        body.value);
  }
}

// Gives `body` the additive members it does not mention.
template <class T>
void keep_additive(T& body, const T& stored) {
  codec::for_each_member<T>([&](std::string_view name, auto pointer) {
    if constexpr (codec::is_optional<std::decay_t<decltype(body.*pointer)>>) {
      if ((codec::marks_of<T>(name) & kAdditive) && !(body.*pointer)) body.*pointer = stored.*pointer;
    }
  });
}

// Makes `body` what is to be stored: readonly and subresource fields, and unknown keys, from `stored`.
template <class T>
void keep_stored(T& body, const T& stored) {
  if constexpr (codec::Described<T>) {
    if constexpr (requires { body.unknown; }) body.unknown = stored.unknown;
    codec::for_each_member<T>([&](std::string_view name, auto pointer) {
      if (codec::marks_of<T>(name) & (kReadonly | kSubresource)) {
        body.*pointer = stored.*pointer;
      } else {
        keep_stored(body.*pointer, stored.*pointer);
      }
    });
  } else if constexpr (codec::is_optional<T>) {
    if (body && stored) keep_stored(*body, *stored);
  } else {
    keep_unknown(body, stored);  // marks inside a tagged union are not honoured
  }
}

}  // namespace krake
