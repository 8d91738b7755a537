// For tests of this folder: a loop with a real clock, a handler with one path per behaviour, certificates, raw sockets.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <list>

#include "base/task_group.h"
#include "net/beast/client.h"
#include "net/beast/server.h"
#include "net/http.h"
#include "net/pki.h"

// In coroutines, where ASSERT_* cannot return.
#define CO_ASSERT(condition)             \
  do {                                   \
    const bool holds_ = bool(condition); \
    EXPECT_TRUE(holds_) << #condition;   \
    if (!holds_) co_return;              \
  } while (false)

namespace krake::testing {

using namespace std::chrono_literals;

// What the handlers below saw and did.
struct Seen {
  int handler_starts = 0;
  int handler_cancels = 0;
  int sources_alive = 0;
  int batches_pulled = 0;
  std::vector<std::string> targets;
};

class Bench {
 public:
  Bench();
  // Runs `test` on the loop until it returns; a test that hangs for a minute fails.
  void run(Awaitable<void> test);
  // Lets others run until `condition` holds; false after ten seconds.
  Awaitable<bool> eventually(std::function<bool()> condition);

  // /hello /echo /limit /big /count?N /idle /slow /broken /empty /headers /who /until
  Handler handler();
  static HttpServerOptions plain();
  // Certificates for 127.0.0.1 and localhost; client certificates are asked for.
  HttpServerOptions tls() const;
  std::unique_ptr<HttpServer> make_server(HttpServerOptions options);
  Endpoint endpoint(const HttpServer& server, bool tls) const;

  boost::asio::io_context io;
  RealClock clock{io.get_executor()};
  Seen seen;
  CertificateAndKey ca;
  CertificateAndKey server_cert;
  CertificateAndKey client_cert;  // common name "system:tester"
};

// A raw TCP peer.
class RawPeer {
 public:
  RawPeer(Bench& bench, std::uint16_t port);
  Awaitable<void> write(std::string bytes);
  // Until the other side closes; `cut` is added at the end when it did so by a reset.
  Awaitable<std::string> read_all();
  // Until `text` has come.
  Awaitable<std::string> read_until(std::string text);
  void end();  // half-close
  void close();

 private:
  Awaitable<bool> read_more();
  boost::asio::ip::tcp::socket socket_;
  std::string pending_;  // received, not returned yet
};

// A listener that never speaks HTTP: accepts, sends `text` and closes, or keeps silent when that is empty.
class StrangeServer {
 public:
  StrangeServer(Bench& bench, std::string text);
  std::uint16_t port() const;
  int accepted() const { return accepted_; }
  Awaitable<void> stop() { return tasks_.stop(); }

 private:
  Awaitable<void> accept();
  std::string text_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::list<boost::asio::ip::tcp::socket> sockets_;
  TaskGroup tasks_;
  int accepted_ = 0;
};

}  // namespace krake::testing
