#include "net/beast/pool.h"

#include <fmt/format.h>

namespace krake {

namespace asio = boost::asio;

namespace {

constexpr ParserLimits kResponseLimits{.line = 65536, .header = 262144, .fields = 1000};

}  // namespace

ClientConnection::ClientConnection(std::shared_ptr<Socket> s)
    : socket(std::move(s)), parser(MessageParser::Kind::response, kResponseLimits) {}

ConnectionPool::ConnectionPool(const asio::any_io_executor& executor, Clock& clock, DialerOptions options, Url url,
                               std::string tls_name, TlsContext tls)
    : clock_(clock),
      options_(options),
      connector_(executor, clock, options, std::move(url), std::move(tls_name), std::move(tls)),
      freed_(executor) {}

ConnectionPool::Lease::~Lease() {
  if (!pool_) return;
  if (connection_) connection_->socket->close();
  --pool_->leased_;
  pool_->freed_.notify_all();
}

void ConnectionPool::Lease::hand_back() {
  auto connection = std::exchange(connection_, nullptr);
  connection->used_before = true;
  connection->idle_since = pool_->clock_.now();
  connection->input.shrink(16384);
  auto& idle = pool_->idle_;
  if (idle.size() < pool_->options_.max_idle) {
    idle.push_back(std::move(connection));
    if (idle.size() == 1) pool_->drop_old();
  }
  auto pool = std::exchange(pool_, nullptr);
  --pool->leased_;
  pool->freed_.notify_all();
}

// Also arms the timer that calls it again.
void ConnectionPool::drop_old() {
  const auto now = clock_.now();
  std::erase_if(idle_, [&](const auto& connection) { return now - connection->idle_since >= options_.idle_timeout; });
  if (idle_.empty()) return sweep_.reset();
  sweep_ = clock_.at(idle_.front()->idle_since + options_.idle_timeout, [weak = weak_from_this()] {
    if (auto pool = weak.lock()) pool->drop_old();
  });
}

std::shared_ptr<ClientConnection> ConnectionPool::take_idle() {
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->socket->quiet()) return connection;
  }
  return nullptr;
}

Awaitable<Result<ConnectionPool::Lease>> ConnectionPool::lease(Wanted wanted, Mono deadline) {
  const auto self = shared_from_this();
  while (wanted != Wanted::extra && leased_ >= options_.max_connections) {
    if (!co_await freed_.wait_until(clock_, deadline) && clock_.now() >= deadline) {
      co_return fail(error(Code::timeout, fmt::format("all {} connections stayed busy", options_.max_connections)));
    }
  }
  Lease lease(self);
  if (wanted == Wanted::idle) lease.connection_ = take_idle();
  if (!lease.connection_) {
    ASSIGN_OR_CO_RETURN(auto socket, co_await connector_.connect(deadline));
    lease.connection_ = std::make_shared<ClientConnection>(std::move(socket));
  }
  co_return lease;
}

}  // namespace krake
