// The two HTTP seams. Transport is how a client reaches a peer; Handler is how a server answers. Production: Beast over
// TCP and TLS (net/beast); in one process and in the simulator: net/inproc, which hands the same values over directly.
// Thread: the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/async.h"
#include "base/error.h"

namespace krake {

// Immutable bytes shared by everyone who sends them: a view and what keeps it alive. Copying copies no bytes.
class SharedBytes {
 public:
  SharedBytes() = default;
  SharedBytes(std::nullptr_t) {}
  explicit SharedBytes(std::string bytes)
      : owner_(std::make_shared<const std::string>(std::move(bytes))), view_(*owner_) {}
  std::string_view operator*() const { return view_; }
  const std::string_view* operator->() const { return &view_; }
  explicit operator bool() const { return owner_ != nullptr; }
  // A part of the same bytes.
  SharedBytes part(std::size_t offset, std::size_t size) const {
    SharedBytes result = *this;
    result.view_ = view_.substr(offset, size);
    return result;
  }

 private:
  std::shared_ptr<const std::string> owner_;
  std::string_view view_;
};
inline SharedBytes share_bytes(std::string bytes) { return SharedBytes(std::move(bytes)); }

// Few and in order; names compare without case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> entries) : entries_(entries) {}
  // The first value, or nothing.
  std::optional<std::string_view> get(std::string_view name) const;
  void set(std::string_view name, std::string value);  // replaces
  void add(std::string name, std::string value) { entries_.emplace_back(std::move(name), std::move(value)); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query, percent-encoded
  Headers headers;
  std::string body;
  bool repeatable = false;  // it does no harm to carry it out twice, though its method may
};

struct HttpResponse {
  int status = 0;
  Headers headers;
  std::string body;
  std::string reason;  // the phrase of the status line, as the peer words it; may be empty
};

// A body that arrives in pieces. Destroying it closes the connection.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // The next piece; empty at the end. An error ends the stream too.
  virtual Awaitable<Result<std::string>> read() = 0;
};

struct HttpStream {
  int status = 0;
  Headers headers;
  std::unique_ptr<ByteStream> body;
};

struct CallOptions {
  Duration timeout = std::chrono::seconds(30);    // of the whole exchange; for open(): until the headers are there
  std::size_t body_limit = std::size_t{1} << 30;  // of send(): a stream has no end to wait for
  // Made for it, whatever the others do: how many there are does not hold it up, nor what became of those kept idle.
  bool own_connection = false;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Errors: unavailable (no connection, cut), timeout. Any HTTP status is a success here.
  virtual Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options = {}) = 0;
  virtual Awaitable<Result<HttpStream>> open(HttpRequest request, CallOptions options = {}) = 0;
  // Finds out whether a request could be sent now, as far as that can be known, and makes a connection for it unless
  // there is one. Errors: unavailable, and timeout after `limit`; nothing has been sent then.
  virtual Awaitable<Status> connect(Duration /*limit*/) { co_return Status{}; }
};

// Who is at the other end, as vouched for by the transport.
struct Peer {
  std::string common_name;  // of the verified client certificate, or given by the in-process transport; may be empty
  std::string address;
  std::optional<Wall> until{};  // when that certificate, or what vouches for it, expires
};

// The body, read on demand: routing, authentication and load shedding come first.
class RequestBody {
 public:
  virtual ~RequestBody() = default;
  // too_large (message says the limit and the size) beyond `limit`; timeout when the sender stalls, invalid_argument
  // when it breaks off.
  virtual Awaitable<Result<std::string>> read(std::size_t limit) = 0;
};

struct ServerRequest {
  std::string method;
  std::string target;
  Headers headers;
  Peer peer;
  RequestBody* body = nullptr;  // valid while the handler runs
};

// A response that is produced while it is sent. Pulled by the connection, so a slow reader slows only itself.
class ReplySource {
 public:
  virtual ~ReplySource() = default;
  // The next pieces, sent together; nullopt at the regular end, Error to cut the connection. `batch` is reused.
  virtual Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) = 0;  // false: the end
};

struct ServerReply {
  int status = 200;
  Headers headers;                      // without Content-Length, Transfer-Encoding, Connection
  std::vector<SharedBytes> body;        // when `source` is null
  std::unique_ptr<ReplySource> source;  // chunked
  std::string reason;                   // empty: the standard phrase
};

// Called once per request, concurrently. Cancelled when the peer goes away.
using Handler = std::function<Awaitable<ServerReply>(ServerRequest& request)>;

bool iequals(std::string_view a, std::string_view b);
std::string_view status_phrase(int status);

}  // namespace krake
