// For tests: a transport whose streams come line by line and break where they are told to: a server that dies, a proxy
// that gives up. Thread: the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http.h"

namespace krake::testing {

class BreakingTransport final : public Transport {
 public:
  // Asked with each line that tells of an object: true breaks the stream behind it.
  using Breaks = std::function<bool(std::string_view line)>;

  explicit BreakingTransport(std::shared_ptr<Transport> inner) : inner_(std::move(inner)) {}
  void set_breaks(Breaks breaks) { *breaks_ = std::move(breaks); }
  Awaitable<Status> connect(Duration limit) override { return inner_->connect(limit); }
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    return inner_->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    return opened(inner_, breaks_, std::move(request), options);
  }

 private:
  static Awaitable<Result<HttpStream>> opened(std::shared_ptr<Transport> inner, std::shared_ptr<Breaks> breaks,
                                              HttpRequest request, CallOptions options) {
    auto stream = co_await inner->open(std::move(request), options);
    if (stream) stream->body = std::make_unique<Lines>(std::move(stream->body), std::move(breaks));
    co_return stream;
  }

  class Lines final : public ByteStream {
   public:
    Lines(std::unique_ptr<ByteStream> body, std::shared_ptr<Breaks> breaks)
        : body_(std::move(body)), breaks_(std::move(breaks)) {}
    Awaitable<Result<std::string>> read() override {
      for (;;) {
        if (broken_) co_return fail(Code::unavailable, "connection reset");
        if (const auto end = buffer_.find('\n'); end != std::string::npos) {
          std::string line = buffer_.substr(0, end + 1);
          buffer_.erase(0, end + 1);
          const bool tells = line.find(R"("metadata")") != std::string::npos;
          broken_ = tells && *breaks_ && (*breaks_)(line);
          co_return line;
        }
        auto piece = co_await body_->read();
        if (!piece || piece->empty()) co_return piece;
        buffer_ += *piece;
      }
    }

   private:
    std::unique_ptr<ByteStream> body_;
    std::shared_ptr<Breaks> breaks_;
    std::string buffer_;
    bool broken_ = false;
  };

  std::shared_ptr<Transport> inner_;
  std::shared_ptr<Breaks> breaks_ = std::make_shared<Breaks>();
};

}  // namespace krake::testing
