#include "net/failover.h"

#include <algorithm>

#include "base/check.h"
#include "net/url.h"

namespace krake {

namespace {

struct Servers {
  Servers(Clock& the_clock, std::vector<std::shared_ptr<Transport>> the_servers, FailoverOptions the_options)
      : clock(the_clock), all(std::move(the_servers)), options(the_options) {}
  // Others may have left it meanwhile.
  void leave(std::size_t server) {
    if (current == server) current = (server + 1) % all.size();
  }
  Clock& clock;
  std::vector<std::shared_ptr<Transport>> all;
  FailoverOptions options;
  std::size_t current = 0;
};
using ServersPtr = std::shared_ptr<Servers>;

bool is_safe(const HttpRequest& request) { return request.method == "GET" || request.method == "HEAD"; }

// It says that nothing was done, and that another may do it.
bool cannot_serve(int status, const Headers& headers) {
  return (status == 500 || status == 503) && headers.get("Retry-After").has_value();
}

// A stream that ends is not asked for at the same server first: that one is going away, or was cut off.
class LeavingStream final : public ByteStream {
 public:
  LeavingStream(ServersPtr servers, std::size_t server, std::unique_ptr<ByteStream> inner)
      : servers_(std::move(servers)), server_(server), inner_(std::move(inner)) {}
  Awaitable<Result<std::string>> read() override {
    auto piece = co_await inner_->read();
    if (!piece || piece->empty()) servers_->leave(server_);
    co_return piece;
  }

 private:
  ServersPtr servers_;
  std::size_t server_;
  std::unique_ptr<ByteStream> inner_;
};

Awaitable<Result<HttpResponse>> attempt(ServersPtr servers, std::size_t server, HttpRequest request,
                                        CallOptions options, HttpResponse*) {
  return servers->all[server]->send(std::move(request), options);
}

Awaitable<Result<HttpStream>> attempt(ServersPtr servers, std::size_t server, HttpRequest request, CallOptions options,
                                      HttpStream*) {
  auto stream = co_await servers->all[server]->open(std::move(request), options);
  if (stream) stream->body = std::make_unique<LeavingStream>(servers, server, std::move(stream->body));
  co_return stream;
}

template <class Answer>
Awaitable<Result<Answer>> ask(ServersPtr servers, HttpRequest request, CallOptions options) {
  const Mono deadline = servers->clock.now() + options.timeout;
  const std::size_t count = servers->all.size();
  const std::size_t first = servers->current;
  std::optional<Result<Answer>> last;  // the best that came: an answer counts for more than none
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < count; ++i) order.push_back((first + i) % count);
  // Those slow to connect are tried again at the end of the order, with more time.
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t server = order[i];
    const Duration left = deadline - servers->clock.now();
    if (left <= Duration::zero()) break;
    const Duration limit = i < count ? servers->options.connect_limit : servers->options.slow_connect_limit;
    if (auto connected = co_await servers->all[server]->connect(std::min(left, limit)); !connected) {
      servers->leave(server);
      if (i < count && connected.error().code == Code::timeout) order.push_back(server);
      if (!last || !*last) last = fail(std::move(connected).error());
      continue;
    }
    CallOptions rest = options;
    rest.timeout = std::max<Duration>(deadline - servers->clock.now(), std::chrono::milliseconds(1));
    auto answer = co_await attempt(servers, server, request, rest, static_cast<Answer*>(nullptr));
    if (answer && !cannot_serve(answer->status, answer->headers)) co_return answer;
    servers->leave(server);
    if (!answer && (!is_safe(request) || answer.error().code == Code::timeout)) co_return answer;
    if (answer || !last || !*last) last = std::move(answer);
  }
  if (last) co_return std::move(*last);
  co_return fail(Code::timeout, fmt::format("{} {}: no time was left to ask any server", request.method,
                                            request.target.substr(0, request.target.find('?'))));
}

class FailoverTransport final : public Transport {
 public:
  explicit FailoverTransport(ServersPtr servers) : servers_(std::move(servers)) {}
  Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
    return ask<HttpResponse>(servers_, std::move(request), options);
  }
  Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options) override {
    return ask<HttpStream>(servers_, std::move(request), options);
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
