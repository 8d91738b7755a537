// The typed client of the Krake API: what controllers and krakectl use, over any Transport. Knows nothing of servers.
// Errors: the code of the HTTP status with the problem's title and detail as message; unavailable and timeout from the
// transport. Thread: the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "meta/kind.h"
#include "net/http.h"

namespace krake {

// An object with the revision it was read at; 0 when the server does not tell (upstream's).
template <class T>
struct Versioned {
  T object;
  std::int64_t revision = 0;
};

struct ObjectKey {
  std::string ns;  // empty for kinds without namespace
  std::string name;
  friend bool operator==(const ObjectKey&, const ObjectKey&) = default;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};
std::string to_string(const ObjectKey& key);  // "demo/web"
ObjectKey key_of(const ObjectMeta& meta);
ObjectKey key_of(const ResourceRef& ref);

struct ClientOptions {
  std::string token;  // sent as Authorization: Bearer
  std::string user_agent = "krake";
  Duration timeout = std::chrono::seconds(30);
  // "NAME/EPOCH" of the leadership this client writes under; empty: none. Asked at each write.
  std::function<std::string()> leader;
  // Called when the server has refused a write because that leadership is over.
  std::function<void()> on_leadership_lost;
};

// What a write demands of the stored object: its revision, when not 0.
struct Precondition {
  std::int64_t revision = 0;
};

class Client {
 public:
  explicit Client(std::shared_ptr<Transport> transport, ClientOptions options = {})
      : transport_(std::move(transport)), options_(std::move(options)) {}

  // The untyped core; `body` null: none. Any status below 400 is a success.
  Awaitable<Result<HttpResponse>> call(std::string method, std::string target,
                                       std::optional<json::Value> body = std::nullopt, Precondition precondition = {});
  Awaitable<Result<json::Value>> call_json(std::string method, std::string target,
                                           std::optional<json::Value> body = std::nullopt,
                                           Precondition precondition = {});
  // `clock` bounds the wait for what an error has to say.
  Awaitable<Result<HttpStream>> open_watch(std::string target, Clock& clock);

  template <Resource T>
  Awaitable<Result<Versioned<T>>> get(ObjectKey key) {
    co_return typed<T>(co_await call_json("GET", item<T>(key)));
  }
  template <Resource T>
  Awaitable<Result<Versioned<T>>> create(std::string ns, T object) {
    co_return typed<T>(co_await call_json("POST", collection<T>(ns), to_value(object)));
  }
  // PUT of the whole object.
  template <Resource T>
  Awaitable<Result<Versioned<T>>> update(T object, Precondition precondition = {}) {
    co_return typed<T>(co_await call_json("PUT", item<T>(key_of(object.metadata)), to_value(object), precondition));
  }
  // JSON merge patch of the object (spec and metadata).
  template <Resource T>
  Awaitable<Result<Versioned<T>>> patch(ObjectKey key, json::Value patch, Precondition precondition = {}) {
    co_return typed<T>(co_await call_json("PATCH", item<T>(key), std::move(patch), precondition));
  }
  // `status`: the merge patch of the status alone.
  template <Resource T>
  Awaitable<Result<Versioned<T>>> patch_status(ObjectKey key, json::Value status, Precondition precondition = {}) {
    json::Object body{{"status", std::move(status)}};
    co_return typed<T>(co_await call_json("PATCH", item<T>(key) + "/status", std::move(body), precondition));
  }
  template <Resource T>
  Awaitable<Result<Versioned<T>>> put_subresource(ObjectKey key, std::string name, json::Value body,
                                                  Precondition precondition = {}) {
    co_return typed<T>(co_await call_json("PUT", item<T>(key) + "/" + name, std::move(body), precondition));
  }
  template <Resource T>
  Awaitable<Result<Versioned<T>>> remove(ObjectKey key, Precondition precondition = {}) {
    co_return typed<T>(co_await call_json("DELETE", item<T>(key), std::nullopt, precondition));
  }

  template <Resource T>
  static std::string item(const ObjectKey& key) {
    return kind_of<T>().item_path(key.ns, key.name);
  }
  template <Resource T>
  static std::string collection(const std::string& ns) {
    return kind_of<T>().collection_path(ns);
  }
  template <Resource T>
  static const Kind& kind_of() {
    static const Kind kind = make_kind<T>();
    return kind;
  }

 private:
  template <Resource T>
  static Result<Versioned<T>> typed(Result<json::Value> answer) {
    if (!answer) return fail(std::move(answer).error());
    return decode_versioned<T>(*answer);
  }
  Headers headers(const std::string& method, Precondition precondition) const;

 public:
  template <Resource T>
  static Result<Versioned<T>> decode_versioned(const json::Value& value) {
    auto object = decode_json<T>(value, Form::stored);
    if (!object) return fail(with_context(std::move(object).error(), fmt::format("{} from the server", T::kKindName)));
    const auto text = value.string_at({"metadata", "resource_version"});
    std::int64_t revision = 0;
    std::from_chars(text.data(), text.data() + text.size(), revision);
    return Versioned<T>{std::move(*object), revision};
  }

 private:
  std::shared_ptr<Transport> transport_;
  ClientOptions options_;
};

}  // namespace krake
