// One server connection: reads requests, calls the handler, writes replies, one after the other.
// Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/task_group.h"
#include "net/beast/input.h"
#include "net/beast/parser.h"
#include "net/beast/server.h"
#include "net/beast/socket.h"

namespace krake {

// What the connections of a server share.
struct ServerContext {
  boost::asio::any_io_executor executor;
  Clock& clock;
  Handler handler;
  HttpServerOptions options;
  Log log;
  bool stopping = false;

  std::string_view date_line();  // "Date: ...", made once a second
  std::int64_t date_second = -1;
  std::string date;
};

// Its coroutines keep it alive, so that the io_context may die with all of them at once.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerContext> context, std::unique_ptr<Socket> socket);

  // Serves until the connection ends, then closes it and returns. Not cancellable: use close() or cancel().
  Awaitable<void> run();
  // Called often enough: closes a connection whose time is up and starts to watch the peer of a slow handler.
  void tick(Mono now);
  // Since when it has had nothing to do; nothing while it has.
  std::optional<Mono> idle_since() const { return phase_ == Phase::idle ? std::optional(phase_since_) : std::nullopt; }
  // The server stops: ends now what nobody would miss, and lets a handler go on (then this was its last request).
  void stop();
  // The same where the peer's certificate does not verify any more by the server's `context`, or did not yet.
  void keep_trusted(ssl_ctx_st* context);
  // Ends a handler too.
  void cancel() { tasks_.cancel(); }

 private:
  enum class Phase : std::uint8_t { handshake, idle, reading, handling, streaming, writing };
  class Body;

  static Awaitable<void> serve(std::shared_ptr<Connection> self);
  Awaitable<void> serve_requests();
  Awaitable<bool> handshake();
  Awaitable<bool> read_head();
  Awaitable<bool> refuse(ParseState state);
  Awaitable<bool> answer();
  Awaitable<ServerReply> call_handler(ServerRequest& request);
  Awaitable<bool> write_reply(ServerRequest& request, ServerReply& reply, bool keep_alive);
  Awaitable<bool> write_stream(ServerReply& reply, bool chunked);
  Awaitable<bool> write_rest();
  Awaitable<bool> fill();
  Awaitable<void> linger();
  Awaitable<bool> drain();
  static Awaitable<void> pump(std::shared_ptr<Connection> self);
  Awaitable<void> read_ahead();

  bool may_keep_alive(const Body& body) const;
  void compose_head(const ServerRequest& request, const ServerReply& reply, bool keep_alive);
  bool write_now();
  void start_pump();
  void enter(Phase phase, Duration limit);
  void enter(Phase phase) {
    phase_ = phase;
    deadline_ = Mono::max();
  }

  const std::shared_ptr<ServerContext> shared_;
  ServerContext& context_;
  std::unique_ptr<Socket> socket_;
  TaskGroup tasks_;  // serve and, now and then, pump
  Peer peer_;
  MessageParser parser_;
  InputBuffer input_;
  Notifier input_changed_;
  std::string ignored_;  // where body bytes go that nobody wants

  Phase phase_ = Phase::handshake;
  Mono phase_since_;
  Mono deadline_ = Mono::max();
  bool pump_runs_ = false;
  bool pump_wanted_ = false;
  bool input_ended_ = false;
  bool body_reader_waits_ = false;
  bool retired_ = false;  // its peer is not believed any more: no further request
  bool broken_ = false;   // what comes in cannot be told apart any more: no further request

  // Of the reply under way.
  std::string head_;
  std::string chunk_head_;
  std::vector<boost::asio::const_buffer> output_;
  std::size_t output_next_ = 0;
  int turns_ = 0;  // requests or chunks served without letting others run
};

}  // namespace krake
