#include "meta/body.h"

#include <algorithm>
#include <optional>

namespace krake {

void report_unknown(const json::Value& given, const json::Value& known, FieldErrors& errors) {
  if (const auto *object = given.if_object(), *of = known.if_object(); object && of) {
    const json::Finder finder(*of);
    for (const auto& [key, value] : *object) {
      const auto* member = finder.find(key);
      if (member) {
        FieldErrors inner;
        report_unknown(value, member->second, inner);
        if (!inner.empty()) errors.at(key) = std::move(inner);
      } else if (!value.is_null()) {
        errors.at(key).add("Unknown field.");
      }
    }
  } else if (const auto* array = given.if_array(), *from = known.if_array(); array && from) {
    for (std::size_t i = 0; i < std::min(array->size(), from->size()); ++i) {
      FieldErrors inner;
      report_unknown((*array)[i], (*from)[i], inner);
      if (!inner.empty()) errors.at(i) = std::move(inner);
    }
  }
}

void report_special(const json::Value& given, const json::Value* stored, FieldErrors& errors) {
  if (const auto* number = given.if_number()) {
    const auto* kept = stored ? stored->if_number() : nullptr;
    if (number->is_special() && !(kept && json::same_number(*number, *kept)))
      errors.add("Special numeric values (nan or infinity) are not permitted.");
  } else if (const auto* object = given.if_object()) {
    const auto* of = stored ? stored->if_object() : nullptr;
    std::optional<json::Finder> finder;
    if (of) finder.emplace(*of);
    for (const auto& [key, value] : *object) {
      const auto* kept = finder ? finder->find(key) : nullptr;
      FieldErrors inner;
      report_special(value, kept ? &kept->second : nullptr, inner);
      if (!inner.empty()) errors.at(key) = std::move(inner);
    }
  } else if (const auto* array = given.if_array()) {
    const auto* of = stored ? stored->if_array() : nullptr;
    for (std::size_t i = 0; i < array->size(); ++i) {
      FieldErrors inner;
      report_special((*array)[i], of && i < of->size() ? &(*of)[i] : nullptr, inner);
      if (!inner.empty()) errors.at(i) = std::move(inner);
    }
  }
}

bool has_special(const json::Value& value) {
  if (const auto* number = value.if_number()) return number->is_special();
  if (const auto* array = value.if_array()) return std::ranges::any_of(*array, has_special);
  const auto* object = value.if_object();
  return object && std::ranges::any_of(*object, [](const auto& entry) { return has_special(entry.second); });
}

void restore_masked(json::Value& body, const json::Value& masked, const json::Value& stored) {
  if (masked == stored) return;
  if (body == masked) {
    body = stored;
  } else if (auto* object = body.if_object(); object && masked.is_object() && stored.is_object()) {
    const json::Finder all_shown(*masked.if_object());
    const json::Finder all_kept(*stored.if_object());
    for (auto& [key, value] : *object) {
      const auto *shown = all_shown.find(key), *kept = all_kept.find(key);
      if (shown && kept) restore_masked(value, shown->second, kept->second);
    }
  } else if (auto* array = body.if_array(); array && masked.is_array() && stored.is_array()) {
    const auto &shown = *masked.if_array(), &kept = *stored.if_array();
    for (std::size_t i = 0; i < std::min({array->size(), shown.size(), kept.size()}); ++i)
      restore_masked((*array)[i], shown[i], kept[i]);
  }
}

}  // namespace krake
