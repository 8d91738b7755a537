// Constraints as fields: the text travels, the parsed value decides equality (api-contract 2.5).
#pragma once

#include "expr/constraint.h"
#include "meta/schema.h"

namespace krake::codec {

// Non-strings are turned into text first, as upstream does.
std::string constraint_text(const json::Value& in);

template <>
struct Codec<expr::LabelConstraint> {
  static bool decode(const json::Value& in, expr::LabelConstraint& out, FieldErrors& errors, Form) {
    auto parsed = expr::parse_label_constraint(constraint_text(in));
    if (!parsed) return errors.add(parsed.error().message), false;
    out = std::move(*parsed);
    return true;
  }
  static void encode(const expr::LabelConstraint& v, std::string& out) { json::print_string_to(v.text, out); }
};
template <>
struct Codec<expr::MetricConstraint> {
  static bool decode(const json::Value& in, expr::MetricConstraint& out, FieldErrors& errors, Form) {
    auto parsed = expr::parse_metric_constraint(constraint_text(in));
    if (!parsed) return errors.add(parsed.error().message), false;
    out = std::move(*parsed);
    return true;
  }
  static void encode(const expr::MetricConstraint& v, std::string& out) { json::print_string_to(v.text, out); }
};

}  // namespace krake::codec

namespace krake::schema {

template <>
struct SchemaOf<expr::LabelConstraint> {
  static json::Object of(Components&, Use) { return {{"type", "string"}, {"format", "krake-label-constraint"}}; }
};
template <>
struct SchemaOf<expr::MetricConstraint> {
  static json::Object of(Components&, Use) { return {{"type", "string"}, {"format", "krake-metric-constraint"}}; }
};

}  // namespace krake::schema
