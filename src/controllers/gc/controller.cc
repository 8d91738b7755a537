#include "controllers/gc/controller.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/check.h"
#include "client/metadata_informer.h"
#include "controllers/gc/holds.h"
#include "controllers/gc/plan.h"
#include "graph/graph.h"
#include "runtime/controller_loop.h"

namespace krake::gc {

namespace {

using graph::Ref;

// Of all kinds in one queue: the kind travels in the name, which cannot hold a slash itself.
ObjectKey queue_key(const Ref& ref) { return {ref.ns, fmt::format("{}/{}/{}", ref.api, ref.kind, ref.name)}; }
Ref ref_of(const ObjectKey& key) {
  const auto first = key.name.find('/');
  const auto second = key.name.find('/', first + 1);
  return {key.name.substr(0, first), key.name.substr(first + 1, second - first - 1), key.ns,
          key.name.substr(second + 1)};
}
Ref ref_of(const ResourceRef& ref) { return {ref.api, ref.kind, ref.namespace_.value_or(""), ref.name}; }

constexpr std::size_t kMaxVisits = 20'000;                 // of one look for cycles
constexpr Duration kReachLimit = std::chrono::seconds(5);  // for all kinds to be as far as an object that is to go

class GarbageCollector final : public Controller {
 public:
  GarbageCollector(ControllerContext context, GcOptions options, const Registry& registry)
      : context_(context),
        env_(context.env),
        options_(options),
        random_(env_.random.fork("gc")),
        loop_(env_,
              {.name = "gc",
               .workers = options.workers,
               .debounce = options.debounce,
               .elector = context.elector,
               .catch_up = [this](Epoch epoch) { return catch_up(std::move(epoch)); },
               .on_lead = [this] { look_at_everything(); }},
              [this](ObjectKey key) { return reconcile(ref_of(key)); }),
        tasks_(env_.executor) {
    for (const auto& kind : registry.kinds()) {
      if (kind->leased) continue;  // they go by themselves
      auto& informer = informers_[{std::string(kind->group), std::string(kind->name)}];
      informer = std::make_unique<MetadataInformer>(env_, context_.client, *kind, held_by,
                                                    InformerOptions{.resync = options.resync});
      informer->on_change([this, from = informer.get()](const ObjectKey& key) { take(*from, key); });
    }
  }

  std::string_view name() const override { return "gc"; }
  void start() override {
    for (auto& [kind, informer] : informers_) informer->start();
    tasks_.spawn("gc", run());
    tasks_.spawn("gc complaint", complain());
  }
  Awaitable<void> stop() override {
    co_await tasks_.stop();
    co_await loop_.stop();
    for (auto& [kind, informer] : informers_) co_await informer->stop();
  }
  bool ready() const override { return ready_; }
  bool idle() const override { return ready_ && loop_.idle(); }
  std::string debug() const override {
    json::Array cycles;
    for (const auto& path : cycles_) cycles.emplace_back(path);
    auto out = json::parse(loop_.debug());
    CHECK(out.has_value());
    out->make_object().set("objects", static_cast<std::int64_t>(graph_.size()));
    out->make_object().set("owner_references", static_cast<std::int64_t>(graph_.edge_count()));
    out->make_object().set("cycles", std::move(cycles));
    json::Array missing;
    for (const auto& kind : not_listed()) missing.emplace_back(kind);
    out->make_object().set("not_listed", std::move(missing));
    return json::print(*out);
  }

 private:
  // Nothing goes before everything is known: an owner whose dependents have not been listed looks free. What its known
  // dependents are told does not wait for that.
  Awaitable<void> run() {
    loop_.start();
    for (auto& [kind, informer] : informers_) co_await informer->wait_synced();
    ready_ = true;
    for (;;) {
      look_at_everything();
      co_await sleep_for(env_.clock,
                         std::chrono::duration_cast<Duration>(options_.resync * (0.8 + 0.4 * random_.unit())));
    }
  }

  Awaitable<void> catch_up(Epoch epoch) {
    for (auto& [kind, informer] : informers_) {
      if (informer->synced()) co_await informer->catch_up(epoch);  // nothing waits for what cannot be listed
    }
  }
  void look_at_everything() {
    for (const auto& [kind, informer] : informers_) {
      for (const auto& [key, object] : informer->objects()) wake({kind.first, kind.second, key.ns, key.name});
    }
  }

  std::vector<std::string> not_listed() const {
    std::vector<std::string> kinds;
    for (const auto& [kind, informer] : informers_) {
      if (!informer->synced()) kinds.push_back(fmt::format("{} {}", kind.first, kind.second));
    }
    return kinds;
  }
  Awaitable<void> complain() {
    for (;;) {
      co_await sleep_for(env_.clock, std::chrono::minutes(1));
      const auto kinds = not_listed();
      if (kinds.empty()) co_return;
      env_.log.warning("nothing is removed as long as some kinds cannot be listed; check the rights of the collector",
                       {{"kinds", fmt::format("{}", fmt::join(kinds, ", "))}});
    }
  }

  MetadataInformer* informer(const Ref& ref) const {
    const auto it = informers_.find({ref.api, ref.kind});
    return it == informers_.end() ? nullptr : it->second.get();
  }
  std::optional<Subject> subject(const Ref& ref) const {
    const auto* source = informer(ref);
    const auto object = source ? source->find({ref.ns, ref.name}) : nullptr;
    if (!object) return std::nullopt;
    const auto& meta = object->object;
    return Subject{ref, meta.uid, object->revision, meta.deleted.has_value(), meta.finalizers};
  }
  void wake(const Ref& ref) {
    if (const auto object = subject(ref); object && is_ours(*object)) loop_.add(queue_key(ref));
  }

  // An event: the graph follows, and whoever waited for this object is looked at.
  void take(const MetadataInformer& from, const ObjectKey& key) {
    const Ref ref{std::string(from.kind().group), std::string(from.kind().name), key.ns, key.name};
    auto owners = graph_.owners(ref);
    if (is_living(ref)) {
      for (const auto& owner : owners) forget_dependent(ref, owner.ref);
    }
    leaving_.erase(ref);
    held_.erase(ref);
    if (const auto object = from.find(key)) {
      std::vector<graph::Owner> now;
      for (const auto& owner : object->object.owners) now.push_back({ref_of(owner), {}});
      for (const auto& held : from.more(key)) {
        if (held_[ref].insert(ref_of(held)).second) now.push_back({ref_of(held), {}});
      }
      if (auto set = graph_.set(ref, object->object.uid, now); !set) {
        env_.log.error("object left out of the ownership graph",
                       {{"object", graph::to_string(ref)}, {"why", set.error().message}});
      }
      if (from.unreadable().contains(key)) {
        env_.log.error("metadata cannot be read; its owners wait until it is corrected or gone",
                       {{"object", graph::to_string(ref)}});
      }
      if (object->object.deleted) leaving_.insert(ref);
      if (is_living(ref)) {
        for (const auto& owner : graph_.owners(ref)) {
          if (!only_holds(ref, owner.ref)) ++living_[owner.ref];
        }
      }
      if (now != owners) note_cycle(ref);
      owners.insert(owners.end(), now.begin(), now.end());
      wake(ref);
    } else {
      graph_.remove(ref);
      loop_.forget(queue_key(ref));
    }
    for (const auto& owner : owners) wake(owner.ref);
  }

  // The other one waits for it, and it does not go with it.
  bool only_holds(const Ref& ref, const Ref& other) const {
    const auto it = held_.find(ref);
    return it != held_.end() && it->second.contains(other);
  }

  // How many dependents are to be deleted and are not is counted, so that an owner that waits for thousands of them to
  // go is not looked through at each of their events.
  bool is_living(const Ref& ref) const { return graph_.contains(ref) && !leaving_.contains(ref); }
  void forget_dependent(const Ref& ref, const Ref& owner) {
    if (only_holds(ref, owner)) return;
    const auto count = living_.find(owner);
    if (count != living_.end() && --count->second == 0) living_.erase(count);
  }

  void note_cycle(const Ref& ref) {
    const auto found = graph_.find_cycle(ref, kMaxVisits);
    if (found.path.empty()) return;
    // From its smallest member on, so that one cycle has one name.
    auto path = found.path;
    std::ranges::rotate(path, std::ranges::min_element(path));
    std::string text;
    for (const auto& step : path) text += graph::to_string(step) + " owns ";
    text += graph::to_string(path.front());
    if (cycles_.size() >= 100 || !cycles_.insert(text).second) return;
    env_.log.warning("objects own each other in a circle; they are collected together", {{"circle", text}});
  }

  // Upwards: an object has few owners.
  bool owns_itself(const Ref& ref) const {
    std::set<Ref> above;
    std::vector<Ref> open{ref};
    while (!open.empty()) {
      const Ref next = std::move(open.back());
      open.pop_back();
      for (const auto& owner : graph_.owners(next)) {
        if (owner.ref == ref) return true;
        if (above.size() <= kMaxVisits && above.insert(owner.ref).second) open.push_back(owner.ref);
      }
    }
    return false;
  }

  // See Observed::knotted.
  bool knotted(const Ref& ref) const {
    if (!owns_itself(ref)) return false;
    std::set<Ref> below;
    std::vector<Ref> open{ref};
    bool back = false;
    while (!open.empty()) {
      const Ref next = std::move(open.back());
      open.pop_back();
      for (auto& dependent : graph_.dependents(next)) {
        if (dependent == ref) back = true;
        const auto object = subject(dependent);
        if (!object) continue;
        if (!is_ours(*object)) return false;
        if (!below.insert(dependent).second) continue;
        if (below.size() > kMaxVisits) return false;
        open.push_back(std::move(dependent));
      }
    }
    if (!back) return false;
    std::set<Ref> above;
    open.push_back(ref);
    while (!open.empty()) {
      const Ref next = std::move(open.back());
      open.pop_back();
      for (const auto& owner : graph_.owners(next)) {
        if (below.contains(owner.ref) && above.insert(owner.ref).second) open.push_back(owner.ref);
      }
    }
    return above.size() == below.size();
  }

  Observed observe(const Ref& ref) const {
    Observed observed{.object = subject(ref), .complete = ready_, .max_deletes = options_.deletes_per_pass};
    if (!observed.object || !is_ours(*observed.object)) return observed;
    observed.waiting = graph_.has_dependents(ref);
    if (!living_.contains(ref)) {
      observed.knotted = observed.waiting && knotted(ref);
      return observed;
    }
    for (const auto& dependent : graph_.dependents(ref)) {
      if (observed.dependents.size() > options_.deletes_per_pass) break;
      if (auto object = subject(dependent); object && !object->deleted && !only_holds(dependent, ref))
        observed.dependents.push_back(std::move(*object));
    }
    return observed;
  }

  // The kinds are followed independently: one that lags behind hides dependents that were there before the object was
  // deleted. So none may have been seen less far than what the drop is decided on; what comes later is told by the
  // object's revision.
  Awaitable<Result<Outcome>> reconcile(Ref ref) {
    Plan plan = make_plan(observe(ref), env_.clock.now());
    while (const auto* drop = drop_in(plan)) {
      const Epoch point{informer(ref)->store(), drop->revision};
      if (!first_behind(point)) break;
      CO_RETURN_IF_ERROR(co_await reach(ref, point));
      plan = make_plan(observe(ref), env_.clock.now());
    }
    if (!plan.empty() && std::holds_alternative<Delete>(plan.front())) {
      const std::string uid = subject(ref)->uid;
      ASSIGN_OR_CO_RETURN(const bool confirmed, co_await still_being_deleted(ref, uid));
      if (!confirmed) {
        informer(ref)->hurry();
        co_return fail(Code::unavailable, fmt::format("{} is known as being deleted and is not any more, or is another "
                                                      "one: its dependents stay until news of it has come",
                                                      graph::to_string(ref)));
      }
    }
    co_return co_await act(std::move(plan));
  }

  // Where the owner's kind lags behind, another object may have its name by now, and the dependents be that one's.
  Awaitable<Result<bool>> still_being_deleted(Ref ref, std::string uid) {
    auto present = co_await context_.client.call_json("GET", informer(ref)->kind().item_path(ref.ns, ref.name));
    if (!present && present.error().code == Code::not_found) co_return false;
    if (!present) co_return fail(std::move(present).error());
    co_return present->string_at({"metadata", "uid"}) == uid && !present->string_at({"metadata", "deleted"}).empty();
  }

  static const DropFinalizer* drop_in(const Plan& plan) {
    return plan.empty() ? nullptr : std::get_if<DropFinalizer>(&plan.front());
  }
  MetadataInformer* first_behind(const Epoch& point) const {
    for (const auto& [kind, informer] : informers_) {
      if (!informer->has_seen(point)) return informer.get();
    }
    return nullptr;
  }
  // All at the same time.
  Awaitable<Status> reach(Ref ref, Epoch point) {
    const Mono deadline = env_.clock.now() + kReachLimit;
    for (const auto& [kind, informer] : informers_) {
      if (!informer->has_seen(point)) informer->hurry();
    }
    while (auto* behind = first_behind(point)) {
      if (co_await behind->reach(point, deadline - env_.clock.now())) continue;
      co_return fail(Code::unavailable,
                     fmt::format("{} stays for now: of the {} only what is older than it has been seen (up to revision "
                                 "{}, and {} is needed), so that it may have dependents among them; it is tried again",
                                 graph::to_string(ref), behind->kind().plural, behind->complete(), point.revision));
    }
    co_return Status();
  }

  Awaitable<Result<Outcome>> act(Plan plan) {
    Outcome outcome;
    std::map<Ref, std::int64_t> written;
    std::map<Ref, std::int64_t> raced;  // what was seen at that time
    std::optional<Error> failure;
    bool progress = false;
    for (const auto& action : plan) {
      if (std::holds_alternative<Again>(action)) {
        outcome.look_again = Duration::zero();
        continue;
      }
      env_.log.info("collecting", {{"action", to_string(action)}});
      const auto* remove = std::get_if<Delete>(&action);
      const auto* drop = std::get_if<DropFinalizer>(&action);
      auto done = remove ? co_await write("DELETE", remove->ref, remove->uid, remove->revision, std::nullopt)
                         : co_await write("PATCH", drop->ref, drop->uid, drop->revision, finalizers_patch(*drop));
      const Ref& ref = remove ? remove->ref : drop->ref;
      if (done) {
        progress = true;
        written[ref] = std::max(written[ref], *done);
      } else if (is_race(done.error())) {
        // Somebody else was faster: what they wrote is waited for and looked at.
        raced.try_emplace(ref, informer(ref)->revision());
        outcome.look_again = std::chrono::milliseconds(100);
      } else if (concerns_everything(done.error())) {
        co_return fail(std::move(done).error());
      } else if (!failure) {
        failure = std::move(done).error();  // of this object alone: its siblings go nevertheless
      }
    }
    // Planning on what was true before our own writes would repeat them.
    for (const auto& [ref, revision] : written) co_await informer(ref)->wait_for({ref.ns, ref.name}, revision);
    for (const auto& [ref, seen] : raced)
      co_await informer(ref)->wait_for({ref.ns, ref.name}, seen + 1, std::chrono::milliseconds(500));
    if (failure && !(progress && outcome.look_again)) co_return fail(std::move(*failure));
    co_return outcome;
  }

  static bool is_race(const Error& error) {
    return error.code == Code::precondition_failed || error.code == Code::conflict;
  }
  static bool concerns_everything(const Error& error) {
    return error.code == Code::unavailable || error.code == Code::timeout || error.code == Code::too_many_requests ||
           error.code == Code::unauthenticated;
  }

  static json::Value finalizers_patch(const DropFinalizer& drop) {
    json::Array rest;
    for (const auto& finalizer : drop.finalizers) rest.emplace_back(finalizer);
    return json::Object{{"metadata", json::Object{{"finalizers", std::move(rest)}}}};
  }

  // The revision that was made; 0 when the object is gone.
  Awaitable<Result<std::int64_t>> write(std::string method, Ref ref, std::string uid, std::int64_t revision,
                                        std::optional<json::Value> body) {
    const auto target = informer(ref)->kind().item_path(ref.ns, ref.name);
    if (revision ==
        0) {  // a server without revisions: the least that can be done is to look whether it is still the same
      auto present = co_await context_.client.call_json("GET", target);
      if (!present && present.error().code == Code::not_found) co_return 0;
      if (!present) co_return fail(std::move(present).error());
      if (present->string_at({"metadata", "uid"}) != uid) co_return 0;
    }
    auto answer =
        co_await context_.client.call_json(std::move(method), target, std::move(body), Precondition{revision});
    if (!answer && answer.error().code == Code::not_found) co_return 0;
    if (!answer) co_return fail(std::move(answer).error());
    const auto text = answer->string_at({"metadata", "resource_version"});
    std::int64_t made = 0;
    std::from_chars(text.data(), text.data() + text.size(), made);
    co_return made;
  }

  ControllerContext context_;
  Env& env_;
  GcOptions options_;
  Random random_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<MetadataInformer>> informers_;  // by api and kind
  graph::OwnershipGraph graph_;
  std::set<Ref> leaving_;              // known and being deleted
  std::map<Ref, std::set<Ref>> held_;  // see held_by()
  std::map<Ref, std::size_t> living_;  // dependents that go with it and are not, by owner
  std::set<std::string> cycles_;       // those that were reported
  bool ready_ = false;
  ControllerLoop loop_;
  TaskGroup tasks_;
};

}  // namespace

std::unique_ptr<Controller> make_garbage_collector(ControllerContext context, GcOptions options,
                                                   const Registry& registry) {
  return std::make_unique<GarbageCollector>(context, options, registry);
}

}  // namespace krake::gc
