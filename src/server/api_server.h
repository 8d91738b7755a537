// The API server: one Handler over a store. Stages, one small file each: route -> authenticate -> authorize -> decode
// and validate -> mutate -> commit -> respond. Thread: the loop.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/env.h"
#include "server/admission.h"
#include "server/audit.h"
#include "server/auth.h"
#include "server/authn/authenticator.h"
#include "server/cache.h"
#include "server/cors.h"
#include "server/etag.h"
#include "server/meter.h"
#include "server/problem.h"
#include "server/references.h"
#include "server/route.h"
#include "server/standing.h"
#include "store/bounded_store.h"

namespace krake {
struct LeaseRequest;
}

namespace krake::server {

struct ServerOptions {
  AuthOptions auth;
  CorsOptions cors;
  std::string problem_base_url = "https://rak-n-rok.readthedocs.io/projects/krake/en/latest/user/problem.html";
  std::string version = "1.0.1";  // what GET / answers: the upstream version whose contract is served
  int retry_transactions = 1;
  std::size_t body_limit = 1'048'576;
  AdmissionLimits limits;          // above: 429
  std::size_t backups_limit = 2;   // under way
  std::size_t ring_events = 8192;  // kept for watches, of each kind
  Duration blocking_limit = std::chrono::seconds(60);
  // The longest a request waits for the store, each time it does. Over it reads fail, and the outcome of a write is
  // unknown.
  Duration store_limit = std::chrono::seconds(5);
  // Watches are closed when the store has not confirmed for so long that they are up to date.
  Duration unconfirmed_limit = std::chrono::seconds(10);
  // At start: created if absent; or all at once, and only into a store that has neither roles nor bindings, so that
  // what an administrator has removed stays removed. The latter are marked (shipped_uid()) as nobody's decision.
  std::vector<json::Value> default_roles;
  std::vector<json::Value> default_role_bindings;
  bool defaults_for_fresh_store_only = false;
  AuditOptions audit;
};

// Of a request body: what was read, whoever wrote it to the store, can be written back (upstream's parser ends a little
// below 1000). Lists and events nest it deeper; all of them stay below json::kMaxDepth.
inline constexpr std::size_t kMaxBodyDepth = 980;
// More of it where an object is there already: a status says of the lists of a spec how long they are, in their last
// item.
inline constexpr std::size_t kStatusIsDeeper = 2;

// Raised by handlers to end a request with a problem.
using Answer = std::expected<ServerReply, Problem>;
inline std::unexpected<Problem> refuse(Problem problem) { return std::unexpected(std::move(problem)); }
inline std::unexpected<Problem> refuse(const Error& error) { return std::unexpected(problem_of(error)); }

class ApiServer {
 public:
  ApiServer(Env& env, store::Store& store, const Registry& registry, ServerOptions options);

  // Begins to load the cache and to create the default roles, and returns when that is done, has failed once or takes
  // longer than store_limit: a server without its store goes on trying, also whenever a request needs it. Until then
  // requests wait, and are answered 500 when it fails. Errors: invalid_object (a default role), invalid_argument (the
  // address of an identity service).
  Awaitable<Status> start();
  Awaitable<void> stop();

  Awaitable<ServerReply> handle(ServerRequest& request);
  Handler handler() {
    return [this](ServerRequest& request) { return handle(request); };
  }
  // /healthz /readyz /metrics /debug/*
  Awaitable<ServerReply> handle_admin(ServerRequest& request);

  // See Authenticator. Watches end that were opened with what is taken away.
  void use_tokens(const std::vector<std::pair<std::string, std::string>>& tokens, access::Keys own_keys,
                  bool takes_tokens) {
    authenticator_.use_tokens(tokens, std::move(own_keys), takes_tokens);
    cache_.wake_watchers();
  }

  Cache& cache() { return cache_; }

 private:
  struct Request {
    ServerRequest& http;
    Query query;
    Route route;
    std::string user;
    std::optional<Wall> until;                // when what he showed expires
    std::optional<std::uint64_t> generation;  // see access::Identity
    Priority priority;
    Pool::Share& admitted;
    Answered& answered;
    std::uint64_t authorized = 0;          // the version of the roles that allowed it
    std::optional<Pool::Share> body_room;  // as long as what was read of it may be in memory
    std::vector<std::string> warnings;     // for the answer, a sentence each
    Cache::Confirmed confirmed;            // once for a request, which is all that a linearizable answer needs
  };
  static Standing standing_of(const Request& request) {
    return {.user = request.user,
            .route = request.route,
            .until = request.until,
            .generation = request.generation,
            .authorized = request.authorized};
  }
  // What a write computes from the current object.
  struct Mutation {
    std::unique_ptr<Object> object;  // to store; null with remove_key or unchanged
    bool remove_key = false;
    bool unchanged = false;          // answer the stored object, write nothing
    std::unique_ptr<Object> answer;  // when other than `object`
  };
  struct Stored {
    const Object& object;
    const CachedObject& cached;
    json::Value document() const { return stored_document(cached); }  // parsed each time
  };
  using Mutate = std::function<std::expected<Mutation, Problem>(const Stored& stored, DateTime now)>;

  template <class T>
  static Awaitable<T> uncounted(Request& request, Awaitable<T> wait) {
    struct Pause {
      explicit Pause(Pool::Share& of) : share(of) { share.pause(); }
      ~Pause() { share.resume(); }
      Pause(const Pause&) = delete;
      Pause& operator=(const Pause&) = delete;
      Pool::Share& share;
    } pause(request.admitted);
    co_return co_await std::move(wait);
  }
  class Record;
  Awaitable<ServerReply> process(ServerRequest& request, Answered& answered);
  void measure();
  Awaitable<Answer> dispatch(Request& request);
  // All that a request commits.
  Awaitable<Result<store::CommitResult>> commit(Request& request, store::Txn txn);
  // read.cc
  Answer openapi(const Request& request);
  static bool takes_cached(const Request& request);  // ?consistency=cached
  Awaitable<Answer> read(Request& request);
  Awaitable<Answer> list(Request& request);
  Awaitable<Answer> watch(Request& request);
  std::optional<Problem> incomplete(const Request& request, const access::NamespaceScope& scope);
  bool same_roles_since(Revision revision);
  void warn_of_unreadable(Request& request);
  // backup.cc
  Awaitable<Answer> backup(const Request& request);
  // access_review.cc
  Awaitable<Answer> review(Request& request);
  Answer rules(const Request& request) const;
  // write.cc
  Awaitable<Answer> create(Request& request);
  Awaitable<Answer> update(Request& request);
  Awaitable<Answer> patch(Request& request);
  Awaitable<Answer> remove(Request& request);
  Awaitable<Answer> status(Request& request);
  Awaitable<Answer> subresource(Request& request);
  Awaitable<Answer> force_remove(Request& request);
  static bool forced(const Request& request);
  std::optional<Problem> may_force(const Request& request) const;
  Awaitable<std::optional<Answer>> remove_unreadable(Request& request);
  std::string already_there(const Kind& kind, const std::string& ns, const std::string& name);
  Awaitable<Answer> modify(Request& request, Mutate mutate);
  struct Merged {
    json::Value document;
    std::optional<json::Value> shown;  // the same to a caller who is not shown secrets; none: he is
  };
  Merged merged(const Request& request, json::Value document, const json::Value& change) const;
  std::expected<Mutation, Problem> patched(const Request& request, const json::Value& change, const Stored& stored,
                                           DateTime now) const;
  std::expected<Mutation, Problem> patched_status(const Request& request, const json::Value& change,
                                                  const Stored& stored) const;
  Awaitable<void> shown(Revision revision);
  // `numbers`: any in objects, since upstream may have stored NaN in one that is written back, and who puts it
  // elsewhere is told where; in other bodies it is no JSON. `more`: how much the body may exceed the ordinary limit.
  Awaitable<std::expected<json::Value, Problem>> read_body(Request& request,
                                                           json::Numbers numbers = json::Numbers::finite,
                                                           std::size_t more = 0);
  // Roles may have changed while the request waited for its sender or for others: then the question is asked again.
  Status still_allowed(Request& request) const;
  std::expected<IfMatch, Problem> if_match(const Request& request) const;
  // checks.cc
  // Of what is about to be stored where `stored` is (null: nothing): warns, or refuses what the switches forbid.
  std::optional<Problem> look_at(Request& request, const Object* stored, const Object& wanted);
  std::optional<Problem> look_at_target(Request& request, const json::Value& body);
  OwnersOf owners_of();
  // With ?strict=true, of a body that was read as `known`.
  std::optional<Problem> unknown_keys(const Request& request, const json::Value& body, const Object& known) const;
  std::optional<Problem> unknown_keys_of_subresource(const Request& request, const json::Value& body) const;
  // What a caller sends who was not shown secrets: those he left as he saw them are the stored ones.
  bool sees_secrets(const Request& request) const;
  using Meant = std::function<std::expected<std::shared_ptr<Object>, Problem>(const Stored& stored)>;
  Meant meant_by(const Request& request, json::Value body, std::shared_ptr<Object> wanted) const;
  json::Value with_secrets(const Request& request, json::Value body, const json::Value& stored) const;
  // What a caller is told of errors found with the secrets put back: nothing that quotes them. `of_shown`: those found
  // in what he was shown and sent, if any.
  static Problem invalid_with_secrets(FieldErrors errors, FieldErrors of_shown);
  Awaitable<ServerReply> wait_until_state(Request& request, CachedPtr object, std::string wanted,
                                          ServerReply otherwise);
  // lease.cc
  Awaitable<Answer> acquire_lease(Request& request);
  Awaitable<Answer> release_lease(Request& request);
  std::expected<std::optional<store::Guard>, Problem> leader_guard(const Request& request);
  bool still_leads(const store::Guard& guard);
  Problem leadership_lost(const Request& request) const;
  std::string epoch_of(const CachedObject& lease) const;
  std::string leased_document(const Request& request, const LeaseRequest& wanted, const CachedPtr& present);

  Answer me(const Request& request) const;
  ServerReply object_reply(const Request& request, const CachedPtr& object) const;
  // Of an object that is in no cache.
  ServerReply document_reply(const Request& request, json::Value document) const;
  CachedPtr load(const Request& request) const;
  Problem missing(const Request& request) const;
  // Now, but never before a time already stored in the object.
  DateTime stamp(const CachedObject* object) const;
  // Loading: what start() begins.
  Awaitable<void> bring_up();
  Awaitable<Status> load_all();
  Awaitable<Status> loaded();
  Awaitable<Status> create_defaults();
  std::vector<std::pair<const Kind*, const json::Value*>> defaults() const;
  Result<store::Put> default_object(const json::Value& value, const Kind& kind);

  struct Snapshot {
    std::string user;
    std::string asked_by;          // user and path: nobody and nothing else may go on with it
    access::NamespaceScope scope;  // what the user might see then
    std::shared_ptr<const std::vector<CachedPtr>> objects;
    Revision revision = 0;
    std::uint64_t generation = 0;  // of the cache
    Mono expires;
  };
  // A page's place in a pinned list.
  struct Page {
    std::string token;
    std::size_t begin = 0;
    Snapshot* snapshot = nullptr;
  };
  std::expected<Page, Problem> continued(const Request& request, const std::string& token,
                                         const access::NamespaceScope& scope);
  std::string pin(const Request& request, std::shared_ptr<const std::vector<CachedPtr>> objects, Revision revision,
                  access::NamespaceScope scope);

  Env& env_;
  store::BoundedStore store_;
  const Registry& registry_;
  ServerOptions options_;
  Cache cache_;
  Authenticator authenticator_;
  Authorizer authorizer_;
  std::map<std::string, Snapshot> snapshots_;  // pinned for limit/continue
  Admission admission_;
  std::shared_ptr<std::size_t> backups_ = std::make_shared<std::size_t>(0);
  Meter meter_;
  Audit audit_;
  SharedBytes openapi_;  // made when it is first asked for
  std::string openapi_etag_;
  bool loaded_ = false;
  std::uint64_t load_attempts_ = 0;  // that have ended
  Error load_error_{Code::unavailable, "the server has not loaded its data yet; try again"};
  Notifier load_changed_;
  Notifier load_wanted_;
  std::shared_ptr<std::size_t> load_waiters_ = std::make_shared<std::size_t>(0);
  TaskGroup tasks_;
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  // dies first
};

}  // namespace krake::server
