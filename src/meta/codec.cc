#include "meta/codec.h"

#include <charconv>
#include <cmath>

namespace krake {

Integer Integer::from_digits(std::string_view digits) {
  Integer result;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
  std::string text = (negative && digits != "0" ? "-" : "") + std::string(digits);
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), result.value_);
  if (ec == std::errc::result_out_of_range) {
    result.value_ = negative ? INT64_MIN : INT64_MAX;
    result.big_ = std::move(text);
  }
  return result;
}

namespace codec {

namespace {
std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\r\f\v";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// Python's int(str): surrounding blanks, a sign, digits with single underscores between them, and no more of them than
// can be read back.
std::optional<std::string> integer_literal(std::string_view text) {
  text = trim(text);
  std::string out;
  if (text.starts_with('-') || text.starts_with('+')) {
    if (text.front() == '-') out = "-";
    text.remove_prefix(1);
  }
  const std::size_t sign = out.size();
  bool digit_before = false;
  for (const char c : text) {
    if (c == '_') {
      if (!digit_before) return std::nullopt;
      digit_before = false;
    } else if (c >= '0' && c <= '9') {
      out += c;
      digit_before = true;
    } else {
      return std::nullopt;
    }
  }
  if (!digit_before || out.size() - sign > json::kMaxNumberSize) return std::nullopt;
  return out;
}

// Python's int(float): all digits, 309 of them for 1e308.
Integer truncated(double value) {
  constexpr double kBeyond = 9223372036854775808.0;  // 2^63
  if (std::fabs(value) < kBeyond) return static_cast<std::int64_t>(value);
  char digits[320];
  const auto [end, ec] = std::to_chars(std::begin(digits), std::end(digits), value, std::chars_format::fixed);
  return Integer::from_digits(std::string_view(digits, end));
}

// Python's float(str), finite or not.
std::optional<double> double_literal(std::string_view text) {
  text = trim(text);
  if (text.empty() || text.find_first_of("xXpP()") != std::string_view::npos) return std::nullopt;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool between_digits = i > 0 && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i - 1])) &&
                                std::isdigit(static_cast<unsigned char>(text[i + 1]));
    if (text[i] == '_' && between_digits) continue;
    plain += text[i];
  }
  char* end = nullptr;
  const double value = std::strtod(plain.c_str(), &end);
  if (end != plain.c_str() + plain.size()) return std::nullopt;
  return value;
}
}  // namespace

bool decode_string(const json::Value& in, std::string& out, FieldErrors& errors) {
  const auto* text = in.if_string();
  if (!text) return errors.add("Not a valid string."), false;
  out = *text;
  return true;
}

bool decode_integer(const json::Value& in, Integer& out, FieldErrors& errors) {
  if (const auto* number = in.if_number()) {
    if (number->is_integer()) return out = Integer::from_digits(number->text), true;
    const double value = number->as_double();
    if (std::isinf(value)) return errors.add("Number too large."), false;
    if (std::isnan(value)) return errors.add("Not a valid integer."), false;
    return out = truncated(value), true;
  }
  if (const auto* text = in.if_string()) {
    if (const auto digits = integer_literal(*text)) return out = Integer::from_digits(*digits), true;
  }
  return errors.add("Not a valid integer."), false;
}

bool decode_double(const json::Value& in, double& out, FieldErrors& errors) {
  std::optional<double> value;
  if (const auto* number = in.if_number()) value = number->as_double();
  if (const auto* text = in.if_string()) value = double_literal(*text);
  if (!value) return errors.add("Not a valid number."), false;
  if (!std::isfinite(*value)) return errors.add("Special numeric values (nan or infinity) are not permitted."), false;
  return out = *value, true;
}

bool decode_bool(const json::Value& in, bool& out, FieldErrors& errors) {
  constexpr std::string_view yes[] = {"1", "t",   "T",   "true", "True", "TRUE", "y",
                                      "Y", "yes", "Yes", "YES",  "on",   "On",   "ON"};
  constexpr std::string_view no[] = {"0", "f",  "F",  "false", "False", "FALSE", "n",
                                     "N", "no", "No", "NO",    "off",   "Off",   "OFF"};
  if (const auto* flag = in.if_bool()) return out = *flag, true;
  if (const auto* number = in.if_number()) {
    const double value = number->as_double();
    if (value == 0 || value == 1) return out = value == 1, true;
  }
  if (const auto* text = in.if_string()) {
    if (std::ranges::find(yes, *text) != std::end(yes)) return out = true, true;
    if (std::ranges::find(no, *text) != std::end(no)) return out = false, true;
  }
  return errors.add("Not a valid boolean."), false;
}

bool decode_datetime(const json::Value& in, DateTime& out, FieldErrors& errors) {
  const auto* text = in.if_string();
  const auto time = text ? parse_datetime(*text) : std::nullopt;
  if (!time) return errors.add("Not a valid datetime."), false;
  return out = *time, true;
}

bool decode_mapping(const json::Value& in, json::Object& out, FieldErrors& errors) {
  const auto* object = in.if_object();
  if (!object) return errors.add("Not a valid mapping type."), false;
  out = *object;
  return true;
}

void mask_member(json::Value& member) {
  const auto* text = member.if_string();
  const auto* object = member.if_object();
  if (member.is_null() || (text && text->empty()) || (object && object->empty())) return;
  member = kMask;
}

void redact_member(json::Value& member) {
  if (auto* object = member.if_object()) {
    for (auto& entry : *object) redact_member(entry.second);
  } else if (auto* array = member.if_array()) {
    for (auto& element : *array) redact_member(element);
  } else if (member.is_number() || (member.is_string() && !member.if_string()->empty())) {
    member = kMask;
  }
}

bool check_fixed(const json::Object& object, std::string_view field, std::string_view wanted, FieldErrors& errors) {
  const auto* value = object.find(field);
  if (!value) return true;
  auto& here = errors.at(std::string(field));
  if (value->is_null()) return here.add("Field may not be null."), false;
  const auto* text = value->if_string();
  if (!text) return here.add("Not a valid string."), false;
  if (*text != wanted) return here.add(fmt::format("Must be equal to {}.", wanted)), false;
  return true;
}

}  // namespace codec
}  // namespace krake
