#include "net/beast/connector.h"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>

namespace krake {

namespace asio = boost::asio;
using Tcp = boost::asio::ip::tcp;
using Ec = boost::system::error_code;

namespace {

// Closes something when its time is up, and remembers that it did.
template <class T>
class Bomb {
 public:
  Bomb(Clock& clock, Mono when, std::shared_ptr<T> target)
      : exploded_(std::make_shared<bool>(false)),
        timer_(clock.at(when, [exploded = exploded_, target = std::move(target)] {
          *exploded = true;
          Ec ec;
          if constexpr (requires { target->close(ec); }) {
            target->close(ec);
          } else {
            target->close();
          }
        })) {}
  bool exploded() const { return *exploded_; }

 private:
  std::shared_ptr<bool> exploded_;
  TimerHandle timer_;
};

std::string duration_text(Duration duration) {
  return fmt::format("{} ms", std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

Awaitable<void> throw_if_cancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
}

Connector::Connector(asio::any_io_executor executor, Clock& clock, DialerOptions options, Url url, std::string tls_name,
                     TlsContext tls)
    : executor_(std::move(executor)),
      clock_(clock),
      options_(options),
      url_(std::move(url)),
      tls_name_(std::move(tls_name)),
      tls_(std::move(tls)) {}

Error Connector::error(Code code, std::string_view what) const {
  return {code, fmt::format("{}: {}", url_.host_port(), what)};
}

Awaitable<Result<std::shared_ptr<Socket>>> Connector::connect(Mono deadline) {
  ASSIGN_OR_CO_RETURN(auto tcp, co_await connect_tcp(deadline));
  tune(tcp);
  if (!tls_) co_return make_plain_socket(std::move(tcp));
  auto* state = new_client_tls(tls_.get(), tls_name_);
  if (!state) co_return fail(error(Code::unavailable, "OpenSSL is out of memory"));
  std::shared_ptr<Socket> socket = make_tls_socket(std::move(tcp), tls_, state, false);
  CO_RETURN_IF_ERROR(co_await shake_hands(socket, deadline));
  co_return socket;
}

// A look-up cannot be cancelled while the C library is at it: we stop waiting and let it end alone.
struct Connector::Resolution {
  explicit Resolution(const asio::any_io_executor& executor) : resolver(executor), changed(executor) {}
  Tcp::resolver resolver;
  Notifier changed;
  bool done = false;
  Ec ec;
  std::vector<Tcp::endpoint> endpoints;
};

namespace {
// Of a look-up nobody waits for: one that is under way ends alone, one that has not begun is left out.
struct CancelAtEnd {
  explicit CancelAtEnd(Tcp::resolver& r) : resolver(r) {}
  CancelAtEnd(const CancelAtEnd&) = delete;
  ~CancelAtEnd() { resolver.cancel(); }
  Tcp::resolver& resolver;
};
}  // namespace

Awaitable<Result<std::vector<Tcp::endpoint>>> Connector::resolve(Mono deadline) {
  Ec ec;
  if (const auto address = asio::ip::make_address(url_.host, ec); !ec) {
    co_return std::vector{Tcp::endpoint(address, url_.port)};
  }
  const auto state = std::make_shared<Resolution>(executor_);
  const CancelAtEnd canceller(state->resolver);
  state->resolver.async_resolve(url_.host, std::to_string(url_.port), Tcp::resolver::numeric_service,
                                [state](const Ec& failed, const Tcp::resolver::results_type& found) {
                                  state->ec = failed;
                                  for (const auto& entry : found) state->endpoints.push_back(entry.endpoint());
                                  state->done = true;
                                  state->changed.notify_all();
                                });
  const auto until = std::min(deadline, clock_.now() + options_.resolve_timeout);
  while (!state->done) {
    if (!co_await state->changed.wait_until(clock_, until) && clock_.now() >= until) {
      co_return fail(error(Code::timeout, "the name was not resolved in time"));
    }
  }
  if (state->endpoints.empty()) {
    co_return fail(error(Code::unavailable, fmt::format("the name cannot be resolved: {}", state->ec.message())));
  }
  co_return std::move(state->endpoints);
}

Awaitable<Result<Socket::Tcp>> Connector::connect_tcp(Mono deadline) {
  ASSIGN_OR_CO_RETURN(const auto endpoints, co_await resolve(deadline));
  Error last = error(Code::timeout, "no time was left to connect");
  for (std::size_t i = 0; i < endpoints.size() && clock_.now() < deadline; ++i) {
    // One address that swallows packets must leave time for the others.
    const auto share = (deadline - clock_.now()) / static_cast<Duration::rep>(endpoints.size() - i);
    const auto limit = std::min(share, options_.connect_timeout);
    const auto tcp = std::make_shared<Tcp::socket>(executor_);
    Ec ec;
    bool late = false;
    {
      const Bomb bomb(clock_, clock_.now() + limit, tcp);
      co_await tcp->async_connect(endpoints[i], asio::redirect_error(asio::use_awaitable, ec));
      late = bomb.exploded();
    }
    if (!ec && !late) co_return std::move(*tcp);
    if (late) {
      last = error(Code::timeout, fmt::format("no connection to {} within {}", endpoints[i].address().to_string(),
                                              duration_text(limit)));
    } else {
      co_await throw_if_cancelled();
      last = error(Code::unavailable,
                   fmt::format("cannot connect to {}: {}", endpoints[i].address().to_string(), ec.message()));
    }
  }
  co_return fail(std::move(last));
}

Awaitable<Status> Connector::shake_hands(std::shared_ptr<Socket> socket, Mono deadline) {
  const auto until = std::min(deadline, clock_.now() + options_.handshake_timeout);
  Ec ec;
  bool late = false;
  {
    const Bomb bomb(clock_, until, socket);
    co_await socket->handshake(ec);
    late = bomb.exploded();
  }
  if (late) co_return fail(error(Code::timeout, "the TLS handshake took too long"));
  if (!ec) co_return Status();
  co_await throw_if_cancelled();
  if (const auto problem = socket->verify_problem(); !problem.empty()) {
    co_return fail(error(Code::unavailable,
                         fmt::format("the server's certificate is not accepted for '{}': {}", tls_name_, problem)));
  }
  const auto message = ec.message();
  const bool not_tls = message.find("wrong version number") != std::string::npos ||
                       message.find("packet length too long") != std::string::npos;
  co_return fail(error(Code::unavailable, fmt::format("the TLS handshake failed: {}{}", message,
                                                      not_tls ? " (does the server speak TLS on this port?)" : "")));
}

}  // namespace krake
