// A kind: everything the rest of Krake needs to know of one type of resource, in one value. Routes, storage keys,
// watches, informers, RBAC names, CLI verbs and tables iterate the Registry; nothing outside api/ names a kind.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "meta/codec.h"
#include "meta/object.h"

namespace krake {

struct Kind;

// One resource of any kind. The concrete struct is behind as<T>().
class Object {
 public:
  virtual ~Object() = default;
  virtual const Kind& kind() const = 0;
  virtual ObjectMeta& meta() = 0;
  const ObjectMeta& meta() const { return const_cast<Object*>(this)->meta(); }
  virtual std::unique_ptr<Object> clone() const = 0;
  // The stored form. No resource_version in it.
  virtual void encode(std::string& out) const = 0;
  virtual bool equals(const Object& other) const = 0;
  virtual std::string_view changed_immutable(const Object& stored) const = 0;
  virtual void keep_stored(const Object& stored) = 0;
  // For kinds with a status; no-ops otherwise.
  virtual void reset_status() = 0;
  virtual std::string_view changed_immutable_status(const Object& stored) const = 0;
  // `whole`: what is absent from the body is to go, additive fields too (a patched document).
  virtual void take_status(const Object& body, bool whole = false) = 0;
  // The status alone, as a document that has nothing else: "{}" without one. read_status() is as decoding a whole body
  // is, and leaves the object half changed when it answers false.
  virtual void encode_status(std::string& out) const = 0;
  virtual bool read_status(const json::Value& document, FieldErrors& errors) = 0;
  // As read_status() of the encoded status merged with `change` (RFC 7396), at the cost of what `change` names.
  virtual bool merge_status(const json::Object& change, FieldErrors& errors) = 0;

  template <class T>
  T& as();
  template <class T>
  const T& as() const {
    return const_cast<Object*>(this)->as<T>();
  }
};

// What a sub-resource write does to the object. The server loads, authorises, commits and answers.
struct SubresourceCall {
  const json::Value* body = nullptr;  // null when the subresource takes none
  DateTime now;
  bool spend_token = false;  // a token that was accepted is good for nothing more
};
struct Subresource {
  std::string_view name;      // last path segment
  std::string_view resource;  // RBAC resource, "applications/binding"
  bool has_body = true;
  bool load_first = false;  // the object is looked up before the body is read
  // Checks the body alone; errors become a 422. May be null when has_body is false, as schema.
  bool (*validate)(const json::Value& body, FieldErrors& errors) = nullptr;
  // What was read of a body that validate() has passed, written again, for ?strict=true; null: anything may be in it.
  void (*rewrite)(const json::Value& body, std::string& out) = nullptr;
  // Changes the object, or refuses with the code and message of the problem.
  Status (*apply)(Object& object, const SubresourceCall& call) = nullptr;
  json::Object (*schema)(schema::Components& components) = nullptr;  // of the body: schema::request<T>
  // The kinds a reference in the body may be to; empty: there is none, or nobody looks.
  std::vector<std::string_view> target_kinds = {};
};

struct Kind {
  std::string_view group;   // "kubernetes"
  std::string_view name;    // "Application"
  std::string_view plural;  // "applications"
  bool namespaced = true;
  bool has_status = false;
  bool force_delete = false;  // knows ?force=True and ?blocking=
  bool leased = false;        // lives on a store lease: written by acquire and release only (api/core/lease.h)
  bool unchanged_update_is_ok = false;  // PUT of an equal body: 200 instead of 400
  std::vector<Subresource> subresources;
  void (*on_delete)(Object& object) = nullptr;  // at the first DELETE
  // status.state as it is written, "RUNNING", for ?blocking=, which takes it in lower case; null when the kind has
  // none.
  std::string (*state)(const Object& object) = nullptr;
  std::vector<std::string_view> states;  // which there are
  // The newest server-made time outside the metadata, e.g. of a binding; null when the kind has none.
  std::optional<DateTime> (*newest_time)(const Object& object) = nullptr;

  // Masks what is marked as secret in the JSON of an object, so that it stays one; null when the kind has no secrets.
  void (*mask)(json::Value& document) = nullptr;
  // What is accepted and yet looks like a mistake, a sentence each; may be null.
  void (*advise)(const Object& object, std::vector<std::string>& advice) = nullptr;

  std::unique_ptr<Object> (*decode)(const Kind& kind, const json::Value& in, Form form, FieldErrors& errors) = nullptr;
  json::Object (*schema)(schema::Components& components, schema::Use use) = nullptr;  // a reference

  // "/kubernetes/applications/": every key of this kind starts so.
  std::string storage_prefix() const;
  std::string storage_key(std::string_view ns, std::string_view name) const;
  // The parts of a key of this kind; false when the key is not one (api-contract 8.2).
  bool split_key(std::string_view key, std::string& ns, std::string& name) const;
  // "/kubernetes/namespaces/demo/applications", or over all namespaces when `ns` is empty.
  std::string collection_path(std::string_view ns) const;
  std::string item_path(std::string_view ns, std::string_view name) const;
  ResourceRef ref(const ObjectMeta& meta) const;
};

// "Application 'web' in namespace 'demo'"
std::string describe(const Kind& kind, const ObjectMeta& meta);

template <class T>
class ObjectOf final : public Object {
 public:
  explicit ObjectOf(const Kind& kind) : kind_(kind) {}
  ObjectOf(const Kind& kind, T v) : value(std::move(v)), kind_(kind) {}
  T value{};

  const Kind& kind() const override { return kind_; }
  ObjectMeta& meta() override { return value.metadata; }
  std::unique_ptr<Object> clone() const override { return std::make_unique<ObjectOf>(kind_, value); }
  void encode(std::string& out) const override { codec::encode(value, out); }
  bool equals(const Object& other) const override { return value == other.as<T>(); }
  std::string_view changed_immutable(const Object& stored) const override {
    return krake::changed_immutable(value, stored.as<T>());
  }
  void keep_stored(const Object& stored) override { krake::keep_stored(value, stored.as<T>()); }
  void reset_status() override {
    if constexpr (requires { value.status; }) value.status = {};
  }
  std::string_view changed_immutable_status(const Object& stored) const override {
    if constexpr (requires { value.status; }) return krake::changed_immutable(value.status, stored.as<T>().status);
    return {};
  }
  void take_status(const Object& body, bool whole) override {
    if constexpr (requires { value.status; }) {
      auto status = body.as<T>().status;
      if (!whole) keep_additive(status, value.status);
      keep_unknown(status, value.status);
      value.status = std::move(status);
    }
  }
  void encode_status(std::string& out) const override {
    out += '{';
    if constexpr (requires { value.status; }) {
      out += R"("status":)";
      codec::encode(value.status, out);
    }
    out += '}';
  }
  bool read_status(const json::Value& document, FieldErrors& errors) override {
    if constexpr (requires { value.status; }) {
      const auto stored = std::exchange(value.status, {});
      const auto* object = document.if_object();
      const auto* status = object ? object->find("status") : nullptr;
      FieldErrors inner;
      if (!status && (codec::marks_of<T>("status") & kRequired)) inner.add("Missing data for required field.");
      const bool good = status ? codec::decode_present(*status, value.status, inner, Form::full) : inner.empty();
      if (!good) return errors.at("status") = std::move(inner), false;
      keep_unknown(value.status, stored);
    }
    return true;
  }
  bool merge_status(const json::Object& change, FieldErrors& errors) override {
    if constexpr (requires { value.status; }) {
      using Status = decltype(value.status);
      const auto named = [&](std::string_view name) {
        return change.contains(name) || (codec::marks_of<Status>(name) & kRequired) != 0;
      };
      std::string present;
      codec::Codec<Status>::encode_some(value.status, present, named);
      auto document = json::parse(present, json::kMaxDepth, json::Numbers::any).value_or(json::Value());
      json::merge_patch(document, change);
      const Status stored = value.status;
      Status fresh;
      codec::for_each_member<Status>([&](std::string_view name, auto pointer) {
        if (named(name)) value.status.*pointer = std::move(fresh.*pointer);
      });
      FieldErrors inner;
      if (!codec::decode_present(document, value.status, inner, Form::full))
        return errors.at("status") = std::move(inner), false;
      keep_unknown(value.status, stored);
    }
    return true;
  }

 private:
  const Kind& kind_;
};

template <class T>
T& Object::as() {
  auto* object = dynamic_cast<ObjectOf<T>*>(this);
  if (!object) throw std::bad_cast();
  return object->value;
}

// What a resource struct must look like to become a kind.
template <class T>
concept Resource = codec::Described<T> && codec::HasKind<T> && requires(T t) {
  { t.metadata } -> std::same_as<ObjectMeta&>;
  { T::kPlural } -> std::convertible_to<std::string_view>;
  { T::kNamespaced } -> std::convertible_to<bool>;
};

// The part of a Kind that follows from the struct. Group files add subresources and hooks.
template <Resource T>
Kind make_kind() {
  Kind kind;
  kind.group = T::kApi;
  kind.name = T::kKindName;
  kind.plural = T::kPlural;
  kind.namespaced = T::kNamespaced;
  kind.has_status = requires(T t) { t.status; };
  kind.decode = [](const Kind& k, const json::Value& in, Form form, FieldErrors& errors) -> std::unique_ptr<Object> {
    auto object = std::make_unique<ObjectOf<T>>(k);
    if (!codec::decode(in, object->value, errors, form)) return nullptr;
    return object;
  };
  kind.schema = schema::of<T>;
  if constexpr (codec::has_secrets<T>()) {
    kind.mask = [](json::Value& document) { codec::mask<T>(document, codec::redact_member); };
  }
  if constexpr (requires(const T& t, std::vector<std::string>& advice) { T::advise(t, advice); }) {
    kind.advise = [](const Object& object, std::vector<std::string>& advice) { T::advise(object.as<T>(), advice); };
  }
  if constexpr (requires(T t) { t.status.state; }) {
    kind.state = [](const Object& object) { return std::string(enum_name(object.as<T>().status.state)); };
    kind.states = enum_names<decltype(T{}.status.state)>();
  }
  return kind;
}

// As KRAKE_DECLARE_CODEC: the code of a kind, which is most of what a file that uses one would otherwise be compiled
// for.
#define KRAKE_DECLARE_KIND(T)        \
  KRAKE_DECLARE_CODEC(T)             \
  extern template class ObjectOf<T>; \
  extern template Kind make_kind<T>();
#define KRAKE_DEFINE_KIND(T)  \
  KRAKE_DEFINE_CODEC(T)       \
  template class ObjectOf<T>; \
  template Kind make_kind<T>();

// All kinds of a program, in the order they were added. Built once in main (or a test), then immutable and shared.
class Registry {
 public:
  // Kinds keep their address. CHECKs that names are not taken.
  const Kind& add(Kind kind);
  const Kind* find(std::string_view group, std::string_view plural) const;
  const Kind* find_by_kind(std::string_view group, std::string_view name) const;
  template <Resource T>
  const Kind& of() const {
    return get(T::kApi, T::kKindName);
  }
  const Kind& get(std::string_view group, std::string_view name) const;  // CHECKs that it exists
  const std::vector<std::unique_ptr<const Kind>>& kinds() const { return kinds_; }

 private:
  std::vector<std::unique_ptr<const Kind>> kinds_;
};

}  // namespace krake
