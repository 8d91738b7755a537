#include "net/inproc/inproc.h"

#include "net/limits.h"

namespace krake {

namespace {

class WholeBody final : public RequestBody {
 public:
  explicit WholeBody(std::string bytes) : bytes_(std::move(bytes)) {}
  Awaitable<Result<std::string>> read(std::size_t limit) override {
    if (bytes_.size() > limit) co_return fail(request_too_large(limit, bytes_.size()));
    co_return std::exchange(bytes_, {});
  }

 private:
  std::string bytes_;
};

// One exchange: what the handler sees, and its answer. Lives as long as the answer is being read.
struct Exchange {
  Exchange(std::shared_ptr<const Handler> h, HttpRequest sent, Peer peer)
      : handler(std::move(h)), body(std::move(sent.body)) {
    request.method = std::move(sent.method);
    request.target = std::move(sent.target);
    request.headers = std::move(sent.headers);
    request.peer = std::move(peer);
    request.body = &body;
  }
  std::shared_ptr<const Handler> handler;
  WholeBody body;
  ServerRequest request;
  ServerReply reply;
  std::size_t next_piece = 0;  // of reply.body
};
using ExchangePtr = std::shared_ptr<Exchange>;

Awaitable<Result<void>> call_handler(ExchangePtr exchange) {
  try {
    exchange->reply = co_await (*exchange->handler)(exchange->request);
  } catch (const boost::system::system_error& e) {
    if (e.code() == boost::asio::error::operation_aborted) throw;
    exchange->reply = ServerReply{.status = 500};
  } catch (const std::exception&) {
    exchange->reply = ServerReply{.status = 500};
  }
  // As on the wire: these answers have no body, whatever the handler says.
  const int status = exchange->reply.status;
  if (exchange->request.method == "HEAD" || status == 204 || status == 304) {
    exchange->reply.body.clear();
    exchange->reply.source.reset();
  }
  co_return Result<void>();
}

Error cut(const Error& cause) {
  return Error{Code::unavailable, fmt::format("the server broke off its answer: {}", cause.message)};
}

// Pulls until there is something; empty at the end.
Awaitable<Result<std::string>> next_bytes(ExchangePtr exchange, std::vector<SharedBytes>* batch) {
  auto& reply = exchange->reply;
  std::string bytes;
  while (!reply.source && reply.body.size() > exchange->next_piece && bytes.empty()) {
    bytes = *reply.body[exchange->next_piece++];
  }
  while (reply.source && bytes.empty()) {
    batch->clear();
    auto more = co_await reply.source->next(*batch);
    if (!more) {
      reply.source.reset();
      co_return fail(cut(more.error()));
    }
    for (const auto& piece : *batch) bytes += *piece;
    batch->clear();
    if (!*more) reply.source.reset();
  }
  co_return bytes;
}

Awaitable<Result<HttpResponse>> run_exchange(ExchangePtr exchange, std::size_t limit) {
  CO_RETURN_IF_ERROR(co_await call_handler(exchange));
  HttpResponse response{.status = exchange->reply.status,
                        .headers = std::move(exchange->reply.headers),
                        .body = {},
                        .reason = std::move(exchange->reply.reason)};
  if (response.reason.empty()) response.reason = status_phrase(response.status);
  std::vector<SharedBytes> batch;
  while (true) {
    ASSIGN_OR_CO_RETURN(std::string bytes, co_await next_bytes(exchange, &batch));
    if (bytes.empty()) break;
    if (response.body.size() + bytes.size() > limit) co_return fail(response_too_large(limit));
    response.body += bytes;
  }
  co_return response;
}

class InprocStream final : public ByteStream {
 public:
  explicit InprocStream(ExchangePtr exchange) : exchange_(std::move(exchange)) {}
  Awaitable<Result<std::string>> read() override {
    if (failed_) co_return fail(*failed_);
    auto bytes = co_await next_bytes(exchange_, &batch_);
    if (!bytes) failed_ = bytes.error();
    co_return bytes;
  }

 private:
  ExchangePtr exchange_;
  std::vector<SharedBytes> batch_;
  std::optional<Error> failed_;
};

std::string sentence(const HttpRequest& request) { return fmt::format("{} {}", request.method, request.target); }

}  // namespace

InprocTransport::InprocTransport(Handler handler, Peer peer, Clock& clock)
    : handler_(std::make_shared<const Handler>(std::move(handler))), peer_(std::move(peer)), clock_(clock) {}

Awaitable<Result<HttpResponse>> InprocTransport::send(HttpRequest request, CallOptions options) {
  auto what = sentence(request);
  auto exchange = std::make_shared<Exchange>(handler_, std::move(request), peer_);
  return with_timeout(clock_, options.timeout, std::move(what), run_exchange(std::move(exchange), options.body_limit));
}

Awaitable<Result<HttpStream>> InprocTransport::open(HttpRequest request, CallOptions options) {
  auto what = sentence(request);
  auto& clock = clock_;
  auto exchange = std::make_shared<Exchange>(handler_, std::move(request), peer_);
  CO_RETURN_IF_ERROR(co_await with_timeout(clock, options.timeout, std::move(what), call_handler(exchange)));
  HttpStream stream{.status = exchange->reply.status, .headers = std::move(exchange->reply.headers), .body = {}};
  stream.body = std::make_unique<InprocStream>(std::move(exchange));
  co_return stream;
}

std::shared_ptr<Transport> make_inproc_transport(Handler handler, Peer peer, Clock& clock) {
  return std::make_shared<InprocTransport>(std::move(handler), std::move(peer), clock);
}

}  // namespace krake
