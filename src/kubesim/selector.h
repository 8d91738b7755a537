// labelSelector and fieldSelector of list and watch. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace krake::kubesim {

struct Requirement {
  enum class Op { in, not_in, exists, absent } op = Op::in;
  std::string key;
  std::vector<std::string> values;
};

class Selector {
 public:
  // a=b, a==b, a!=b, a in (b,c), a notin (b,c), a, !a; comma separated. invalid_argument when it is none.
  static Result<Selector> labels(std::string_view text);
  // path=value, path!=value; comma separated.
  static Result<Selector> fields(std::string_view text);
  // spec.selector of workloads: matchLabels and matchExpressions.
  static Selector of_object(const json::Value* selector);

  bool matches_labels(const json::Value& object) const;
  bool matches_map(const json::Value* labels) const;
  bool matches_fields(const json::Value& object) const;
  bool empty() const { return requirements_.empty(); }

 private:
  std::vector<Requirement> requirements_;
};

}  // namespace krake::kubesim
