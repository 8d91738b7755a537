// The watch cache: every object of every kind in memory, in key order, fed by one watch on the store and by nothing
// else. Bytes are encoded once per revision and shared by reads, lists and all watchers. A ring of recent events per
// kind serves watchers by position: no queue per watcher, a laggard falls off the ring and is cut.
//
// Others write to the same store: further API servers, and programs that know nothing of Krake. The watch is on
// everything, so that each revision the store may name is reached, whoever made it and whatever it is about. When the
// store's history is replaced by another (a restored snapshot), everything is dropped and a new generation begins.
// Thread: the loop.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "base/env.h"
#include "base/keyed_map.h"
#include "base/task_group.h"
#include "meta/kind.h"
#include "net/http.h"
#include "server/revision_asker.h"
#include "server/revision_gate.h"
#include "store/store.h"

namespace krake::server {

using store::Revision;

struct CachedObject;
using CachedPtr = std::shared_ptr<const CachedObject>;

// One revision of one object. Immutable.
struct CachedObject {
  std::string key;
  std::string ns;  // empty for kinds without namespace
  std::string name;
  SharedBytes bytes;  // as answered to clients, resource_version (and epoch) included: a part of `line`
  SharedBytes line;   // the event that told of it: {"type":"ADDED or MODIFIED","object":…,"revision":"N"}\n
  Revision created = 0;
  Revision modified = 0;
  store::LeaseId lease = 0;
  // The index: what list filters, time-stamping and checks of references need without decoding.
  std::string uid;
  Labels labels;
  std::vector<ResourceRef> owners;
  std::string state;  // status.state; empty when the kind has none
  // For stamps that never go back, in microseconds since the epoch, 0 for none: the newest time of the metadata, which
  // servers alone write, and the newest of the status, which clients write too.
  std::int64_t newest_us = 0;
  std::int64_t status_us = 0;
  // The same without secrets, made when somebody first asks for it.
  mutable CachedPtr redacted = nullptr;
  // While it is remembered: see Cache::decoded().
  mutable std::shared_ptr<const Object> decoded = nullptr;
  mutable std::list<CachedPtr>::iterator remembered = {};  // when there is `decoded`
};
// Decodable again: what the store has, without the resource_version clients see (a lease keeps its epoch). Null should
// that ever fail.
json::Value stored_document(const CachedObject& object);

// When a watcher is told, and at which revision: events are in its order.
struct Told {
  Revision revision = 0;
  Revision gap = 0;  // of what happened up to there this server knows the difference alone; 0: all of it
};

struct WatchLine {
  Revision revision = 0;
  Revision gap = 0;  // see Told
  std::string ns;
  CachedPtr object;
  SharedBytes line;  // the object's own, or another for DELETED
  bool removed = false;
  CachedPtr before;  // the object as it was, when something changed that a selection looks at
  bool before_unknown = false;
  mutable SharedBytes redacted = nullptr;  // `line` without secrets, made when somebody first asks for it
};
// What those see who may not see secrets: made once for each revision, and shared by all of them. `kind` has a mask.
CachedPtr without_secrets(const Kind& kind, const CachedPtr& object);
SharedBytes line_without_secrets(const Kind& kind, const WatchLine& event);

// Where those wait who look at one namespace (or at all), so that what happens elsewhere wakes nobody.
class EventFeed {
 public:
  EventFeed(const boost::asio::any_io_executor& executor, Clock& clock) : changed(executor), clock_(clock) {}
  // Wakes `watchers`: at once when the last time was a while ago, else together with what comes until then. To wake
  // many for each event costs a send for each; the pause is about as long as sending to all of them takes.
  void tell(std::size_t watchers);

  Notifier changed;
  std::uint64_t end = 0;          // no event from here on is of this namespace
  std::uint64_t dropped_end = 0;  // some event before this one was of it, and is not kept any more

 private:
  Clock& clock_;
  std::optional<Mono> told_;
  bool later_ = false;
  TimerHandle timer_;
};

// A stored value that is no object to clients.
struct Unreadable {
  Revision revision = 0;
  std::string sealed_with{};  // the key it is sealed with, which is not here; empty: it cannot be decoded
};

class KindCache {
 public:
  KindCache(const Kind& kind, Env& env)
      : kind(kind), env_(env), all_(std::make_shared<EventFeed>(env.executor, env.clock)) {}
  const Kind& kind;
  KeyedMap<CachedPtr> objects;
  std::map<std::string, Unreadable, std::less<>> unreadable;  // by key
  // Events first_event .. first_event + events.size() - 1 are kept.
  std::deque<WatchLine> events;
  std::uint64_t first_event = 0;
  std::size_t event_bytes = 0;
  // Every event newer than this revision is in the ring.
  Revision complete_after = 0;

  CachedPtr find(std::string_view ns, std::string_view name) const;
  // How often something that was there, for all a reader knew, stopped being told of without an event: a value sealed
  // with a key this server lacks came or went. Who reads on must list anew.
  std::uint64_t closings = 0;
  std::uint64_t end_event() const { return first_event + events.size(); }
  // The first event newer than `revision` that is kept.
  std::uint64_t position_after(Revision revision) const;
  // Empty: all namespaces. Lives as long as somebody holds it.
  std::shared_ptr<EventFeed> feed(const std::string& ns);
  // The newest event is of this namespace.
  void notify(const std::string& ns);
  void drop_oldest();
  void wake_all() const;

 private:
  Env& env_;
  std::shared_ptr<EventFeed> all_;
  std::map<std::string, std::weak_ptr<EventFeed>> feeds_;  // by namespace
};

struct CacheOptions {
  std::size_t ring_events = 8192;  // per kind
  std::size_t ring_bytes = std::size_t{32} << 20;
  std::size_t decoded_objects = 2048;                     // of all kinds, the last that were written or wanted
  std::size_t decoded_bytes = std::size_t{4} << 20;       // as they are stored: in memory they take a few times as much
  Duration wait_limit = std::chrono::seconds(5);          // of fresh() and wait_for()
  Duration unconfirmed_limit = std::chrono::seconds(10);  // see cut_off()
};

// {"type":TYPE,"object":…,"revision":"N"}\n, and in a gap "gap":"M" behind.
SharedBytes event_line(std::string_view type, const CachedObject& object, Told told);

class Cache {
 public:
  // When the store was asked that last confirmed to one request that the cache shows all that was committed before, and
  // in which of its histories.
  struct Confirmed {
    std::optional<Mono> asked;
    std::uint64_t generation = 0;
  };
  Cache(Env& env, store::Store& store, const Registry& registry, CacheOptions options = {});

  // Loads everything, then follows. Returns when loaded; unavailable when the store is away (call again).
  Awaitable<Status> start();
  Awaitable<void> stop();

  // Linearizable: returns when the cache shows everything committed before the call; unavailable when that cannot be
  // had within the limit. Calls share questions to the store: one that arrives while a question is in flight joins the
  // next, which is asked when that is answered. A request that gives the same `last` each time is answered at once
  // where the store has confirmed this to it already, unless that is long ago, as after a body that came slowly.
  Awaitable<Status> fresh(Confirmed* last = nullptr);
  // Waits until the cache has reached `revision`, as long as fresh() would.
  Awaitable<Status> wait_for(Revision revision) { return wait_until(revision, env_.clock.now() + options_.wait_limit); }

  Revision revision() const { return revision_; }
  bool ready() const { return ready_; }
  // Of the store whose content this is: revision() is one of its. Empty until loaded.
  const std::string& id() const { return id_; }
  // Grows when the store's history was replaced: what was told of before holds no more.
  std::uint64_t generation() const { return generation_; }
  // Whether every event after revision `since` is kept, each exactly as must be told who saw all up to there, and
  // perhaps something of the next one.
  bool resumable(const KindCache& kind, Revision since) const;
  // Whether it is certain that nothing of this kind changed after revision `since`.
  bool unchanged(const KindCache& kind, Revision since) const {
    return resumable(kind, since) && kind.position_after(since) == kind.end_event();
  }
  // How long ago the store was asked for the revision it last confirmed to us. It is asked a few times within the
  // limit, also when no request needs it.
  Duration unconfirmed() const { return env_.clock.now() - confirmed_; }
  // The store has not confirmed for too long that nothing happened: whoever believes to be up to date must be told.
  // Watchers are woken when that begins.
  bool cut_off() const { return unconfirmed() > options_.unconfirmed_limit; }
  // They look whether they may go on.
  void wake_watchers();
  KindCache& of(const Kind& kind);
  std::map<const Kind*, std::unique_ptr<KindCache>>& kinds() { return kinds_; }
  // Called for each object that changed, after the cache shows it; null: removed.
  void on_change(std::function<void(const Kind&, const std::string& name, CachedPtr)> callback) {
    listeners_.push_back(std::move(callback));
  }

  std::uint64_t undecodable() const { return undecodable_; }
  // As it is stored, without parsing where it was written or asked for not long ago: who changes an object often does
  // so again. Null should that ever fail.
  std::shared_ptr<const Object> decoded(const Kind& kind, const CachedPtr& object);
  // What a write is about to commit, told before it does, so that the event that comes of it need not be decoded.
  class Draft;
  using Drafts = std::multimap<std::string_view, Draft*>;  // by key; those of writes in flight
  class Draft {
   public:
    // `object` is not null and does not change any more. It may be destroyed after the cache.
    Draft(Cache& cache, std::shared_ptr<const Object> object);
    ~Draft();
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;
    const std::string& key() const { return object_.key; }
    const store::Bytes& stored() const { return stored_; }
    // The object as committed at `revision`. Cheap after the cache has seen that revision.
    CachedPtr committed(Revision created, Revision revision);

   private:
    friend class Cache;
    CachedPtr finish(Revision created, Revision modified, store::LeaseId lease);
    Cache& cache_;
    const Kind& kind_;
    CachedObject object_;  // revisions, lease and bytes are missing
    std::shared_ptr<const Object> decoded_;
    store::Bytes stored_;
    CachedPtr seen_;  // the last one made
    std::shared_ptr<Drafts> drafts_;
    Drafts::iterator place_;
  };

 private:
  // Objects as commits before the start left them, by key.
  using Recalled = std::map<std::string, CachedPtr, std::less<>>;
  // What there is at the start.
  struct Content {
    std::vector<std::pair<const Kind*, CachedPtr>> objects;  // ascending by key
    std::map<const Kind*, decltype(KindCache::unreadable)> unreadable;
    bool nothing = true;  // in the store, also of what is of no kind
  };
  Awaitable<void> run();
  Awaitable<void> follow();
  Awaitable<Status> resume();
  Awaitable<void> keep_confirmed();
  Awaitable<void> watch_confirmation();
  Awaitable<void> pause(Duration time);
  Awaitable<Status> wait_until(Revision revision, Mono deadline);
  Awaitable<Status> load_first();
  Awaitable<Status> load_again();  // after a gap
  Status settled(const std::string& id) const;
  void go_on_from(Revision revision);
  void admit_page(const std::vector<store::Entry>& page, bool anew, Content& content);
  void fill(Content content);
  void forget_everything(Revision until);
  void note_break(std::string_view reason);
  void apply(const store::CommitEvent& event);
  void apply(const store::Change& change, Revision revision, Told told);
  void push_event(KindCache& kind, std::string_view type, CachedPtr object, Told told, CachedPtr before = nullptr);
  void forget_events(KindCache& kind, Revision until);
  Awaitable<Result<Revision>> open_watch(Revision newest);
  Awaitable<Status> recall_history(Revision newest, const Content& content);
  void recall(const store::CommitEvent& event, const Content& content, Recalled& recalled);
  void apply_difference(const store::Listing& listing);
  void lose(KindCache& kind, const std::string& key, Told told);
  void close(KindCache& kind, const std::string& key, Told told);
  const Kind* kind_of_key(std::string_view key) const;
  // How a stored value looks to clients; null when it cannot be read.
  CachedPtr admit(const Kind& kind, const store::Entry& entry);
  CachedPtr admit(const Kind& kind, const store::Change& change, Revision revision);
  void leave_out(const Kind& kind, const store::Entry& entry, std::string_view why);
  CachedPtr from_draft(const store::Change& change, Revision revision);
  void remember(const CachedPtr& object, std::shared_ptr<const Object> decoded);
  void forget_decoded(const CachedObject& object);

  Env& env_;
  store::Store& store_;
  CacheOptions options_;
  std::map<const Kind*, std::unique_ptr<KindCache>> kinds_;
  std::map<std::string, KindCache*, std::less<>> by_prefix_;
  std::shared_ptr<Drafts> drafts_ = std::make_shared<Drafts>();
  std::list<CachedPtr> remembered_;  // they have `decoded`; the first was wanted longest ago
  std::size_t remembered_bytes_ = 0;
  std::vector<std::function<void(const Kind&, const std::string&, CachedPtr)>> listeners_;
  std::unique_ptr<store::Watch> watch_;
  Revision gap_end_ = 0;                   // where the last gap ended: of it only the difference is known
  std::vector<store::CommitEvent> later_;  // came while the history before the start was read
  Revision revision_ = 0;
  std::string id_;
  std::uint64_t generation_ = 0;
  bool ready_ = false;
  bool must_load_ = false;  // the store has refused to go on from what is here
  bool replaced_ = false;   // fresh() has seen that the store's history is another one
  std::uint64_t undecodable_ = 0;
  RevisionGate gate_;  // those who wait for a revision
  Notifier urged_;     // somebody waits: not the time to pause
  Notifier replaced_changed_;
  Mono confirmed_;
  Notifier confirmed_changed_;
  RevisionAsker asker_;
  std::unique_ptr<TaskGroup> reader_;  // follow()
  TaskGroup tasks_;
};

}  // namespace krake::server
