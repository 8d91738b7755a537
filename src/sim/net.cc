#include "sim/net.h"

#include "net/url.h"
#include "sim/model.h"

namespace krake::sim {

void Trace::add(std::string line) {
  const Mono now = clock_.now();
  constexpr std::uint64_t kPrime = 0x100000001b3;
  hash_ = hash_ * kPrime ^ static_cast<std::uint64_t>(now.time_since_epoch().count());
  hash_ = hash_ * kPrime ^ stable_hash(line);
  tail_.push_back({now, std::move(line)});
  if (sink_) *sink_ += text(tail_.back()) + "\n";
  if (tail_.size() > 200) tail_.pop_front();
}

std::string Trace::text(const Line& line) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(line.at.time_since_epoch()).count();
  return fmt::format("{:>12} {}", us, line.what);
}

std::deque<std::string> Trace::tail() const {
  std::deque<std::string> lines;
  for (const auto& line : tail_) lines.push_back(text(line));
  return lines;
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
  struct Piece {
    Mono arrives;  // not before the one ahead of it
    std::string bytes;
  };
  std::deque<Piece> pieces;
  std::optional<Error> error;
  bool ended = false;
  bool reader_gone = false;
  std::optional<Mono> dead_since;  // nothing passes any more in either direction, and neither side is told
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
    if (!pipe || pipe->dead_since) return;
    if (!pipe->ended && !pipe->error) pipe->error = Error{Code::unavailable, "the connection was cut"};
    Pipe::wake(pipe->reader);
  }
  std::shared_ptr<Pipe> pipe;
};

// Who hears nothing for so long and gives up has noticed by himself.
constexpr Duration kNoticed = std::chrono::seconds(10);

class PipeStream final : public ByteStream {
 public:
  PipeStream(std::shared_ptr<Pipe> pipe, std::shared_ptr<Notifier> changed, Clock& clock, NetCounts& counts,
             const bool& crashing)
      : pipe_(std::move(pipe)), changed_(std::move(changed)), clock_(clock), counts_(counts), crashing_(crashing) {}
  ~PipeStream() override {
    pipe_->reader_gone = true;
    if (pipe_->dead_since && clock_.now() - *pipe_->dead_since >= kNoticed && !crashing_) ++counts_.given_up;
    if (!pipe_->dead_since) Pipe::wake(pipe_->writer);
  }
  Awaitable<Result<std::string>> read() override {
    const auto pipe = pipe_;
    const auto changed = changed_;
    auto& clock = clock_;
    auto& counts = counts_;
    for (;;) {
      std::string arrived;
      while (!pipe->pieces.empty() && pipe->pieces.front().arrives <= clock.now()) {
        arrived += pipe->pieces.front().bytes;
        ++counts.delivered;
        pipe->pieces.pop_front();
      }
      if (!arrived.empty()) {
        Pipe::wake(pipe->writer);
        co_return arrived;
      }
      if (!pipe->pieces.empty()) {
        co_await changed->wait_until(clock, pipe->pieces.front().arrives);
        continue;
      }
      if (pipe->error) co_return fail(*pipe->error);
      if (pipe->ended) co_return std::string();
      co_await changed->wait();
    }
  }

 private:
  std::shared_ptr<Pipe> pipe_;
  std::shared_ptr<Notifier> changed_;
  Clock& clock_;
  NetCounts& counts_;
  const bool& crashing_;
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

void garble(HttpResponse& answer, std::uint64_t how) {
  constexpr std::string_view kPage = "<html><body><h1>The proxy is being replaced</h1></body></html>\n";
  switch (how % 3) {
    case 0:
      answer.body.resize(answer.body.size() * (how / 3 % 100) / 100);
      break;
    case 1:
      answer.headers.set("Content-Type", "text/html");
      answer.body = kPage;
      break;
    default:
      answer.status = 502;
      answer.headers.set("Content-Type", "text/html");
      answer.body = kPage;
  }
}

// After so long a machine whose peer is silent is told by its kernel.
constexpr Duration kKeepAlive = std::chrono::minutes(2);

class SimTransport final : public Transport {
 public:
  SimTransport(Network& network, std::string from, std::string to, Peer peer)
      : network_(network), from_(std::move(from)), to_(std::move(to)), peer_(std::move(peer)) {
    peer_.address = from_;
  }

  // The machine accepts connections as long as it can be reached, whatever its process does.
  Awaitable<Status> connect(Duration limit) override {
    const Way way = network_.hosts_.contains(to_) ? network_.way(from_, to_) : Way::refused;
    if (way == Way::open) co_return Status{};
    if (way == Way::refused)
      co_return fail(Code::unavailable, fmt::format("{}>{}: {}", from_, to_, kConnectionRefused));
    co_await sleep_for(network_.env_.clock, limit);
    co_return fail(Code::timeout, fmt::format("{}>{}: no connection", from_, to_));
  }
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    const std::string method = request.method;
    const std::string target = request.target;
    auto answer = co_await exchange(std::move(request), options);
    if (network_.answered_) network_.answered_(from_, to_, method, target, answer);
    co_return answer;
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    const std::string what = fmt::format("{}>{} stream {}", from_, to_, request.target);
    if (network_.sent_) network_.sent_(from_, to_, request);
    const Mono deadline = network_.env_.clock.now() + options.timeout;
    CO_RETURN_IF_ERROR(co_await arrive(what, deadline));
    const auto executor = co_await boost::asio::this_coro::executor;
    auto box = std::make_shared<Mailbox<Opened>>(executor);
    auto pipe = std::make_shared<Pipe>();
    auto reader = std::make_shared<Notifier>(executor);
    pipe->reader = reader;
    auto stream = std::make_unique<PipeStream>(pipe, std::move(reader), network_.env_.clock, network_.counts_,
                                               network_.crashing_);
    {
      auto& host = *network_.hosts_.at(to_);  // may go down while we wait
      host.tasks.spawn(what, pump(network_, from_, to_, make_inproc_transport(host.handler, peer_, network_.env_.clock),
                                  std::move(request), options, Reply<Opened>(box), WriterEnd{pipe}));
    }
    while (!box->answer && network_.env_.clock.now() < deadline)
      co_await box->changed.wait_until(network_.env_.clock, deadline);
    if (!box->answer) co_return fail(Code::timeout, what + ": no answer");
    if (!*box->answer) co_return fail(box->answer->error());
    note_status(what, (**box->answer).status);
    network_.trace_.add(fmt::format("{} -> {}", what, (**box->answer).status));
    CO_RETURN_IF_ERROR(co_await come_back(what, deadline));
    co_return HttpStream{
        .status = (**box->answer).status, .headers = (**box->answer).headers, .body = std::move(stream)};
  }

 private:
  Awaitable<Result<HttpResponse>> exchange(HttpRequest request, CallOptions options) {
    const std::string what = fmt::format("{}>{} {} {}", from_, to_, request.method, request.target);
    if (network_.sent_) network_.sent_(from_, to_, request);
    const Mono deadline = network_.env_.clock.now() + options.timeout;
    CO_RETURN_IF_ERROR(co_await arrive(what, deadline));
    auto box = std::make_shared<Mailbox<HttpResponse>>(co_await boost::asio::this_coro::executor);
    if (request.method == "GET" && network_.random_.chance(network_.faults.duplicate)) {
      ++network_.counts_.duplicates;
      deliver(what, request, options, Reply<HttpResponse>());
    }
    deliver(what, std::move(request), options, Reply<HttpResponse>(box));
    while (!box->answer && network_.env_.clock.now() < deadline)
      co_await box->changed.wait_until(network_.env_.clock, deadline);
    if (!box->answer) co_return fail(Code::timeout, what + ": no answer");
    auto answer = std::move(*box->answer);
    if (answer) note_status(what, answer->status);
    network_.trace_.add(
        fmt::format("{} -> {}", what, answer ? std::to_string(answer->status) : answer.error().message));
    CO_RETURN_IF_ERROR(co_await come_back(what, deadline));
    if (answer && network_.strikes(network_.faults.garble, from_)) {
      ++network_.counts_.garbled;
      garble(*answer, network_.foul_.next());
      network_.trace_.add(fmt::format("{} garbled to {}", what, answer->status));
    }
    co_return answer;
  }
  void deliver(const std::string& what, HttpRequest request, CallOptions options, Reply<HttpResponse> reply) {
    auto& host = *network_.hosts_.at(to_);
    auto inner = make_inproc_transport(host.handler, peer_, network_.env_.clock);
    if (network_.faults.linger > 0 && from_ != kUserMachine && network_.strikes(network_.faults.linger, from_)) {
      ++network_.counts_.lingered;
      const auto time = std::chrono::milliseconds(network_.foul_.below(kLongest / std::chrono::milliseconds(1)));
      network_.trace_.add(what + " lingers");
      return host.tasks.spawn(
          what, linger(network_, from_, to_, time, std::move(inner), std::move(request), options, std::move(reply)));
    }
    host.tasks.spawn(what, carry_out(std::move(inner), std::move(request), options, std::move(reply)));
  }
  static Awaitable<void> linger(Network& network, std::string from, std::string to, Duration time,
                                std::shared_ptr<Transport> inner, HttpRequest request, CallOptions options,
                                Reply<HttpResponse> reply) {
    co_await sleep_for(network.env_.clock, time);
    const auto [method, target] = std::pair(request.method, request.target);
    auto answer = co_await inner->send(std::move(request), options);
    if (network.late_) network.late_(from, to, method, target, answer);
    reply.put(std::move(answer));
  }
  void note_status(const std::string& what, int status) {
    auto& forbidden = network_.counts_.forbidden;
    if (status == 403 && !forbidden && peer_.common_name.starts_with("system:")) forbidden = what;
  }
  // The sender waits for an answer that will not come.
  Awaitable<Status> vanished(std::string what, Mono deadline) {
    network_.trace_.add(what + " vanished");
    co_await sleep_until(network_.env_.clock, deadline);
    co_return fail(Code::timeout, what + ": no answer");
  }
  Status refused(const std::string& what) {
    network_.trace_.add(what + " unreachable");
    return fail(Code::unavailable, fmt::format("{}: {}", what, kConnectionRefused));
  }
  Awaitable<Status> arrive(std::string what, Mono deadline) {
    ++network_.counts_.requests;
    co_await late();
    if (!network_.hosts_.contains(to_)) {
      ++network_.counts_.down;
      co_return refused(what);
    }
    switch (network_.way(from_, to_)) {
      case Way::open:
        break;
      case Way::refused:
        ++network_.counts_.unreachable;
        co_return refused(what);
      case Way::silent:
        ++network_.counts_.unreachable;
        co_return co_await vanished(std::move(what), deadline);
    }
    if (network_.random_.chance(network_.faults.lose)) {
      ++network_.counts_.lost;
      network_.trace_.add(what + " lost");
      co_return fail(Code::unavailable, what + ": the connection broke");
    }
    if (network_.random_.chance(network_.faults.half_open / 2)) {
      ++network_.counts_.half_open;
      co_return co_await vanished(std::move(what), deadline);
    }
    ++network_.counts_.delivered;
    co_return Status{};
  }
  // Of the answer. The request has been carried out.
  Awaitable<Status> come_back(std::string what, Mono deadline) {
    const auto way = network_.way(to_, from_);
    const bool half_open = network_.random_.chance(network_.faults.half_open / 2);
    network_.counts_.half_open += half_open ? 1 : 0;
    if (way == Way::silent || half_open) {
      ++network_.counts_.answers_lost;
      co_return co_await vanished(std::move(what), deadline);
    }
    if (way == Way::refused || network_.random_.chance(network_.faults.lose_answer)) {
      ++network_.counts_.answers_lost;
      network_.trace_.add(what + " answer lost");
      co_return fail(Code::timeout, what + ": the answer was lost");
    }
    co_await late();
    ++network_.counts_.delivered;
    co_return Status{};
  }
  Awaitable<void> late() {
    if (const auto time = network_.delay(); time > Duration::zero()) co_await sleep_for(network_.env_.clock, time);
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
    Mono arrived{};
    bool whole = true;  // lines so far
    while (!pipe->reader_gone) {
      auto read = co_await unless(*changed, [&] { return pipe->reader_gone; }, stream->body->read());
      if (pipe->reader_gone || !read) co_return;
      auto piece = std::move(*read);
      if (!piece) co_return;  // cut
      if (piece->empty()) {
        pipe->ended = true;
        co_return;
      }
      ++network.counts_.pieces;
      const auto way = network.way(to, from);
      if (way == Way::refused || network.random_.chance(network.faults.cut_stream)) {
        ++network.counts_.streams_cut;
        network.trace_.add(fmt::format("{}>{} stream cut", from, to));
        co_return;
      }
      if (way == Way::silent || network.random_.chance(network.faults.half_open)) {
        ++network.counts_.half_open;
        network.trace_.add(fmt::format("{}>{} stream dead", from, to));
        pipe->dead_since = network.env_.clock.now();
        co_return co_await talk_to_nobody(network, *stream->body);
      }
      arrived = std::max(arrived, network.env_.clock.now() + network.delay());
      if (network.strikes(network.faults.garble, from)) {
        ++network.counts_.garbled;
        network.trace_.add(fmt::format("{}>{} stream garbled", from, to));
        piece->resize(network.foul_.below(piece->size()));
        pipe->pieces.push_back({arrived, *piece + "\n"});
        pipe->ended = true;
        co_return;
      }
      const bool again = whole && piece->ends_with('\n') && piece->size() > 1;
      whole = piece->ends_with('\n');
      if (again && network.strikes(network.faults.repeat, from)) {
        ++network.counts_.repeated;
        network.trace_.add(fmt::format("{}>{} stream repeats itself", from, to));
        *piece += *piece;
      }
      pipe->pieces.push_back({arrived, std::move(*piece)});
      Pipe::wake(pipe->reader);
      while (pipe->pieces.size() > 64 && !pipe->reader_gone) co_await changed->wait();
    }
  }
  static Awaitable<void> talk_to_nobody(Network& network, ByteStream& body) {
    auto& clock = network.env_.clock;
    const Mono end = clock.now() + kKeepAlive;
    while (clock.now() < end) {
      const auto piece = co_await with_timeout(clock, end - clock.now(), "the next piece", body.read());
      if (!piece || piece->empty()) co_return;
    }
  }

  Network& network_;
  std::string from_;
  std::string to_;
  Peer peer_;
};

Way Network::way(const std::string& from, const std::string& to) const {
  if (cut_.empty()) return Way::open;
  for (const auto& key : {std::pair{from, to}, {from, std::string("*")}, {std::string("*"), to}}) {
    if (const auto it = cut_.find(key); it != cut_.end()) return it->second;
  }
  return Way::open;
}

Duration Network::delay() {
  if (!random_.chance(faults.delay)) return {};
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(faults.max_delay).count();
  return std::chrono::microseconds(random_.below(static_cast<std::uint64_t>(us) + 1));
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
  return network_.transport(from_, url->host, peer_);
}

namespace {

class RoamingTransport final : public Transport {
 public:
  RoamingTransport(std::vector<std::shared_ptr<Transport>> servers, Random random)
      : servers_(std::move(servers)), random_(random) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    return servers_[random_.below(servers_.size())]->send(std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    return servers_[random_.below(servers_.size())]->open(std::move(request), options);
  }

 private:
  std::vector<std::shared_ptr<Transport>> servers_;
  Random random_;
};

}  // namespace

std::shared_ptr<Transport> make_roaming_transport(std::vector<std::shared_ptr<Transport>> servers, Random random) {
  return std::make_shared<RoamingTransport>(std::move(servers), random);
}

}  // namespace krake::sim
