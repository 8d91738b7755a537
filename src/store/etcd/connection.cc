#include "store/etcd/connection.h"

#include <grpc/support/log.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <charconv>

#include "base/check.h"

namespace krake::store::etcd {

Inbox::~Inbox() { CHECK(!thread_.joinable(), "stop() comes first"); }

void Inbox::start() {
  thread_ = std::thread([this] { run(); });
}

void Inbox::run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    auto* operation = static_cast<Operation*>(tag);
    if (!operation->arrived(ok)) continue;
    const MutexLock lock(mutex_);
    completions_.push_back({operation, ok});
    // One post for all that come until the loop gets to it.
    if (completions_.size() == 1) boost::asio::post(executor_, [self = shared_from_this()] { self->drain(); });
    arrived_.notify();
  }
}

void Inbox::drain() {
  std::vector<Completion> batch;
  {
    const MutexLock lock(mutex_);
    batch.swap(completions_);
  }
  for (const auto& completion : batch) completion.operation->completed(completion.ok);
}

void Inbox::wait() {
  {
    const MutexLock lock(mutex_);
    while (completions_.empty()) arrived_.wait(mutex_);
  }
  drain();
}

void Inbox::stop() {
  queue_.Shutdown();
  thread_.join();
}

namespace {

struct Address {
  std::string url;
  std::string target;  // HOST:PORT
  bool tls = false;
};

Result<Address> parse_endpoint(const std::string& endpoint) {
  Address address;
  std::string_view rest = endpoint;
  if (rest.starts_with("https://")) address.tls = true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const auto colon = rest.rfind(':');
  const auto port = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  const bool number =
      !port.empty() && port.size() <= 5 && std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  int value = 0;
  if (number) std::from_chars(port.data(), port.data() + port.size(), value);
  const auto of_a_host = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(".-_:[]%").contains(c);
  };
  if (colon == 0 || value < 1 || value > 65535 || !std::ranges::all_of(rest, of_a_host)) {
    return fail(Code::invalid_argument,
                fmt::format("etcd endpoint '{}': want http://HOST:PORT or https://HOST:PORT", endpoint));
  }
  address.target = rest;
  address.url = (address.tls ? "https://" : "http://") + address.target;
  return address;
}

constexpr int kConnectMs = 1000;
constexpr int kReconnectMs = 100;
constexpr int kWindowBytes = 8 << 20;
// etcd refuses clients that ask more often than every 5 s.
constexpr int kKeepAliveMs = 6000;
constexpr int kKeepAliveTimeoutMs = 2000;
constexpr Duration kRefusedLongEnough = std::chrono::seconds(1);
constexpr Duration kLineConnect = std::chrono::seconds(5);
constexpr Backoff kLineAgain{.base = std::chrono::seconds(1), .cap = std::chrono::seconds(30)};
constexpr std::size_t kLineAnswer = std::size_t{1} << 20;
constexpr const char* kRange = "/etcdserverpb.KV/Range";
constexpr const char* kHttp2 = "h2";

// Errors: invalid_argument.
Result<TlsContext> tls_of(const EtcdOptions& options) {
  auto context = make_client_tls(options.tls.ca_pem, options.tls.cert_pem, options.tls.key_pem, false);
  if (!context) return fail(with_context(std::move(context).error(), "etcd.tls"));
  return context;
}

}  // namespace

Connection::Connection(boost::asio::any_io_executor executor, Clock& clock, Random random, Log log, EtcdOptions options)
    : executor_(std::move(executor)),
      clock_(clock),
      random_(random),
      log_(std::move(log)),
      options_(std::move(options)),
      inbox_(std::make_shared<Inbox>(executor_)),
      login_wanted_(!options_.user.empty()),
      logging_in_(executor_),
      tasks_(executor_) {}

Status Connection::open() {
  // It writes to standard error what its answers say as well.
  gpr_set_log_function([](gpr_log_func_args*) {});
  RETURN_IF_ERROR(check(options_));
  for (const auto& endpoint : options_.endpoints) {
    ASSIGN_OR_RETURN(const auto address, parse_endpoint(endpoint));
    auto member = std::make_shared<Member>(address.url);
    RETURN_IF_ERROR(connect(*member, address.tls));
    members_.push_back(std::move(member));
  }
  // Several servers that start alike do not all lean on the same member.
  current_ = random_.below(members_.size());
  inbox_->start();
  return {};
}

Status Connection::connect(Member& member, bool tls) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A watch that cannot be sent its events at once falls behind, and etcd lets it catch up with 10,000 a second only.
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  // Each store has connections of its own: what one of them waits for does not hold up another.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  const auto credentials =
      tls ? grpc::SslCredentials({options_.tls.ca_pem, options_.tls.key_pem, options_.tls.cert_pem})
          : grpc::InsecureChannelCredentials();
  const auto target = member.url.substr(member.url.find("://") + 3);
  member.channel = grpc::CreateCustomChannel(target, credentials, arguments);
  member.kv = pb::KV::NewStub(member.channel);
  member.watch = pb::Watch::NewStub(member.channel);
  member.lease = pb::Lease::NewStub(member.channel);
  member.auth = pb::Auth::NewStub(member.channel);
  member.maintenance = pb::Maintenance::NewStub(member.channel);
  auto url = parse_url(member.url);
  if (!url) return {};  // an address only gRPC understands
  TlsContext context;
  if (tls) {
    ASSIGN_OR_RETURN(context, tls_of(options_));
    offer_protocol(context.get(), kHttp2);
  }
  auto name = url->host;
  member.connector = std::make_unique<Connector>(executor_, clock_, DialerOptions{}, *std::move(url), std::move(name),
                                                 std::move(context));
  return {};
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  for (const auto& member : members_) {
    const auto in_flight = member->in_flight;
    for (auto* call : in_flight) call->abandon();
    while (!member->in_flight.empty()) inbox_->wait();
    if (member->line) member->line->close();
  }
  tasks_.cancel();
  inbox_->stop();
}

void Connection::leave(const MemberPtr& member) {
  if (members_.size() == 1 || members_[current_] != member) return;
  current_ = (current_ + 1) % members_.size();
  log_.warning("etcd member does not answer; asking the next one",
               {{"member", member->url}, {"next", members_[current_]->url}});
  const auto in_flight = member->in_flight;
  for (auto* call : in_flight) call->abandon();
  if (const auto line = std::exchange(member->line, nullptr)) line->close();
}

Awaitable<Result<pb::RangeResponse>> Connection::ask(pb::RangeRequest request) {
  const auto self = shared_from_this();
  const Mono begin = clock_.now();
  if (auto answer = co_await ask_by_line(request)) co_return *std::move(answer);
  co_return co_await call_since<pb::KV>(begin, "Range", &pb::KV::Stub::PrepareAsyncRange, std::move(request),
                                        Repeat::always);
}

// Whatever goes wrong here is judged by the other way of asking: it tells why.
Awaitable<std::optional<pb::RangeResponse>> Connection::ask_by_line(const pb::RangeRequest& request) {
  const auto self = shared_from_this();
  const auto asked = member();
  if (closed_ || !asked->connector || (login_wanted_ && token_.empty())) co_return std::nullopt;
  const auto line = asked->line;
  if (!line || line->closed()) {
    want_line(asked);
    co_return std::nullopt;
  }
  asked->line_login = logins_;
  const auto text = co_await line->call(kRange, request.SerializeAsString(), token_);
  pb::RangeResponse answer;
  if (text && answer.ParseFromString(*text) && !closed_) {
    asked->line_tries = 0;
    co_return answer;
  }
  line->close();  // else each question would be asked twice, for ever maybe
  co_return std::nullopt;
}

void Connection::want_line(const MemberPtr& member) {
  if (member->line_under_way || clock_.now() < member->next_line) return;
  member->next_line = clock_.now() + kLineAgain.delay(member->line_tries++, random_);
  member->line_under_way = true;
  tasks_.spawn("connect to etcd", make_line(member));
}

Awaitable<void> Connection::make_line(MemberPtr member) {
  const auto self = shared_from_this();
  const auto& connector = *member->connector;
  auto socket = co_await member->connector->connect(clock_.now() + kLineConnect);
  member->line_under_way = false;
  if (closed_) co_return;
  if (socket && (*socket)->secure() && (*socket)->protocol() != kHttp2)
    socket = fail(connector.error(Code::unavailable, "it does not speak HTTP/2 over TLS"));
  const auto problem = socket ? std::string() : socket.error().message;
  if (!socket && problem != member->line_problem) {
    log_.warning("etcd: reads go by gRPC alone, which is slower: no connection of their own could be made",
                 {{"member", member->url}, {"why", problem}});
  }
  member->line_problem = problem;
  if (!socket) co_return;
  const auto silent = [weak = weak_from_this(), of = std::weak_ptr(member)] {
    const auto connection = weak.lock();
    const auto fallen = of.lock();
    if (!connection || !fallen) return;
    connection->leave(fallen);
    connection->doubt_token(fallen->line_login);
  };
  member->line = std::make_shared<Line>(*std::move(socket), executor_, clock_,
                                        LineOptions{.authority = connector.url().host_port(),
                                                    .patience = std::min(options_.patience, options_.timeout),
                                                    .answer = kLineAnswer,
                                                    .silent = silent});
  Line::start(member->line);
}

Result<Duration> Connection::time_left(const Progress& progress) const {
  const Duration left = progress.begin + options_.timeout - clock_.now();
  if (left >= std::min(options_.patience, options_.timeout) / 4) return left;
  if (progress.last) return fail(*progress.last);
  return fail(
      Code::unavailable,
      fmt::format("etcd at {}: no member answered in time: are most of its members up and in reach of each other?",
                  members_[current_]->url));
}

void Connection::prepare(grpc::ClientContext& context) const {
  if (!token_.empty()) context.AddMetadata("token", token_);
}

Awaitable<Status> Connection::log_in(std::optional<Mono> begin) {
  if (!login_wanted_ || !token_.empty()) co_return Status{};
  const auto self = shared_from_this();
  const auto lock = co_await logging_in_.lock();
  if (closed_) co_return fail(closed_error());
  if (!login_wanted_ || !token_.empty()) co_return Status{};  // somebody else did meanwhile
  pb::AuthenticateRequest request;
  request.set_name(options_.user);
  request.set_password(options_.password);
  Progress progress{.begin = begin.value_or(clock_.now())};
  for (;;) {
    ASSIGN_OR_CO_RETURN(const Duration time, time_left(progress));
    const auto asked = member();
    const auto call = co_await attempt<pb::Auth>(asked, &pb::Auth::Stub::PrepareAsyncAuthenticate, request,
                                                 std::min(time, patience()));
    if (closed_) co_return fail(closed_error());
    if (call->status.ok()) {
      token_ = call->response.token();
      ++logins_;
      co_return Status{};
    }
    const auto& text = call->status.error_message();
    if (text.find("authentication is not enabled") != std::string::npos) {
      log_.warning("etcd has no users: etcd.user is not used", {{"member", asked->url}});
      login_wanted_ = false;
      co_return Status{};
    }
    auto verdict = judge({static_cast<int>(call->status.error_code()), text, asked->url, "Authenticate"});
    if (verdict.next == Next::log_in) verdict.next = Next::give_up;
    CO_RETURN_IF_ERROR(co_await recover(asked, std::move(verdict), Repeat::always, progress));
  }
}

Awaitable<Status> Connection::recover(MemberPtr member, Verdict verdict, Repeat repeat, Progress& progress) {
  auto& error = verdict.error;
  const bool unknown = verdict.maybe_applied && repeat == Repeat::unless_maybe_applied;
  if (closed_ && !unknown) co_return fail(closed_error());
  if (verdict.next == Next::elsewhere) leave(member);
  if (unknown) {
    error = {Code::timeout, error.message + std::string(kMaybeApplied)};
    co_return fail(std::move(error));
  }
  if (verdict.next == Next::give_up) co_return fail(std::move(error));
  const int members = static_cast<int>(members_.size());
  ++progress.attempts;
  if (verdict.next == Next::log_in) {
    if (progress.attempts > 3 || options_.user.empty()) co_return fail(std::move(error));
    doubt_token(progress.login);
    login_wanted_ = true;
    co_return Status{};
  }
  // Who refuses connections is not there; when nobody is, to wait for long only makes requests pile up.
  progress.refused = !verdict.maybe_applied && verdict.next == Next::elsewhere ? progress.refused + 1 : 0;
  const bool nobody = progress.refused >= members;
  const Mono end = progress.begin + (nobody ? std::min(options_.timeout, kRefusedLongEnough) : options_.timeout);
  const bool round_complete = progress.attempts % members == 0;
  const Backoff backoff{.base = std::chrono::milliseconds(50), .cap = std::chrono::milliseconds(500)};
  const Duration pause = round_complete || verdict.next == Next::later
                             ? backoff.delay((progress.attempts - 1) / members, random_)
                             : Duration();
  const Mono now = clock_.now();
  if (now + pause >= end) co_return fail(std::move(error));
  progress.last = std::move(error);
  if (pause > Duration()) co_await sleep_for(clock_, pause);
  co_return Status{};
}

}  // namespace krake::store::etcd

namespace krake::store {

Status check_endpoint(const std::string& endpoint) {
  RETURN_IF_ERROR(etcd::parse_endpoint(endpoint));
  return {};
}

Status check(const EtcdOptions& options) {
  if (options.endpoints.empty())
    return fail(Code::invalid_argument, "etcd: no endpoint is configured: set etcd.host or etcd.endpoints");
  bool tls = false;
  for (const auto& endpoint : options.endpoints) {
    ASSIGN_OR_RETURN(const auto address, etcd::parse_endpoint(endpoint));
    tls = tls || address.tls;
  }
  if (tls) RETURN_IF_ERROR(etcd::tls_of(options));
  return {};
}

}  // namespace krake::store
