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

// Where the task inside the target process leaves its answer. Belongs to the caller and dies with him.
template <class T>
struct Mailbox {
  explicit Mailbox(const boost::asio::any_io_executor& executor) : changed(executor) {}
  std::optional<Result<T>> answer;
  Notifier changed;
};

// The target's side of it. Tells the waiting caller, if he still lives, when the task ends without an answer: the
// process died under it.
template <class T>
class Reply {
 public:
  Reply() = default;  // to nobody
  explicit Reply(const std::shared_ptr<Mailbox<T>>& box) : box_(box) {}
  Reply(Reply&& other) noexcept : box_(std::exchange(other.box_, {})) {}  // only the last holder speaks
  Reply& operator=(Reply&&) = delete;
  ~Reply() { put(fail(Code::unavailable, "the connection was cut")); }
  // The first counts.
  void put(Result<T> answer) {
    const auto box = box_.lock();
    if (!box || box->answer) return;
    box->answer = std::move(answer);
    box->changed.notify_all();
  }

 private:
  std::weak_ptr<Mailbox<T>> box_;
};

// Between a pump in the target process and the reader. Each side waits on a notifier of its own loop, which dies with
// that side.
struct Pipe {
  std::deque<std::string> pieces;
  std::optional<Error> error;
  bool ended = false;
  bool reader_gone = false;
  std::weak_ptr<Notifier> reader;
  std::weak_ptr<Notifier> writer;
  static void wake(const std::weak_ptr<Notifier>& side) {
    if (const auto notifier = side.lock()) notifier->notify_all();
  }
};

class WriterEnd {
 public:
  explicit WriterEnd(std::shared_ptr<Pipe> p) : pipe(std::move(p)) {}
  WriterEnd(WriterEnd&&) = default;
  WriterEnd& operator=(WriterEnd&&) = delete;
  ~WriterEnd() {
    if (!pipe) return;
    if (!pipe->ended && !pipe->error) pipe->error = Error{Code::unavailable, "the connection was cut"};
    Pipe::wake(pipe->reader);
  }
  std::shared_ptr<Pipe> pipe;
};

class PipeStream final : public ByteStream {
 public:
  PipeStream(std::shared_ptr<Pipe> pipe, std::shared_ptr<Notifier> changed)
      : pipe_(std::move(pipe)), changed_(std::move(changed)) {}
  ~PipeStream() override {
    pipe_->reader_gone = true;
    Pipe::wake(pipe_->writer);
  }
  Awaitable<Result<std::string>> read() override {
    const auto pipe = pipe_;
    const auto changed = changed_;
    while (pipe->pieces.empty() && !pipe->error && !pipe->ended) co_await changed->wait();
    if (!pipe->pieces.empty()) {
      std::string all;
      for (auto& piece : pipe->pieces) all += piece;
      pipe->pieces.clear();
      Pipe::wake(pipe->writer);
      co_return all;
    }
    if (pipe->error) co_return fail(*pipe->error);
    co_return std::string();
  }

 private:
  std::shared_ptr<Pipe> pipe_;
  std::shared_ptr<Notifier> changed_;
};

Awaitable<void> carry_out(std::shared_ptr<Transport> inner, HttpRequest request, CallOptions options,
                          Reply<HttpResponse> reply) {
  reply.put(co_await inner->send(std::move(request), options));
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
    auto box = std::make_shared<Mailbox<HttpResponse>>(co_await boost::asio::this_coro::executor);
    if (request.method == "GET" && network_.random_.chance(network_.faults.duplicate)) {
      ++network_.counts_.duplicates;
      deliver(what, request, options, Reply<HttpResponse>());
    }
    deliver(what, std::move(request), options, Reply<HttpResponse>(box));
    const Mono deadline = network_.env_.clock.now() + options.timeout;
    while (!box->answer && network_.env_.clock.now() < deadline)
      co_await box->changed.wait_until(network_.env_.clock, deadline);
    if (!box->answer) co_return fail(Code::timeout, what + ": no answer");
    auto answer = std::move(*box->answer);
    if (answer) note_status(what, answer->status);
    network_.trace_.add(
        fmt::format("{} -> {}", what, answer ? std::to_string(answer->status) : answer.error().message));
    if (network_.random_.chance(network_.faults.lose_answer)) {
      ++network_.counts_.answers_lost;
      co_return fail(Code::timeout, what + ": the answer was lost");
    }
    co_await late();
    co_return answer;
  }

  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    const std::string what = fmt::format("{}>{} stream {}", from_, to_, request.target);
    CO_RETURN_IF_ERROR(co_await arrive(what));
    const auto executor = co_await boost::asio::this_coro::executor;
    auto box = std::make_shared<Mailbox<Opened>>(executor);
    auto pipe = std::make_shared<Pipe>();
    auto reader = std::make_shared<Notifier>(executor);
    pipe->reader = reader;
    auto stream = std::make_unique<PipeStream>(pipe, std::move(reader));
    {
      auto& host = *network_.hosts_.at(to_);  // may go down while we wait
      host.tasks.spawn(what, pump(network_, from_, to_, make_inproc_transport(host.handler, peer_, network_.env_.clock),
                                  std::move(request), options, Reply<Opened>(box), WriterEnd{pipe}));
    }
    const Mono deadline = network_.env_.clock.now() + options.timeout;
    while (!box->answer && network_.env_.clock.now() < deadline)
      co_await box->changed.wait_until(network_.env_.clock, deadline);
    if (!box->answer) co_return fail(Code::timeout, what + ": no answer");
    if (!*box->answer) co_return fail(box->answer->error());
    note_status(what, (**box->answer).status);
    network_.trace_.add(fmt::format("{} -> {}", what, (**box->answer).status));
    co_return HttpStream{
        .status = (**box->answer).status, .headers = (**box->answer).headers, .body = std::move(stream)};
  }

 private:
  void deliver(const std::string& what, HttpRequest request, CallOptions options, Reply<HttpResponse> reply) {
    auto& host = *network_.hosts_.at(to_);
    host.tasks.spawn(what, carry_out(make_inproc_transport(host.handler, peer_, network_.env_.clock),
                                     std::move(request), options, std::move(reply)));
  }
  void note_status(const std::string& what, int status) {
    auto& forbidden = network_.counts_.forbidden;
    if (status == 403 && !forbidden && peer_.common_name.starts_with("system:")) forbidden = what;
  }
  Awaitable<Status> arrive(std::string what) {
    ++network_.counts_.requests;
    co_await late();
    if (!network_.reachable(from_, to_)) {
      ++network_.counts_.unreachable;
      network_.trace_.add(what + " unreachable");
      co_return fail(Code::unavailable, what + ": connection refused");
    }
    if (network_.random_.chance(network_.faults.lose)) {
      ++network_.counts_.lost;
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
                              HttpRequest request, CallOptions options, Reply<Opened> reply, WriterEnd end) {
    const auto pipe = end.pipe;
    const auto changed = std::make_shared<Notifier>(co_await boost::asio::this_coro::executor);
    pipe->writer = changed;
    auto stream = co_await inner->open(std::move(request), options);
    if (!stream) {
      reply.put(fail(stream.error()));
      co_return;
    }
    reply.put(Opened{stream->status, stream->headers});
    while (!pipe->reader_gone) {
      auto piece = co_await next_piece(*stream->body, pipe, changed);
      if (pipe->reader_gone) co_return;
      if (!piece) co_return;  // cut
      if (piece->empty()) {
        pipe->ended = true;
        co_return;
      }
      ++network.counts_.pieces;
      if (!network.reachable(from, to) || network.random_.chance(network.faults.cut_stream)) {
        ++network.counts_.streams_cut;
        network.trace_.add(fmt::format("{}>{} stream cut", from, to));
        co_return;
      }
      pipe->pieces.push_back(std::move(*piece));
      Pipe::wake(pipe->reader);
      while (pipe->pieces.size() > 64 && !pipe->reader_gone) co_await changed->wait();
    }
  }

  static Awaitable<Result<std::string>> gone(std::shared_ptr<Pipe> pipe, std::shared_ptr<Notifier> changed) {
    while (!pipe->reader_gone) co_await changed->wait();
    co_return fail(Code::cancelled, "the reader went away");
  }
  static Awaitable<Result<std::string>> next_piece(ByteStream& body, std::shared_ptr<Pipe> pipe,
                                                   std::shared_ptr<Notifier> changed) {
    using namespace boost::asio::experimental::awaitable_operators;
    auto first = co_await (body.read() || gone(std::move(pipe), std::move(changed)));
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

void Network::up(const std::string& name, const boost::asio::any_io_executor& executor, Handler handler) {
  auto host = std::make_shared<Host>(executor);
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
