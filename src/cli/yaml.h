// YAML 1.1 documents as JSON values, with the scalar rules upstream's parser has (yes/no/on/off, 0644, sexagesimals,
// merge keys), and JSON values as YAML text. Pure. Differences to upstream: a repeated key is an error, timestamps stay
// the text they are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace krake::cli {

// Bounds of one text: an alias counts with everything it stands for.
struct YamlLimits {
  std::size_t nodes = 1'000'000;
  std::size_t depth = 200;
};

// All documents of `text`, an empty one as null; none for an empty text. Errors: invalid_argument, starting with
// "SOURCE:LINE:COLUMN: ".
Result<std::vector<json::Value>> parse_yaml(std::string_view text, std::string_view source, YamlLimits limits = {});

// One plain scalar: null, boolean, integer, float or the text itself.
json::Value resolve_scalar(std::string_view text);

// Block style, keys sorted, two-space indent, newline at the end. parse_yaml gives the value back.
std::string print_yaml(const json::Value& value);

}  // namespace krake::cli
