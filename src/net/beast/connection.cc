#include "net/beast/connection.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "net/limits.h"

namespace krake {

namespace asio = boost::asio;
using Ec = Socket::Ec;

namespace {

constexpr std::size_t kReadSize = 4096;
constexpr std::size_t kBodyReadSize = 16384;
constexpr std::size_t kWatchReadSize = 512;  // while a handler works: hardly anything comes
constexpr std::size_t kReadAhead = 65536;    // what is buffered without being asked for
constexpr std::size_t kDrain = 65536;        // of a body nobody read, to keep the connection
constexpr std::size_t kLinger = std::size_t{16} << 20;
constexpr std::size_t kCoalesce = 4096;  // bodies up to here are copied behind the header
constexpr int kTurns = 16;

bool is_framing_header(std::string_view name) {
  switch (name.size()) {
    case 10:
      return iequals(name, "Connection");
    case 14:
      return iequals(name, "Content-Length");
    case 17:
      return iequals(name, "Transfer-Encoding");
    default:
      return false;
  }
}

// A line break in a value would start a new header.
void append_clean(std::string& out, std::string_view text) {
  const auto at = out.size();
  out += text;
  for (auto i = at; i < out.size(); ++i) {
    if (out[i] == '\r' || out[i] == '\n' || out[i] == '\0') out[i] = ' ';
  }
}

ServerReply plain_text(int status, std::string text) {
  ServerReply reply{.status = status};
  reply.headers.add("Content-Type", "text/plain; charset=utf-8");
  reply.body.push_back(share_bytes(std::move(text)));
  return reply;
}

// Closes at the end of serve(), also when it is left by cancellation: a pump that still reads ends with it.
struct CloseAtEnd {
  explicit CloseAtEnd(Socket& s) : socket(s) {}
  CloseAtEnd(const CloseAtEnd&) = delete;
  ~CloseAtEnd() { socket.close(); }
  Socket& socket;
};

}  // namespace

// The body of the present request, pulled by the handler.
class Connection::Body final : public RequestBody {
 public:
  explicit Body(Connection& connection) : c_(connection) {
    const auto& head = c_.parser_.head();
    expected_ = head.content_length;
    asked_to_continue_ = head.expect_continue && head.http11;
  }

  Awaitable<Result<std::string>> read(std::size_t limit) override {
    if (failed_) co_return fail(*failed_);
    auto result = co_await read_all(limit);
    if (!result) failed_ = result.error();
    co_return result;
  }
  // The peer waits for a "100 Continue" that it never got: whether it sends the body is up to it.
  bool in_doubt() const { return asked_to_continue_ && !c_.parser_.done() && c_.input_.empty(); }

 private:
  Awaitable<Result<std::string>> read_all(std::size_t limit) {
    if (expected_ && *expected_ > limit) co_return fail(request_too_large(limit, *expected_));
    CO_RETURN_IF_ERROR(co_await say_continue());
    std::string body;
    if (expected_) body.reserve(std::min<std::size_t>(*expected_, std::size_t{1} << 20));
    const auto deadline = c_.context_.clock.now() + c_.context_.options.body_timeout;
    while (!c_.parser_.done()) {
      if (!c_.input_.empty()) {
        auto rest = c_.input_.bytes();
        const auto before = rest.size();
        const auto state = c_.parser_.push(rest, body);
        c_.input_.keep(rest);
        if (state == ParseState::malformed || state == ParseState::header_too_large) {
          c_.broken_ = true;
          co_return fail(Code::invalid_argument,
                         fmt::format("the request body is malformed: {}", c_.parser_.problem()));
        }
        if (body.size() > limit) co_return fail(request_too_large(limit, body.size()));
        if (state == ParseState::done) break;
        if (rest.size() < before && !rest.empty()) continue;
        if (rest.size() >= kReadAhead) {
          c_.broken_ = true;
          co_return fail(Code::invalid_argument, "the request body is malformed: a chunk header without end");
        }
      }
      CO_RETURN_IF_ERROR(co_await wait_for_input(deadline));
    }
    co_return body;
  }

  Awaitable<Status> say_continue() {
    if (!in_doubt()) co_return Status();
    asked_to_continue_ = false;
    c_.head_ = "HTTP/1.1 100 Continue\r\n\r\n";
    c_.output_.assign(1, asio::buffer(c_.head_));
    c_.output_next_ = 0;
    const auto phase = c_.phase_;
    const bool written = c_.write_now() || co_await c_.write_rest();
    c_.enter(phase);
    if (!written) co_return fail(Code::unavailable, "the sender of the request body went away");
    co_return Status();
  }

  // Read beside us, so that running out of time here leaves the connection able to carry the answer.
  Awaitable<Status> wait_for_input(Mono deadline) {
    const auto before = c_.input_.size();
    c_.body_reader_waits_ = true;
    c_.start_pump();
    bool in_time = true;
    while (in_time && c_.input_.size() == before && !c_.input_ended_) {
      in_time = co_await c_.input_changed_.wait_until(c_.context_.clock, deadline);
      in_time = in_time || c_.context_.clock.now() < deadline;
    }
    c_.body_reader_waits_ = false;
    if (c_.input_.size() != before) co_return Status();
    c_.broken_ = true;
    if (c_.input_ended_) co_return fail(Code::invalid_argument, "the sender of the request body broke off");
    co_return fail(Code::timeout, "the sender of the request body is too slow");
  }

  Connection& c_;
  std::optional<std::uint64_t> expected_;
  bool asked_to_continue_ = false;
  std::optional<Error> failed_;
};

Connection::Connection(std::shared_ptr<ServerContext> context, std::unique_ptr<Socket> socket)
    : shared_(std::move(context)),
      context_(*shared_),
      socket_(std::move(socket)),
      tasks_(context_.executor),
      parser_(MessageParser::Kind::request, ParserLimits{.line = context_.options.max_line,
                                                         .header = context_.options.max_header,
                                                         .fields = context_.options.max_header_fields}),
      input_changed_(context_.executor),
      phase_since_(context_.clock.now()) {
  peer_.address = socket_->peer_address();
}

Awaitable<void> Connection::run() {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  tasks_.spawn("http connection", serve(shared_from_this()));
  co_await tasks_.join();
}

void Connection::enter(Phase phase, Duration limit) {
  phase_ = phase;
  phase_since_ = context_.clock.now();
  deadline_ = phase_since_ + limit;
}

void Connection::tick(Mono now) {
  if (now >= deadline_) {
    socket_->close();
  } else if (phase_ == Phase::handling && now - phase_since_ > std::chrono::milliseconds(200)) {
    start_pump();  // a handler that takes its time must learn that its caller left
  }
}

void Connection::stop() {
  switch (phase_) {
    case Phase::handshake:
    case Phase::idle:
    case Phase::reading:
      socket_->close();
      break;
    case Phase::streaming:
      tasks_.cancel();
      break;
    case Phase::handling:
    case Phase::writing:
      break;  // keeps nothing alive afterwards: context_.stopping or retired_ is set
  }
}

void Connection::keep_trusted(ssl_ctx_st* context) {
  if (phase_ != Phase::handshake && socket_->peer_verifies(context)) return;
  retired_ = true;
  stop();
}

Awaitable<void> Connection::serve(std::shared_ptr<Connection> self) { co_await self->serve_requests(); }

Awaitable<void> Connection::serve_requests() {
  const CloseAtEnd closer(*socket_);
  if (!co_await handshake()) co_return;
  enter(Phase::idle, context_.options.header_timeout);
  while (co_await read_head() && co_await answer() && !context_.stopping && !retired_) {
    pump_wanted_ = false;
    input_.shrink(2 * kBodyReadSize);
    parser_.reset();
    enter(Phase::idle, context_.options.idle_timeout);
    // A peer that sends faster than we answer must not keep the loop for itself.
    if (++turns_ % kTurns == 0) co_await yield();
  }
}

Awaitable<bool> Connection::handshake() {
  if (!socket_->secure()) co_return true;
  enter(Phase::handshake, context_.options.handshake_timeout);
  Ec ec;
  co_await socket_->handshake(ec);
  if (ec) {
    const auto problem = socket_->verify_problem();
    context_.log.debug("TLS handshake failed",
                       {{"peer", peer_.address}, {"problem", problem.empty() ? ec.message() : problem}});
    co_return false;
  }
  peer_.common_name = socket_->peer_common_name();
  peer_.until = socket_->peer_expiry();
  co_return true;
}

// False when the connection is over, whatever the reason.
Awaitable<bool> Connection::read_head() {
  while (true) {
    if (!input_.empty()) {
      auto rest = input_.bytes();
      const auto state = parser_.push(rest, ignored_);
      input_.keep(rest);
      // Empty lines alone begin no request.
      const bool begun = state != ParseState::need_more || parser_.started() || !input_.empty();
      if (phase_ == Phase::idle && begun) enter(Phase::reading, context_.options.header_timeout);
      if (state == ParseState::head || state == ParseState::done) co_return true;
      if (state != ParseState::need_more) co_return co_await refuse(state);
      if (input_.size() > context_.options.max_header) co_return co_await refuse(ParseState::header_too_large);
    }
    if (!co_await fill()) co_return false;
  }
}

Awaitable<bool> Connection::refuse(ParseState state) {
  const int status = state == ParseState::header_too_large ? 431 : 400;
  auto reply = plain_text(status, fmt::format("{}: {}\n\n{}\n", status, status_phrase(status), parser_.problem()));
  ServerRequest request{.method = "GET"};
  if (co_await write_reply(request, reply, false)) co_await linger();
  co_return false;
}

// One request whose head was read. True when another may follow.
Awaitable<bool> Connection::answer() {
  auto& head = parser_.head();
  Body body(*this);
  ServerRequest request{.method = std::move(head.method),
                        .target = std::move(head.target),
                        .headers = std::move(head.headers),
                        .peer = peer_,
                        .body = &body};
  enter(Phase::handling, Duration::zero());
  deadline_ = Mono::max();
  auto reply = co_await call_handler(request);
  const bool keep_alive = may_keep_alive(body);
  if (!co_await write_reply(request, reply, keep_alive)) co_return false;
  if (keep_alive) co_return co_await drain();
  if (!parser_.done() || !input_.empty()) {
    co_await linger();
  } else {
    enter(Phase::reading, context_.options.linger_timeout);
    Ec ec;
    if (!pump_runs_) co_await socket_->finish(ec);
  }
  co_return false;
}

Awaitable<ServerReply> Connection::call_handler(ServerRequest& request) {
  std::string problem;
  try {
    co_return co_await context_.handler(request);
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) throw;
    problem = e.what();
  } catch (const std::exception& e) {
    problem = e.what();
  }
  context_.log.error("a request handler threw",
                     {{"method", request.method},
                      {"path", std::string_view(request.target).substr(0, request.target.find('?'))},
                      {"problem", problem}});
  co_return plain_text(500, "500: Internal Server Error\n");
}

bool Connection::may_keep_alive(const Body& body) const {
  if (broken_ || retired_ || input_ended_ || context_.stopping || body.in_doubt()) return false;
  const auto& head = parser_.head();
  if (!head.keep_alive) return false;
  // Not worth receiving the rest of a large body only to keep the connection.
  return parser_.done() || !head.content_length || *head.content_length <= kDrain;
}

std::string_view ServerContext::date_line() {
  const auto second = std::chrono::floor<std::chrono::seconds>(clock.wall()).time_since_epoch().count();
  if (second != date_second) {
    date_second = second;
    date = fmt::format("Date: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", fmt::gmtime(static_cast<std::time_t>(second)));
  }
  return date;
}

void Connection::compose_head(const ServerRequest& request, const ServerReply& reply, bool keep_alive) {
  const bool http11 = !parser_.head_done() || parser_.head().http11;
  const auto reason = reply.reason.empty() ? status_phrase(reply.status) : std::string_view(reply.reason);
  head_.clear();
  fmt::format_to(std::back_inserter(head_), "HTTP/1.1 {} ", reply.status);
  append_clean(head_, reason);
  head_ += "\r\n";
  head_ += context_.date_line();
  for (const auto& [name, value] : reply.headers) {
    if (is_framing_header(name)) continue;
    append_clean(head_, name);
    head_ += ": ";
    append_clean(head_, value);
    head_ += "\r\n";
  }
  if (reply.source) {
    if (http11) head_ += "Transfer-Encoding: chunked\r\n";
  } else if (reply.status != 204 && reply.status != 304) {
    std::size_t size = 0;
    for (const auto& piece : reply.body) size += piece->size();
    fmt::format_to(std::back_inserter(head_), "Content-Length: {}\r\n", size);
  }
  if (!keep_alive || (reply.source && !http11 && request.method != "HEAD")) {
    head_ += "Connection: close\r\n";
  } else if (!http11) {
    head_ += "Connection: keep-alive\r\n";
  }
  head_ += "\r\n";
}

// False when the connection is of no more use.
Awaitable<bool> Connection::write_reply(ServerRequest& request, ServerReply& reply, bool keep_alive) {
  compose_head(request, reply, keep_alive);
  output_.clear();
  output_next_ = 0;
  const bool bodiless = request.method == "HEAD" || reply.status == 204 || reply.status == 304;
  if (!bodiless && !reply.source) {
    std::size_t size = 0;
    for (const auto& piece : reply.body) size += piece->size();
    if (size <= kCoalesce) {
      for (const auto& piece : reply.body) head_ += *piece;
      output_.push_back(asio::buffer(head_));
    } else {
      output_.push_back(asio::buffer(head_));
      for (const auto& piece : reply.body) output_.push_back(asio::buffer(*piece));
    }
  } else {
    output_.push_back(asio::buffer(head_));
  }
  if (!write_now() && !co_await write_rest()) co_return false;
  if (bodiless || !reply.source) co_return true;
  const bool http11 = parser_.head().http11;
  if (!co_await write_stream(reply, http11)) co_return false;
  co_return http11;  // to an HTTP/1.0 peer the end of the connection is the end of the body
}

Awaitable<bool> Connection::write_stream(ServerReply& reply, bool chunked) {
  static constexpr std::string_view kEnd = "\r\n";
  static constexpr std::string_view kLastChunk = "0\r\n\r\n";
  std::vector<SharedBytes> batch;
  for (bool more = true; more;) {
    batch.clear();
    enter(Phase::streaming);
    start_pump();
    auto next = co_await reply.source->next(batch);
    if (!next || retired_) {
      socket_->reset();
      co_return false;
    }
    more = *next;
    std::size_t size = 0;
    for (const auto& piece : batch) size += piece->size();
    output_.clear();
    output_next_ = 0;
    if (size > 0) {
      chunk_head_.clear();
      if (chunked) fmt::format_to(std::back_inserter(chunk_head_), "{:x}\r\n", size);
      output_.push_back(asio::buffer(chunk_head_));
      for (const auto& piece : batch) output_.push_back(asio::buffer(*piece));
      if (chunked) output_.push_back(asio::buffer(kEnd));
    }
    if (!more && chunked) output_.push_back(asio::buffer(kLastChunk));
    if (!output_.empty() && !write_now() && !co_await write_rest()) co_return false;
    if (++turns_ % kTurns == 0) co_await yield();
  }
  // Before the next request is looked at: whatever the source holds is of no use any more.
  reply.source.reset();
  co_return true;
}

// Sends what goes without waiting. True when that was all.
bool Connection::write_now() {
  Ec ec;
  while (output_next_ < output_.size()) {
    auto rest = Socket::Buffers(output_).subspan(output_next_);
    auto sent = socket_->try_write(rest, ec);
    if (ec) return false;  // would_block, or an error that write_rest meets again
    while (output_next_ < output_.size() && sent >= output_[output_next_].size())
      sent -= output_[output_next_++].size();
    if (output_next_ < output_.size()) output_[output_next_] += sent;
  }
  return true;
}

Awaitable<bool> Connection::write_rest() {
  const auto phase = phase_;
  while (output_next_ < output_.size()) {
    // The time is for standing still; it starts anew with every byte that is taken.
    enter(phase == Phase::streaming ? phase : Phase::writing, context_.options.write_timeout);
    Ec ec;
    auto sent = co_await socket_->write_some(Socket::Buffers(output_).subspan(output_next_), ec);
    if (ec) co_return false;
    while (output_next_ < output_.size() && sent >= output_[output_next_].size())
      sent -= output_[output_next_++].size();
    if (output_next_ < output_.size()) output_[output_next_] += sent;
  }
  deadline_ = Mono::max();
  co_return true;
}

// More input, read by us or by the pump that is still at it. False: none will come.
Awaitable<bool> Connection::fill() {
  if (pump_runs_) {
    const auto before = input_.size();
    while (pump_runs_ && input_.size() == before) co_await input_changed_.wait();
    if (input_.size() != before) co_return true;
  }
  if (input_ended_) co_return false;
  Ec ec;
  const auto room = input_.prepare(kReadSize);
  const auto n = co_await socket_->read_some(room, ec);
  input_.commit(n);
  if (ec) input_ended_ = true;
  co_return n > 0;
}

void Connection::start_pump() {
  pump_wanted_ = true;
  if (pump_runs_ || input_ended_ || input_.size() >= kReadAhead) return;
  pump_runs_ = true;
  tasks_.spawn("http read-ahead", pump(shared_from_this()));
}

Awaitable<void> Connection::pump(std::shared_ptr<Connection> self) { co_await self->read_ahead(); }

// Reads beside a handler: for the body it waits for, and to notice that the peer went away.
Awaitable<void> Connection::read_ahead() {
  std::string bytes;
  struct Done {
    Connection& c;
    ~Done() {
      c.pump_runs_ = false;
      c.input_changed_.notify_all();
    }
  } done{*this};
  while (pump_wanted_ && input_.size() < kReadAhead) {
    bytes.resize(body_reader_waits_ ? kBodyReadSize : kWatchReadSize);
    Ec ec;
    const auto n = co_await socket_->read_some(asio::buffer(bytes), ec);
    input_.append(std::string_view(bytes).substr(0, n));
    if (ec) {
      input_ended_ = true;
      const bool at_work = phase_ == Phase::handling || phase_ == Phase::streaming;
      if (at_work && !body_reader_waits_) tasks_.cancel();
      break;
    }
    input_changed_.notify_all();
  }
  // Nobody reads on while an answer streams, perhaps for ever; and without reading nobody sees the peer go.
  if (input_.size() >= kReadAhead && phase_ == Phase::streaming) {
    broken_ = true;
    tasks_.cancel();
  }
}

// The rest of a body the handler left, up to a limit.
Awaitable<bool> Connection::drain() {
  if (parser_.done()) co_return true;
  pump_wanted_ = false;
  enter(Phase::reading, context_.options.header_timeout);
  std::size_t seen = 0;
  while (seen <= kDrain) {
    if (!input_.empty()) {
      auto rest = input_.bytes();
      const auto before = rest.size();
      ignored_.clear();
      const auto state = parser_.push(rest, ignored_);
      seen += before - rest.size();
      input_.keep(rest);
      if (state == ParseState::done) co_return true;
      if (state != ParseState::need_more) co_return false;
      if (rest.size() < before && !rest.empty()) continue;
    }
    if (input_.size() > kDrain || !co_await fill()) co_return false;
  }
  co_await linger();
  co_return false;
}

// The peer still sends: closing at once could destroy the answer on its way to it.
Awaitable<void> Connection::linger() {
  pump_wanted_ = false;
  enter(Phase::reading, context_.options.linger_timeout);
  Ec ec;
  if (!socket_->secure()) co_await socket_->finish(ec);
  for (std::size_t seen = 0; seen < kLinger;) {
    seen += input_.size();
    input_.clear();
    if (!co_await fill()) co_return;
  }
}

}  // namespace krake
