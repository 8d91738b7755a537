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

  static Object of(std::vector<Entry> entries);  // their keys differ

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

// What is moved from is null.
class Value {
 public:
  Value() noexcept {}  // null
  Value(std::nullptr_t) noexcept {}
  Value(bool b) noexcept : bool_(b), type_(Type::boolean) {}
  Value(std::int64_t n);
  Value(int n) : Value(static_cast<std::int64_t>(n)) {}
  Value(double d);  // shortest round trip form, always with fraction or exponent (as Python prints it)
  Value(Number n) noexcept : number_(std::move(n)), type_(Type::number) {}
  Value(std::string s) noexcept : string_(std::move(s)), type_(Type::string) {}
  Value(std::string_view s) : Value(std::string(s)) {}
  Value(const char* s) : Value(std::string(s)) {}
  Value(Array a) noexcept;
  Value(Object o) noexcept;
  Value(const Value& other);
  Value(Value&& other) noexcept { take(other); }
  Value& operator=(const Value& other) { return *this = Value(other); }
  // The other may be a part of this one.
  Value& operator=(Value&& other) noexcept {
    if (type_ <= Type::boolean) {
      take(other);
      return *this;
    }
    Value taken(std::move(other));
    destroy();
    take(taken);
    return *this;
  }
  ~Value() {
    if (type_ > Type::boolean) destroy();
  }

  bool is_null() const { return type_ == Type::null; }
  bool is_bool() const { return type_ == Type::boolean; }
  bool is_number() const { return type_ == Type::number; }
  bool is_string() const { return type_ == Type::string; }
  bool is_array() const { return type_ == Type::array; }
  bool is_object() const { return type_ == Type::object; }

  // Null when the value is of another type.
  const bool* if_bool() const { return is_bool() ? &bool_ : nullptr; }
  const Number* if_number() const { return is_number() ? &number_ : nullptr; }
  const std::string* if_string() const { return is_string() ? &string_ : nullptr; }
  const Array* if_array() const { return is_array() ? &array_ : nullptr; }
  const Object* if_object() const { return is_object() ? &object_ : nullptr; }
  std::string* if_string() { return is_string() ? &string_ : nullptr; }
  Array* if_array() { return is_array() ? &array_ : nullptr; }
  Object* if_object() { return is_object() ? &object_ : nullptr; }

  // Make it that type if it is not, then give it.
  Object& make_object();
  Array& make_array();

  // The member along a path of keys; null when any step is missing or not an object.
  const Value* at_path(std::initializer_list<std::string_view> path) const;
  // The string there, or "" (also when it is of another type).
  std::string_view string_at(std::initializer_list<std::string_view> path) const;
  std::optional<std::int64_t> int_at(std::initializer_list<std::string_view> path) const;

 private:
  enum class Type : std::uint8_t { null, boolean, number, string, array, object };
  void take(Value& other) noexcept;  // this holds nothing
  void destroy() noexcept;

  // By hand, as std::variant reaches its members through tables of functions, which nothing can be inlined into: most
  // of the work on documents is to move and to destroy these.
  union {
    bool bool_;
    Number number_;
    std::string string_;
    Array array_;
    Object object_;
  };
  Type type_ = Type::null;
};

inline Object::Object() = default;
inline Object::Object(Object&&) noexcept = default;
inline Object& Object::operator=(Object&&) noexcept = default;

inline Value::Value(Array a) noexcept : array_(std::move(a)), type_(Type::array) {}
inline Value::Value(Object o) noexcept : object_(std::move(o)), type_(Type::object) {}

inline void Value::take(Value& other) noexcept {
  type_ = std::exchange(other.type_, Type::null);
  // What is moved from needs no destructor: it owns nothing any more.
  switch (type_) {
    case Type::null:
      return;
    case Type::boolean:
      bool_ = other.bool_;
      return;
    case Type::number:
      std::construct_at(&number_, std::move(other.number_));
      return;
    case Type::string:
      std::construct_at(&string_, std::move(other.string_));
      return;
    case Type::array:
      std::construct_at(&array_, std::move(other.array_));
      return;
    case Type::object:
      std::construct_at(&object_, std::move(other.object_));
      return;
  }
}

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
