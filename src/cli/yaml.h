// YAML 1.1 documents as JSON values, with the scalar rules upstream's parser has (yes/no/on/off, 0644, sexagesimals,
// merge keys), and JSON values as YAML text. Pure. Differences to upstream: a repeated key is an error unless the
// caller says otherwise, timestamps stay the text they are.
#pragma once

#include <functional>
#include <map>
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

// What becomes of a key that its mapping has already.
enum class RepeatedKey {
  refuse,       // somebody's mistake: better told than guessed
  last_counts,  // as upstream's parser has it, with a warning
};

// All documents of `text`, an empty one as null; none for an empty text. Errors: invalid_argument, starting with
// "SOURCE:LINE:COLUMN: ".
Result<std::vector<json::Value>> parse_yaml(std::string_view text, std::string_view source, YamlLimits limits = {});

// Where the keys and list elements of a document stand, by their path: "a.b.0.c". What an alias or a merge key stands
// for has no lines of its own.
class YamlLines {
 public:
  void set(std::string path, int line) { lines_.insert_or_assign(std::move(path), line); }
  // With everything below it.
  void forget(const std::string& path);
  // From 1; of the nearest thing around when `path` itself is not there, 0 when nothing is known.
  int of(std::string_view path) const;
  // With `rename` applied to each path.
  YamlLines renamed(const std::function<std::string(const std::string&)>& rename) const;

 private:
  std::map<std::string, int, std::less<>> lines_;
};

struct YamlDocument {
  json::Value value;
  YamlLines lines;
  int line = 1;  // where it begins
  // "SOURCE:3: the key 'a.b' is there since line 1; the last one counts"
  std::vector<std::string> warnings{};
};

// As parse_yaml, for who has to say where something is. JSON text has no lines, and of a repeated key the last counts.
Result<std::vector<YamlDocument>> parse_yaml_with_lines(std::string_view text, std::string_view source,
                                                        YamlLimits limits = {},
                                                        RepeatedKey repeated = RepeatedKey::refuse);

// One plain scalar: null, boolean, integer, float or the text itself.
json::Value resolve_scalar(std::string_view text);

// Block style, keys sorted, two-space indent, newline at the end; as JSON where a text has half a surrogate pair, which
// YAML cannot say. parse_yaml gives the value back.
std::string print_yaml(const json::Value& value);

}  // namespace krake::cli
