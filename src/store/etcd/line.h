// One HTTP/2 connection to a member, on the loop itself, for what is asked of etcd all the time: unary calls in gRPC's
// framing (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). gRPC's own calls take 80 us of CPU and two switches of threads
// each, which every read would wait for (docs/design/004-etcd.md has the figures). Many calls may be under way.
// Thread: the loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/clock.h"
#include "base/task_group.h"
#include "net/beast/socket.h"

struct nghttp2_session;

namespace krake::store::etcd {

struct LineOptions {
  std::string authority;          // HOST:PORT
  Duration patience{};            // of each call; over it the line ends
  std::size_t answer = 0;         // bytes: a call whose answer is longer fails
  std::int32_t first_stream = 1;  // odd; a connection has 2^30 of them
  std::function<void()> silent;   // told when it ended as no answer came within the patience
};

class Line : public std::enable_shared_from_this<Line> {
 public:
  // `socket` is connected, and speaks HTTP/2 where it is TLS. The clock is not used after close().
  Line(std::shared_ptr<Socket> socket, const boost::asio::any_io_executor& executor, Clock& clock, LineOptions options);
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // Once, first of all. Reads until the line ends, and keeps it alive so long.
  static void start(const std::shared_ptr<Line>& line);

  // The answer's message to the request's; both are serialized, the path is "/PACKAGE.SERVICE/METHOD". Errors:
  // unavailable - it was refused (the line goes on), or the line has ended. Whether it was carried out is unknown.
  Awaitable<Result<std::string>> call(std::string path, std::string message, std::string token);

  // Ends all calls.
  void close();
  bool closed() const { return closed_; }

 private:
  struct Call;
  struct Callbacks;

  static Awaitable<void> read(std::shared_ptr<Line> self);
  static Awaitable<void> write(std::shared_ptr<Line> self);
  std::shared_ptr<Call> submit(const std::string& path, const std::string& message, const std::string& token);
  bool put_off(const std::uint8_t* ping);
  void flush();
  void wait_for_answers();

  std::shared_ptr<Socket> socket_;
  boost::asio::any_io_executor executor_;
  Clock& clock_;
  LineOptions options_;
  std::unique_ptr<nghttp2_session, void (*)(nghttp2_session*)> session_;
  std::map<std::int32_t, std::shared_ptr<Call>> calls_;  // by stream; the oldest is the first
  TaskGroup tasks_;
  TimerHandle timer_;  // when the oldest may be too late
  bool waiting_ = false;
  TimerHandle ping_timer_;  // when the ping that was put off is answered
  bool ping_waits_ = false;
  std::string output_;
  std::size_t written_ = 0;
  bool writing_ = false;
  bool closed_ = false;
};

}  // namespace krake::store::etcd
