#include "cli/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>

namespace krake::cli {

namespace {

bool any_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}
bool digit(char c) { return c >= '0' && c <= '9'; }
std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  return out;
}

// Takes digits and underscores from `text` at `at`.
std::size_t digits_at(std::string_view text, std::size_t at) {
  while (at < text.size() && (digit(text[at]) || text[at] == '_')) ++at;
  return at;
}

// Decimal digits of an unsigned number of any size, from digits of `base`.
std::string to_decimal(std::string_view digits, unsigned base) {
  std::vector<unsigned> decimal{0};  // little endian
  for (const char c : digits) {
    unsigned carry = digit(c) ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 0x20) - 'a') + 10;
    for (auto& d : decimal) {
      carry += d * base;
      d = carry % 10;
      carry /= 10;
    }
    while (carry > 0) {
      decimal.push_back(carry % 10);
      carry /= 10;
    }
  }
  std::string out;
  for (auto it = decimal.rbegin(); it != decimal.rend(); ++it) out += static_cast<char>('0' + *it);
  return out;
}

constexpr std::size_t kMaxIntegerText = 3 * json::kMaxNumberSize;  // with underscores

// What is longer than any JSON number stays text.
std::optional<json::Value> integer(bool negative, std::string_view digits, unsigned base) {
  std::string text = base == 10 ? std::string(digits) : to_decimal(digits, base);
  if (text.size() > json::kMaxNumberSize) return std::nullopt;
  if (negative && text != "0") text.insert(0, "-");
  return json::Value(json::Number{std::move(text)});
}

// [-+]?[1-9][0-9_]*(:[0-5]?[0-9])+ with an optional fraction: base 60.
std::optional<json::Value> sexagesimal(std::string_view body, bool negative) {
  if (body.empty() || !digit(body[0])) return std::nullopt;
  const std::size_t dot = body.find('.');
  const std::string_view whole = body.substr(0, dot);
  if (dot == std::string_view::npos && body[0] == '0') return std::nullopt;
  std::size_t at = digits_at(whole, 0);
  double total = std::strtod(without_underscores(whole.substr(0, at)).c_str(), nullptr);
  int parts = 0;
  while (at < whole.size()) {
    if (whole[at] != ':') return std::nullopt;
    const std::size_t begin = ++at;
    while (at < whole.size() && digit(whole[at])) ++at;
    const std::string_view part = whole.substr(begin, at - begin);
    if (part.empty() || part.size() > 2 || (part.size() == 2 && part[0] > '5')) return std::nullopt;
    total = total * 60 + std::strtod(std::string(part).c_str(), nullptr);
    ++parts;
  }
  if (parts == 0) return std::nullopt;
  if (dot == std::string_view::npos) {
    if (total > 9e15) return std::nullopt;
    return json::Value(static_cast<std::int64_t>(negative ? -total : total));
  }
  const std::string_view fraction = body.substr(dot + 1);
  if (digits_at(fraction, 0) != fraction.size()) return std::nullopt;
  total += std::strtod(("0." + without_underscores(fraction) + "0").c_str(), nullptr);
  return json::Value(negative ? -total : total);
}

std::optional<json::Value> resolve_int(std::string_view body, bool negative) {
  if (body.empty() || body.size() > kMaxIntegerText || !digit(body[0])) return std::nullopt;
  const auto all = [&](std::size_t from, std::string_view allowed) {
    return body.find_first_not_of(allowed, from) == std::string_view::npos;
  };
  if (body.size() > 2 && body.starts_with("0b") && all(2, "01_"))
    return integer(negative, without_underscores(body.substr(2)), 2);
  if (body.size() > 2 && body.starts_with("0x") && all(2, "0123456789abcdefABCDEF_")) {
    return integer(negative, without_underscores(body.substr(2)), 16);
  }
  if (body.size() > 1 && body[0] == '0') {
    if (all(1, "01234567_")) return integer(negative, without_underscores(body.substr(1)), 8);
    return std::nullopt;
  }
  if (all(0, "0123456789_")) return integer(negative, without_underscores(body), 10);
  return std::nullopt;
}

// A float needs its dot, and an exponent its sign: 1e3 and 1.0e3 are text.
std::optional<json::Value> resolve_float(std::string_view body, bool negative, bool has_sign) {
  if (any_of(body, {".inf", ".Inf", ".INF"})) return json::Value(negative ? -HUGE_VAL : HUGE_VAL);
  if (!has_sign && any_of(body, {".nan", ".NaN", ".NAN"})) return json::Value(std::nan(""));
  std::size_t at = 0;
  if (!body.empty() && body[0] == '.') {
    if (has_sign || body.size() < 2 || !digit(body[1])) return std::nullopt;
  } else {
    if (body.empty() || !digit(body[0])) return std::nullopt;
    at = digits_at(body, 0);
  }
  if (at >= body.size() || body[at] != '.') return std::nullopt;
  at = digits_at(body, at + 1);
  if (at < body.size()) {
    if ((body[at] | 0x20) != 'e' || at + 2 >= body.size() || (body[at + 1] != '+' && body[at + 1] != '-'))
      return std::nullopt;
    if (body.find_first_not_of("0123456789", at + 2) != std::string_view::npos) return std::nullopt;
  }
  const double value = std::strtod(without_underscores(body).c_str(), nullptr);
  return json::Value(negative ? -value : value);
}

constexpr std::string_view kTag = "tag:yaml.org,2002:";

struct YamlFailure {
  YAML::Mark mark;
  std::string what;
};

// Builds the values while the parser walks the text.
class Builder final : public YAML::EventHandler {
 public:
  // `lines`: where to note what stands where; null: nowhere.
  explicit Builder(YamlLimits limits, RepeatedKey repeated, YamlLines* lines)
      : limits_(limits), repeated_(repeated), lines_(lines) {}

  struct Repetition {
    std::string path;
    int first;
    int line;
  };
  std::vector<Repetition> repetitions;
  bool ended = false;
  int line = 1;
  YAML::Mark begin;
  json::Value document;

  void OnDocumentStart(const YAML::Mark& mark) override {
    ended = false;
    line = mark.line + 1;
    begin = mark;
  }
  void OnDocumentEnd() override { ended = true; }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, anchor, nullptr, false); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) throw YamlFailure{mark, "an alias inside of what it stands for"};
    count(mark, it->second.nodes);
    if (stack_.size() + it->second.depth > limits_.depth) throw YamlFailure{mark, too_deep()};
    deepest_ = std::max(deepest_, stack_.size() + it->second.depth);
    put(mark, it->second.value, false);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    // Whatever the encoding of the file: of two-byte texts halves of characters may come.
    if (!json::valid_utf8(text)) throw YamlFailure{mark, "a character that does not exist"};
    const bool plain = tag == "?" || tag.empty();
    const bool merge = plain && text == "<<";
    add(mark, anchor, merge ? json::Value(text) : scalar(mark, tag, text), merge);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, anchor, json::Array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, anchor, json::Object());
  }
  void OnMapEnd() override {
    merge(stack_.back());
    close();
  }

 private:
  struct Anchor {
    json::Value value;
    std::size_t nodes = 1;
    std::size_t depth = 0;
  };
  struct Level {
    YAML::Mark mark;
    YAML::anchor_t anchor;
    json::Value value;
    std::size_t nodes_before;
    std::size_t outer_deepest;
    bool has_key = false;
    bool key_merges = false;
    std::string key;
    std::vector<json::Object> merges;
    std::map<std::string, int> keys;  // the line of each
  };

  std::string too_deep() const { return fmt::format("more than {} levels deep", limits_.depth); }
  void count(const YAML::Mark& mark, std::size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > limits_.nodes)
      throw YamlFailure{mark, fmt::format("more than {} values, aliases counted in full", limits_.nodes)};
  }
  // Of what comes next in the levels below `depth`.
  std::string path(std::size_t depth) const {
    std::string out;
    for (std::size_t i = 0; i < depth; ++i) {
      const auto* array = stack_[i].value.if_array();
      if (!out.empty()) out += '.';
      out += array ? std::to_string(array->size()) : stack_[i].key;
    }
    return out;
  }
  // Of a list's next element; keys note themselves.
  void note_element(const YAML::Mark& mark) {
    if (lines_ && !stack_.empty() && stack_.back().value.is_array()) lines_->set(path(stack_.size()), mark.line + 1);
  }
  void add(const YAML::Mark& mark, YAML::anchor_t anchor, json::Value value, bool merge) {
    count(mark, 1);
    note_element(mark);
    if (anchor) anchors_[anchor] = {value, 1, 0};
    put(mark, std::move(value), merge);
  }
  void open(const YAML::Mark& mark, YAML::anchor_t anchor, json::Value value) {
    count(mark, 1);
    if (stack_.size() >= limits_.depth) throw YamlFailure{mark, too_deep()};
    if (!stack_.empty() && stack_.back().value.is_object() && !stack_.back().has_key) {
      throw YamlFailure{mark, "a list or mapping as key"};
    }
    note_element(mark);
    stack_.push_back({mark, anchor, std::move(value), nodes_ - 1, deepest_});
    deepest_ = stack_.size();
  }
  void close() {
    Level level = std::move(stack_.back());
    stack_.pop_back();
    if (level.anchor) anchors_[level.anchor] = {level.value, nodes_ - level.nodes_before, deepest_ - stack_.size()};
    deepest_ = std::max(deepest_, level.outer_deepest);
    put(level.mark, std::move(level.value), false);
  }
  void put(const YAML::Mark& mark, json::Value value, bool merge_key) {
    if (stack_.empty()) {
      document = std::move(value);
      return;
    }
    auto& level = stack_.back();
    if (auto* array = level.value.if_array()) {
      array->push_back(std::move(value));
    } else if (!level.has_key) {
      take_key(mark, level, value, merge_key);
    } else {
      level.has_key = false;
      if (!std::exchange(level.key_merges, false)) {
        level.value.if_object()->set(level.key, std::move(value));
      } else {
        take_merge(mark, level, std::move(value));
      }
    }
  }
  void take_key(const YAML::Mark& mark, Level& level, const json::Value& value, bool merge_key) {
    level.has_key = true;
    level.key_merges = merge_key;
    if (merge_key) return;
    if (const auto* text = value.if_string()) {
      level.key = *text;
    } else if (value.is_array() || value.is_object()) {
      throw YamlFailure{mark, "a list or mapping as key"};
    } else {
      level.key = json::print(value);  // as JSON would write it: 1, true, null
    }
    if (const auto [known, fresh] = level.keys.emplace(level.key, mark.line + 1); !fresh) {
      if (repeated_ == RepeatedKey::refuse)
        throw YamlFailure{mark, fmt::format("the key '{}' is given twice", level.key)};
      repetitions.push_back({path(stack_.size()), std::exchange(known->second, mark.line + 1), mark.line + 1});
      if (lines_) lines_->forget(repetitions.back().path);
    }
    if (lines_) lines_->set(path(stack_.size()), mark.line + 1);
  }
  static void take_merge(const YAML::Mark& mark, Level& level, json::Value value) {
    if (auto* object = value.if_object()) {
      level.merges.push_back(std::move(*object));
      return;
    }
    auto* array = value.if_array();
    if (!array) throw YamlFailure{mark, "'<<' wants a mapping or a list of mappings"};
    for (auto& item : *array) {
      if (!item.is_object()) throw YamlFailure{mark, "'<<' wants a mapping or a list of mappings"};
      level.merges.push_back(std::move(*item.if_object()));
    }
  }
  static void merge(Level& level) {
    auto& object = *level.value.if_object();
    for (auto& from : level.merges) {
      for (auto& [key, value] : from) {
        if (!object.contains(key)) object.set(key, std::move(value));
      }
    }
  }
  static json::Value scalar(const YAML::Mark& mark, const std::string& tag, const std::string& text) {
    if (tag == "?" || tag.empty()) return resolve_scalar(text);
    if (!tag.starts_with(kTag)) return text;
    const std::string_view type = std::string_view(tag).substr(kTag.size());
    if (type == "str" || type == "binary" || type == "timestamp") return text;
    auto value = resolve_scalar(text);
    const bool good = type == "null" ? value.is_null() : type == "bool" ? value.is_bool() : value.is_number();
    if (type == "float" && !value.is_number()) {
      char* end = nullptr;
      const double number = std::strtod(text.c_str(), &end);
      if (!text.empty() && *end == 0) return number;
    }
    if (type == "float" && good && value.if_number()->is_integer()) return value.if_number()->as_double();
    if (!good) throw YamlFailure{mark, fmt::format("'{}' is not of the type !!{}", text, type)};
    return value;
  }

  YamlLimits limits_;
  RepeatedKey repeated_;
  YamlLines* lines_;
  std::size_t nodes_ = 0;
  std::size_t deepest_ = 0;  // nesting reached inside of the level on top
  std::vector<Level> stack_;
  std::map<YAML::anchor_t, Anchor> anchors_;
};

}  // namespace

json::Value resolve_scalar(std::string_view text) {
  if (any_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (any_of(text, {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})) return true;
  if (any_of(text, {"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})) return false;
  const bool has_sign = text[0] == '-' || text[0] == '+';
  const bool negative = text[0] == '-';
  const std::string_view body = text.substr(has_sign ? 1 : 0);
  if (auto value = resolve_int(body, negative)) return *std::move(value);
  if (auto value = resolve_float(body, negative, has_sign)) return *std::move(value);
  if (auto value = sexagesimal(body, negative)) return *std::move(value);
  return text;
}

int YamlLines::of(std::string_view path) const {
  for (;;) {
    if (const auto it = lines_.find(path); it != lines_.end()) return it->second;
    const auto dot = path.rfind('.');
    if (dot == std::string_view::npos) return 0;
    path = path.substr(0, dot);
  }
}

void YamlLines::forget(const std::string& path) {
  lines_.erase(path);
  const auto below = path + ".";
  auto end = lines_.lower_bound(below);
  const auto begin = end;
  while (end != lines_.end() && end->first.starts_with(below)) ++end;
  lines_.erase(begin, end);
}

YamlLines YamlLines::renamed(const std::function<std::string(const std::string&)>& rename) const {
  YamlLines out;
  for (const auto& [path, line] : lines_) out.set(rename(path), line);
  return out;
}

namespace {
Result<std::vector<YamlDocument>> parse(std::string_view text, std::string_view source, YamlLimits limits,
                                        RepeatedKey repeated, bool with_lines) {
  const auto failed = [&](const YAML::Mark& mark, std::string_view what) {
    return fail(Code::invalid_argument, fmt::format("{}:{}:{}: {}", source, mark.line + 1, mark.column + 1, what));
  };
  if (!json::valid_utf8(text) && !text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff")) {
    return fail(Code::invalid_argument, fmt::format("{}:1:1: not UTF-8 text", source));
  }
  std::vector<YamlDocument> documents;
  // JSON is YAML, and common: kubeconfigs, jq output. Its own parser also knows surrogate pairs.
  if (const auto first = text.find_first_not_of(" \t\r\n"); first != std::string_view::npos && text[first] == '{') {
    if (auto value = json::parse(text)) {
      documents.push_back({.value = std::move(*value)});
      return documents;
    }
  }
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    for (int before = -1;;) {
      YamlDocument document;
      Builder builder(limits, repeated, with_lines ? &document.lines : nullptr);
      if (!parser.HandleNextDocument(builder)) break;
      if (!builder.ended) break;
      // What cannot begin a document, like a bracket that closes nothing, is an empty one to the parser, for ever.
      if (builder.begin.pos == before) return failed(builder.begin, "nothing can begin like this");
      before = builder.begin.pos;
      document.value = std::move(builder.document);
      document.line = builder.line;
      for (const auto& [path, first, line] : builder.repetitions) {
        document.warnings.push_back(
            fmt::format("{}:{}: the key '{}' is there since line {}; the last one counts", source, line, path, first));
      }
      documents.push_back(std::move(document));
    }
  } catch (const YamlFailure& failure) {
    return failed(failure.mark, failure.what);
  } catch (const YAML::Exception& error) {
    return failed(error.mark, error.msg);
  }
  return documents;
}
}  // namespace

Result<std::vector<json::Value>> parse_yaml(std::string_view text, std::string_view source, YamlLimits limits) {
  ASSIGN_OR_RETURN(auto documents, parse(text, source, limits, RepeatedKey::refuse, false));
  std::vector<json::Value> values;
  for (auto& document : documents) values.push_back(std::move(document.value));
  return values;
}

Result<std::vector<YamlDocument>> parse_yaml_with_lines(std::string_view text, std::string_view source,
                                                        YamlLimits limits, RepeatedKey repeated) {
  return parse(text, source, limits, repeated, true);
}

// ---- printing

namespace {

// The length of what some readers of YAML take for a line break (U+0085, U+2028, U+2029) or for no text (other C1
// controls, U+FEFF, U+FFFE, U+FFFF) at text[i]; 0 when there is none. `point` gets what it is.
std::size_t odd_at(std::string_view text, std::size_t i, unsigned& point) {
  const auto byte = [&](std::size_t k) { return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U; };
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return point = byte(1), 2;
  if (byte(0) != 0xe2 && byte(0) != 0xef) return 0;
  point = (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  return point == 0x2028 || point == 0x2029 || point == 0xfeff || point == 0xfffe || point == 0xffff ? 3 : 0;
}
bool has_odd(std::string_view text) {
  unsigned point = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (odd_at(text, i, point) > 0) return true;
  }
  return false;
}

// Anything another reader (YAML 1.1 or 1.2) could take for something else than this text.
bool needs_quotes(std::string_view text) {
  if (text.empty() || !resolve_scalar(text).is_string()) return true;
  if (any_of(text, {"y", "Y", "n", "N", "=", "<<", "...", "---"})) return true;
  if (digit(text[0]) || text[0] == '.' || text[0] == '+') {
    // 1e3, 0o17, 2020-01-01, 12:30
    if (text.find_first_not_of("0123456789abcdefABCDEFxXoO+-.:_TZ ") == std::string_view::npos) return true;
  }
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`").contains(text[0])) return true;
  if (text.front() == ' ' || text.back() == ' ' || text.back() == ':') return true;
  if (text.contains(": ") || text.contains(" #") || has_odd(text)) return true;
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool fits_literal_block(std::string_view text) {
  if (!text.contains('\n') || text.front() == ' ' || text.front() == '\n' || text.back() != '\n' ||
      text.ends_with("\n\n"))
    return false;
  if (text.contains(" \n") || text.contains("\t\n") || has_odd(text)) return false;
  return std::ranges::none_of(
      text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f; });
}

void print_text(std::string_view text, std::string& out) {
  if (!needs_quotes(text) && json::valid_utf8(text)) {
    out += text;
    return;
  }
  std::string quoted;
  json::print_string_to(text, quoted);
  unsigned point = 0;
  for (std::size_t i = 0; i < quoted.size();) {
    if (const auto size = odd_at(quoted, i, point); size > 0) {
      out += fmt::format("\\u{:04x}", point);
      i += size;
    } else {
      out += quoted[i++];
    }
  }
}

void print_block(const json::Value& value, std::size_t indent, std::string& out);

// After "key:" or "-": on the same line or below.
void print_member(const json::Value& value, std::size_t indent, bool in_list, std::string& out) {
  const auto* object = value.if_object();
  const auto* array = value.if_array();
  if (object && !object->empty()) {
    if (!in_list) {
      out += '\n';
    } else {
      out += ' ';
    }
    std::string block;
    print_block(value, indent, block);
    out += in_list ? block.substr(indent) : block;
  } else if (array && !array->empty()) {
    // Lists stand below their key, not further in; a list in a list starts on the same line.
    std::string block;
    const std::size_t inner = in_list ? indent : indent - 2;
    print_block(value, inner, block);
    out += in_list ? ' ' : '\n';
    out += in_list ? block.substr(inner) : block;
  } else if (const auto* text = value.if_string(); text && fits_literal_block(*text)) {
    out += " |\n";
    std::string_view rest = *text;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      if (end > 0) out.append(indent, ' ').append(rest.substr(0, end));
      out += '\n';
      rest.remove_prefix(end + 1);
    }
  } else {
    out += ' ';
    print_block(value, indent, out);
  }
}

// With its colon. Before one of the same line YAML takes 1,024 characters at most.
void print_key(std::string_view key, std::size_t indent, std::string& out) {
  constexpr std::size_t kMostOfALine = 1000;
  std::string text;
  print_text(key, text);
  const std::string margin(indent, ' ');
  out += text.size() > kMostOfALine ? fmt::format("{0}? {1}\n{0}:", margin, text) : fmt::format("{}{}:", margin, text);
}

void print_number(const json::Number& number, std::string& out) {
  if (number.text == "Infinity") {
    out += ".inf";
  } else if (number.text == "-Infinity") {
    out += "-.inf";
  } else if (number.text == "NaN") {
    out += ".nan";
  } else if (resolve_scalar(number.text).is_number()) {
    out += number.text;
  } else {
    // 1e3: YAML 1.1 wants a dot and a signed exponent.
    std::string text = number.text;
    const std::size_t e = text.find_first_of("eE");
    if (e != std::string::npos && text[e + 1] != '-' && text[e + 1] != '+') text.insert(e + 1, "+");
    if (e != std::string::npos && !text.contains('.')) text.insert(e, ".0");
    out += text;
  }
}

void print_block(const json::Value& value, std::size_t indent, std::string& out) {
  if (const auto* object = value.if_object()) {
    if (object->empty()) {
      out += "{}\n";
      return;
    }
    std::vector<const json::Object::Entry*> entries;
    for (const auto& entry : *object) entries.push_back(&entry);
    std::ranges::sort(entries, {}, [](const auto* entry) { return std::string_view(entry->first); });
    for (const auto* entry : entries) {
      print_key(entry->first, indent, out);
      print_member(entry->second, indent + 2, false, out);
    }
  } else if (const auto* array = value.if_array()) {
    if (array->empty()) {
      out += "[]\n";
      return;
    }
    for (const auto& item : *array) {
      out.append(indent, ' ');
      out += '-';
      print_member(item, indent + 2, true, out);
    }
  } else if (const auto* text = value.if_string()) {
    print_text(*text, out);
    out += '\n';
  } else if (const auto* number = value.if_number()) {
    print_number(*number, out);
    out += '\n';
  } else {
    json::print_to(value, out);
    out += '\n';
  }
}

// Half a surrogate pair in some text of it: there is no such character in YAML, and no escape of one.
bool beyond_yaml(const json::Value& value) {
  if (const auto* object = value.if_object()) {
    return std::ranges::any_of(
        *object, [](const auto& entry) { return !json::valid_utf8(entry.first) || beyond_yaml(entry.second); });
  }
  if (const auto* array = value.if_array()) return std::ranges::any_of(*array, beyond_yaml);
  const auto* text = value.if_string();
  return text && !json::valid_utf8(*text);
}

}  // namespace

std::string print_yaml(const json::Value& value) {
  if (beyond_yaml(value)) return json::print(value) + "\n";
  std::string out;
  print_block(value, 0, out);
  return out;
}

}  // namespace krake::cli
