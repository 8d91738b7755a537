#include "meta/body.h"

#include <algorithm>

namespace krake {

void report_unknown(const json::Value& given, const json::Value& known, FieldErrors& errors) {
  if (const auto *object = given.if_object(), *of = known.if_object(); object && of) {
    for (const auto& [key, value] : *object) {
      const auto* member = of->find(key);
      if (member) {
        FieldErrors inner;
        report_unknown(value, *member, inner);
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

void restore_masked(json::Value& body, const json::Value& masked, const json::Value& stored) {
  if (masked == stored) return;
  if (body == masked) {
    body = stored;
  } else if (auto* object = body.if_object(); object && masked.is_object() && stored.is_object()) {
    for (auto& [key, value] : *object) {
      const auto *shown = masked.if_object()->find(key), *kept = stored.if_object()->find(key);
      if (shown && kept) restore_masked(value, *shown, *kept);
    }
  } else if (auto* array = body.if_array(); array && masked.is_array() && stored.is_array()) {
    const auto &shown = *masked.if_array(), &kept = *stored.if_array();
    for (std::size_t i = 0; i < std::min({array->size(), shown.size(), kept.size()}); ++i)
      restore_masked((*array)[i], shown[i], kept[i]);
  }
}

}  // namespace krake
