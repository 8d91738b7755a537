#include "store/etcd/line.h"

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstring>

namespace krake::store::etcd {

namespace {

constexpr std::size_t kRead = 16384;
constexpr std::size_t kPrefix = 5;         // of a message: one byte of flags, four of its length
constexpr std::size_t kPing = 8;           // bytes of its data
constexpr std::int32_t kWindow = 2 << 20;  // answers are small: none waits for us to grant it room
constexpr std::string_view kSuccess = "0";
constexpr Duration kPingPatience = std::chrono::milliseconds(100);

std::string framed(const std::string& message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string text(1, '\0');
  for (const int shift : {24, 16, 8, 0}) text += static_cast<char>(size >> shift & 0xff);
  return text + message;
}

// Nothing when it is not one whole message, or a compressed one.
std::optional<std::string> unframed(const std::string& text) {
  if (text.size() < kPrefix || text[0] != '\0') return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 1; i < kPrefix; ++i) size = size << 8 | static_cast<unsigned char>(text[i]);
  if (text.size() - kPrefix != size) return std::nullopt;
  return text.substr(kPrefix);
}

nghttp2_nv header(std::string_view name, std::string_view value, bool secret = false) {
  // nghttp2 copies both; its interface is C's.
  return {.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          .value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),
          .namelen = name.size(),
          .valuelen = value.size(),
          .flags = static_cast<std::uint8_t>(secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)};
}

Error ended() { return {Code::unavailable, "the connection has ended"}; }

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

// It lives as long as its stream, and as its caller.
struct Line::Call {
  Call(const boost::asio::any_io_executor& executor, Mono the_deadline, std::string the_request)
      : deadline(the_deadline), request(std::move(the_request)), changed(executor) {}
  void end() {
    ended = true;
    changed.notify_all();
  }
  Mono deadline;
  std::string request;
  std::size_t sent = 0;
  std::string answer;
  std::string status;  // gRPC's; empty: none came
  bool ended = false;
  Notifier changed;
};

// What nghttp2 tells us. It calls from within its functions, which must not be called from here.
struct Line::Callbacks {
  static Line& line(void* user) { return *static_cast<Line*>(user); }
  static Call* call(void* user, std::int32_t stream) {
    const auto it = line(user).calls_.find(stream);
    return it == line(user).calls_.end() ? nullptr : it->second.get();
  }
  static ssize_t request(nghttp2_session* /*session*/, std::int32_t stream, std::uint8_t* buffer, std::size_t size,
                         std::uint32_t* flags, nghttp2_data_source* /*source*/, void* user) {
    auto* mine = call(user, stream);
    if (!mine) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const auto part = std::min(size, mine->request.size() - mine->sent);
    std::memcpy(buffer, mine->request.data() + mine->sent, part);
    mine->sent += part;
    if (mine->sent == mine->request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }
  // Of the answer's head and of its end, the trailers; a refusal has but one.
  static int header(nghttp2_session* /*session*/, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t /*flags*/,
                    void* user) {
    auto* mine = call(user, frame->hd.stream_id);
    if (mine && text_of(name, name_size) == "grpc-status") mine->status = text_of(value, value_size);
    return 0;
  }
  static int data(nghttp2_session* session, std::uint8_t /*flags*/, std::int32_t stream, const std::uint8_t* bytes,
                  std::size_t size, void* user) {
    auto* mine = call(user, stream);
    if (!mine) return 0;
    if (mine->answer.size() + size > line(user).options_.answer + kPrefix)
      return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    mine->answer += text_of(bytes, size);
    return 0;
  }
  static int frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_PING || (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) return 0;
    if (line(user).put_off(frame->ping.opaque_data)) return 0;
    return nghttp2_submit_ping(session, NGHTTP2_FLAG_ACK, frame->ping.opaque_data);
  }
  static int closed(nghttp2_session* /*session*/, std::int32_t stream, std::uint32_t error, void* user) {
    const auto node = line(user).calls_.extract(stream);
    if (!node) return 0;
    if (error != NGHTTP2_NO_ERROR) node.mapped()->status.clear();
    node.mapped()->end();
    return 0;
  }
};

Line::Line(std::shared_ptr<Socket> socket, const boost::asio::any_io_executor& executor, Clock& clock,
           LineOptions options)
    : socket_(std::move(socket)),
      executor_(executor),
      clock_(clock),
      options_(std::move(options)),
      session_(nullptr, nghttp2_session_del),
      tasks_(executor) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::closed);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_ping_ack(option, 1);
  nghttp2_session* session = nullptr;
  nghttp2_session_client_new2(&session, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  session_.reset(session);
}

Line::~Line() = default;

void Line::start(const std::shared_ptr<Line>& line) {
  const std::array settings{nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                            nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}};
  nghttp2_session_set_next_stream_id(line->session_.get(), line->options_.first_stream);
  nghttp2_submit_settings(line->session_.get(), NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(line->session_.get(), NGHTTP2_FLAG_NONE, 0, kWindow);
  line->flush();
  line->tasks_.spawn("read from etcd", read(line));
}

Awaitable<void> Line::read(std::shared_ptr<Line> self) {
  std::array<std::uint8_t, kRead> buffer;
  while (!self->closed_) {
    Socket::Ec ec;
    const auto size = co_await self->socket_->read_some(boost::asio::buffer(buffer), ec);
    if (ec || self->closed_ || nghttp2_session_mem_recv(self->session_.get(), buffer.data(), size) < 0) break;
    self->flush();
  }
  self->close();
}

// Nothing when no more calls may be made: the member has said that it goes, or all numbers of streams are spent.
std::shared_ptr<Line::Call> Line::submit(const std::string& path, const std::string& message,
                                         const std::string& token) {
  if (nghttp2_session_check_request_allowed(session_.get()) == 0) {
    if (calls_.empty()) close();  // else the last of them is answered first
    return nullptr;
  }
  std::vector<nghttp2_nv> headers{header(":method", "POST"),
                                  header(":scheme", socket_->secure() ? "https" : "http"),
                                  header(":path", path),
                                  header(":authority", options_.authority),
                                  header("content-type", "application/grpc"),
                                  header("te", "trailers")};
  if (!token.empty()) headers.push_back(header("token", token, true));
  const nghttp2_data_provider body{.source = {}, .read_callback = Callbacks::request};
  const auto stream = nghttp2_submit_request(session_.get(), nullptr, headers.data(), headers.size(), &body, nullptr);
  if (stream < 0) {
    close();
    return nullptr;
  }
  auto call = std::make_shared<Call>(executor_, clock_.now() + options_.patience, framed(message));
  calls_.emplace(stream, call);
  return call;
}

Awaitable<Result<std::string>> Line::call(std::string path, std::string message, std::string token) {
  const auto self = shared_from_this();
  const auto call = closed_ ? nullptr : submit(path, message, token);
  if (!call) co_return fail(ended());
  wait_for_answers();
  flush();
  while (!call->ended) co_await call->changed.wait();
  if (closed_ && call->status.empty()) co_return fail(ended());
  auto answer = call->status == kSuccess ? unframed(call->answer) : std::nullopt;
  if (!answer) co_return fail(Code::unavailable, "it was refused");
  co_return *std::move(answer);
}

// One timer for all. Calls whose caller is gone are waited for too: a silent member is noticed all the same.
void Line::wait_for_answers() {
  if (std::exchange(waiting_, true)) return;
  timer_ = clock_.at(calls_.begin()->second->deadline, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->waiting_ = false;
    if (self->calls_.empty()) return;
    if (self->calls_.begin()->second->deadline > self->clock_.now()) return self->wait_for_answers();
    self->close();
    if (self->options_.silent) self->options_.silent();
  });
}

// With each call etcd's gRPC asks how long a round takes, unless it waits for that already. Told at once, a call would
// cost each side another message. False: one is put off, and this one is to be answered now.
bool Line::put_off(const std::uint8_t* ping) {
  if (std::exchange(ping_waits_, true)) return false;
  std::array<std::uint8_t, kPing> data;
  std::copy_n(ping, data.size(), data.begin());
  ping_timer_ = clock_.at(clock_.now() + kPingPatience, [weak = weak_from_this(), data] {
    const auto self = weak.lock();
    if (!self) return;
    self->ping_waits_ = false;
    nghttp2_submit_ping(self->session_.get(), NGHTTP2_FLAG_ACK, data.data());
    self->flush();
  });
  return true;
}

// Sends what nghttp2 has to send.
void Line::flush() {
  if (writing_ || closed_) return;
  output_.clear();
  written_ = 0;
  for (;;) {
    const std::uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(session_.get(), &bytes);
    if (size < 0) return close();
    if (size == 0) break;
    output_ += text_of(bytes, static_cast<std::size_t>(size));
  }
  if (!output_.empty()) {
    Socket::Ec ec;
    const boost::asio::const_buffer buffer = boost::asio::buffer(output_);
    written_ = socket_->try_write({&buffer, 1}, ec);
  }
  if (written_ < output_.size()) {
    writing_ = true;
    tasks_.spawn("write to etcd", write(shared_from_this()));
  } else if (nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0) {
    close();  // one of both has said that it goes, and nothing is left to be answered
  }
}

Awaitable<void> Line::write(std::shared_ptr<Line> self) {
  while (!self->closed_ && self->written_ < self->output_.size()) {
    Socket::Ec ec;
    const auto rest = boost::asio::buffer(self->output_) + self->written_;
    const boost::asio::const_buffer buffer = rest;
    self->written_ += co_await self->socket_->write_some({&buffer, 1}, ec);
    if (ec) self->close();
  }
  self->writing_ = false;
  self->flush();
}

void Line::close() {
  if (std::exchange(closed_, true)) return;
  timer_.reset();
  ping_timer_.reset();
  socket_->close();
  // Those that have their answer already are no longer among them.
  for (const auto& [stream, call] : std::exchange(calls_, {})) {
    call->status.clear();
    call->end();
  }
}

}  // namespace krake::store::etcd
