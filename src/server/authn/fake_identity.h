// For tests: identity services without a socket, and a dialer that reaches them by their addresses. Thread: the loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/async.h"
#include "net/dial.h"
#include "net/inproc/inproc.h"

namespace krake::testing {

class FakeIdentity {
 public:
  struct Asked {
    std::string method;
    std::string target;
    Headers headers;
    std::string body;
  };
  explicit FakeIdentity(Clock& clock) : clock_(clock) {}

  std::function<ServerReply(const Asked&)> answer = [](const Asked&) { return ServerReply{.status = 404}; };
  Duration delay{};
  std::vector<Asked> asked;

  Awaitable<ServerReply> handle(ServerRequest& request) {
    Asked now{.method = request.method, .target = request.target, .headers = request.headers, .body = {}};
    auto body = co_await request.body->read(1'048'576);
    now.body = body.value_or("");
    asked.push_back(now);
    if (delay > Duration::zero()) co_await sleep_for(clock_, delay);
    co_return answer(now);
  }

  static ServerReply reply(int status, std::string body, std::string reason = "") {
    ServerReply reply{.status = status};
    reply.reason = std::move(reason);
    reply.body.push_back(share_bytes(std::move(body)));
    return reply;
  }

 private:
  Clock& clock_;
};

class FakeDialer final : public Dialer {
 public:
  explicit FakeDialer(Clock& clock) : clock_(clock) {}
  FakeIdentity& at(const std::string& url) {
    auto& service = services_[url];
    if (!service) service = std::make_unique<FakeIdentity>(clock_);
    return *service;
  }
  std::vector<Endpoint> dialed;

  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override {
    dialed.push_back(endpoint);
    auto* service = &at(endpoint.url);
    return make_inproc_transport([service](ServerRequest& request) { return service->handle(request); }, Peer{},
                                 clock_);
  }

 private:
  Clock& clock_;
  std::map<std::string, std::unique_ptr<FakeIdentity>> services_;
};

}  // namespace krake::testing
