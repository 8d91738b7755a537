#include "cli/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "expr/constraint.h"

namespace krake::cli {

Outcome<json::Object> labels_of(const Parsed& args) {
  json::Object labels;
  for (const auto& text : args.list("--label")) {
    const auto equal = text.find('=');
    if (equal == std::string::npos || equal == 0) {
      return stop(fmt::format("label '{}' is not of the form KEY=VALUE", text), "for example -l location=DE");
    }
    labels.set(text.substr(0, equal), text.substr(equal + 1));
  }
  return labels;
}

json::Value& child(json::Value& object, std::initializer_list<std::string_view> path) {
  json::Value* here = &object;
  for (const auto step : path) here = &here->make_object()[step];
  return *here;
}

void merge_labels(json::Value& object, const json::Object& labels, bool clear) {
  if (!clear && labels.empty()) return;
  auto& stored = child(object, {"metadata", "labels"});
  // The API also takes a list of pairs, but always answers a mapping.
  if (clear) stored = json::Object();
  auto& target = stored.make_object();
  for (const auto& [key, value] : labels) target.set(key, value);
}

json::Value number_of(const std::string& text) {
  const std::string_view digits = text.starts_with('+') ? std::string_view(text).substr(1) : std::string_view(text);
  double value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

json::Array metric_refs_of(const Parsed& args) {
  json::Array out;
  for (const auto& [option, namespaced] : {std::pair{"--metric", true}, {"--global-metric", false}}) {
    for (const auto& values : args.all(option)) {
      out.push_back(json::Object{{"name", values[0]}, {"weight", number_of(values[1])}, {"namespaced", namespaced}});
    }
  }
  return out;
}

json::Array texts(const std::vector<std::string>& words) { return {words.begin(), words.end()}; }

std::vector<std::string> metric_constraints_of(const Parsed& args, std::string_view option) {
  std::vector<std::string> out = args.list(option);
  for (auto& text : out) {
    for (const std::string_view word : {"greater than", "less than", "lesser than"}) {
      const auto at = text.find(" is " + std::string(word));
      if (at != std::string::npos) text.erase(at, 3);
    }
    if (const auto at = text.find(" less than"); at != std::string::npos) text.replace(at, 5, " lesser");
  }
  return out;
}

std::optional<Failure> wrong_constraint(const json::Value& body) {
  for (const std::string_view place : {"cluster", "cloud"}) {
    for (const std::string_view what : {"labels", "metrics"}) {
      const bool label = what == "labels";
      const auto* list = body.at_path({"spec", "constraints", place, what});
      const auto* items = list ? list->if_array() : nullptr;
      for (std::size_t i = 0; items && i < items->size(); ++i) {
        const auto* text = (*items)[i].if_string();
        if (!text || (label ? expr::parse_label_constraint(*text).has_value()
                            : expr::parse_metric_constraint(*text).has_value()))
          continue;
        return Failure{.message = fmt::format("spec.constraints.{}.{}.{}: '{}' is no {} constraint", place, what, i,
                                              *text, label ? "label" : "metric"),
                       .hint = label ? "want KEY = VALUE, KEY != VALUE, KEY in (A, B) or KEY not in (A, B)"
                                     : "want METRIC > NUMBER, or one of =, !=, >=, <, <= for the sign"};
      }
    }
  }
  return std::nullopt;
}

void append_new(json::Value& list, const std::vector<std::string>& words) {
  if (words.empty()) return;
  auto& array = list.make_array();
  for (const auto& word : words) {
    if (std::ranges::none_of(array, [&](const auto& item) { return item == json::Value(word); }))
      array.emplace_back(word);
  }
}

json::Value integer_or_text(const std::string& text) {
  if (!is_integer(text)) return text;
  std::int64_t value = 0;
  const std::string_view digits = text.starts_with('+') ? std::string_view(text).substr(1) : std::string_view(text);
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

void set_backoff(json::Value& spec, const Parsed& args, bool defaults) {
  for (const auto& [option, key, otherwise] : {std::tuple{"--backoff", "backoff", 1},
                                               {"--backoff_delay", "backoff_delay", 1},
                                               {"--backoff_limit", "backoff_limit", -1}}) {
    if (const auto text = args.one(option)) {
      child(spec, {key}) = integer_or_text(*text);
    } else if (defaults) {
      child(spec, {key}) = otherwise;
    }
  }
}

}  // namespace krake::cli
