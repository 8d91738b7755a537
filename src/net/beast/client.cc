#include "net/beast/client.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "net/beast/pool.h"
#include "net/limits.h"

namespace krake {

namespace asio = boost::asio;
using Ec = boost::system::error_code;
using Lease = ConnectionPool::Lease;
using PoolPtr = std::shared_ptr<ConnectionPool>;

namespace {

constexpr std::size_t kReadSize = 16384;

// Changes nothing, however often it is carried out.
bool is_safe(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

bool breaks_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// What must not reach the wire: it would change where the request begins or ends.
Status check(const HttpRequest& request) {
  const auto bad = [](std::string_view what) {
    return fail(Code::invalid_argument, fmt::format("the request has {}", what));
  };
  if (!is_token(request.method)) return bad("no valid method");
  if (!request.target.starts_with('/')) return bad("a target that does not begin with /");
  if (std::ranges::any_of(request.target, [](unsigned char c) { return c <= ' ' || c == 0x7f; })) {
    return bad("a blank or control character in its target");
  }
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name) || breaks_line(value))
      return bad(fmt::format("an invalid header '{}'", is_token(name) ? name : "?"));
  }
  return {};
}

std::string compose(const HttpRequest& request, const Url& url) {
  auto text = fmt::format("{} {}{} HTTP/1.1\r\n", request.method, url.prefix, request.target);
  if (!request.headers.get("Host")) text += fmt::format("Host: {}\r\n", url.host_header());
  for (const auto& [name, value] : request.headers) {
    if (iequals(name, "Content-Length") || iequals(name, "Transfer-Encoding") || iequals(name, "Connection")) continue;
    text += fmt::format("{}: {}\r\n", name, value);
  }
  const bool takes_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (takes_body || !request.body.empty()) text += fmt::format("Content-Length: {}\r\n", request.body.size());
  text += "\r\n";
  return text;
}

std::string not_http(const std::string& problem, std::string_view bytes) {
  const bool looks_like_tls = bytes.size() > 1 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 3;
  return fmt::format("the answer is not HTTP{}{}{}", problem.empty() ? "" : ": ", problem,
                     looks_like_tls ? " (the server speaks TLS: use https)" : "");
}

// As far as the first bytes tell.
bool may_be_http(std::string_view bytes) {
  constexpr std::string_view kStart = "HTTP/";
  return bytes.starts_with(kStart.substr(0, bytes.size()));
}

// An exchange under way on one connection, up to the body of the answer.
struct Exchange {
  Exchange(PoolPtr p, Lease l, HttpRequest& r) : pool(std::move(p)), lease(std::move(l)), request(r) {}
  PoolPtr pool;
  Lease lease;
  HttpRequest& request;
  bool sent_all = false;
  bool received_any = false;

  Awaitable<Status> send_request();
  Awaitable<Status> receive_head();
  Awaitable<Status> receive_more();
};

Awaitable<Status> Exchange::send_request() {
  const auto head = compose(request, pool->url());
  std::array<asio::const_buffer, 2> buffers{asio::buffer(head), asio::buffer(request.body)};
  std::size_t next = request.body.empty() && head.empty() ? 2 : 0;
  while (next < buffers.size()) {
    Ec ec;
    auto rest = Socket::Buffers(buffers).subspan(next);
    if (rest.front().size() == 0) {
      ++next;
      continue;
    }
    auto sent = lease->socket->try_write(rest, ec);
    if (ec) sent = co_await lease->socket->write_some(rest, ec);
    if (ec) {
      co_await throw_if_cancelled();
      co_return fail(pool->error(Code::unavailable, fmt::format("the request could not be sent: {}", ec.message())));
    }
    while (next < buffers.size() && sent >= buffers[next].size()) sent -= buffers[next++].size();
    if (next < buffers.size()) buffers[next] += sent;
  }
  sent_all = true;
  co_return Status();
}

// False in the value: the peer ended in an orderly way.
Awaitable<Result<bool>> read_some(PoolPtr pool, ClientConnection* connection) {
  Ec ec;
  const auto room = connection->input.prepare(kReadSize);
  const auto n = co_await connection->socket->read_some(room, ec);
  connection->input.commit(n);
  if (n > 0) co_return true;
  if (ec == asio::error::eof) co_return false;
  co_await throw_if_cancelled();
  co_return fail(pool->error(Code::unavailable, fmt::format("the connection broke: {}", ec.message())));
}

Awaitable<Status> Exchange::receive_more() {
  ASSIGN_OR_CO_RETURN(const bool more, co_await read_some(pool, &*lease));
  if (!more) {
    co_return fail(pool->error(Code::unavailable, received_any
                                                      ? "the connection was closed within the header of the answer"
                                                      : "the connection was closed without an answer"));
  }
  received_any = true;
  co_return Status();
}

Awaitable<Status> Exchange::receive_head() {
  auto& c = *lease;
  const bool bodiless = request.method == "HEAD";
  c.parser.reset(bodiless);
  std::string nothing;
  while (true) {
    if (c.input.empty()) {
      CO_RETURN_IF_ERROR(co_await receive_more());
    }
    auto rest = c.input.bytes();
    if (!c.parser.started() && !may_be_http(rest)) {
      co_return fail(pool->error(Code::unavailable, not_http({}, rest)));
    }
    const auto state = c.parser.push(rest, nothing);
    c.input.keep(rest);
    if (state == ParseState::malformed || state == ParseState::header_too_large) {
      co_return fail(pool->error(Code::unavailable, not_http(c.parser.problem(), {})));
    }
    if (state == ParseState::need_more) {
      CO_RETURN_IF_ERROR(co_await receive_more());
      continue;
    }
    const int status = c.parser.head().status;
    if (status >= 200 || status == 101) co_return Status();
    c.parser.reset(bodiless);  // 1xx: the real answer follows
  }
}

// The next piece of the body; empty at the end. Hands a connection that can be used again back to the pool.
Awaitable<Result<std::string>> next_piece(PoolPtr pool, std::optional<Lease>* lease, bool reusable) {
  std::string piece;
  while (*lease) {
    auto& c = ***lease;
    bool done = c.parser.done();
    if (!done && !c.input.empty()) {
      auto rest = c.input.bytes();
      const auto before = rest.size();
      const auto state = c.parser.push(rest, piece);
      c.input.keep(rest);
      if (state == ParseState::malformed || state == ParseState::header_too_large) {
        co_return fail(
            pool->error(Code::unavailable, fmt::format("the body of the answer is malformed: {}", c.parser.problem())));
      }
      done = state == ParseState::done;
      if (!done && piece.empty() && rest.size() < before && !rest.empty()) continue;
      if (!done && rest.size() > 4 * kReadSize)
        co_return fail(pool->error(Code::unavailable, "the body of the answer is malformed"));
    }
    if (done) {
      // A CONNECT or a switch of protocols is never asked for, so nothing may follow the answer.
      if (reusable && c.parser.head().keep_alive && c.input.empty()) (*lease)->hand_back();
      lease->reset();
    }
    if (!piece.empty() || done) co_return piece;
    ASSIGN_OR_CO_RETURN(const bool more, co_await read_some(pool, &c));
    if (more) continue;
    if (!c.parser.push_end())
      co_return fail(pool->error(Code::unavailable, "the connection was closed within the body of the answer"));
    lease->reset();
  }
  co_return piece;
}

class BeastStream final : public ByteStream {
 public:
  BeastStream(PoolPtr pool, Lease lease, bool reusable)
      : pool_(std::move(pool)), lease_(std::move(lease)), reusable_(reusable) {}
  Awaitable<Result<std::string>> read() override {
    if (failed_) co_return fail(*failed_);
    auto piece = co_await next_piece(pool_, &lease_, reusable_);
    if (!piece) {
      failed_ = piece.error();
      lease_.reset();
    }
    co_return piece;
  }

 private:
  PoolPtr pool_;
  std::optional<Lease> lease_;
  bool reusable_;
  std::optional<Error> failed_;
};

// Ends the exchange by closing its connection when the time is up.
class Deadline {
 public:
  Deadline(PoolPtr pool, Duration limit, std::string what)
      : pool_(std::move(pool)), limit_(limit), what_(std::move(what)), when_(pool_->clock().now() + limit) {}
  Mono when() const { return when_; }
  void guard(std::shared_ptr<ClientConnection> connection) {
    timer_ = pool_->clock().at(when_, [passed = passed_, connection = std::move(connection)] {
      *passed = true;
      connection->socket->close();
    });
  }
  void release() { timer_.reset(); }
  Error explain(Error error) const {
    if (!*passed_) return error;
    return pool_->error(Code::timeout,
                        fmt::format("no answer to {} within {} ms", what_,
                                    std::chrono::duration_cast<std::chrono::milliseconds>(limit_).count()));
  }

 private:
  PoolPtr pool_;
  Duration limit_;
  std::string what_;
  Mono when_;
  std::shared_ptr<bool> passed_ = std::make_shared<bool>(false);
  TimerHandle timer_;
};

struct Started {
  Lease lease;
  bool reusable;
};

// Sends the request and receives the head of the answer, once more when a kept connection turned out to be dead.
Awaitable<Result<Started>> start(PoolPtr pool, HttpRequest* request, Deadline* deadline, bool own_connection) {
  using Wanted = ConnectionPool::Wanted;
  for (Wanted wanted = own_connection ? Wanted::extra : Wanted::idle;; wanted = Wanted::fresh) {
    ASSIGN_OR_CO_RETURN(auto lease, co_await pool->lease(wanted, deadline->when()));
    const bool kept = lease->used_before;
    deadline->guard(lease.shared());
    Exchange exchange(pool, std::move(lease), *request);
    const auto sent = co_await exchange.send_request();
    // A server may answer before it has read everything, and close: look for that answer.
    const auto received = co_await exchange.receive_head();
    if (received) co_return Started{std::move(exchange.lease), exchange.sent_all};
    deadline->release();
    auto error = deadline->explain(sent ? received.error() : sent.error());
    const bool stale = kept && !exchange.received_any && error.code != Code::timeout;
    if (!stale || !(request->repeatable || is_safe(request->method))) co_return fail(std::move(error));
  }
}

class BeastTransport final : public Transport {
 public:
  explicit BeastTransport(PoolPtr pool) : pool_(std::move(pool)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    return send_on(pool_, std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    return open_on(pool_, std::move(request), options);
  }
  Awaitable<Status> connect(Duration limit) override { return connect_on(pool_, limit); }

 private:
  static std::string name_of(const HttpRequest& request) {
    return fmt::format("{} {}", request.method, request.target.substr(0, request.target.find('?')));
  }

  static Awaitable<Result<HttpResponse>> send_on(PoolPtr pool, HttpRequest request, CallOptions options) {
    CO_RETURN_IF_ERROR(check(request));
    Deadline deadline(pool, options.timeout, name_of(request));
    ASSIGN_OR_CO_RETURN(auto started, co_await start(pool, &request, &deadline, options.own_connection));
    auto& head = started.lease->parser.head();
    HttpResponse response{
        .status = head.status, .headers = std::move(head.headers), .body = {}, .reason = std::move(head.reason)};
    if (head.content_length && request.method != "HEAD") {
      if (*head.content_length > options.body_limit)
        co_return fail(pool->error(Code::too_large, response_too_large(options.body_limit).message));
      response.body.reserve(std::min<std::size_t>(*head.content_length, std::size_t{1} << 24));
    }
    std::optional<Lease> lease(std::move(started.lease));
    while (true) {
      auto piece = co_await next_piece(pool, &lease, started.reusable);
      if (!piece) co_return fail(deadline.explain(std::move(piece).error()));
      if (piece->empty()) break;
      if (response.body.size() + piece->size() > options.body_limit) {
        co_return fail(pool->error(Code::too_large, response_too_large(options.body_limit).message));
      }
      response.body += *piece;
    }
    co_return response;
  }

  static Awaitable<Status> connect_on(PoolPtr pool, Duration limit) {
    if (pool->busy()) co_return Status{};  // it works so well that one has to wait
    ASSIGN_OR_CO_RETURN(auto lease, co_await pool->lease(ConnectionPool::Wanted::idle, pool->clock().now() + limit));
    lease.hand_back();
    co_return Status{};
  }

  static Awaitable<Result<HttpStream>> open_on(PoolPtr pool, HttpRequest request, CallOptions options) {
    CO_RETURN_IF_ERROR(check(request));
    Deadline deadline(pool, options.timeout, name_of(request));
    ASSIGN_OR_CO_RETURN(auto started, co_await start(pool, &request, &deadline, options.own_connection));
    deadline.release();
    auto& head = started.lease->parser.head();
    HttpStream stream{.status = head.status, .headers = std::move(head.headers), .body = {}};
    stream.body = std::make_unique<BeastStream>(pool, std::move(started.lease), started.reusable);
    co_return stream;
  }

  PoolPtr pool_;
};

}  // namespace

BeastDialer::BeastDialer(asio::any_io_executor executor, Clock& clock, DialerOptions options)
    : executor_(std::move(executor)), clock_(clock), options_(options) {}

Result<std::shared_ptr<ssl_ctx_st>> BeastDialer::tls_for(const Endpoint& endpoint) {
  std::erase_if(contexts_, [](const auto& entry) { return entry.second.expired(); });
  const auto key = sha256_hex(fmt::format(
      "{} {} {} {}\n{}{}{}", endpoint.ca_pem.size(), endpoint.client_cert_pem.size(), endpoint.client_key_pem.size(),
      endpoint.insecure_skip_verify, endpoint.ca_pem, endpoint.client_cert_pem, endpoint.client_key_pem));
  if (const auto found = contexts_.find(key); found != contexts_.end()) return found->second.lock();
  ASSIGN_OR_RETURN(auto context, make_client_tls(endpoint.ca_pem, endpoint.client_cert_pem, endpoint.client_key_pem,
                                                 endpoint.insecure_skip_verify));
  contexts_[key] = context;
  return context;
}

Result<std::shared_ptr<Transport>> BeastDialer::dial(const Endpoint& endpoint) {
  ASSIGN_OR_RETURN(auto url, parse_url(endpoint.url));
  TlsContext tls;
  if (url.tls) {
    auto made = tls_for(endpoint);
    if (!made) return fail(with_context(std::move(made).error(), url.host_port()));
    tls = std::move(*made);
  }
  auto name = endpoint.server_name.empty() ? url.host : endpoint.server_name;
  auto pool =
      std::make_shared<ConnectionPool>(executor_, clock_, options_, std::move(url), std::move(name), std::move(tls));
  return std::make_shared<BeastTransport>(std::move(pool));
}

}  // namespace krake
