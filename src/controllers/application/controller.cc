#include "controllers/application/controller.h"

#include "client/compact_informer.h"
#include "controllers/application/status.h"
#include "manifest/apply.h"
#include "manifest/diff.h"
#include "manifest/repair.h"
#include "runtime/controller_loop.h"

namespace krake::application {
namespace {

using ApplicationPtr = CompactInformer<Application>::Ptr;

// How many reports an application may write: a bucket that fills by one per interval.
struct Budget {
  double tokens = 0;
  Mono at{};
};

struct Local {
  Memory memory;
  int hurried = 0;  // rounds in a row that asked for another one at once
  std::optional<Budget> budget;
  std::string uid;
  std::vector<ResourceRef> clusters;
  bool hooks_told = false;  // that those of upstream are kept
};

// Nodes and metrics of clusters are of no interest here.
void trim(Cluster& cluster) {
  const auto state = cluster.status.state;
  cluster.status = {};
  cluster.status.state = state;
  cluster.spec.metrics.clear();
  cluster.metadata.labels = {};
}

class ApplicationController final : public Controller {
 public:
  ApplicationController(ControllerContext context, ApplicationOptions options)
      : env_(context.env),
        client_(context.client),
        elector_(context.elector),
        options_(std::move(options)),
        log_(env_.log.named("kubernetes-application")),
        random_(env_.random.fork("application controller")),
        applications_(env_, client_),
        clusters_informer_(env_, client_, {}, trim),
        clusters_(
            env_, context.dialer, clusters_informer_, [this](const std::string& uid) { wake(uid); }, options_.clusters),
        loop_(env_,
              {.name = "kubernetes-application",
               .workers = options_.workers,
               .debounce = options_.debounce,
               .backoff = options_.backoff,
               .elector = elector_,
               .least = Mode::repair_only,
               .catch_up = [this](Epoch epoch) { return catch_up(std::move(epoch)); },
               .on_lead = [this] { take_up(); }},
              [this](ObjectKey key) { return reconcile(std::move(key)); }) {
    applications_.on_change([this](const ObjectKey& key) { application_changed(key); });
    clusters_informer_.on_change([this](const ObjectKey& key) {
      for (const auto& user : clusters_.changed(key)) loop_.add(user);
    });
  }

  std::string_view name() const override { return "kubernetes-application"; }
  void start() override {
    applications_.start();
    clusters_informer_.start();
    loop_.start();
  }
  Awaitable<void> stop() override {
    co_await loop_.stop();
    co_await applications_.stop();
    co_await clusters_informer_.stop();
    co_await clusters_.stop();
  }
  bool ready() const override { return applications_.synced() && clusters_informer_.synced(); }
  bool idle() const override { return loop_.idle(); }
  std::string debug() const override {
    auto queue = json::parse(loop_.debug());
    return json::print(
        json::Object{{"queue", queue ? std::move(*queue) : json::Value()}, {"clusters", clusters_.debug()}});
  }

 private:
  void wake(const std::string& uid) {
    if (const auto it = keys_.find(uid); it != keys_.end()) loop_.add(it->second);
  }
  void application_changed(const ObjectKey& key) { loop_.add(key); }
  Mode mode() const { return elector_ ? elector_->mode() : Mode::leading; }
  Awaitable<void> catch_up(Epoch epoch);
  void take_up();
  Awaitable<Status> permit(ResourceRef cluster, std::shared_ptr<Connection> connection, bool removes);
  Awaitable<Status> ask_fence(std::shared_ptr<Connection> connection, bool removes);

  Awaitable<Result<Outcome>> reconcile(ObjectKey key);
  Awaitable<Observed> observe(ObjectKey key, ApplicationPtr application);
  Awaitable<Result<Outcome>> act(ObjectKey key, ApplicationPtr application, Plan plan);
  // What has come of a plan so far.
  struct Turn {
    std::int64_t revision = 0;  // of the stored application; moves on with our writes
    Duration wait{};
    bool at_once = false;
    bool stale = false;
    std::optional<Error> failure{};
  };
  Awaitable<Status> carry_out(ObjectKey key, Action action, Turn* turn);
  static Result<Outcome> outcome_of(const Turn& turn, Local& local);
  void forget(const ObjectKey& key);

  // Each carries out one action. `revision`: of the stored application, moves on with our writes.
  Awaitable<Status> patch_meta(ObjectKey key, PatchMeta action, std::int64_t* revision);
  Awaitable<Status> patch_status(ObjectKey key, json::Object fields, std::int64_t* revision);
  Awaitable<Status> write(Awaitable<Result<Versioned<Application>>> call, std::int64_t* revision);
  Awaitable<Status> apply(ObjectKey key, Apply action, std::int64_t revision);
  Awaitable<Status> replace_lists(ObjectKey key, Apply action, std::shared_ptr<Connection> connection);
  Awaitable<Status> adopt(std::shared_ptr<Connection> connection, kube::ObjectRef ref, std::string from);
  Awaitable<Status> remove(ObjectKey key, Remove action, std::int64_t revision);
  Awaitable<Status> try_out(ObjectKey key, TryOut action);
  void note_refused(const ObjectKey& key, const Application& application, const Action& action, const Error& error);
  Awaitable<void> report_failure(ObjectKey key, ApplicationPtr application, Reason reason, std::int64_t* revision);

  PlanOptions plan_options() const {
    return {.installation = options_.installation,
            .migration_health_wait = options_.migration_health_wait,
            .migration_retry = options_.migration_retry};
  }
  Mono next_report(const Local& local, Mono now) const;
  void spend_report(Local& local);
  void prune(Local& local) const;

  Env& env_;
  Client& client_;
  Elector* elector_;
  ApplicationOptions options_;
  Log log_;
  Random random_;
  CompactInformer<Application> applications_;
  Informer<Cluster> clusters_informer_;
  Clusters clusters_;
  std::map<std::string, ObjectKey> keys_;  // by uid
  std::map<ObjectKey, Local> local_;
  Mono api_silent_until_{};
  std::string term_;  // the epoch that local_ is of
  ControllerLoop loop_;
};

// ---- leading

Awaitable<void> ApplicationController::catch_up(Epoch epoch) {
  co_await applications_.catch_up(epoch);
  co_await clusters_informer_.catch_up(epoch);
}

// Those that are gone included: something is still known of them. In another term, what was done in the last one is no
// longer the last thing that was done.
void ApplicationController::take_up() {
  const bool another = std::exchange(term_, elector_->epoch()) != elector_->epoch();
  for (auto& [key, local] : local_) {
    if (another) local.memory = {};
    loop_.add(key);
  }
  for (const auto& [key, text] : applications_.texts()) loop_.add(key);
}

// Whether a cluster may be changed, asked right before each change: the mode may be another since it was planned, and
// another leader may have been there.
Awaitable<Status> ApplicationController::permit(ResourceRef cluster, std::shared_ptr<Connection> connection,
                                                bool removes) {
  const auto answers = connection->client.answers();
  auto permitted = co_await ask_fence(connection, removes);
  if (permitted) co_return Status();
  connection->failed_silently(permitted.error(), answers, env_.clock.now());
  co_return fail(with_context(std::move(permitted).error(), krake::to_string(cluster)));
}

Awaitable<Status> ApplicationController::ask_fence(std::shared_ptr<Connection> connection, bool removes) {
  if (!elector_ || elector_->alone()) co_return Status();
  const Error lost{Code::precondition_failed, "leadership lost; the cluster is left to the next leader"};
  const std::string epoch = elector_->epoch();
  const Mode begun = elector_->mode();
  if (begun < (removes ? Mode::leading : Mode::repair_only)) co_return fail(lost);
  const auto passage = begun == Mode::leading
                           ? co_await connection->fence.raise(epoch, elector_->holder(), removes, env_.clock.now())
                           : co_await connection->fence.check(epoch, elector_->holder());
  if (!passage) co_return fail(passage.error());
  if (*passage == kube::Passage::outrun) {
    if (!connection->outrun || connection->outrun->epoch != epoch)
      connection->outrun = Connection::Outrun{epoch, env_.clock.now()};
    // Krake has confirmed the term since: no later one of its own can have been there, and waiting helps nobody.
    const bool leads = elector_->mode() == Mode::leading && elector_->epoch() == epoch;
    if (leads && elector_->confirmed() > connection->outrun->since)
      co_return fail(Code::forbidden, connection->fence.outrun_by() +
                                          " of another Krake or of an older history; delete it if that is gone");
    elector_->doubt();
    co_return fail(lost);
  }
  connection->outrun.reset();
  if (elector_->mode() < begun || elector_->epoch() != epoch) co_return fail(lost);
  // Here nobody could have been told that another one leads.
  if (*passage == kube::Passage::unfenced && env_.clock.now() >= elector_->unfenced_until()) co_return fail(lost);
  co_return Status();
}

// ---- observe

Awaitable<Result<Outcome>> ApplicationController::reconcile(ObjectKey key) {
  co_await applications_.wait_synced();
  co_await clusters_informer_.wait_synced();
  const auto application = applications_.find(key);
  if (!application) {
    forget(key);
    co_return Outcome{};
  }
  Local& local = local_[key];
  if (local.uid != application->object.metadata.uid) {
    // Deleted and made again: nothing remembered holds.
    keys_.erase(local.uid);
    local = Local{.uid = application->object.metadata.uid};
    keys_[local.uid] = key;
  }
  std::vector<std::shared_ptr<void>> uses;
  for (const auto& cluster : clusters_of(application->object)) {
    const auto connection = clusters_.find(cluster);
    if (!connection) continue;
    if (connection->crowded(env_.clock.now())) co_return Outcome{.look_again = std::chrono::seconds(1)};
    uses.push_back(Connection::use(connection));
  }
  const Observed observed = co_await observe(key, application);
  const Plan plan = make_plan(observed, env_.clock.now());
  if (plan.empty() && observed.places.empty()) {
    // It has no place and needs nothing: of many that wait for one nothing need be remembered.
    clusters_.keep_only(key, {});
    keys_.erase(application->object.metadata.uid);
    local_.erase(key);
    co_return Outcome{};
  }
  if (!plan.empty()) log_.debug("plan", {{"application", krake::to_string(key)}, {"actions", to_string(plan)}});
  co_return co_await act(key, application, plan);
}

void ApplicationController::forget(const ObjectKey& key) {
  clusters_.keep_only(key, {});
  if (const auto it = local_.find(key); it != local_.end()) {
    keys_.erase(it->second.uid);
    local_.erase(it);
  }
  loop_.forget(key);
}

Awaitable<Observed> ApplicationController::observe(ObjectKey key, ApplicationPtr application) {
  const Application& app = application->object;
  Observed observed;
  observed.application = std::shared_ptr<const Application>(application, &app);
  observed.revision = application->revision;
  observed.options = plan_options();
  observed.wall = env_.clock.wall();
  observed.mode = mode();
  if (app.metadata.deleted && !our_turn_to_delete(app)) co_return observed;
  const auto clusters = clusters_of(app);
  const auto here = app.status.scheduled_to ? app.status.scheduled_to : app.status.running_on;
  observed.desired = desired_of(app, here ? clusters_.default_namespace(*here) : "default");
  const auto applied = as_array(app.status.last_applied_manifest);
  const auto recorded = as_array(app.status.last_observed_manifest);
  const json::Array nothing;
  for (const auto& cluster : clusters) {
    const Relevant relevant = relevant_at(app, cluster);
    const json::Array left = relevant.entry ? as_array(relevant.entry->objects) : json::Array();
    observed.places.push_back(
        co_await clusters_.observe(cluster, {.user = key,
                                             .uid = app.metadata.uid,
                                             .desired = relevant.desired ? &observed.desired.objects : &nothing,
                                             .applied = relevant.manifests ? &applied : &nothing,
                                             .recorded = relevant.manifests ? &recorded : &nothing,
                                             .left = &left}));
  }
  Local& local = local_[key];
  if (local.clusters != clusters) {
    local.clusters = clusters;
    clusters_.keep_only(key, clusters);
  }
  if (observed.desired.hooks_kept && !std::exchange(local.hooks_told, true))
    log_.info("what upstream's hooks have put into the manifest is kept", {{"application", krake::to_string(key)}});
  prune(local);
  forget_removals(local.memory, application->revision);
  observed.memory = local.memory;
  observed.memory.status_allowed_at = next_report(local, env_.clock.now());
  co_return observed;
}

// ---- act

// How soon another round comes that was asked for at once. A few are free; who never comes to rest is slowed down.
constexpr int kFreeRounds = 10;
Duration pace(Local& local, int free) {
  const int step = local.hurried++ - free;
  if (step < 0) return {};
  return std::min<Duration>(std::chrono::milliseconds(20) * (1 << std::min(step, 9)), std::chrono::seconds(10));
}

// Errors that only mean that what was planned on is no longer so.
bool is_stale(const Error& error) { return error.code == Code::conflict || error.code == Code::precondition_failed; }

// Krake's own API does not take what is to be written down.
Reason unwritable(const Error& error) {
  const auto code = error.code == Code::too_large ? ReasonCode::INVALID_RESOURCE : ReasonCode::INTERNAL_ERROR;
  return {code, "what is known of the application cannot be written to Krake: " + error.message};
}

const ResourceRef* cluster_of(const Action& action) {
  if (const auto* object = std::get_if<Apply>(&action)) return &object->cluster;
  if (const auto* gone = std::get_if<Remove>(&action)) return &gone->cluster;
  if (const auto* trial = std::get_if<TryOut>(&action)) return &trial->cluster;
  return nullptr;
}

Awaitable<Result<Outcome>> ApplicationController::act(ObjectKey key, ApplicationPtr application, Plan plan) {
  Turn turn{.revision = application->revision,
            .wait = std::chrono::duration_cast<Duration>(options_.resync * (0.8 + 0.4 * random_.unit()))};
  for (const Action& action : plan) {
    const Status done = co_await carry_out(key, action, &turn);
    if (done) continue;
    const Error& error = done.error();
    const ResourceRef* cluster = cluster_of(action);
    // What was planned on is no longer so; the application may even be gone.
    turn.stale = is_stale(error) || (!cluster && error.code == Code::not_found);
    if (turn.stale) break;
    const auto connection = cluster ? clusters_.find(*cluster) : nullptr;
    if (connection && !connection->broken(env_.clock.now())) {
      // One object that the cluster does not take does not keep the others waiting.
      note_refused(key, application->object, action, error);
      turn.at_once = true;
      continue;
    }
    turn.failure = error;
    if (cluster) {
      co_await report_failure(key, application, reason_of(error), &turn.revision);
    } else if (!is_transient(error.code)) {
      co_await report_failure(key, application, unwritable(error), &turn.revision);
    }
    break;
  }
  // No acting on what was there before our own writes.
  if (turn.revision != application->revision) co_await applications_.wait_for(key, turn.revision);
  co_return outcome_of(turn, local_[key]);
}

Result<Outcome> ApplicationController::outcome_of(const Turn& turn, Local& local) {
  // A failure has its own back-off.
  if (turn.failure) local.hurried = 0;
  if (turn.failure) return fail(*turn.failure);
  if (turn.stale) return Outcome{.look_again = pace(local, 0)};
  if (turn.at_once) return Outcome{.look_again = pace(local, kFreeRounds)};
  local.hurried = 0;
  return Outcome{.look_again = turn.wait};
}

Awaitable<Status> ApplicationController::carry_out(ObjectKey key, Action action, Turn* turn) {
  if (auto* meta = std::get_if<PatchMeta>(&action)) {
    co_return co_await patch_meta(key, std::move(*meta), &turn->revision);
  }
  if (auto* status = std::get_if<PatchStatus>(&action)) {
    if (status->limited) spend_report(local_[key]);
    co_return co_await patch_status(key, std::move(status->fields), &turn->revision);
  }
  if (auto* object = std::get_if<Apply>(&action)) co_return co_await apply(key, std::move(*object), turn->revision);
  if (auto* gone = std::get_if<Remove>(&action)) co_return co_await remove(key, std::move(*gone), turn->revision);
  if (auto* trial = std::get_if<TryOut>(&action)) co_return co_await try_out(key, std::move(*trial));
  if (std::holds_alternative<Again>(action)) {
    turn->at_once = true;
  } else if (const auto* pause = std::get_if<Wait>(&action)) {
    turn->wait = std::min(turn->wait, pause->time);
  } else if (const auto* retry = std::get_if<Retry>(&action)) {
    turn->failure = Error{Code::unavailable, retry->why};
  } else {
    remember(local_[key].memory, action, plan_options(), env_.clock.now());
  }
  co_return Status();
}

Awaitable<Status> ApplicationController::patch_meta(ObjectKey key, PatchMeta action, std::int64_t* revision) {
  json::Object metadata;
  if (action.finalizers) {
    json::Array finalizers;
    for (auto& finalizer : *action.finalizers) finalizers.emplace_back(std::move(finalizer));
    metadata.set("finalizers", std::move(finalizers));
  }
  if (action.owners) {
    json::Array owners;
    for (const auto& owner : *action.owners) owners.push_back(to_value(owner));
    metadata.set("owners", std::move(owners));
  }
  co_return co_await write(
      client_.patch<Application>(key, json::Object{{"metadata", std::move(metadata)}}, {.revision = *revision}),
      revision);
}

// Soon answered, or not at all: what the clusters need does not wait for Krake's own API.
Awaitable<Status> ApplicationController::write(Awaitable<Result<Versioned<Application>>> call, std::int64_t* revision) {
  if (mode() != Mode::leading) co_return fail(Code::precondition_failed, "only a leader writes to Krake");
  if (env_.clock.now() < api_silent_until_) co_return fail(Code::unavailable, "the Krake API did not answer just now");
  auto answer = co_await with_timeout(env_.clock, options_.write_timeout, "a write to the Krake API", std::move(call));
  if (!answer) {
    if (answer.error().code == Code::timeout) api_silent_until_ = env_.clock.now() + options_.api_pause;
    co_return fail(answer.error());
  }
  *revision = answer->revision;
  co_return Status();
}

Awaitable<Status> ApplicationController::patch_status(ObjectKey key, json::Object fields, std::int64_t* revision) {
  co_return co_await write(client_.patch_status<Application>(key, std::move(fields), {.revision = *revision}),
                           revision);
}

// What `from` wrote by plain updates becomes ours, so that applying without a field removes it.
Awaitable<Status> ApplicationController::adopt(std::shared_ptr<Connection> connection, kube::ObjectRef ref,
                                               std::string from) {
  auto live = co_await connection->client.get(ref);
  if (!live) {
    if (live.error().code == Code::not_found) co_return Status();
    co_return fail(live.error());
  }
  const json::Value* fields = live->at_path({"metadata", "managedFields"});
  const json::Value* version = live->at_path({"metadata", "resourceVersion"});
  if (!fields || !fields->is_array() || !version) co_return Status();
  auto adopted = manifest::adopt_updates(*fields->if_array(), from, kManager);
  if (adopted == *fields->if_array()) co_return Status();
  json::Array operations{
      json::Object{{"op", "test"}, {"path", "/metadata/resourceVersion"}, {"value", *version}},
      json::Object{{"op", "replace"}, {"path", "/metadata/managedFields"}, {"value", std::move(adopted)}},
  };
  auto patched = co_await connection->client.json_patch(ref, std::move(operations));
  if (patched) co_return Status();
  // A failed `test` is answered with 422: somebody was faster.
  if (patched.error().code == Code::invalid_object) co_return fail(Code::conflict, patched.error().message);
  co_return fail(patched.error());
}

// Where applying sets our items beside those of others, and the server takes only the ones or the others: in one write
// ours take their place. It is a plain update, so it is adopted afterwards. invalid_object: the server does not take
// that either, or somebody was faster.
Awaitable<Status> ApplicationController::replace_lists(ObjectKey key, Apply action,
                                                       std::shared_ptr<Connection> connection) {
  CO_RETURN_IF_ERROR(co_await permit(action.cluster, connection, false));
  auto replaced = co_await connection->client.json_patch(action.ref, std::move(action.lists));
  if (!replaced) co_return fail(std::move(replaced).error());
  connection->objects.note(action.ref, *replaced);
  if (action.difference != 0) {
    note_repair(local_[key].memory, action.key, action.difference, false, env_.clock.now());
    log_.info("lists put right", {{"application", krake::to_string(key)},
                                  {"cluster", krake::to_string(action.cluster)},
                                  {"object", kube::to_string(action.ref)}});
  }
  CO_RETURN_IF_ERROR(co_await permit(action.cluster, connection, false));
  co_return co_await adopt(connection, action.ref, std::string(kManager));
}

Awaitable<Status> ApplicationController::apply(ObjectKey key, Apply action, std::int64_t revision) {
  const auto connection = clusters_.find(action.cluster);
  if (!connection) co_return fail(Code::conflict, "the cluster's connection is being made anew");
  CO_RETURN_IF_ERROR(co_await permit(action.cluster, connection, false));
  if (action.adopt) {
    CO_RETURN_IF_ERROR(co_await adopt(connection, action.ref, std::string(kUpstreamManager)));
    CO_RETURN_IF_ERROR(co_await permit(action.cluster, connection, false));
  }
  const auto answers = connection->client.answers();
  note_sending(local_[key].memory, action.key, action.fingerprint, revision, action.difference != 0);
  auto applied = co_await connection->client.apply(action.ref, action.body);
  json::Value reply;
  if (applied) {
    reply = std::move(applied->object);
    auto surplus = manifest::surplus_patch(action.desired, reply, action.entry,
                                           action.previous.is_null() ? nullptr : &action.previous);
    if (!surplus.empty()) {
      CO_RETURN_IF_ERROR(co_await permit(action.cluster, connection, false));
      auto patched = co_await connection->client.json_patch(action.ref, std::move(surplus));
      if (patched) {
        reply = std::move(*patched);
      } else if (patched.error().code != Code::invalid_object) {  // a failed test: somebody was faster
        co_return fail(patched.error());
      }
    }
  } else {
    // Anything else that is wrong with it would be carried out by half.
    if (manifest::concerns_only(action.lists, applied.error().fields)) {
      const Status replaced = co_await replace_lists(key, action, connection);
      if (replaced) co_return fail(Code::conflict, "its lists have been replaced; the rest follows from what is there");
      if (replaced.error().code != Code::invalid_object)
        co_return fail(with_context(replaced.error(), krake::to_string(action.cluster)));
    }
    if (is_stale(applied.error())) {
      // Our copy is old: read it, so that the next plan is made on the present one.
      if (auto live = co_await connection->client.get(action.ref)) connection->objects.note(action.ref, *live);
    } else if (applied.error().code == Code::not_found) {
      connection->forget_discovery(env_.clock.now());
    } else {
      connection->failed_silently(applied.error(), answers, env_.clock.now());
    }
    co_return fail(with_context(std::move(applied).error(), krake::to_string(action.cluster)));
  }
  connection->objects.note(action.ref, reply);
  Memory& memory = local_[key].memory;
  note_taken(memory, action.key, action.fingerprint);
  memory.refusals.erase(action.key);
  const auto left = manifest::diff(action.desired, reply, action.entry);
  if (action.difference != 0) {
    note_repair(memory, action.key, action.difference, !left.empty(), env_.clock.now());
    log_.info("drift put right", {{"application", krake::to_string(key)},
                                  {"cluster", krake::to_string(action.cluster)},
                                  {"object", kube::to_string(action.ref)}});
  }
  if (!left.empty()) note_repair(memory, action.key, difference_of(left), true, env_.clock.now());
  co_return Status();
}

Awaitable<Status> ApplicationController::remove(ObjectKey key, Remove action, std::int64_t revision) {
  const auto connection = clusters_.find(action.cluster);
  if (!connection) co_return fail(Code::conflict, "the cluster's connection is being made anew");
  CO_RETURN_IF_ERROR(co_await permit(action.cluster, connection, true));
  const auto answers = connection->client.answers();
  note_sending(local_[key].memory, action.key, 0, revision, false);
  const kube::RemoveOptions as_seen{.uid = action.uid, .resource_version = action.resource_version};
  auto removed = co_await connection->client.remove(action.ref, as_seen);
  if (!removed) {
    if (is_stale(removed.error())) {
      // It has changed since: to be looked at again. Or another object by now has that name: the watch tells whose.
      auto live = co_await connection->client.get(action.ref);
      const bool same = live && uid_of(*live) == action.uid;
      if (same) connection->objects.note(action.ref, *live);
      if (same || (!live && live.error().code != Code::not_found))
        co_return fail(with_context(std::move(removed).error(), krake::to_string(action.cluster)));
      connection->objects.note_removed(action.ref, action.uid);
      co_return Status();
    }
    const bool silent = connection->failed_silently(removed.error(), answers, env_.clock.now());
    // Perhaps its version is no longer served, which is found when it is looked for again.
    if (!silent && removed.error().code == Code::unavailable) connection->forget_discovery(env_.clock.now());
    co_return fail(with_context(std::move(removed).error(), krake::to_string(action.cluster)));
  }
  // What counts is that it is gone, not that somebody has answered so.
  auto live = co_await connection->client.get(action.ref);
  if (live) {
    if (uid_of(*live) != action.uid) connection->objects.note_removed(action.ref, action.uid);
    connection->objects.note(action.ref, *live);
  } else if (live.error().code == Code::not_found) {
    connection->objects.note_removed(action.ref, action.uid);
  } else {
    co_return fail(with_context(std::move(live).error(), krake::to_string(action.cluster)));
  }
  local_[key].memory.refusals.erase(action.key);
  note_taken(local_[key].memory, action.key, 0);
  co_return Status();
}

Awaitable<Status> ApplicationController::try_out(ObjectKey key, TryOut action) {
  const auto connection = clusters_.find(action.cluster);
  if (!connection) co_return fail(Code::conflict, "the cluster's connection is being made anew");
  const auto answers = connection->client.answers();
  auto applied = co_await connection->client.apply(action.ref, action.body, {.dry_run = true});
  if (applied) co_return Status();
  if (!connection->failed_silently(applied.error(), answers, env_.clock.now())) {
    remember(local_[key].memory, GiveUpMigration{action.cluster, applied.error().message}, plan_options(),
             env_.clock.now());
    // What was planned on is no longer so.
    co_return fail(Code::conflict, applied.error().message);
  }
  co_return fail(with_context(std::move(applied).error(), krake::to_string(action.cluster)));
}

// The cluster has answered and does not take it: the next plan reports that, and tries again after a while. At the
// target of a migration it is the end of the attempt, not of the application.
void ApplicationController::note_refused(const ObjectKey& key, const Application& application, const Action& action,
                                         const Error& error) {
  Memory& memory = local_[key].memory;
  const Mono now = env_.clock.now();
  if (const auto* gone = std::get_if<Remove>(&action)) {
    return note_refusal(memory, gone->key, 0, {ReasonCode::DELETE_FAILED, error.message}, now);
  }
  const auto* object = std::get_if<Apply>(&action);
  if (!object) return;
  const auto& status = application.status;
  const bool moving = status.running_on && status.running_on != status.scheduled_to;
  const Reason reason = reason_of(error);
  if (moving && object->cluster == status.scheduled_to && is_permanent(reason.code)) {
    remember(memory, GiveUpMigration{object->cluster, error.message}, plan_options(), now);
  } else {
    note_refusal(memory, object->key, object->fingerprint, reason, now);
  }
}

// The reason of a change that did not succeed. Best effort: it is found again at the next try.
Awaitable<void> ApplicationController::report_failure(ObjectKey key, ApplicationPtr application, Reason reason,
                                                      std::int64_t* revision) {
  if (mode() != Mode::leading) co_return;
  co_await applications_.wait_for(key, *revision);
  Local& local = local_[key];
  // One reading of the clock: compared with a later one, a budget that is not used up would always lie ahead.
  const Mono now = env_.clock.now();
  if (next_report(local, now) > now) co_return;
  auto current = applications_.find(key);
  if (!current || current->object.metadata.uid != application->object.metadata.uid) co_return;
  StatusView view;
  view.reason = std::move(reason);
  if (current->object.metadata.deleted) view.reason->code = ReasonCode::DELETE_FAILED;
  auto fields = status_patch(current->object, view);
  if (fields.empty()) co_return;
  spend_report(local);
  if (auto written = co_await patch_status(key, std::move(fields), revision); !written) {
    log_.debug("reason not written", {{"application", krake::to_string(key)}, {"why", written.error().message}});
  }
}

// ---- the pace of reports

// When the next report may be written; `now` when at once.
Mono ApplicationController::next_report(const Local& local, Mono now) const {
  if (!local.budget) return now;
  const double filled =
      local.budget->tokens + std::chrono::duration<double>(now - local.budget->at) / options_.status_interval;
  if (filled >= 1) return now;
  return now + std::chrono::duration_cast<Duration>(options_.status_interval * (1 - filled)) +
         std::chrono::milliseconds(1);
}

void ApplicationController::spend_report(Local& local) {
  const Mono now = env_.clock.now();
  const double burst = options_.status_burst;
  if (!local.budget) local.budget = Budget{.tokens = burst, .at = now};
  const double filled =
      local.budget->tokens + std::chrono::duration<double>(now - local.budget->at) / options_.status_interval;
  local.budget = Budget{.tokens = std::max(0.0, std::min(burst, filled) - 1), .at = now};
}

void ApplicationController::prune(Local& local) const {
  const Mono old = env_.clock.now() - std::chrono::minutes(15);
  std::erase_if(local.memory.repairs, [&](const auto& entry) { return entry.second.last < old; });
  std::erase_if(local.memory.refusals, [&](const auto& entry) { return entry.second.last < old; });
  constexpr std::size_t kMaxRemembered = 10'000;
  if (local.memory.sent.size() > kMaxRemembered) local.memory.sent.clear();
}

}  // namespace

std::unique_ptr<Controller> make_application_controller(ControllerContext context, ApplicationOptions options) {
  return std::make_unique<ApplicationController>(context, std::move(options));
}

}  // namespace krake::application
