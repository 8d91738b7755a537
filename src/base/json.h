// JSON values that lose nothing: numbers keep their text, objects keep their key order, a repeated key takes its last
// value. What Python's json module reads and writes is read, too: halves of surrogate pairs ("\ud83d"), which a text
// holds as the three bytes UTF-8 would have for them and which are printed as the escape they were; and NaN, Infinity
// and -Infinity. Parsing is by Boost.JSON's SAX parser. Printing is compact, UTF-8.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace krake::json {

class Value;
using Array = std::vector<Value>;

// A number as written, also NaN, Infinity and -Infinity. Compare with same_number(), which knows that 1.0 and 1e0 are
// the same double.
struct Number {
  std::string text = "0";
  bool is_integer() const { return text.find_first_of(".eEIN") == std::string::npos; }
  // NaN, an infinity, or beyond what a double holds (1e400), which Python reads as an infinity. No integer is.
  bool is_special() const;
  std::optional<std::int64_t> as_int64() const;  // only for integers that fit
  double as_double() const;                      // nearest; may be infinite, or NaN
  bool operator==(const Number&) const = default;
};

// Ordered map with few keys: linear search beats hashing at these sizes, and keeps the order. What works on all keys of
// a large one (parse, equal, merge_patch; others by a Finder) indexes them first.
class Object {
 public:
  using Entry = std::pair<std::string, Value>;
  Object();
  Object(std::initializer_list<Entry> entries);
  Object(const Object&);
  Object(Object&&) noexcept;
  Object& operator=(const Object&);
  Object& operator=(Object&&) noexcept;
  ~Object();

  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  Value& operator[](std::string_view key);  // inserts null at the end when absent
  void set(std::string_view key, Value value);
  bool erase(std::string_view key);           // keeps the order of the others
  void append(std::string key, Value value);  // the key must not be there yet
  bool empty() const;
  std::size_t size() const;
  std::vector<Entry>::const_iterator begin() const;
  std::vector<Entry>::const_iterator end() const;
  std::vector<Entry>::iterator begin();
  std::vector<Entry>::iterator end();

 private:
  std::vector<Entry> entries_;
};

class Value {
 public:
  Value() = default;  // null
  Value(std::nullptr_t) {}
  Value(bool b) : data_(b) {}
  Value(std::int64_t n);
  Value(int n) : Value(static_cast<std::int64_t>(n)) {}
  Value(double d);  // shortest round trip form, always with fraction or exponent (as Python prints it)
  Value(Number n) : data_(std::move(n)) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(std::string_view s) : data_(std::string(s)) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(Array a) : data_(std::move(a)) {}
  Value(Object o) : data_(std::move(o)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_number() const { return std::holds_alternative<Number>(data_); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_object() const { return std::holds_alternative<Object>(data_); }

  // Null when the value is of another type.
  const bool* if_bool() const { return std::get_if<bool>(&data_); }
  const Number* if_number() const { return std::get_if<Number>(&data_); }
  const std::string* if_string() const { return std::get_if<std::string>(&data_); }
  const Array* if_array() const { return std::get_if<Array>(&data_); }
  const Object* if_object() const { return std::get_if<Object>(&data_); }
  std::string* if_string() { return std::get_if<std::string>(&data_); }
  Array* if_array() { return std::get_if<Array>(&data_); }
  Object* if_object() { return std::get_if<Object>(&data_); }

  // Make it that type if it is not, then give it.
  Object& make_object();
  Array& make_array();

  // The member along a path of keys; null when any step is missing or not an object.
  const Value* at_path(std::initializer_list<std::string_view> path) const;
  // The string there, or "" (also when it is of another type).
  std::string_view string_at(std::initializer_list<std::string_view> path) const;
  std::optional<std::int64_t> int_at(std::initializer_list<std::string_view> path) const;

 private:
  std::variant<std::monostate, bool, Number, std::string, Array, Object> data_;
};

// Finds members by key, also many of them in a large object, which it must not outlive and which must stay as it is.
// By sorting, not by hashing: keys with one hash are easily made.
class Finder {
 public:
  static constexpr std::size_t kSmall = 32;  // up to here linear search does
  explicit Finder(const Object& object);
  const Object::Entry* find(std::string_view wanted) const;  // null when it is not there

 private:
  static std::string_view key(const Object::Entry* entry) { return entry->first; }
  const Object& object_;
  std::vector<const Object::Entry*> entries_;
};

// Deep; objects without regard to key order; integers by value at any size, other numbers as doubles; 1 != true.
bool equal(const Value& a, const Value& b);
inline bool operator==(const Value& a, const Value& b) { return equal(a, b); }
bool equal(const Object& a, const Object& b);
inline bool operator==(const Object& a, const Object& b) { return equal(a, b); }
bool same_number(const Number& a, const Number& b);

// What Python reads (its own limit is a little below 1000) with what lists and events add. Whatever goes through a
// value recursively does so on the stack, of which programs have 8 MiB. The deepest document takes 0.6 MiB of it, 2.6
// under AddressSanitizer; tests named Depth give it half at the most.
inline constexpr std::size_t kMaxDepth = 1024;
// Characters of a number without its sign. Python's integers print and read no more digits: longer ones would stop
// every Python client.
inline constexpr std::size_t kMaxNumberSize = 4300;
enum class Numbers { finite, any };  // `finite`: the words NaN, Infinity and -Infinity are no JSON
// Code::unsupported_media with position and cause when `text` is not one JSON value.
Result<Value> parse(std::string_view text, std::size_t max_depth = kMaxDepth, Numbers numbers = Numbers::any);

void print_to(const Value& value, std::string& out);
std::string print(const Value& value);
// Two-space indent, keys sorted, non-ASCII escaped: what `krakectl -o json` shows.
std::string print_pretty(const Value& value);
// With quotes; half a surrogate pair becomes its escape, what else is no UTF-8 becomes U+FFFD.
void print_string_to(std::string_view text, std::string& out);
// `text` for those who can do with UTF-8 only: half a surrogate pair as \uXXXX, what else is none as U+FFFD.
std::string to_utf8(std::string_view text);
std::string print_double(double d);  // Python's repr: 1.0, 0.1, 1e+30
bool valid_utf8(std::string_view text);

// RFC 7386.
void merge_patch(Value& target, const Value& patch);

}  // namespace krake::json
