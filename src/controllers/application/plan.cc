#include "controllers/application/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "controllers/application/inventory.h"
#include "controllers/application/status.h"
#include "manifest/diff.h"
#include "manifest/repair.h"
#include "manifest/schema.h"
#include "manifest/validate.h"

namespace krake::application {
namespace {

using State = ApplicationState;
using std::chrono::seconds;

constexpr Duration kLookAtLeft = seconds(30);  // how often at a cluster that was left, while there is only to wait
constexpr std::uint64_t kAbsent = 1;           // the difference of an object that is not there

bool defines(const json::Value& crd, const json::Value& object) {
  if (crd.string_at({"kind"}) != "CustomResourceDefinition") return false;
  const auto api_version = object.string_at({"apiVersion"});
  return crd.string_at({"spec", "names", "kind"}) == object.string_at({"kind"}) &&
         crd.string_at({"spec", "group"}) == api_version.substr(0, api_version.find('/'));
}

// What has to be done about the objects of one manifest at one place.
struct Settlement {
  std::vector<Apply> applies;
  std::vector<Reason> problems;
  std::vector<Reason> refusals;  // what the cluster answered lately
  std::vector<Duration> waits;
  bool blocked = false;  // something is not as it should be and cannot be put right now
  bool done() const { return applies.empty() && !blocked; }
  std::vector<Reason> complaints() const {
    auto all = problems;
    all.insert(all.end(), refusals.begin(), refusals.end());
    return all;
  }
};

class Planner {
 public:
  Planner(const Observed& observed, Mono now)
      : observed_(observed),
        app_(*observed.application),
        status_(app_.status),
        applied_(as_array(status_.last_applied_manifest)),
        recorded_cleanup_(status_.cleanup.value_or(std::vector<CleanUp>())),
        who_(identity_of(observed)),
        now_(now) {}

  Plan run() {
    if (observed_.mode == Mode::standby) return {};
    if (observed_.mode == Mode::repair_only) {
      hold_up();
      return take();
    }
    if (app_.metadata.deleted) {
      if (our_turn_to_delete(app_)) deletion();
      return take();
    }
    const Place* source = status_.running_on ? place(*status_.running_on) : found_place();
    if (source && !source->exists) source = nullptr;
    const bool forgotten = !status_.running_on && applied_.empty();
    if (source && forgotten) {
      recover(*source);
    } else if (!confirmed(app_) || !status_.scheduled_to) {
      if (source) stay_at(*source, std::nullopt);
    } else if (app_.spec.manifest.empty()) {
      keep_without_manifest(source);
    } else {
      settle_places(source, *place(*status_.scheduled_to));
    }
    const bool blind = std::ranges::any_of(observed_.places, [](const Place& p) { return p.error.has_value(); });
    if (forgotten && !source && blind && !status_.scheduled_to) add(Wait{seconds(10)});
    for (const Place& at : observed_.places) {
      if (at.blind) add(Wait{is_home(at.cluster) ? seconds(10) : kLookAtLeft});
    }
    put_meta(std::ranges::any_of(plan_, mutates_cluster));
    return take();
  }

 private:
  Plan take() { return std::move(plan_); }

  const Place* place(const ResourceRef& cluster) const {
    const auto found = std::ranges::find(observed_.places, cluster, &Place::cluster);
    return found == observed_.places.end() ? nullptr : &*found;
  }
  // The status knows nothing: where objects of ours are.
  const Place* found_place() const {
    if (!applied_.empty()) return nullptr;
    const auto found = std::ranges::find_if(observed_.places, [&](const Place& p) {
      return std::ranges::any_of(p.ours,
                                 [&](const auto& one) { return ownership(*one.second, who_) == Ownership::ours; });
    });
    return found == observed_.places.end() ? nullptr : &*found;
  }

  void add(Action action) { plan_.push_back(std::move(action)); }
  void add_status(json::Object fields) {
    if (!fields.empty()) add(PatchStatus{std::move(fields)});
  }
  StatusView view_of(const Place& at, const std::vector<Item>& items, const json::Array& objects,
                     const json::Array& schema) const {
    return {.place = &at, .who = who_, .items = items, .objects = &objects, .schema = &schema};
  }
  // A status that only reports: it may have to wait its turn.
  void report(const StatusView& view) {
    auto fields = status_patch(app_, view);
    if (fields.empty()) return;
    if (now_ < observed_.memory.status_allowed_at) {
      add(Wait{observed_.memory.status_allowed_at - now_});
    } else {
      if (view.running_on) forget_expected(*view.place, fields);
      add(PatchStatus{std::move(fields), true});
    }
  }
  // With the word that it runs there: from now on the status tells of what is there.
  void forget_expected(const Place& at, json::Object& fields) {
    if (!cleanup_ || !only_wanted(at)) return;
    std::erase_if(*cleanup_, [&](const CleanUp& entry) { return entry.cluster == at.cluster; });
    put_cleanup(fields);
  }
  bool only_wanted(const Place& at) const {
    return !at.error && !unseen(at) && !has_more_names(at) && dropped(observed_, at).empty();
  }
  // Its entry has got names that have not been looked for there.
  bool has_more_names(const Place& at) const {
    return std::ranges::any_of(renamed_, [&](const auto& one) { return one.second->cluster == at.cluster; });
  }
  void report_problem(Reason reason) {
    StatusView view;
    view.reason = std::move(reason);
    report(view);
  }

  // ---- finalizer and owners

  bool has_finalizer() const {
    return std::ranges::find(app_.metadata.finalizers, kKubernetesResourcesDeletion) != app_.metadata.finalizers.end();
  }
  bool is_home(const ResourceRef& ref) const { return ref == status_.scheduled_to || ref == status_.running_on; }
  // Of clusters those where it runs or is to run, and no other: who deletes a cluster deletes what it owns.
  std::optional<std::vector<ResourceRef>> owners_patch() const {
    std::vector<ResourceRef> wanted;
    for (const auto& owner : app_.metadata.owners) {
      if (owner.kind != kClusterKind || is_home(owner)) wanted.push_back(owner);
    }
    const auto ensure = [&](const std::optional<ResourceRef>& ref) {
      const Place* at = ref ? place(*ref) : nullptr;
      if (at && at->exists && std::ranges::find(wanted, *ref) == wanted.end()) wanted.push_back(*ref);
    };
    ensure(status_.scheduled_to);
    ensure(status_.running_on);
    if (wanted == app_.metadata.owners) return std::nullopt;
    return wanted;
  }
  void put_meta(bool before_mutation) {
    if (before_mutation && !has_finalizer()) {
      auto finalizers = app_.metadata.finalizers;
      finalizers.emplace_back(kKubernetesResourcesDeletion);
      plan_.insert(plan_.begin(), PatchMeta{.finalizers = std::move(finalizers)});
    }
    // Last: nothing waits for these, not even while the API is away. A cluster is remembered before it is disowned.
    json::Object fields;
    put_cleanup(fields);
    add_status(std::move(fields));
    if (owners_) add(PatchMeta{.owners = owners_});
  }

  // ---- clusters that were left

  static json::Value as_value(const std::vector<CleanUp>& entries) {
    json::Array array;
    for (const auto& entry : entries) array.push_back(to_value(entry));
    return array;
  }
  // With what is written anyway: who dies after that write has not forgotten what was known before.
  void put_cleanup(json::Object& fields) {
    if (!cleanup_ || *cleanup_ == recorded_cleanup_) return;
    fields.set("cleanup", cleanup_->empty() ? json::Value() : as_value(*cleanup_));
    recorded_cleanup_ = *cleanup_;
  }
  static CleanUp& entry_in(std::vector<CleanUp>& entries, const ResourceRef& cluster) {
    auto entry = std::ranges::find(entries, cluster, &CleanUp::cluster);
    if (entry == entries.end()) entry = entries.insert(entry, CleanUp{.cluster = cluster, .objects = {}});
    return *entry;
  }
  CleanUp& entry_at(const ResourceRef& cluster) { return entry_in(*cleanup_, cluster); }
  // What is about to be created where the application does not run so far. Nothing else may ever tell of it: it may be
  // wanted elsewhere, or look different, before anybody has seen it there.
  void expect_at(const Place& at) {
    if (!cleanup_) return;
    const auto& objects = observed_.desired.objects;
    for (std::size_t i = 0; i < objects.size(); ++i)
      put_name(entry_at(at.cluster).objects, name_of(at.desired, i, objects[i]));
  }
  // What may be there, cannot be seen, and only the former manifest tells of. Nobody has seen that it is ours, so that
  // it must say so itself: it does not count as seen.
  void expect_hidden(const Place& at) {
    for (std::size_t i = 0; i < std::min(applied_.size(), at.applied.size()); ++i) {
      const auto& problem = at.applied[i].problem;
      if (!problem || problem->code != ReasonCode::KUBERNETES_ERROR) continue;
      auto name = name_of(at.applied, i, applied_[i]);
      if (cleanup_ && !is_wanted(at, name)) put_name(entry_at(at.cluster).objects, std::move(name));
    }
  }
  bool is_wanted(const Place& at, const json::Object& name) const {
    const auto& objects = observed_.desired.objects;
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (name_of(at.desired, i, objects[i]) == name) return true;
    }
    return false;
  }
  static void put_name(std::vector<json::Object>& names, json::Object name) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  // Of what is recorded: it is seen without a label, or cannot be seen.
  bool may_lack_label(const Place& at, std::size_t i) const {
    if (i >= at.recorded.size() || at.recorded[i].problem) return true;
    const auto& live = at.recorded[i].live;
    return live && ownership(*live, who_) == Ownership::unlabelled && made_by_upstream(*live);
  }
  Wall last_sight(const Place& at) const {
    const Duration unseen_for = at.error && at.error_since ? now_ - *at.error_since : Duration(0);
    return observed_.wall - std::chrono::duration_cast<Wall::duration>(unseen_for);
  }
  // What may be there by name: all that was applied or seen. The entry stays as it is until the cluster is clean.
  CleanUp cleanup_of(const Place& at, bool just_left = false) const {
    const CleanUp* known = cleanup_at(app_, at.cluster);
    if (known && !just_left) return *known;
    auto entries = cleanup_.value_or(recorded_cleanup_);
    CleanUp entry = entry_in(entries, at.cluster);
    for (std::size_t i = 0; i < applied_.size(); ++i) put_name(entry.objects, name_of(at.applied, i, applied_[i]));
    const auto recorded = as_array(status_.last_observed_manifest);
    auto seen = entry.left ? entry.observed.value_or(std::vector<json::Object>()) : std::vector<json::Object>();
    for (std::size_t i = 0; i < recorded.size(); ++i) {
      auto name = name_of(at.recorded, i, recorded[i]);
      put_name(entry.objects, name);
      if (just_left && may_lack_label(at, i)) put_name(seen, std::move(name));
    }
    if (!seen.empty()) {
      if (!entry.left) entry.left = DateTime::from_wall(last_sight(at));
      entry.observed = std::move(seen);
    }
    for (const auto& [ref, live] : at.ours) put_name(entry.objects, identity_fields(ref));
    return entry;
  }

  // ---- objects at a place

  const json::Value* previous_of(const Place& at, const kube::ObjectRef& ref) const {
    for (std::size_t i = 0; i < at.applied.size(); ++i) {
      if (!at.applied[i].problem && same_object(at.applied[i].ref, ref)) return &applied_[i];
    }
    return nullptr;
  }

  Reason foreign_reason(const Place& at, const Item& item) const {
    return {ReasonCode::INVALID_RESOURCE,
            fmt::format("{} on {} belongs to {}; it is left alone. Rename the object or remove it there",
                        kube::to_string(item.ref), krake::to_string(at.cluster), owner_text(*item.live, who_))};
  }

  // `trust`: the stored status says that everything was applied.
  void settle_item(const Place& at, const Item& item, const json::Value& object, const json::Value& entry, bool trust,
                   Settlement& out) const {
    Apply apply{.cluster = at.cluster, .ref = item.ref};
    apply.desired = labelled(object, who_);
    apply.entry = labelled_entry(entry);
    apply.key = memory_key(at, item.ref);
    apply.fingerprint = fingerprint_of(apply.desired);
    const Sent* sent = sent_of(apply.key);
    const bool known = sent && sent->fingerprint != 0;
    const json::Value* previous = previous_of(at, item.ref);
    const bool changed = known ? !(sent->answered && sent->fingerprint == apply.fingerprint)
                               : !trust || !previous || !(*previous == object);
    if (item.live) {
      const auto whose = ownership(*item.live, who_);
      if (whose == Ownership::foreign) {
        out.problems.push_back(foreign_reason(at, item));
        out.blocked = true;
        return;
      }
      if (being_deleted(*item.live)) {
        out.blocked = true;
        out.waits.push_back(seconds(5));
        return;
      }
      apply.adopt = whose == Ownership::unlabelled;
    }
    if (changed || apply.adopt) {
      if (held_back(apply, out)) return;
      if (previous && !(*previous == object)) apply.previous = *previous;
      apply.body = manifest::apply_body(apply.desired);
      // Whose it is was seen on this very object. (Adoption writes to it first.)
      if (item.live && !apply.adopt && !version_of(*item.live).empty())
        apply.body.make_object()["metadata"].make_object().set("resourceVersion", version_of(*item.live));
      return push(std::move(apply), item, out);
    }
    const auto differences =
        item.live ? manifest::diff(apply.desired, *item.live, apply.entry) : std::vector<manifest::Difference>();
    if (item.live && differences.empty()) return;
    apply.difference = item.live ? difference_of(differences) : kAbsent;
    if (!may_repair(at, item, apply, differences, out) || held_back(apply, out)) return;
    apply.body =
        item.live ? manifest::repair_body(apply.desired, *item.live, apply.entry) : manifest::apply_body(apply.desired);
    push(std::move(apply), item, out);
  }
  static void push(Apply apply, const Item& item, Settlement& out) {
    const json::Value* previous = apply.previous.is_null() ? nullptr : &apply.previous;
    if (item.live && !apply.adopt)
      apply.lists = manifest::replace_lists_patch(apply.desired, *item.live, apply.entry, previous);
    out.applies.push_back(std::move(apply));
  }

  const Sent* sent_of(const std::string& key) const {
    const auto found = observed_.memory.sent.find(key);
    return found == observed_.memory.sent.end() ? nullptr : &found->second;
  }

  // What this process has sent came of a later state of the application than the one that is known now, or of this one
  // and said something else: nobody can tell that it is older.
  bool undoes_newer(const Apply& apply) const {
    const Sent* sent = sent_of(apply.key);
    return sent && sent->fingerprint != apply.fingerprint && sent->revision >= observed_.revision;
  }

  bool held_back(const Apply& apply, Settlement& out) const {
    if (!refused(apply.key, apply.fingerprint, out.refusals, out.waits)) return false;
    out.blocked = true;
    return true;
  }

  // It was tried lately and the cluster said no: not yet again, but said aloud.
  bool refused(const std::string& key, std::uint64_t what, std::vector<Reason>& reasons,
               std::vector<Duration>& waits) const {
    const auto found = observed_.memory.refusals.find(key);
    if (found == observed_.memory.refusals.end() || found->second.what != what) return false;
    const Mono allowed = found->second.allowed_at();
    if (now_ >= allowed) return false;
    reasons.push_back(found->second.reason);
    waits.push_back(allowed - now_);
    return true;
  }

  bool may_repair(const Place& at, const Item& item, const Apply& apply,
                  const std::vector<manifest::Difference>& differences, Settlement& out) const {
    const auto found = observed_.memory.repairs.find(apply.key);
    if (found == observed_.memory.repairs.end() || found->second.difference != apply.difference) return true;
    const Mono allowed = found->second.allowed_at();
    if (now_ >= allowed) return true;
    // What is there runs, though not quite as it is wanted; only what is not there keeps the rest from counting.
    if (!item.live) out.blocked = true;
    out.waits.push_back(allowed - now_);
    const std::string what = item.live ? "differs again at " + manifest::describe(differences) : "is gone again";
    out.problems.push_back(
        {ReasonCode::RECONCILE_FAILED,
         fmt::format("not converging: {} on {} {} right after it was put right; something else keeps changing it, "
                     "or the cluster does not take the value. Trying more slowly",
                     kube::to_string(item.ref), krake::to_string(at.cluster), what)});
    return false;
  }

  // Items that name an object an earlier one names already: both together would be changed for ever.
  static std::set<std::size_t> named_again(const Place& at, const std::vector<Item>& items) {
    std::set<std::size_t> again;
    std::set<std::string> named;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!items[i].problem && !named.insert(memory_key(at, items[i].ref)).second) again.insert(i);
    }
    return again;
  }

  // `source`: from where it moves there, and is taken away for that.
  Settlement settle(const Place& at, const std::vector<Item>& items, const json::Array& objects,
                    const json::Array& schema, bool trust, const Place* source = nullptr) const {
    Settlement result;
    const bool once = std::ranges::any_of(objects, must_not_run_twice);
    const Place* twin = once ? place_of_twin(observed_, at, source, now_) : nullptr;
    const auto entries = manifest::entries_for(objects, schema);
    std::vector<std::size_t> order;
    for (int rank = 0; rank < kRanks; ++rank) {
      for (std::size_t i = 0; i < std::min(objects.size(), items.size()); ++i) {
        if (apply_rank(objects[i].string_at({"kind"})) == rank) order.push_back(i);
      }
    }
    const auto again = named_again(at, items);
    for (const auto i : order) {
      if (again.contains(i)) {
        result.blocked = true;
        result.problems.push_back(
            {ReasonCode::INVALID_RESOURCE,
             fmt::format("{} is in the manifest more than once; only the first counts, remove the "
                         "others",
                         kube::to_string(items[i].ref))});
        continue;
      }
      if (const auto& problem = items[i].problem) {
        result.blocked = true;
        if (std::ranges::any_of(objects, [&](const auto& crd) { return defines(crd, objects[i]); })) {
          result.waits.push_back(seconds(1));  // its definition is being taken in
        } else {
          result.problems.push_back(*problem);
        }
        continue;
      }
      if (twin && !items[i].live && must_not_run_twice(objects[i])) {
        result.blocked = true;
        result.problems.push_back(
            {ReasonCode::KUBERNETES_ERROR,
             fmt::format("{} must not run twice: it is created on {} once it is known to be gone from {}",
                         kube::to_string(items[i].ref), krake::to_string(at.cluster),
                         krake::to_string(twin->cluster))});
        result.waits.push_back(seconds(5));
        continue;
      }
      if (const auto number = manifest::check_numbers(objects[i])) {  // the cluster would say: no JSON
        result.blocked = true;
        result.problems.push_back(
            {ReasonCode::INVALID_RESOURCE,
             fmt::format("{} is not sent: {}, and clusters take finite numbers only; correct spec.manifest",
                         kube::to_string(items[i].ref), *number)});
        continue;
      }
      const json::Value fallback = entries[i] ? json::Value() : manifest::default_entry(objects[i]);
      settle_item(at, items[i], objects[i], entries[i] ? *entries[i] : fallback, trust, result);
    }
    return result;
  }

  // Removes those of `objects` that are not on their way out already. True when nothing of them is left.
  bool remove_all(const Place& at, const Objects& objects, Duration pause = seconds(10)) {
    std::vector<Duration> waits;
    for (const auto& [ref, live] : objects) {
      const auto key = memory_key(at, ref);
      if (being_deleted(*live) || refused(key, 0, stuck_, waits)) continue;
      add(Remove{at.cluster, ref, std::string(uid_of(*live)), std::string(version_of(*live)), key});
      removing_ = true;
    }
    for (const auto wait : waits) add(Wait{wait});
    if (!objects.empty()) add(Wait{pause});
    return objects.empty();
  }

  void add_all(std::vector<Apply> applies) {
    for (auto& apply : applies) add(std::move(apply));
  }

  static std::optional<Reason> worst(const std::vector<Reason>& problems) {
    if (problems.empty()) return std::nullopt;
    const auto permanent = std::ranges::find_if(problems, [](const Reason& r) { return is_permanent(r.code); });
    Reason reason = permanent == problems.end() ? problems.front() : *permanent;
    if (problems.size() > 1) reason.message += fmt::format(" (and {} more)", problems.size() - 1);
    return reason;
  }
  void add_waits(const Settlement& settlement) {
    for (const auto wait : settlement.waits) add(Wait{wait});
  }
  // What repeats until somebody mends it outside: by back-off.
  void add_retry(const std::optional<Reason>& reason) {
    if (reason && reason->code != ReasonCode::RECONCILE_FAILED) add(Retry{reason->message});
  }

  // ---- the situations

  // The status is lost, the objects are there: only look, and write down what is so.
  void recover(const Place& at) {
    StatusView view = view_of(at, at.desired, observed_.desired.objects, observed_.desired.schema);
    view.running_on = at.cluster;
    view.state = State::RUNNING;
    add_status(status_patch(app_, view));
  }

  // That of what was applied last.
  json::Array stored_schema() const {
    if (!status_.mangled_observer_schema.empty()) return as_array(status_.mangled_observer_schema);
    return manifest::mangle(as_array(app_.spec.observer_schema), applied_);
  }

  // Holds up what was last confirmed. `reason` and `state` instead of what would follow.
  void keep(const Place& at, std::optional<Reason> reason, std::optional<State> state) {
    if (at.error) {
      report_problem(reason ? *reason : *at.error);
      add(Retry{at.error->message});
      return;
    }
    const json::Array schema = stored_schema();
    const auto settlement = settle(at, at.applied, applied_, schema, true);
    // With no place decided on, somebody is still finding out: nothing is touched.
    if (status_.scheduled_to && !settlement.applies.empty()) {
      add_all(settlement.applies);
      add(Again{});
      return;
    }
    StatusView view = view_of(at, at.applied, applied_, schema);
    view.write_objects = false;
    view.reason = reason ? reason : worst(settlement.complaints());
    view.state = state;
    // What was being applied when the spec changed again is still not known to be applied.
    const bool unfinished = status_.state == State::CREATING || status_.state == State::RECONCILING;
    if (!state && unfinished && !confirmed(app_)) view.state = status_.state;
    if (!removing_) report(view);
    add_waits(settlement);
    if (!reason) add_retry(view.reason);
  }

  // Out of touch with Krake (P15): what was applied last stays as it was, where it runs. Nothing is decided, begun,
  // moved, removed or written down, since nobody knows what the others know by now.
  void hold_up() {
    if (app_.metadata.deleted || !has_finalizer() || !status_.scheduled_to || !status_.running_on) return;
    const Place* home = place(*status_.running_on);
    if (!home || !home->exists) return;
    if (home->error) return add(Retry{home->error->message});
    // The source of such a migration is empty on purpose.
    const bool moving = status_.scheduled_to != status_.running_on;
    if (moving && (std::ranges::any_of(applied_, must_not_run_twice) ||
                   std::ranges::any_of(observed_.desired.objects, must_not_run_twice))) {
      return;
    }
    auto settlement = settle(*home, home->applied, applied_, stored_schema(), true);
    std::erase_if(settlement.applies, [&](const Apply& apply) { return undoes_newer(apply); });
    const bool anything = !settlement.applies.empty();
    add_all(std::move(settlement.applies));
    if (anything) add(Again{});
    add_waits(settlement);
    if (home->blind) add(Wait{seconds(10)});
  }

  // Nothing new is decided; what was left before is cleaned up: its cluster may be waiting for that.
  void stay_at(const Place& source, std::optional<Reason> reason) {
    if (status_.running_on) {
      cleanup_ = clean_others(&source, source);
      owners_ = owners_patch();
    }
    keep(source, std::move(reason), std::nullopt);
    look_at_removals();
  }
  void look_at_removals() {
    if (removing_ && (plan_.empty() || !std::holds_alternative<Again>(plan_.back()))) add(Again{});
  }

  void keep_without_manifest(const Place* source) {
    Reason reason{
        ReasonCode::INVALID_TOSCA_MANIFEST,
        "spec.manifest is empty, and this controller does not translate TOSCA templates or CSAR archives; put the "
        "Kubernetes objects into spec.manifest"};
    if (source) return stay_at(*source, reason);
    report_problem(std::move(reason));
  }

  void settle_places(const Place* source, const Place& target) {
    cleanup_ = clean_others(source, target);
    owners_ = owners_patch();
    if (source && same_place(observed_, *source, target) != Same::yes) {
      migrate(*source, target);
    } else {
      reconcile_at(target, source != nullptr);
    }
    look_at_removals();
  }

  // Clusters the application has left. The answer: those that may still have objects of ours.
  std::vector<CleanUp> clean_others(const Place* source, const Place& target) {
    std::vector<CleanUp> rest;
    for (const Place& other : observed_.places) {
      if (!other.exists) continue;  // nobody can be asked any more
      const bool home = is_home(other.cluster) || (source && other.cluster == source->cluster);
      const bool clean = home ? clean_home(other, source, target) : clean_other(other, source, target);
      if (!clean) rest.push_back(cleanup_of(other));
    }
    for (const auto& [other, home] : renamed_) fold(*other, *home, rest);
    return rest;
  }
  // What may be left of what was known of the cluster under the other name is to be looked for under this one.
  void fold(const Place& other, const Place& home, std::vector<CleanUp>& entries) const {
    const CleanUp& known = *cleanup_at(app_, other.cluster);
    for (std::size_t i = 0; i < known.objects.size(); ++i) {
      const bool gone = i < other.left.size() && !other.left[i].problem && !other.left[i].live;
      const auto name = name_of(other.left, i, known.objects[i]);
      if (gone || is_wanted(home, name)) continue;
      CleanUp& entry = entry_in(entries, home.cluster);
      put_name(entry.objects, name);
      if (!known.left || !known.observed || std::ranges::count(*known.observed, known.objects[i]) == 0) continue;
      // Of all of them the earlier time holds.
      if (!entry.left || !entry.observed) entry.observed.emplace();
      if (!entry.left || known.left->wall() < entry.left->wall()) entry.left = known.left;
      put_name(*entry.observed, name);
    }
  }
  // A cluster the application has come to, or come back to: what is left there is in its inventory once it runs there.
  bool clean_home(const Place& at, const Place* source, const Place& target) {
    if (!cleanup_at(app_, at.cluster)) return true;
    if (source && same_place(observed_, *source, target) != Same::yes) return false;
    if (unseen(at)) add(Wait{kLookAtLeft});
    return at.cluster == status_.running_on && at.cluster == target.cluster && only_wanted(at);
  }
  bool clean_other(const Place& other, const Place* source, const Place& target) {
    if (other.error) {
      add(Wait{kLookAtLeft});
      return false;
    }
    const Same as_target = same_place(observed_, other, target);
    const Same as_source = source ? same_place(observed_, other, *source) : Same::no;
    if (as_target == Same::yes || as_source == Same::yes) {
      if (cleanup_at(app_, other.cluster)) renamed_.emplace_back(&other, as_target == Same::yes ? &target : source);
      return true;
    }
    const auto objects = inventory(observed_, other);
    // Not before it is certain that this is not the same cluster under another name.
    if (as_target == Same::unknown || as_source == Same::unknown) {
      add(Wait{kLookAtLeft});
      return objects.empty() && !cleanup_at(app_, other.cluster);
    }
    const bool gone = remove_all(other, objects, kLookAtLeft);
    if (unseen(other)) add(Wait{kLookAtLeft});
    return gone && !unseen(other);
  }

  Reason unknown_cluster(const Place& at) const {
    return {ReasonCode::KUBERNETES_ERROR,
            fmt::format("{} does not exist; register it, or let the application be scheduled elsewhere",
                        krake::to_string(at.cluster))};
  }

  // `runs`: it is there already.
  void reconcile_at(const Place& at, bool runs) {
    if (observed_.memory.migration) add(ForgetMigration{});
    if (!at.exists || at.error) {
      const Reason reason = at.exists ? *at.error : unknown_cluster(at);
      report_problem(reason);
      add(Retry{reason.message});
      return;
    }
    const auto& desired = observed_.desired;
    // What the status says was applied was applied where it runs.
    const bool trust =
        runs && (status_.state == State::RUNNING || status_.state == State::DEGRADED ||
                 status_.state == State::RESTARTING || status_.state == State::COMPLETED || scheduler_owns_state(app_));
    auto settlement = settle(at, at.desired, desired.objects, desired.schema, trust);
    const bool intent = !(desired.objects == applied_);
    const bool applying = !settlement.applies.empty();
    json::Object fields;
    if (intent) fields = intent_fields(at, status_.running_on ? State::RECONCILING : State::CREATING);
    if ((intent || applying) && status_.running_on != at.cluster) {
      expect_at(at);
      put_cleanup(fields);
    }
    add_status(std::move(fields));
    add_all(std::move(settlement.applies));
    remove_all(at, dropped(observed_, at));
    if (intent || applying) {
      add(Again{});
      return;
    }
    StatusView view = view_of(at, at.desired, desired.objects, desired.schema);
    auto complaints = settlement.complaints();
    complaints.insert(complaints.end(), stuck_.begin(), stuck_.end());
    view.reason = worst(complaints);
    // Not everything is there yet: the application does not run here so far.
    if (settlement.blocked && !trust) view.state = status_.running_on ? State::RECONCILING : State::CREATING;
    if (!settlement.blocked || status_.running_on) view.running_on = at.cluster;
    if (!removing_) report(view);
    add_waits(settlement);
    add_retry(view.reason);
  }

  // Written before the first change, so that a crash leaves a record of what may be there.
  json::Object intent_fields(const Place& at, State state) {
    json::Object fields{{"last_applied_manifest", observed_.desired.objects},
                        {"mangled_observer_schema", observed_.desired.schema}};
    // What is seen to be ours and only the manifest so far names: its name must not get lost with that.
    auto recorded = as_array(status_.last_observed_manifest);
    for (const auto& [ref, live] : dropped(observed_, at)) {
      const auto is_it = [&](const Item& item) { return !item.problem && same_object(item.ref, ref); };
      if (std::ranges::none_of(at.recorded, is_it)) recorded.emplace_back(identity_fields(ref));
    }
    if (recorded.size() > status_.last_observed_manifest.size())
      fields.set("last_observed_manifest", std::move(recorded));
    expect_hidden(at);
    put_cleanup(fields);
    if (!scheduler_owns_state(app_) && status_.state != state) fields.set("state", std::string(enum_name(state)));
    return fields;
  }

  // ---- migration

  std::optional<Reason> migration_obstacle(const Place& target, const Settlement& there) const {
    if (!target.exists) return unknown_cluster(target);
    if (target.error) return target.error;
    const auto permanent = std::ranges::find_if(there.problems, [](const Reason& r) { return is_permanent(r.code); });
    if (permanent != there.problems.end()) return *permanent;
    return std::nullopt;
  }

  // One look at a migration under way.
  struct Move {
    const Place& source;
    const Place& target;
    Settlement there;                    // of what is wanted, at the target
    const Migration* running = nullptr;  // what is remembered of it
    bool delete_first = false;           // it must not run twice

    bool begun() const { return running && running->waiting_since; }
  };

  void migrate(const Place& source, const Place& target) {
    Move move{.source = source, .target = target, .there = {}};
    const auto& memory = observed_.memory.migration;
    if (memory && memory->target == target.cluster) move.running = &*memory;
    if (target.exists && !target.error)
      move.there = settle(target, target.desired, observed_.desired.objects, observed_.desired.schema, false, &source);
    move.delete_first = std::ranges::any_of(observed_.desired.objects, must_not_run_twice) ||
                        std::ranges::any_of(applied_, must_not_run_twice);
    if (const auto obstacle = migration_obstacle(target, move.there)) return wait_for_target(move, *obstacle);
    if (move.running && move.running->retry_at && now_ < *move.running->retry_at) return stay(move);
    if (move.delete_first) {
      const auto hidden = source.error && !lost(observed_, source, now_) ? source.error : unseen(source);
      if (hidden && !move.begun()) return wait_for_source(move, *hidden);
      if (const auto left = inventory(observed_, source); !left.empty()) return empty_source(move, left);
    }
    go_on(move);
  }

  Reason waiting(const Move& move, const std::string& why) const {
    return {ReasonCode::KUBERNETES_ERROR,
            fmt::format("migration from {} to {} waits: {}", krake::to_string(move.source.cluster),
                        krake::to_string(move.target.cluster), why)};
  }

  void wait_for_target(const Move& move, const Reason& obstacle) {
    // The source has been emptied for it, so what must not run twice may be at the target.
    const bool emptied = move.delete_first && move.target.exists && !move.source.error &&
                         (move.begun() || status_.state == State::MIGRATING) &&
                         inventory(observed_, move.source).empty();
    if (emptied && !move.target.error) {
      add(GiveUpMigration{move.target.cluster, obstacle.message});
      add(Again{});
      return;
    }
    if (emptied) {
      report_problem(waiting(move, obstacle.message));
    } else {
      if (move.begun()) add(ForgetMigration{});
      keep(move.source, waiting(move, obstacle.message), std::nullopt);
    }
    if (plan_.empty() || !std::holds_alternative<Again>(plan_.back())) add(Retry{obstacle.message});
  }

  void wait_for_source(const Move& move, const Reason& hidden) {
    const auto reason = waiting(move, hidden.message + "; what is there must not run twice");
    report_problem(reason);
    add(Retry{reason.message});
  }

  // Nothing is taken away before the target has agreed to all that is to come.
  void empty_source(const Move& move, const Objects& left) {
    const auto is_early = [](const Apply& apply) { return apply_rank(apply.ref.type.kind) < kRanks - 1; };
    if (std::ranges::any_of(move.there.applies, is_early)) {
      begin_migration(&move.target);
      for (const auto& apply : move.there.applies) {
        if (is_early(apply)) add(apply);
      }
      add(Again{});
      return;
    }
    if (move.there.blocked) {
      const auto problem = worst(move.there.complaints());
      keep(move.source, waiting(move, problem ? problem->message : "the target is not ready for it"), std::nullopt);
      add_waits(move.there);
      add(Wait{seconds(10)});
      return;
    }
    begin_migration(nullptr);
    if (!std::ranges::all_of(left, [](const auto& one) { return being_deleted(*one.second); })) {
      for (const auto& apply : move.there.applies) add(TryOut{apply.cluster, apply.ref, apply.body});
    }
    remove_all(move.source, left);
  }

  void go_on(Move& move) {
    auto& there = move.there;
    // While there is a source to fall back on, or to go back to, the attempt has an end.
    const bool bounded = move.begun() || !lost(observed_, move.source, now_);
    const Mono end = (move.begun() ? *move.running->waiting_since : now_) + observed_.options.migration_health_wait;
    const bool ready = there.done() && (move.delete_first || healthy(move.target.desired));
    if (bounded && !ready && now_ >= end) return give_up(move);
    if (bounded && !ready && !move.begun()) add(BeginHealthWait{move.target.cluster});
    if (!there.applies.empty()) {
      begin_migration(&move.target);
      if (!move.delete_first && !move.source.error)
        add_all(settle(move.source, move.source.applied, applied_, stored_schema(), true).applies);
      add_all(std::move(there.applies));
      add(Again{});
    } else if (there.blocked || (bounded && !ready)) {
      if (move.delete_first || move.source.error) {
        StatusView view;
        view.reason = worst(there.complaints());
        if (!view.reason) view.reason = move.source.error;
        view.state = State::MIGRATING;
        report(view);
      } else {
        keep(move.source, worst(there.complaints()), State::MIGRATING);
      }
      add_waits(there);
      add(Wait{bounded ? std::min<Duration>(end - now_, seconds(10)) : seconds(10)});
    } else {
      arrive(move);
    }
  }

  void give_up(const Move& move) {
    std::string why =
        fmt::format("{} there within {} s", move.there.done() ? "not healthy" : "not everything could be created",
                    observed_.options.migration_health_wait / seconds(1));
    if (const auto problem = worst(move.there.complaints())) why += ": " + problem->message;
    add(GiveUpMigration{move.target.cluster, std::move(why)});
    add(Again{});
  }

  void arrive(const Move& move) {
    StatusView view = view_of(move.target, move.target.desired, observed_.desired.objects, observed_.desired.schema);
    view.running_on = move.target.cluster;
    view.state = State::RUNNING;
    auto fields = status_patch(app_, view);
    // Together with the move: from now on nothing else tells of the source.
    const bool all_wanted = only_wanted(move.target);
    CleanUp source = cleanup_of(move.source, true);
    std::erase_if(*cleanup_, [&](const CleanUp& entry) {
      return entry.cluster == move.source.cluster || (all_wanted && entry.cluster == move.target.cluster);
    });
    cleanup_->push_back(std::move(source));
    fields.set("cleanup", as_value(*std::exchange(cleanup_, std::nullopt)));
    add_status(std::move(fields));
    add(ForgetMigration{});
    add(Again{});
  }

  // `creates_at`: where something is about to be created.
  void begin_migration(const Place* creates_at) {
    json::Object fields;
    if (creates_at) expect_at(*creates_at);
    if (creates_at) put_cleanup(fields);
    if (!scheduler_owns_state(app_) && status_.state != State::MIGRATING)
      fields.set("state", std::string(enum_name(State::MIGRATING)));
    add_status(std::move(fields));
  }

  // After a failed attempt: nothing stays at the target, the source goes on.
  void stay(const Move& move) {
    Reason reason{
        ReasonCode::CREATE_FAILED,
        fmt::format(
            "migration to {} was given up: {}; the application stays on {} and the migration is tried again later",
            krake::to_string(move.target.cluster), move.running->why, krake::to_string(move.source.cluster))};
    // Nothing is taken away from where the application may be running, under another name.
    const auto objects = inventory(observed_, move.target);
    const bool elsewhere = same_place(observed_, move.target, move.source) == Same::no;
    const bool left = !elsewhere || !remove_all(move.target, objects) || unseen(move.target);
    for (const auto& [ref, live] : objects) {
      if (!elsewhere) put_name(entry_at(move.target.cluster).objects, identity_fields(ref));
    }
    if (!left && !has_more_names(move.target))
      std::erase_if(*cleanup_, [&](const CleanUp& entry) { return entry.cluster == move.target.cluster; });
    if (left && move.delete_first) {
      report_problem(std::move(reason));  // it comes back at the source when it is gone at the target
    } else {
      // Back to what the source's health says.
      std::optional<State> state;
      if (status_.state == State::MIGRATING) state = State::RUNNING;
      keep(move.source, std::move(reason), state);
    }
    add(Wait{*move.running->retry_at - now_});
  }

  // ---- deletion

  void deletion() {
    if (status_.state != State::DELETING) add_status({{"state", std::string(enum_name(State::DELETING))}});
    std::set<std::string, std::less<>> seen;
    std::optional<Reason> blocked;
    std::vector<Reason> lingering;
    bool clean = true;
    for (const Place& at : observed_.places) {
      if (!at.exists) continue;  // nobody can be asked any more
      if (at.error) {
        blocked = Reason{at.error->code,
                         fmt::format("waiting to delete on {}: {}", krake::to_string(at.cluster), at.error->message)};
        continue;
      }
      auto objects = inventory(observed_, at);
      std::erase_if(objects, [&](const auto& one) { return !seen.insert(std::string(uid_of(*one.second))).second; });
      clean = remove_all(at, objects) && clean;
      for (const auto& [ref, live] : objects) {
        if (auto why = why_it_lingers(at.cluster, ref, *live, observed_.wall)) lingering.push_back(*std::move(why));
      }
      if (const auto hidden = unseen(at)) blocked = hidden;
    }
    if (!blocked && !removing_) blocked = worst(stuck_);
    if (blocked) {
      StatusView view{.reason = blocked};
      view.state = State::DELETING;
      report(view);
      add(Retry{blocked->message});
    } else if (removing_) {
      add(Again{});
    } else if (!clean) {
      report({.reason = worst(lingering), .state = State::DELETING});
    } else {
      auto finalizers = app_.metadata.finalizers;
      finalizers.pop_back();
      add(PatchMeta{.finalizers = std::move(finalizers)});
    }
  }

  static constexpr std::string_view kClusterKind = "Cluster";

  const Observed& observed_;
  const Application& app_;
  const ApplicationStatus& status_;
  const json::Array applied_;
  std::vector<CleanUp> recorded_cleanup_;  // what the status says, with the writes of this plan
  const Identity who_;
  const Mono now_;
  Plan plan_;
  std::optional<std::vector<ResourceRef>> owners_;
  std::optional<std::vector<CleanUp>> cleanup_;
  std::vector<std::pair<const Place*, const Place*>> renamed_;  // with an entry, under another name one of the homes
  bool removing_ = false;
  std::vector<Reason> stuck_;  // removals that are refused
};

}  // namespace

std::uint64_t difference_of(const std::vector<manifest::Difference>& differences) {
  std::string paths;
  for (const auto& difference : differences) paths += difference.path + '\n';
  return std::max<std::uint64_t>(stable_hash(paths), kAbsent + 1);
}

Plan make_plan(const Observed& observed, Mono now) { return Planner(observed, now).run(); }

bool mutates_cluster(const Action& action) {
  return std::holds_alternative<Apply>(action) || std::holds_alternative<Remove>(action);
}

bool confirmed(const Application& application) {
  const auto& triggered = application.status.kube_controller_triggered;
  return triggered && triggered->wall() >= application.metadata.modified.wall();
}

std::vector<ResourceRef> clusters_of(const Application& application) {
  std::vector<ResourceRef> clusters;
  const auto add = [&](const ResourceRef& ref) {
    if (std::ranges::find(clusters, ref) == clusters.end()) clusters.push_back(ref);
  };
  if (application.status.scheduled_to) add(*application.status.scheduled_to);
  if (application.status.running_on) add(*application.status.running_on);
  for (const auto& entry : application.status.cleanup.value_or(std::vector<CleanUp>())) add(entry.cluster);
  for (const auto& owner : application.metadata.owners) {
    // Whoever may write the application may name owners; other namespaces are not reached that way.
    const bool at_home = owner.namespace_ == application.metadata.namespace_;
    if (owner.kind == "Cluster" && at_home) add(owner);
  }
  return clusters;
}

bool our_turn_to_delete(const Application& application) {
  const auto& meta = application.metadata;
  return meta.deleted && !meta.finalizers.empty() && meta.finalizers.back() == kKubernetesResourcesDeletion;
}

const CleanUp* cleanup_at(const Application& application, const ResourceRef& cluster) {
  if (!application.status.cleanup) return nullptr;
  const auto found = std::ranges::find(*application.status.cleanup, cluster, &CleanUp::cluster);
  return found == application.status.cleanup->end() ? nullptr : &*found;
}

Relevant relevant_at(const Application& application, const ResourceRef& cluster) {
  const auto& status = application.status;
  const bool home = cluster == status.scheduled_to || cluster == status.running_on;
  // The status knows nothing: it may run anywhere.
  const bool lost = !status.running_on && status.last_applied_manifest.empty();
  const CleanUp* entry = cleanup_at(application, cluster);
  return {.desired = home || lost, .manifests = home || !entry, .entry = entry};
}

json::Array as_array(const std::vector<json::Object>& objects) { return {objects.begin(), objects.end()}; }

}  // namespace krake::application
