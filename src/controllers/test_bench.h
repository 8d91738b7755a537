// For tests of controllers: the real API server under simulated time, a line to it that can be cut or lose watch
// events, and a count of what is written.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "client/client.h"
#include "server/testing.h"

namespace krake::testing {

// Single quotes stand for double quotes.
inline json::Value json_of(std::string_view text) {
  std::string copy(text);
  std::ranges::replace(copy, '\'', '"');
  auto value = json::parse(copy);
  if (!value) throw std::runtime_error(value.error().message + ": " + copy);
  return std::move(*value);
}

inline constexpr std::string_view kManifest = "[{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x'}}]";
inline std::string kubeconfig_for(const std::string& url) {
  return "{'apiVersion':'v1','kind':'Config','clusters':[{'name':'k','cluster':{'server':'" + url +
         "'}}],'users':[{'name':'u','user':{'token':'t'}}],'contexts':[{'name':'x','context':{'cluster':'k','user':'u'}"
         "}],"
         "'current-context':'x'}";
}

struct LineFaults {
  bool cut = false;        // nothing gets through
  double lose_events = 0;  // probability that a piece of a watch is lost
  std::function<void(const HttpRequest&)> before_write;
  Clock* clock = nullptr;
  std::string slow;  // calls whose target ends with this take `delay`; empty: none
  Duration delay{};
};

class FaultyStream final : public ByteStream {
 public:
  FaultyStream(std::unique_ptr<ByteStream> inner, const LineFaults& faults, Random& random)
      : inner_(std::move(inner)), faults_(faults), random_(random) {}
  Awaitable<Result<std::string>> read() override {
    for (;;) {
      auto piece = co_await inner_->read();
      if (faults_.cut) co_return fail(Code::unavailable, "the line was cut");
      if (piece && !piece->empty() && random_.chance(faults_.lose_events)) continue;
      co_return std::move(piece);
    }
  }

 private:
  std::unique_ptr<ByteStream> inner_;
  const LineFaults& faults_;
  Random& random_;
};

class FaultyTransport final : public Transport {
 public:
  FaultyTransport(std::shared_ptr<Transport> inner, const LineFaults& faults)
      : inner_(std::move(inner)), faults_(faults) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    if (faults_.cut) co_return fail(Code::unavailable, "the line is cut");
    if (request.method != "GET" && faults_.before_write) faults_.before_write(request);
    if (!faults_.slow.empty() && request.target.ends_with(faults_.slow))
      co_await sleep_for(*faults_.clock, faults_.delay);
    co_return co_await inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    if (faults_.cut) co_return fail(Code::unavailable, "the line is cut");
    auto stream = co_await inner_->open(std::move(request), options);
    if (stream && stream->body)
      stream->body = std::make_unique<FaultyStream>(std::move(stream->body), faults_, random_);
    co_return std::move(stream);
  }

 private:
  std::shared_ptr<Transport> inner_;
  const LineFaults& faults_;
  Random random_{7};
};

struct ControllerBench {
  // `controller`: whose role it runs under.
  explicit ControllerBench(std::string_view controller, const Registry& registry = krake_registry())
      : api(TestServer::under_shipped_roles(), registry),
        transport(std::make_shared<FaultyTransport>(api.as(fmt::format("system:{}", controller)), line)) {
    line.clock = &api.world.clock;
  }

  TestServer api;
  LineFaults line;
  std::shared_ptr<Transport> transport;
  Client client{transport};  // of the controllers
  Client user{api.transport};

  template <class T>
  T run(Awaitable<T> task) {
    return api.world.run(std::move(task));
  }
  template <class T>
  Versioned<T> make(const std::string& ns, const std::string& body) {
    auto object = decode_json<T>(json_of(body), Form::create);
    if (!object) throw std::runtime_error(object.error().message + ": " + body);
    auto made = run(user.create<T>(ns, std::move(*object)));
    if (!made) throw std::runtime_error(made.error().message);
    return std::move(*made);
  }
  template <class T>
  std::optional<T> get(const ObjectKey& key) {
    auto read = run(user.get<T>(key));
    if (!read) return std::nullopt;
    return std::move(read->object);
  }
  template <class T>
  T patch(const ObjectKey& key, const std::string& body) {
    auto done = run(user.patch<T>(key, json_of(body)));
    if (!done) throw std::runtime_error(done.error().message);
    return std::move(done->object);
  }
  template <class T>
  T patch_status(const ObjectKey& key, const std::string& status) {
    auto done = run(user.patch_status<T>(key, json_of(status)));
    if (!done) throw std::runtime_error(done.error().message);
    return std::move(done->object);
  }
  template <class T>
  void remove(const ObjectKey& key) {
    auto done = run(user.remove<T>(key));
    if (!done) throw std::runtime_error(done.error().message);
  }
  bool wait(const std::function<bool()>& done, Duration limit = std::chrono::minutes(3)) {
    return api.world.run_until(done, limit);
  }
  void pass(Duration time) {
    api.world.run_until([] { return false; }, time);
  }
  std::int64_t revision() { return static_cast<std::int64_t>(*api.world.run(api.store->current())); }
  void expect_silence(Duration time = std::chrono::minutes(20)) {
    const auto before = revision();
    pass(time);
    EXPECT_EQ(revision(), before) << "something is still being written";
  }
};

}  // namespace krake::testing
