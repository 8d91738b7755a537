#include "api/constraint_field.h"

namespace krake::codec {

std::string constraint_text(const json::Value& in) {
  if (const auto* text = in.if_string()) return *text;
  return json::print(in);
}

}  // namespace krake::codec
