// The connections of one endpoint: made on demand, kept while idle, counted. Thread: the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "net/beast/client.h"
#include "net/beast/connector.h"
#include "net/beast/input.h"
#include "net/beast/parser.h"
#include "net/beast/socket.h"
#include "net/url.h"

namespace krake {

struct ClientConnection {
  explicit ClientConnection(std::shared_ptr<Socket> s);
  std::shared_ptr<Socket> socket;
  MessageParser parser;
  InputBuffer input;
  Mono idle_since;
  bool used_before = false;
};

class ConnectionPool : public std::enable_shared_from_this<ConnectionPool> {
 public:
  ConnectionPool(const boost::asio::any_io_executor& executor, Clock& clock, DialerOptions options, Url url,
                 std::string tls_name, TlsContext tls);

  // One connection for the caller alone, closed and given up when the lease dies unless it was handed back.
  class Lease {
   public:
    explicit Lease(std::shared_ptr<ConnectionPool> pool) : pool_(std::move(pool)) { ++pool_->leased_; }
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    ClientConnection& operator*() const { return *connection_; }
    ClientConnection* operator->() const { return connection_.get(); }
    const std::shared_ptr<ClientConnection>& shared() const { return connection_; }
    void hand_back();

   private:
    friend class ConnectionPool;
    std::shared_ptr<ConnectionPool> pool_;
    std::shared_ptr<ClientConnection> connection_;
  };

  // idle: a connection that was kept, or a new one; fresh: a new one; extra: a new one, also beyond max_connections.
  enum class Wanted : std::uint8_t { idle, fresh, extra };
  // Errors: unavailable, timeout.
  Awaitable<Result<Lease>> lease(Wanted wanted, Mono deadline);
  bool busy() const { return leased_ >= options_.max_connections; }
  const Url& url() const { return connector_.url(); }
  Clock& clock() const { return clock_; }
  // "host:port: what": every message starts so.
  Error error(Code code, std::string_view what) const { return connector_.error(code, what); }

 private:
  std::shared_ptr<ClientConnection> take_idle();
  void drop_old();

  Clock& clock_;
  DialerOptions options_;
  Connector connector_;
  std::vector<std::shared_ptr<ClientConnection>> idle_;  // the longest idle first
  std::size_t leased_ = 0;
  Notifier freed_;
  TimerHandle sweep_;
};

}  // namespace krake
