// The members of one etcd cluster as a client sees them: channels, log-in, which member is asked, what is asked again.
// Only this folder includes it. Thread: the loop.
#pragma once

#include <etcd.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/random.h"
#include "net/beast/connector.h"
#include "store/etcd/etcd_store.h"
#include "store/etcd/inbox.h"
#include "store/etcd/line.h"
#include "store/etcd/verdict.h"

namespace krake::store::etcd {

namespace pb = ::etcdserverpb;

class Connection;

// How the message of an error ends whose outcome nobody knows.
inline constexpr std::string_view kMaybeApplied = "; it may or may not have been carried out";

// Something in flight to a member, to be ended when the member is given up.
class InFlight {
 public:
  virtual void abandon() = 0;

 protected:
  ~InFlight() = default;
};

struct Member {
  explicit Member(std::string url) : url(std::move(url)) {}
  template <class Service>
  typename Service::Stub& stub();

  std::string url;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::KV::Stub> kv;
  std::unique_ptr<pb::Watch::Stub> watch;
  std::unique_ptr<pb::Lease::Stub> lease;
  std::unique_ptr<pb::Auth::Stub> auth;
  std::unique_ptr<pb::Maintenance::Stub> maintenance;
  std::set<InFlight*> in_flight;
  std::unique_ptr<Connector> connector;  // makes lines; null: none can be made to such an address
  std::shared_ptr<Line> line;
  bool line_under_way = false;
  int line_tries = 0;            // since one answered
  Mono next_line{};              // none is tried before
  std::string line_problem;      // told last
  std::uint64_t line_login = 0;  // whose token the last call over it carried
};
using MemberPtr = std::shared_ptr<Member>;

template <class Service>
typename Service::Stub& Member::stub() {
  if constexpr (std::is_same_v<Service, pb::KV>) return *kv;
  if constexpr (std::is_same_v<Service, pb::Watch>) return *watch;
  if constexpr (std::is_same_v<Service, pb::Lease>) return *lease;
  if constexpr (std::is_same_v<Service, pb::Auth>) return *auth;
  if constexpr (std::is_same_v<Service, pb::Maintenance>) return *maintenance;
}

// One call on the wire; keeps itself alive until it has ended.
template <class Response>
class UnaryCall final : public Operation, public InFlight, public std::enable_shared_from_this<UnaryCall<Response>> {
 public:
  UnaryCall(std::shared_ptr<Connection> connection, MemberPtr member);

  void start(std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader) {
    self_ = this->shared_from_this();
    member_->in_flight.insert(this);
    reader_ = std::move(reader);
    reader_->StartCall();
    reader_->Finish(&response, &status, static_cast<Operation*>(this));
  }
  void completed(bool ok) override;
  void abandon() override { context.TryCancel(); }

  grpc::ClientContext context;
  grpc::Status status;
  Response response;
  bool finished = false;
  Notifier done;
  std::function<void(UnaryCall&)> then;  // when it has ended

 private:
  std::shared_ptr<Connection> connection_;
  MemberPtr member_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
  std::shared_ptr<UnaryCall> self_;
  std::uint64_t login_;  // whose token it carries
};

// How a call of a service is prepared: what its stub has for it.
template <class Service, class Request, class Response>
using Prepare = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> (Service::Stub::*)(grpc::ClientContext*,
                                                                                              const Request&,
                                                                                              grpc::CompletionQueue*);

// May a call be made again when nobody knows whether it was carried out?
enum class Repeat { always, unless_maybe_applied };

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::any_io_executor executor, Clock& clock, Random random, Log log, EtcdOptions options);
  Status open();
  // Ends everything in flight: unavailable.
  void close();
  bool closed() const { return closed_; }
  const EtcdOptions& options() const { return options_; }
  const boost::asio::any_io_executor& executor() const { return executor_; }
  Log& log() { return log_; }
  Random& random() { return random_; }
  grpc::CompletionQueue* queue() { return inbox_->queue(); }
  static Error closed_error() { return {Code::unavailable, "the store is closed"}; }
  static Error closed_meanwhile() {
    return {Code::timeout, "etcd: the store was closed meanwhile" + std::string(kMaybeApplied)};
  }

  // Asks members until one answers or the time is up. Errors as verdict.h has them; a write that may have been applied:
  // timeout.
  template <class Service, class Request, class Response>
  Awaitable<Result<Response>> call(std::string_view what, Prepare<Service, Request, Response> prepare, Request request,
                                   Repeat repeat = Repeat::always) {
    return call_since<Service, Request, Response>(clock_.now(), what, prepare, std::move(request), repeat);
  }
  // What is asked all the time: over the member's line, or as any other call where there is none or it did not answer.
  Awaitable<Result<pb::RangeResponse>> ask(pb::RangeRequest request);

  // The member to ask now.
  MemberPtr member() { return members_[current_]; }
  // It does not answer: the next one is asked from now on, and what waits for an answer of this one ends.
  void leave(const MemberPtr& member);
  // What a new stream needs besides its request.
  void prepare(grpc::ClientContext& context) const;
  // Makes sure there is a token where there is a user. The time counts from `begin`, else from now.
  Awaitable<Status> log_in(std::optional<Mono> begin = {});
  void forget_token() { token_.clear(); }
  std::uint64_t logins() const { return logins_; }
  // What carried the token of that login got no answer. An etcd that was set back to a snapshot waits, for an index it
  // is long to reach, before it looks at a token of before: it never says that the token is no longer valid.
  void doubt_token(std::uint64_t login) {
    if (login == logins_) token_.clear();
  }

 private:
  template <class Service, class Request, class Response>
  Awaitable<std::shared_ptr<UnaryCall<Response>>> attempt(MemberPtr member, Prepare<Service, Request, Response> prepare,
                                                          const Request& request, Duration time);
  // The time of all attempts counts from `begin`.
  template <class Service, class Request, class Response>
  Awaitable<Result<Response>> call_since(Mono begin, std::string_view what, Prepare<Service, Request, Response> prepare,
                                         Request request, Repeat repeat);
  // How long one member may take for what may be asked again.
  Duration patience() const { return members_.size() > 1 ? options_.patience : options_.timeout; }
  // Nothing when it is to be asked otherwise.
  Awaitable<std::optional<pb::RangeResponse>> ask_by_line(const pb::RangeRequest& request);
  void want_line(const MemberPtr& member);
  Awaitable<void> make_line(MemberPtr member);
  struct Progress {
    Mono begin;
    std::optional<Error> last{};  // why the last one failed
    int attempts = 0;
    int refused = 0;          // in a row
    std::uint64_t login = 0;  // that the last one went with
  };
  // Of the time all attempts have together; an error when another one would tell nothing of the member.
  Result<Duration> time_left(const Progress& progress) const;
  // How to go on after an attempt failed; an error: not at all.
  Awaitable<Status> recover(MemberPtr member, Verdict verdict, Repeat repeat, Progress& progress);
  Status connect(Member& member, bool tls);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Random random_;
  Log log_;
  EtcdOptions options_;
  std::shared_ptr<Inbox> inbox_;
  std::vector<MemberPtr> members_;
  std::size_t current_ = 0;
  std::string token_;
  std::uint64_t logins_ = 0;
  bool login_wanted_ = false;  // false also after an etcd without users said so
  AsyncMutex logging_in_;
  TaskGroup tasks_;
  bool closed_ = false;
};

template <class Response>
UnaryCall<Response>::UnaryCall(std::shared_ptr<Connection> connection, MemberPtr member)
    : done(connection->executor()),
      connection_(std::move(connection)),
      member_(std::move(member)),
      login_(connection_->logins()) {}

template <class Response>
void UnaryCall<Response>::completed(bool /*ok*/) {
  member_->in_flight.erase(this);
  // Also when nobody waits any more: impatient clients must not keep everybody with a silent member.
  if (status.error_code() == grpc::DEADLINE_EXCEEDED) {
    connection_->leave(member_);
    connection_->doubt_token(login_);
  }
  finished = true;
  done.notify_all();
  if (then) std::exchange(then, nullptr)(*this);
  const auto last = std::move(self_);
}

template <class Service, class Request, class Response>
Awaitable<std::shared_ptr<UnaryCall<Response>>> Connection::attempt(MemberPtr member,
                                                                    Prepare<Service, Request, Response> prepare,
                                                                    const Request& request, Duration time) {
  auto call = std::make_shared<UnaryCall<Response>>(shared_from_this(), member);
  this->prepare(call->context);
  call->context.set_deadline(gpr_time_from_micros(time / std::chrono::microseconds(1), GPR_TIMESPAN));
  call->start((member->stub<Service>().*prepare)(&call->context, request, queue()));
  while (!call->finished) co_await call->done.wait();
  co_return call;
}

template <class Service, class Request, class Response>
Awaitable<Result<Response>> Connection::call_since(Mono begin, std::string_view what,
                                                   Prepare<Service, Request, Response> prepare, Request request,
                                                   Repeat repeat) {
  const auto self = shared_from_this();
  Progress progress{.begin = begin};
  for (;;) {
    if (closed_) co_return fail(closed_error());
    CO_RETURN_IF_ERROR(co_await log_in(progress.begin));
    const auto asked = member();
    ASSIGN_OR_CO_RETURN(Duration time, time_left(progress));
    if (repeat == Repeat::always) time = std::min(time, patience());
    progress.login = logins_;
    const auto call = co_await attempt<Service>(asked, prepare, request, time);
    if (call->status.ok() && !closed_) co_return std::move(call->response);
    if (closed_ && repeat == Repeat::unless_maybe_applied) co_return fail(closed_meanwhile());
    const auto& text = call->status.error_message();
    auto verdict = judge({static_cast<int>(call->status.error_code()), text, asked->url, what});
    CO_RETURN_IF_ERROR(co_await recover(asked, std::move(verdict), repeat, progress));
  }
}

}  // namespace krake::store::etcd
