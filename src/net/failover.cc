#include "net/failover.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/deadlines.h"
#include "net/url.h"

namespace krake {

namespace {

struct Server {
  std::shared_ptr<Transport> transport;
  Mono heard{};          // the last answer, or piece of a stream
  Mono asked{};          // the first request since, whose sender may have given up by now
  Mono doubted_until{};  // another one answered what this one did not
  bool probing = false;
  Mono failed_probe{};  // when the last one without an answer was sent
  std::string why;      // what came of that: ": ..." or nothing
  int failures = 0;     // such probes since it last answered fast
};

struct Servers {
  Servers(Clock& the_clock, std::vector<std::shared_ptr<Transport>> transports, FailoverOptions the_options)
      : clock(the_clock), deadlines(the_clock), options(the_options), hedges(the_options.hedge_burst) {
    for (auto& transport : transports) all.push_back({.transport = std::move(transport)});
  }
  // Others may have left it meanwhile.
  void leave(std::size_t server) {
    if (current == server) current = (server + 1) % all.size();
  }
  void hear(std::size_t server) {
    all[server].heard = clock.now();
    all[server].doubted_until = {};
  }
  void hear_answer(std::size_t server, Mono sent) {
    hear(server);
    if (clock.now() - sent < options.probe_limit / 4) all[server].failures = 0;
  }
  // Longer with each in vain: where all servers are that slow, each gets its time in the end.
  Duration probe_limit(std::size_t server) const {
    return options.probe_limit * (1 << std::min(all[server].failures, 3));
  }
  bool doubted(std::size_t server) const { return clock.now() < all[server].doubted_until; }
  void doubt(std::size_t server, std::size_t better) {
    all[server].doubted_until = clock.now() + options.doubt;
    if (current == server) current = better;
    wake();
  }
  // Whom to ask besides `server`, if that is affordable.
  std::optional<std::size_t> take_hedge(std::size_t server) {
    for (std::size_t i = 1; i < all.size() && hedges >= 1; ++i) {
      const auto other = (server + i) % all.size();
      if (doubted(other)) continue;
      hedges -= 1;
      return other;
    }
    return std::nullopt;
  }
  void wake() {
    if (changed) changed->notify_all();
  }
  Clock& clock;
  Deadlines deadlines;
  std::vector<Server> all;
  FailoverOptions options;
  double hedges;
  std::size_t current = 0;
  std::string authorization;        // of the last request: probes come under the same name
  std::optional<Notifier> changed;  // doubts and the ends of probes; from the first wait on
};
using ServersPtr = std::shared_ptr<Servers>;

// A page belongs to the server that gave the one before.
bool is_page(const HttpRequest& request) {
  return request.target.find("limit=") != std::string::npos || request.target.find("continue=") != std::string::npos;
}

bool is_safe(const HttpRequest& request) { return request.method == "GET" || request.method == "HEAD"; }

std::string name_of(const HttpRequest& request) {
  return fmt::format("{} {}", request.method, request.target.substr(0, request.target.find('?')));
}

// It says that nothing was done, and that another may do it.
bool cannot_serve(int status, const Headers& headers) {
  return (status == 500 || status == 503) && headers.get("Retry-After").has_value();
}

// ---- silence: a server that does not answer a question it could always answer

// The index needs no store, and whatever comes is a sign of life.
Awaitable<void> probe(ServersPtr servers, std::size_t server) {
  struct Mark {
    Mark(Servers& the_servers, Server& the_server) : servers(the_servers), server(the_server) { server.probing = true; }
    ~Mark() {
      server.probing = false;
      servers.wake();
    }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    Servers& servers;
    Server& server;
  };
  auto& it = servers->all[server];
  const Mark mark(*servers, it);
  const Duration limit = servers->probe_limit(server);
  for (;;) {
    const Mono sent = servers->clock.now();
    HttpRequest request{.method = "GET", .target = "/", .headers = {}, .body = {}};
    if (!servers->authorization.empty()) request.headers.add("Authorization", servers->authorization);
    const auto answer = co_await it.transport->send(std::move(request), {.timeout = limit, .own_connection = true});
    if (answer) co_return servers->hear_answer(server, sent);
    // Much too late: it was this process that was paused, and nobody has looked at what came meanwhile.
    if (servers->clock.now() - sent > limit + limit / 4) continue;
    ++it.failures;
    it.failed_probe = sent;
    // What befell the probe did not befall what waits: that is not known to have been refused, or broken off.
    it.why = answer.error().code == Code::timeout ? ": " + answer.error().message : std::string();
    co_return;
  }
}

// Returns when the server has left a probe unanswered that was sent since `begin`. All who wait share one. Cancelled,
// which nearly all are in the end, it returns as well: an exception would cost more than all else it does.
Awaitable<std::monostate> until_silent(ServersPtr servers, std::size_t server, Mono begin, Mono quiet_since,
                                       Duration patience) {
  const auto& it = servers->all[server];
  namespace this_coro = boost::asio::this_coro;
  if (!servers->changed) servers->changed.emplace(co_await this_coro::executor);
  co_await this_coro::throw_if_cancelled(false);
  while ((co_await this_coro::cancellation_state).cancelled() == boost::asio::cancellation_type::none) {
    if (it.failed_probe > begin && it.failed_probe > it.heard) break;
    const Mono due = servers->doubted(server) ? begin : std::max(quiet_since, it.heard) + patience;
    if (it.probing) {
      co_await servers->changed->wait();
    } else if (servers->clock.now() < due) {
      co_await servers->changed->wait_until(servers->clock, due);
    } else {
      co_await this_coro::throw_if_cancelled(true);
      co_await probe(servers, server);
      co_await this_coro::throw_if_cancelled(false);
    }
  }
  co_return std::monostate();
}

// Nothing: the server turned out silent.
template <class T>
Awaitable<std::optional<Result<T>>> unless_silent(ServersPtr servers, std::size_t server, Mono quiet_since,
                                                  Duration patience, Awaitable<Result<T>> operation) {
  const Mono begin = servers->clock.now();
  const Mono earliest = begin + servers->probe_limit(server) / 4;  // whatever is known: probes may fail at once
  auto outcome = co_await servers->deadlines.joined_at(
      earliest, std::move(operation), [&] { return until_silent(servers, server, begin, quiet_since, patience); });
  if (outcome.index() == 1) co_return std::nullopt;
  co_return std::move(std::get<0>(outcome));
}

// A stream that ends is not asked for at the same server first: that one is going away, or was cut off.
class LeavingStream final : public ByteStream {
 public:
  LeavingStream(ServersPtr servers, std::size_t server, std::unique_ptr<ByteStream> inner)
      : servers_(std::move(servers)), server_(server), inner_(std::move(inner)) {}
  Awaitable<Result<std::string>> read() override {
    if (!inner_) co_return fail(silence());
    auto piece =
        co_await unless_silent(servers_, server_, servers_->clock.now(), servers_->options.quiet, inner_->read());
    if (piece && *piece && !(*piece)->empty()) {
      servers_->hear(server_);
      co_return std::move(*piece);
    }
    servers_->leave(server_);
    if (piece) co_return std::move(*piece);
    inner_.reset();
    co_return fail(silence());
  }

 private:
  Error silence() const {
    return {Code::unavailable, "nothing more on the stream, and no answer to a probe" + servers_->all[server_].why};
  }
  ServersPtr servers_;
  std::size_t server_;
  std::unique_ptr<ByteStream> inner_;
};

// ---- requests

Awaitable<Result<HttpResponse>> attempt(ServersPtr servers, std::size_t server, HttpRequest request,
                                        CallOptions options, HttpResponse*) {
  const Mono sent = servers->clock.now();
  auto answer = co_await servers->all[server].transport->send(std::move(request), options);
  if (answer) servers->hear_answer(server, sent);
  co_return answer;
}

Awaitable<Result<HttpStream>> attempt(ServersPtr servers, std::size_t server, HttpRequest request, CallOptions options,
                                      HttpStream*) {
  const Mono sent = servers->clock.now();
  auto stream = co_await servers->all[server].transport->open(std::move(request), options);
  if (!stream) co_return stream;
  servers->hear_answer(server, sent);
  stream->body = std::make_unique<LeavingStream>(servers, server, std::move(stream->body));
  co_return stream;
}

CallOptions until(Mono deadline, const Clock& clock, CallOptions options) {
  options.timeout = std::max<Duration>(deadline - clock.now(), std::chrono::milliseconds(1));
  return options;
}

// `asked`: the server it is at. It and `request` are kept by the caller.
template <class Answer>
Awaitable<Result<Answer>> ask(ServersPtr servers, const HttpRequest& request, CallOptions options, std::size_t& asked) {
  const Mono deadline = servers->clock.now() + options.timeout;
  const auto& limits = servers->options;
  const std::size_t count = servers->all.size();
  std::optional<Result<Answer>> last;  // the best that came: an answer counts for more than none
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < count; ++i) order.push_back((asked + i) % count);
  // Those slow to connect are tried again at the end of the order, with more time; those that are silent too.
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t server = order[i];
    auto& it = servers->all[server];
    asked = server;
    const Duration left = deadline - servers->clock.now();
    if (left <= Duration::zero()) break;
    const Duration limit = i < count ? limits.connect_limit : limits.slow_connect_limit;
    if (auto connected = co_await it.transport->connect(std::min(left, limit)); !connected) {
      servers->leave(server);
      if (i < count && connected.error().code == Code::timeout) order.push_back(server);
      if (!last || !*last) last = fail(std::move(connected).error());
      continue;
    }
    if (it.asked <= it.heard) it.asked = servers->clock.now();
    auto outcome = co_await unless_silent(
        servers, server, it.asked, limits.patience,
        attempt(servers, server, request, until(deadline, servers->clock, options), static_cast<Answer*>(nullptr)));
    const bool silent = !outcome;
    auto answer =
        outcome ? std::move(*outcome)
                : fail(Code::unavailable, fmt::format("no answer to {}, nor to a probe{}", name_of(request), it.why));
    if (answer && !cannot_serve(answer->status, answer->headers)) co_return answer;
    servers->leave(server);
    if (!answer && (!is_safe(request) || answer.error().code == Code::timeout)) co_return answer;
    if (silent) order.push_back(server);
    if (answer || !last || !*last) last = std::move(answer);
  }
  if (last) co_return std::move(*last);
  co_return fail(Code::timeout, name_of(request) + ": no time was left to ask any server");
}

// Asks another server too, as the first takes long, and returns only with an answer that is as good.
template <class Answer>
Awaitable<Result<Answer>> hedge(ServersPtr servers, const HttpRequest& request, CallOptions options, Mono begin,
                                const std::size_t& asked) {
  const auto slow = asked;
  if (const auto other = servers->take_hedge(slow)) {
    if (co_await servers->all[*other].transport->connect(servers->options.connect_limit)) {
      auto answer =
          co_await caught(attempt(servers, *other, request, until(begin + options.timeout, servers->clock, options),
                                  static_cast<Answer*>(nullptr)));
      // What it does not keep (410) the other may have.
      if (answer && answer->status < 500 && answer->status != 429 && answer->status != 410) {
        // Slow with this request alone, it is as good as before.
        if (servers->all[slow].heard <= begin) servers->doubt(slow, *other);
        co_return answer;
      }
    }
  }
  co_await Notifier(co_await boost::asio::this_coro::executor).wait();  // the first decides
  co_return fail(Code::cancelled, "never comes here");
}

template <class Answer>
Awaitable<Result<Answer>> exchange(ServersPtr servers, HttpRequest request, CallOptions options) {
  servers->authorization = request.headers.get("Authorization").value_or("");
  auto asked = servers->current;
  if (!is_safe(request) || is_page(request)) co_return co_await ask<Answer>(servers, request, options, asked);
  servers->hedges = std::min(servers->hedges + servers->options.hedge_share, servers->options.hedge_burst);
  const Mono begin = servers->clock.now();
  auto outcome = co_await servers->deadlines.joined_at(
      begin + servers->options.hedge_after, ask<Answer>(servers, request, options, asked),
      [&] { return hedge<Answer>(servers, request, options, begin, asked); });
  co_return std::visit([](auto& answer) { return std::move(answer); }, outcome);
}

class FailoverTransport final : public Transport {
 public:
  explicit FailoverTransport(ServersPtr servers) : servers_(std::move(servers)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    return exchange<HttpResponse>(servers_, std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    return exchange<HttpStream>(servers_, std::move(request), options);
  }

 private:
  ServersPtr servers_;
};

}  // namespace

std::shared_ptr<Transport> make_failover_transport(Clock& clock, std::vector<std::shared_ptr<Transport>> servers,
                                                   FailoverOptions options) {
  CHECK(!servers.empty(), "there is a server to ask");
  if (servers.size() == 1) return std::move(servers.front());
  return std::make_shared<FailoverTransport>(std::make_shared<Servers>(clock, std::move(servers), options));
}

Result<std::vector<std::string>> split_urls(std::string_view text) {
  std::vector<std::string> urls;
  for (;;) {
    const auto comma = text.find(',');
    auto url = text.substr(0, comma);
    while (url.starts_with(' ')) url.remove_prefix(1);
    while (url.ends_with(' ')) url.remove_suffix(1);
    ASSIGN_OR_RETURN(const auto parsed, parse_url(url));
    if (std::ranges::find(urls, url) == urls.end()) urls.emplace_back(url);
    if (comma == std::string_view::npos) return urls;
    text.remove_prefix(comma + 1);
  }
}

Result<std::shared_ptr<Transport>> dial_all(Dialer& dialer, Clock& clock, const Endpoint& endpoint) {
  ASSIGN_OR_RETURN(auto urls, split_urls(endpoint.url));
  std::vector<std::shared_ptr<Transport>> servers;
  for (auto& url : urls) {
    Endpoint one = endpoint;
    one.url = std::move(url);
    ASSIGN_OR_RETURN(auto transport, dialer.dial(one));
    servers.push_back(std::move(transport));
  }
  return make_failover_transport(clock, std::move(servers));
}

}  // namespace krake
