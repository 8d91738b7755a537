#include "meta/object.h"

#include "base/names.h"

namespace krake {

KRAKE_DEFINE_CODEC(ObjectMeta)

std::string to_string(const ResourceRef& ref) {
  return ref.kind + " " + (ref.namespace_ ? *ref.namespace_ + "/" : "") + ref.name;
}

const std::string* Labels::find(std::string_view key) const {
  for (const auto& [k, v] : entries) {
    if (k == key) return &v;
  }
  return nullptr;
}

bool operator==(const Labels& a, const Labels& b) { return same_entries(a.entries, b.entries); }

void ObjectMeta::check(const ObjectMeta& meta, FieldChecks& checks) {
  if (checks.loaded("name") && !valid_resource_name(meta.name))
    checks.error("name", "Invalid character in resource name.");
  if (checks.loaded("namespace") && meta.namespace_ && !valid_resource_name(*meta.namespace_)) {
    checks.error("namespace", "Invalid character in resource namespace.");
  }
}

namespace codec {

bool Codec<Labels>::decode(const json::Value& in, Labels& out, FieldErrors& errors, Form form) {
  const auto* object = in.if_object();
  if (!object) return errors.add("Not a valid mapping type."), false;
  out.entries.clear();
  bool good = true;
  const auto report = [&](std::string offender, std::string message) {
    errors.add_value(json::Object{{std::move(offender), std::move(message)}});
    good = false;
  };
  for (const auto& [key, value] : *object) {
    const auto* text = value.if_string();
    if (form != Form::stored) {
      if (auto message = check_label_key(key)) report(key, *message);
      if (!text) {
        report(json::print(value), "expected string or bytes-like object");
      } else if (auto value_message = check_label_value(*text)) {
        report(*text, *value_message);
      }
    }
    out.entries.emplace_back(key, text ? *text : json::print(value));
  }
  return good;
}

void Codec<Labels>::encode(const Labels& labels, std::string& out) {
  out += '{';
  bool first = true;
  for (const auto& [key, value] : labels.entries) {
    if (!std::exchange(first, false)) out += ',';
    json::print_string_to(key, out);
    out += ':';
    json::print_string_to(value, out);
  }
  out += '}';
}

}  // namespace codec
// Stored values may be older than the rules.
json::Object schema::SchemaOf<Labels>::of(Components&, Use use) {
  json::Object value{{"type", "string"}};
  if (use == Use::answer) return {{"type", "object"}, {"additionalProperties", std::move(value)}};
  value.set("pattern", kLabelValuePattern);
  return {{"type", "object"},
          {"propertyNames", json::Object{{"pattern", kLabelKeyPattern}}},
          {"additionalProperties", std::move(value)}};
}

}  // namespace krake
