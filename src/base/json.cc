#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/check.h"

namespace krake::json {

// ---- numbers

std::optional<std::int64_t> Number::as_int64() const {
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

double Number::as_double() const { return std::strtod(text.c_str(), nullptr); }

bool Number::is_special() const { return !is_integer() && !std::isfinite(as_double()); }

bool same_number(const Number& a, const Number& b) {
  if (a.text == b.text) return true;
  if (a.is_integer() && b.is_integer()) {
    const auto canonical = [](std::string_view text) { return text == "-0" ? std::string_view("0") : text; };
    return canonical(a.text) == canonical(b.text);  // JSON integers have no leading zeros
  }
  return a.as_double() == b.as_double();
}

std::string print_double(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
  std::string shortest = fmt::format("{}", d);
  // Python: exponent form from 1e16 and below 1e-4, at least two exponent digits; else a fraction.
  if (shortest.find('e') != std::string::npos) return shortest;
  const double size = std::fabs(d);
  if (d != 0 && (size >= 1e16 || size < 1e-4)) {
    char buffer[64];
    const auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific);
    return std::string(buffer, end);
  }
  if (shortest.find('.') == std::string::npos) shortest += ".0";
  return shortest;
}

// ---- Object

Object::Object(std::initializer_list<Entry> entries) {
  for (const auto& [key, value] : entries) set(key, value);
}
Object::Object(const Object&) = default;
Object& Object::operator=(const Object&) = default;
Object::~Object() = default;

const Value* Object::find(std::string_view key) const {
  for (const auto& [k, v] : entries_) {
    if (k == key) return &v;
  }
  return nullptr;
}
Value* Object::find(std::string_view key) { return const_cast<Value*>(std::as_const(*this).find(key)); }
Value& Object::operator[](std::string_view key) {
  if (auto* found = find(key)) return *found;
  return entries_.emplace_back(std::string(key), Value()).second;
}
Object Object::of(std::vector<Entry> entries) {
  Object object;
  object.entries_ = std::move(entries);
  return object;
}
void Object::append(std::string key, Value value) { entries_.emplace_back(std::move(key), std::move(value)); }
void Object::set(std::string_view key, Value value) { (*this)[key] = std::move(value); }
bool Object::erase(std::string_view key) {
  return std::erase_if(entries_, [&](const Entry& entry) { return entry.first == key; }) > 0;
}
bool Object::empty() const { return entries_.empty(); }
std::size_t Object::size() const { return entries_.size(); }
std::vector<Object::Entry>::const_iterator Object::begin() const { return entries_.begin(); }
std::vector<Object::Entry>::const_iterator Object::end() const { return entries_.end(); }
std::vector<Object::Entry>::iterator Object::begin() { return entries_.begin(); }
std::vector<Object::Entry>::iterator Object::end() { return entries_.end(); }

// ---- Value

Value::Value(std::int64_t n) : Value(Number{std::to_string(n)}) {}
Value::Value(double d) : Value(Number{print_double(d)}) {}

Value::Value(const Value& other) {
  switch (other.type_) {
    case Type::null:
      break;
    case Type::boolean:
      bool_ = other.bool_;
      break;
    case Type::number:
      std::construct_at(&number_, other.number_);
      break;
    case Type::string:
      std::construct_at(&string_, other.string_);
      break;
    case Type::array:
      std::construct_at(&array_, other.array_);
      break;
    case Type::object:
      std::construct_at(&object_, other.object_);
      break;
  }
  type_ = other.type_;  // last: what throws has made nothing
}

void Value::destroy() noexcept {
  switch (type_) {
    case Type::null:
    case Type::boolean:
      return;
    case Type::number:
      return std::destroy_at(&number_);
    case Type::string:
      return std::destroy_at(&string_);
    case Type::array:
      return std::destroy_at(&array_);
    case Type::object:
      return std::destroy_at(&object_);
  }
}

Object& Value::make_object() {
  if (!is_object()) *this = Object();
  return object_;
}
Array& Value::make_array() {
  if (!is_array()) *this = Array();
  return array_;
}

const Value* Value::at_path(std::initializer_list<std::string_view> path) const {
  const Value* here = this;
  for (const auto key : path) {
    const auto* object = here->if_object();
    if (!object) return nullptr;
    here = object->find(key);
    if (!here) return nullptr;
  }
  return here;
}

std::string_view Value::string_at(std::initializer_list<std::string_view> path) const {
  const auto* value = at_path(path);
  const auto* text = value ? value->if_string() : nullptr;
  return text ? std::string_view(*text) : std::string_view();
}

std::optional<std::int64_t> Value::int_at(std::initializer_list<std::string_view> path) const {
  const auto* value = at_path(path);
  const auto* number = value ? value->if_number() : nullptr;
  return number ? number->as_int64() : std::nullopt;
}

namespace {

constexpr std::size_t kSmall = Finder::kSmall;

// Of a key that comes again, the last value remains, at the first place.
void drop_repeated(Object& object) {
  const auto entries = object.begin();
  const auto key = [&](std::size_t i) -> std::string_view { return entries[static_cast<std::ptrdiff_t>(i)].first; };
  std::vector<std::size_t> order(object.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](auto a, auto b) { return std::pair(key(a), a) < std::pair(key(b), b); });
  std::vector<bool> dropped(object.size());
  for (std::size_t first = 0, i = 1; i < order.size(); ++i) {
    if (key(order[i]) != key(order[first])) {
      first = i;
      continue;
    }
    auto& again = entries[static_cast<std::ptrdiff_t>(order[i])];
    entries[static_cast<std::ptrdiff_t>(order[first])].second = std::move(again.second);
    dropped[order[i]] = true;
  }
  if (std::ranges::find(dropped, true) == dropped.end()) return;
  Object kept;
  for (std::size_t i = 0; i < dropped.size(); ++i) {
    auto& [name, value] = entries[static_cast<std::ptrdiff_t>(i)];
    if (!dropped[i]) kept.append(std::move(name), std::move(value));
  }
  object = std::move(kept);
}

}  // namespace

Finder::Finder(const Object& object) : object_(object) {
  if (object.size() <= kSmall) return;
  entries_.reserve(object.size());
  for (const auto& entry : object) entries_.push_back(&entry);
  std::ranges::sort(entries_, {}, key);
}

const Object::Entry* Finder::find(std::string_view wanted) const {
  if (object_.size() <= kSmall) {
    const auto found = std::ranges::find(object_, wanted, &Object::Entry::first);
    return found == object_.end() ? nullptr : &*found;
  }
  const auto found = std::ranges::lower_bound(entries_, wanted, {}, key);
  return found != entries_.end() && (*found)->first == wanted ? *found : nullptr;
}

bool equal(const Object& a, const Object& b) {
  if (a.size() != b.size()) return false;
  std::optional<Finder> finder;
  auto ib = b.begin();
  for (const auto& [key, value] : a) {
    // Same order is the common case.
    const bool here = ib != b.end() && ib->first == key;
    if (!here && !finder) finder.emplace(b);
    const auto* other = here ? &*ib : finder->find(key);
    if (ib != b.end()) ++ib;
    if (!other || !equal(value, other->second)) return false;
  }
  return true;
}

bool equal(const Value& a, const Value& b) {
  if (const auto* x = a.if_string()) return b.if_string() && *x == *b.if_string();
  if (const auto* x = a.if_object()) return b.if_object() && equal(*x, *b.if_object());
  if (const auto* x = a.if_array())
    return b.if_array() && std::ranges::equal(*x, *b.if_array(), [](auto& p, auto& q) { return equal(p, q); });
  if (const auto* x = a.if_number()) return b.if_number() && same_number(*x, *b.if_number());
  if (const auto* x = a.if_bool()) return b.if_bool() && *x == *b.if_bool();
  return b.is_null();
}

// ---- text

namespace {

// The length of the UTF-8 sequence at text[i], 0 when it is not one; `point` gets the code point.
std::size_t decode_utf8(std::string_view text, std::size_t i, std::uint32_t& point) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  const unsigned first = byte(i);
  const auto tail = [&](std::size_t k) { return (byte(k) & 0xc0) == 0x80; };
  if (first < 0x80) return point = first, 1;
  if (first >= 0xc2 && first < 0xe0 && tail(i + 1)) return point = (first & 0x1f) << 6 | (byte(i + 1) & 0x3f), 2;
  if (first >= 0xe0 && first < 0xf0 && tail(i + 1) && tail(i + 2)) {
    point = (first & 0x0f) << 12 | (byte(i + 1) & 0x3f) << 6 | (byte(i + 2) & 0x3f);
    return point >= 0x800 && (point < 0xd800 || point > 0xdfff) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5 && tail(i + 1) && tail(i + 2) && tail(i + 3)) {
    point = (first & 0x07) << 18 | (byte(i + 1) & 0x3f) << 12 | (byte(i + 2) & 0x3f) << 6 | (byte(i + 3) & 0x3f);
    return point >= 0x10000 && point <= 0x10ffff ? 4 : 0;
  }
  return 0;
}

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::size_t kSurrogateSize = 3;

bool is_surrogate(std::uint32_t point) { return point >= 0xd800 && point <= 0xdfff; }
bool is_high_surrogate(std::uint32_t point) { return point >= 0xd800 && point <= 0xdbff; }
bool is_low_surrogate(std::uint32_t point) { return point >= 0xdc00 && point <= 0xdfff; }

void append_surrogate(std::uint32_t point, std::string& out) {
  out += static_cast<char>(0xe0 | point >> 12);
  out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
  out += static_cast<char>(0x80 | (point & 0x3f));
}

// The half of a surrogate pair at text[i], as append_surrogate() writes it; 0 when there is none.
std::uint32_t surrogate_at(std::string_view text, std::size_t i) {
  if (i + kSurrogateSize > text.size()) return 0;
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  if (byte(i) != 0xed || byte(i + 1) < 0xa0 || byte(i + 1) > 0xbf || (byte(i + 2) & 0xc0) != 0x80) return 0;
  return 0xd000U | (byte(i + 1) & 0x3fU) << 6 | (byte(i + 2) & 0x3fU);
}

// What stands for text[i], where no UTF-8 begins; gives how many bytes that was.
std::size_t append_invalid(std::string_view text, std::size_t i, bool ascii, std::string& out) {
  if (const auto half = surrogate_at(text, i); half != 0) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", half);
    return kSurrogateSize;
  }
  out += ascii ? std::string_view("\\ufffd") : kReplacement;
  return 1;
}

}  // namespace

std::string to_utf8(std::string_view text) {
  if (valid_utf8(text)) return std::string(text);
  std::string out;
  std::uint32_t point = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = decode_utf8(text, i, point);
    out.append(text, i, length);
    i += length == 0 ? append_invalid(text, i, false, out) : length;
  }
  return out;
}

// ---- parsing

namespace {

namespace bj = boost::json;

// Begins the text of a string that stands for a number Boost.JSON does not know. No JSON has this byte.
constexpr char kHidden = '\xff';

// Builds Values from SAX events. Boost.JSON hands numbers over as text pieces followed by a converted value; we keep
// the text.
struct Builder {
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);

  // An array or object that is being read.
  struct Frame {
    bool is_object;
    std::size_t first;       // its members are those from here on, of `members` or `items`
    bool repeats = false;    // a key has come again
    std::uint64_t seen = 0;  // bits of its keys: one whose bit is missing is new
  };
  std::vector<Frame> stack;
  // Of all objects, and of all arrays and the document itself, that are being read. What is complete moves once, into
  // room for just so many.
  std::vector<Object::Entry> members;
  std::vector<Value> items;
  std::string text;   // what has come of a string or number that is not at its end
  std::string ended;  // one that came in several pieces
  bool number_too_long = false;

  Builder() {
    stack.reserve(8);
    members.reserve(32);
    items.reserve(8);
  }

  // Where the value that comes now belongs; null yet.
  Value& place() { return stack.empty() || !stack.back().is_object ? items.emplace_back() : members.back().second; }
  void open(bool is_object) {
    place();
    stack.push_back({.is_object = is_object, .first = is_object ? members.size() : items.size()});
  }
  // The text that ends with this piece; good until the next comes.
  std::string_view whole(bj::string_view last) {
    if (text.empty()) return {last.data(), last.size()};
    text.append(last.data(), last.size());
    text.swap(ended);
    text.clear();
    return ended;
  }
  bool maybe_known(std::string_view key) {
    const auto bit =
        std::uint64_t(1) << ((key.size() * 31 + static_cast<unsigned char>(key.empty() ? 0 : key.back()) * 7) % 64);
    auto& seen = stack.back().seen;
    return (std::exchange(seen, seen | bit) & bit) != 0;
  }
  void open_member(std::string_view key) {
    auto& frame = stack.back();
    // Large objects are freed of repeated keys in any case.
    if (maybe_known(key) && !frame.repeats && members.size() - frame.first < kSmall)
      frame.repeats = std::ranges::find(first_member(), members.end(), key, &Object::Entry::first) != members.end();
    members.emplace_back(key, nullptr);
  }
  std::vector<Object::Entry>::iterator first_member() {
    return members.begin() + static_cast<std::ptrdiff_t>(stack.back().first);
  }
  // The last is closed, and its members are gone: what was opened for it is at the end again.
  bool close(Value value) {
    stack.pop_back();
    (stack.empty() || !stack.back().is_object ? items.back() : members.back().second) = std::move(value);
    return true;
  }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) { return open(true), true; }
  bool on_array_begin(bj::error_code&) { return open(false), true; }
  bool on_object_end(std::size_t, bj::error_code&) {
    const auto first = first_member();
    auto object = Object::of({std::make_move_iterator(first), std::make_move_iterator(members.end())});
    members.erase(first, members.end());
    if (stack.back().repeats || object.size() > kSmall) drop_repeated(object);
    return close(std::move(object));
  }
  bool on_array_end(std::size_t, bj::error_code&) {
    const auto first = items.begin() + static_cast<std::ptrdiff_t>(stack.back().first);
    Array array(std::make_move_iterator(first), std::make_move_iterator(items.end()));
    items.erase(first, items.end());
    return close(std::move(array));
  }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) {
    return text.append(part.data(), part.size()), true;
  }
  bool on_key(bj::string_view part, std::size_t, bj::error_code& ec) {
    const auto key = whole(part);
    if (key.starts_with(kHidden)) {
      ec = bj::error::syntax;
      return false;
    }
    open_member(key);
    return true;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) {
    return text.append(part.data(), part.size()), true;
  }
  bool on_string(bj::string_view part, std::size_t, bj::error_code& ec) {
    const auto string = whole(part);
    if (string.starts_with(kHidden)) return number(string.substr(1), ec);
    place() = string;
    return true;
  }
  bool on_number_part(bj::string_view part, bj::error_code&) { return text.append(part.data(), part.size()), true; }
  bool number(std::string_view digits, bj::error_code& ec) {
    if (digits.size() - (digits.starts_with('-') ? 1 : 0) > kMaxNumberSize) {
      number_too_long = true;
      ec = bj::error::exponent_overflow;
      return false;
    }
    place() = Number{std::string(digits)};
    return true;
  }
  bool on_int64(std::int64_t, bj::string_view part, bj::error_code& ec) { return number(whole(part), ec); }
  bool on_uint64(std::uint64_t, bj::string_view part, bj::error_code& ec) { return number(whole(part), ec); }
  bool on_double(double, bj::string_view part, bj::error_code& ec) { return number(whole(part), ec); }
  bool on_bool(bool b, bj::error_code&) { return place() = b, true; }
  bool on_null(bj::error_code&) { return place(), true; }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }
};

// Makes of what Python reads and Boost.JSON does not what it reads: half a surrogate pair, escaped, becomes bytes, and
// a number it does not know a string that begins with kHidden. What is wrong stays wrong.
class Rewriter {
 public:
  Rewriter(std::string_view text, Numbers numbers) : text_(text), numbers_(numbers) {}
  // Nothing when there is nothing of the kind.
  std::optional<std::string> run() {
    while (at_ < text_.size()) in_string_ ? inside() : outside();
    return changed_ ? std::optional(std::move(out_)) : std::nullopt;
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  void copy(std::size_t count) {
    count = std::min(count, text_.size() - at_);
    out_.append(text_, at_, count);
    at_ += count;
  }
  void hide(std::size_t count) {
    out_ += '"';
    out_ += kHidden;
    copy(count);
    out_ += '"';
    changed_ = true;
  }

  void outside() {
    const char c = text_[at_];
    if (c == '"') {
      in_string_ = true;
      return copy(1);
    }
    if (numbers_ == Numbers::any) {
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
        if (text_.substr(at_).starts_with(word)) return hide(word.size());
      }
    }
    if (c == '-' || is_digit(c)) return number();
    copy(1);
  }
  // An exponent of many digits is more than Boost.JSON counts to.
  void number() {
    constexpr std::ptrdiff_t kMany = 9;
    const auto rest = text_.substr(at_);
    const auto digits = [](auto& it, auto end) {
      const auto begin = it;
      while (it != end && is_digit(*it)) ++it;
      return it - begin;
    };
    auto it = rest.begin();
    if (*it == '-') ++it;
    const bool zero = it != rest.end() && *it == '0';
    const auto whole = digits(it, rest.end());
    bool well_formed = whole == 1 || (whole > 1 && !zero);
    if (it != rest.end() && *it == '.') well_formed = digits(++it, rest.end()) > 0 && well_formed;
    std::ptrdiff_t exponent = 0;
    if (it != rest.end() && (*it == 'e' || *it == 'E')) {
      ++it;
      if (it != rest.end() && (*it == '+' || *it == '-')) ++it;
      exponent = digits(it, rest.end());
    }
    const auto size = static_cast<std::size_t>(it - rest.begin());
    if (well_formed && exponent >= kMany) return hide(size);
    copy(size);
  }

  void inside() {
    const auto special = text_.find_first_of("\"\\", at_);
    copy(special - at_);  // or the rest
    if (at_ == text_.size()) return;
    if (text_[at_] == '"') {
      in_string_ = false;
      return copy(1);
    }
    const auto unit = escaped_unit(at_);
    if (!unit) return copy(2);
    const auto next = is_high_surrogate(*unit) ? escaped_unit(at_ + kEscape) : std::nullopt;
    if (next && is_low_surrogate(*next)) return copy(2 * kEscape);
    if (!is_surrogate(*unit)) return copy(kEscape);
    append_surrogate(*unit, out_);
    at_ += kEscape;
    changed_ = true;
  }
  // Of \uXXXX at `at`.
  std::optional<std::uint32_t> escaped_unit(std::size_t at) const {
    if (at + kEscape > text_.size() || text_[at] != '\\' || text_[at + 1] != 'u') return std::nullopt;
    std::uint32_t unit = 0;
    const auto* end = text_.data() + at + kEscape;
    const auto [stop, ec] = std::from_chars(text_.data() + at + 2, end, unit, 16);
    return ec == std::errc() && stop == end ? std::optional(unit) : std::nullopt;
  }

  static constexpr std::size_t kEscape = 6;
  std::string_view text_;
  Numbers numbers_;
  std::size_t at_ = 0;
  bool in_string_ = false;
  bool changed_ = false;
  std::string out_;
};

struct Attempt {
  Result<Value> value;
  bool final;  // no other reading of the text can succeed
};

Attempt parse_once(std::string_view text, std::size_t max_depth, bool rewritten) {
  bj::parse_options options;
  options.max_depth = max_depth;
  options.allow_invalid_utf8 = rewritten;
  bj::basic_parser<Builder> parser(options);
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = bj::error::extra_data;
  if (parser.handler().number_too_long) {
    return {fail(Code::unsupported_media,
                 fmt::format("number too long: at most {} digits, near byte {}", kMaxNumberSize, used)),
            true};
  }
  if (ec) {
    return {fail(Code::unsupported_media, fmt::format("not JSON: {} near byte {}", ec.message(), used)),
            ec == bj::error::too_deep};
  }
  return {std::move(parser.handler().items.front()), true};
}

}  // namespace

Result<Value> parse(std::string_view text, std::size_t max_depth, Numbers numbers) {
  auto plain = parse_once(text, max_depth, false);
  // The second reading does not look at UTF-8 any more.
  if (plain.final || !valid_utf8(text)) return std::move(plain.value);
  const auto rewritten = Rewriter(text, numbers).run();
  return rewritten ? parse_once(*rewritten, max_depth, true).value : std::move(plain.value);
}

// ---- printing

namespace {

bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

// Of eight bytes at once.
bool all_plain(std::uint64_t bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const auto any_zero = [](std::uint64_t x) { return (x - kOnes) & ~x & kHigh; };
  const auto any_below_space = (bytes - kOnes * 0x20) & ~bytes & kHigh;
  const auto any_special =
      any_zero(bytes ^ kOnes * '"') | any_zero(bytes ^ kOnes * '\\') | any_zero(bytes ^ kOnes * 0x7f);
  return ((bytes & kHigh) | any_below_space | any_special) == 0;
}

// Where the plain bytes end that begin at `i`.
std::size_t plain_until(std::string_view text, std::size_t i) {
  for (std::uint64_t eight = 0; i + sizeof eight <= text.size(); i += sizeof eight) {
    std::memcpy(&eight, text.data() + i, sizeof eight);
    if (!all_plain(eight)) break;
  }
  while (i < text.size() && is_plain(static_cast<unsigned char>(text[i]))) ++i;
  return i;
}

void print_escaped(std::string_view text, std::string& out, bool ascii) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (const auto end = plain_until(text, i); end != i) {
      out.append(text, i, end - i);
      i = end;
      continue;
    }
    switch (c) {
      case '"':
        out += "\\\"";
        ++i;
        continue;
      case '\\':
        out += "\\\\";
        ++i;
        continue;
      case '\n':
        out += "\\n";
        ++i;
        continue;
      case '\r':
        out += "\\r";
        ++i;
        continue;
      case '\t':
        out += "\\t";
        ++i;
        continue;
      case '\b':
        out += "\\b";
        ++i;
        continue;
      case '\f':
        out += "\\f";
        ++i;
        continue;
      default:
        break;
    }
    std::uint32_t point = 0;
    const std::size_t length = decode_utf8(text, i, point);
    if (length == 0) {
      i += append_invalid(text, i, ascii, out);
      continue;
    }
    if (point < 0x20 || point == 0x7f || ascii) {
      if (point >= 0x10000) {
        const std::uint32_t v = point - 0x10000;
        fmt::format_to(std::back_inserter(out), "\\u{:04x}\\u{:04x}", 0xd800 + (v >> 10), 0xdc00 + (v & 0x3ff));
      } else {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", point);
      }
    } else {
      out.append(text, i, length);
    }
    i += length;
  }
  out += '"';
}

void print_pretty_to(const Value& value, std::string& out, std::size_t indent) {
  const auto new_line = [&](std::size_t depth) { out += '\n', out.append(depth * 2, ' '); };
  if (const auto* object = value.if_object()) {
    if (object->empty()) {
      out += "{}";
      return;
    }
    std::vector<const Object::Entry*> entries;
    for (const auto& entry : *object) entries.push_back(&entry);
    std::ranges::sort(entries, {}, [](const auto* entry) { return std::string_view(entry->first); });
    out += '{';
    bool first = true;
    for (const auto* entry : entries) {
      if (!std::exchange(first, false)) out += ',';
      new_line(indent + 1);
      print_escaped(entry->first, out, true);
      out += ": ";
      print_pretty_to(entry->second, out, indent + 1);
    }
    new_line(indent);
    out += '}';
  } else if (const auto* array = value.if_array()) {
    if (array->empty()) {
      out += "[]";
      return;
    }
    out += '[';
    bool first = true;
    for (const auto& item : *array) {
      if (!std::exchange(first, false)) out += ',';
      new_line(indent + 1);
      print_pretty_to(item, out, indent + 1);
    }
    new_line(indent);
    out += ']';
  } else if (const auto* text = value.if_string()) {
    print_escaped(*text, out, true);
  } else {
    print_to(value, out);
  }
}

}  // namespace

void print_string_to(std::string_view text, std::string& out) { print_escaped(text, out, false); }

bool valid_utf8(std::string_view text) {
  constexpr std::uint64_t kNotAscii = 0x8080808080808080;
  std::uint32_t point = 0;
  for (std::size_t i = 0; i < text.size();) {
    std::uint64_t eight = 0;
    if (i + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if ((eight & kNotAscii) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    const std::size_t length = decode_utf8(text, i, point);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

void print_to(const Value& value, std::string& out) {
  if (const auto* object = value.if_object()) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!std::exchange(first, false)) out += ',';
      print_string_to(key, out);
      out += ':';
      print_to(member, out);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    bool first = true;
    for (const auto& item : *array) {
      if (!std::exchange(first, false)) out += ',';
      print_to(item, out);
    }
    out += ']';
  } else if (const auto* text = value.if_string()) {
    print_string_to(*text, out);
  } else if (const auto* number = value.if_number()) {
    out += number->text;
  } else if (const auto* flag = value.if_bool()) {
    out += *flag ? "true" : "false";
  } else {
    out += "null";
  }
}

std::string print(const Value& value) {
  std::string out;
  print_to(value, out);
  return out;
}

std::string print_pretty(const Value& value) {
  std::string out;
  print_pretty_to(value, out, 0);
  return out;
}

void merge_patch(Value& target, const Value& patch) {
  const auto* changes = patch.if_object();
  if (!changes) {
    target = patch;
    return;
  }
  auto& object = target.make_object();
  if (changes->size() <= kSmall) {
    for (const auto& [key, change] : *changes) {
      if (change.is_null()) {
        object.erase(key);
      } else {
        merge_patch(object[key], change);
      }
    }
    return;
  }
  // Many changes: in two passes over what is there and what comes, each member found at once.
  const Finder finder(*changes);
  Object merged;
  std::vector<bool> done(changes->size());
  for (auto& [key, value] : object) {
    if (const auto* change = finder.find(key)) {
      done[static_cast<std::size_t>(change - &*changes->begin())] = true;
      if (change->second.is_null()) continue;
      merge_patch(value, change->second);
    }
    merged.append(key, std::move(value));
  }
  for (std::size_t i = 0; i < done.size(); ++i) {
    const auto& [key, change] = changes->begin()[static_cast<std::ptrdiff_t>(i)];
    if (done[i] || change.is_null()) continue;
    Value value;
    merge_patch(value, change);
    merged.append(key, std::move(value));
  }
  object = std::move(merged);
}

}  // namespace krake::json
