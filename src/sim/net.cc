#include "sim/net.h"

#include "net/url.h"

namespace krake::sim {

void Trace::add(std::string line) {
  line =
      fmt::format("{:>12} {}",
                  std::chrono::duration_cast<std::chrono::microseconds>(clock_.now().time_since_epoch()).count(), line);
  hash_ = hash_ * 0x100000001b3 ^ stable_hash(line);
  ++count_;
  if (sink_) *sink_ += line + "\n";
  tail_.push_back(std::move(line));
  if (tail_.size() > 200) tail_.pop_front();
}

namespace {

// Where the task inside the target process leaves its answer.
template <class T>
struct Mailbox {
  explicit Mailbox(const boost::asio::any_io_executor& executor) : changed(executor) {}
  std::optional<Result<T>> answer;
  Notifier changed;
};

// Tells the waiting caller when the task ends without an answer: the process died under it.
template <class T>
struct LastWill {
  explicit LastWill(std::shared_ptr<Mailbox<T>> b) : box(std::move(b)) {}
  LastWill(LastWill&&) = default;  // only the last holder speaks
  LastWill& operator=(LastWill&&) = delete;
  std::shared_ptr<Mailbox<T>> box;
  ~LastWill() {
    if (!box) return;
    if (!box->answer) box->answer = fail(Code::unavailable, "the connection was cut");
    box->changed.notify_all();
  }
};

struct Pipe {
  explicit Pipe(const boost::asio::any_io_executor& executor) : changed(executor) {}
  std::deque<std::string> pieces;
  std::optional<Error> error;
  bool ended = false;
  bool reader_gone = false;
  Notifier changed;
};

struct PipeEnd {
  explicit PipeEnd(std::shared_ptr<Pipe> p) : pipe(std::move(p)) {}
  PipeEnd(PipeEnd&&) = default;
  PipeEnd& operator=(PipeEnd&&) = delete;
  std::shared_ptr<Pipe> pipe;
  ~PipeEnd() {
    if (!pipe) return;
    if (!pipe->ended && !pipe->error) pipe->error = Error{Code::unavailable, "the connection was cut"};
    pipe->changed.notify_all();
  }
};

class PipeStream final : public ByteStream {
 public:
  explicit PipeStream(std::shared_ptr<Pipe> pipe) : pipe_(std::move(pipe)) {}
  ~PipeStream() override {
    pipe_->reader_gone = true;
    pipe_->changed.notify_all();
  }
  Awaitable<Result<std::string>> read() override {
    const auto pipe = pipe_;
    while (pipe->pieces.empty() && !pipe->error && !pipe->ended) co_await pipe->changed.wait();
    if (!pipe->pieces.empty()) {
      std::string all;
      for (auto& piece : pipe->pieces) all += piece;
      pipe->pieces.clear();
      pipe->changed.notify_all();
      co_return all;
    }
    if (pipe->error) co_return fail(*pipe->error);
    co_return std::string();
  }

 private:
  std::shared_ptr<Pipe> pipe_;
};

Awaitable<void> carry_out(std::shared_ptr<Transport> inner, HttpRequest request, CallOptions options,
                          LastWill<HttpResponse> will) {
  const auto box = will.box;
  auto answer = co_await inner->send(std::move(request), options);
  box->answer = std::move(answer);
}

struct Opened {
  int status;
  Headers headers;
};

}  // namespace

class SimTransport final : public Transport {
 public:
  SimTransport(Network& network, std::string from, std::string to, Peer peer)
      : network_(network), from_(std::move(from)), to_(std::move(to)), peer_(std::move(peer)) {}

  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    const std::string what = fmt::format("{}>{} {} {}", from_, to_, request.method, request.target);
    CO_RETURN_IF_ERROR(co_await arrive(what));
    const auto host = network_.hosts_.at(to_);
    auto box = std::make_shared<Mailbox<HttpResponse>>(network_.env_.executor);
    host->tasks.spawn(what, carry_out(make_inproc_transport(host->handler, peer_, network_.env_.clock),
                                      std::move(request), options, LastWill<HttpResponse>{box}));
    const Mono deadline = network_.env_.clock.now() + options.timeout;
    while (!box->answer && network_.env_.clock.now() < deadline)
      co_await box->changed.wait_until(network_.env_.clock, deadline);
    if (!box->answer) co_return fail(Code::timeout, what + ": no answer");
    auto answer = std::move(*box->answer);
    network_.trace_.add(
        fmt::format("{} -> {}", what, answer ? std::to_string(answer->status) : answer.error().message));
    if (network_.random_.chance(network_.faults.lose_answer))
      co_return fail(Code::timeout, what + ": the answer was lost");
    co_await late();
    co_return answer;
  }

  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    const std::string what = fmt::format("{}>{} stream {}", from_, to_, request.target);
    CO_RETURN_IF_ERROR(co_await arrive(what));
    const auto host = network_.hosts_.at(to_);
    auto box = std::make_shared<Mailbox<Opened>>(network_.env_.executor);
    auto pipe = std::make_shared<Pipe>(network_.env_.executor);
    host->tasks.spawn(what, pump(network_, from_, to_, make_inproc_transport(host->handler, peer_, network_.env_.clock),
                                 std::move(request), options, LastWill<Opened>{box}, PipeEnd{pipe}));
    const Mono deadline = network_.env_.clock.now() + options.timeout;
    while (!box->answer && network_.env_.clock.now() < deadline)
      co_await box->changed.wait_until(network_.env_.clock, deadline);
    if (!box->answer) co_return fail(Code::timeout, what + ": no answer");
    if (!*box->answer) co_return fail(box->answer->error());
    network_.trace_.add(fmt::format("{} -> {}", what, (**box->answer).status));
    co_return HttpStream{.status = (**box->answer).status,
                         .headers = (**box->answer).headers,
                         .body = std::make_unique<PipeStream>(pipe)};
  }

 private:
  Awaitable<Status> arrive(std::string what) {
    ++network_.messages_;
    co_await late();
    if (!network_.reachable(from_, to_)) {
      network_.trace_.add(what + " unreachable");
      co_return fail(Code::unavailable, what + ": connection refused");
    }
    if (network_.random_.chance(network_.faults.lose)) {
      network_.trace_.add(what + " lost");
      co_return fail(Code::unavailable, what + ": the connection broke");
    }
    co_return Status{};
  }
  Awaitable<void> late() {
    if (!network_.random_.chance(network_.faults.delay)) co_return;
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(network_.faults.max_delay).count();
    co_await sleep_for(network_.env_.clock,
                       std::chrono::microseconds(network_.random_.below(static_cast<std::uint64_t>(us) + 1)));
  }

  // Lives in the target process: moves pieces until one side is gone.
  static Awaitable<void> pump(Network& network, std::string from, std::string to, std::shared_ptr<Transport> inner,
                              HttpRequest request, CallOptions options, LastWill<Opened> will, PipeEnd end) {
    const auto box = will.box;
    const auto pipe = end.pipe;
    auto stream = co_await inner->open(std::move(request), options);
    if (!stream) {
      box->answer = fail(stream.error());
      co_return;
    }
    box->answer = Opened{stream->status, stream->headers};
    box->changed.notify_all();
    while (!pipe->reader_gone) {
      auto piece = co_await next_piece(*stream->body, *pipe, network.env_.clock);
      if (pipe->reader_gone) co_return;
      if (!piece) co_return;  // cut
      if (piece->empty()) {
        pipe->ended = true;
        co_return;
      }
      ++network.messages_;
      if (!network.reachable(from, to) || network.random_.chance(network.faults.cut_stream)) {
        network.trace_.add(fmt::format("{}>{} stream cut", from, to));
        co_return;
      }
      pipe->pieces.push_back(std::move(*piece));
      pipe->changed.notify_all();
      while (pipe->pieces.size() > 64 && !pipe->reader_gone) co_await pipe->changed.wait();
    }
  }

  static Awaitable<Result<std::string>> gone(Pipe& pipe) {
    while (!pipe.reader_gone) co_await pipe.changed.wait();
    co_return fail(Code::cancelled, "the reader went away");
  }
  static Awaitable<Result<std::string>> next_piece(ByteStream& body, Pipe& pipe, Clock&) {
    using namespace boost::asio::experimental::awaitable_operators;
    auto first = co_await (body.read() || gone(pipe));
    co_return first.index() == 0 ? std::move(std::get<0>(first)) : std::move(std::get<1>(first));
  }

  Network& network_;
  std::string from_;
  std::string to_;
  Peer peer_;
};

bool Network::reachable(const std::string& from, const std::string& to) const {
  return hosts_.contains(to) && !cut_.contains({from, to}) && !cut_.contains({to, from});
}

void Network::up(const std::string& name, Handler handler) {
  auto host = std::make_shared<Host>(env_.executor);
  host->handler = std::move(handler);
  hosts_[name] = std::move(host);
}

Awaitable<void> Network::down(const std::string& name) {
  const auto it = hosts_.find(name);
  if (it == hosts_.end()) co_return;
  const auto host = it->second;
  hosts_.erase(it);
  co_await host->tasks.stop();
}

std::shared_ptr<Transport> Network::transport(std::string from, std::string to, Peer peer) {
  return std::make_shared<SimTransport>(*this, std::move(from), std::move(to), std::move(peer));
}

Result<std::shared_ptr<Transport>> SimDialer::dial(const Endpoint& endpoint) {
  auto url = parse_url(endpoint.url);
  if (!url) return fail(url.error());
  return network_.transport(from_, url->host, Peer{});
}

}  // namespace krake::sim
