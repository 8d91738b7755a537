// What the schemas of an OpenAPI document say of kinds and their fields, for people. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "cli/failure.h"

namespace krake::cli {

struct KindInfo {
  std::string schema;  // its name among the schemas
  std::string group;
  std::string kind;
  std::string plural;
  bool namespaced = false;
  std::vector<std::string> verbs;
  std::vector<std::string> subresources;
};

// Those that have an x-krake-kind, in their order.
std::vector<KindInfo> kinds_of(const json::Object& schemas);

struct FieldInfo {
  std::string name;
  std::string type;  // "string", "[]ResourceRef", "map[number]", "Object"
  std::string description;
  std::vector<std::string> marks;   // "required", "default: 1"
  std::vector<std::string> values;  // of an enumeration
};

struct Explanation {
  KindInfo kind;
  FieldInfo field;  // what is asked for; its name is empty for the kind itself
  std::vector<FieldInfo> fields;
};

// `path`: names of fields, one within the other; lists and maps are passed through. The failure names fields that are
// spelt nearly like it.
Outcome<Explanation> explain_field(const json::Object& schemas, const KindInfo& kind,
                                   const std::vector<std::string>& path);

// In the manner of kubectl; lines are broken at `width`, 0: never.
std::string text_of(const Explanation& explanation, std::size_t width);
json::Value document_of(const Explanation& explanation);

}  // namespace krake::cli
