#include "kubesim/watch.h"

#include <fmt/format.h>

#include "kubesim/faults.h"
#include "kubesim/refusal.h"

namespace krake::kubesim {

namespace {

constexpr Duration kBookmarkPeriod = std::chrono::seconds(30);
constexpr std::size_t kMaxBatch = 256;

class Watch final : public ReplySource {
 public:
  Watch(Clock& clock, Objects& objects, const Faults& faults, WatchPlan plan)
      : clock_(clock),
        objects_(objects),
        faults_(faults),
        plan_(std::move(plan)),
        born_(*plan_.generation),
        next_bookmark_(clock.now() + kBookmarkPeriod) {}

  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    if (plan_.initial) {
      send_initial(batch);
      co_return true;
    }
    for (;;) {
      if (born_ != *plan_.generation) co_return fail(Code::unavailable, "the watch was cut");
      if (clock_.now() >= plan_.end || over_) co_return false;
      if (!faults_.silent_watches) {
        collect(batch);
        if (!batch.empty()) co_return true;
        if (plan_.bookmarks && clock_.now() >= next_bookmark_) {
          send_bookmark(batch, false);
          co_return true;
        }
      }
      co_await objects_.changed().wait_until(clock_, std::min(plan_.end, next_wake()));
    }
  }

 private:
  Mono next_wake() const {
    return plan_.bookmarks && !faults_.silent_watches
               ? std::max(next_bookmark_, clock_.now() + std::chrono::milliseconds(1))
               : plan_.end;
  }

  bool in_scope(const ObjectKey& key) const {
    return key.resource == plan_.scope.resource && (plan_.scope.ns.empty() || plan_.scope.ns == key.ns);
  }
  bool matches(const ObjectPtr& object) const {
    return object && plan_.scope.labels.matches_labels(*object) && plan_.scope.fields.matches_fields(*object);
  }

  void send(std::vector<SharedBytes>& batch, std::string_view type, const json::Value& object) {
    std::string line = fmt::format("{{\"type\":\"{}\",\"object\":", type);
    if (object.string_at({"apiVersion"}) == plan_.scope.api_version) {
      json::print_to(object, line);
    } else {
      json::print_to(as_version(object, plan_.scope.api_version), line);
    }
    line += "}\n";
    batch.push_back(share_bytes(std::move(line)));
  }

  void send_bookmark(std::vector<SharedBytes>& batch, bool initial_end) {
    next_bookmark_ = clock_.now() + kBookmarkPeriod;
    json::Object metadata{{"resourceVersion", std::to_string(plan_.from)}, {"creationTimestamp", nullptr}};
    if (initial_end) metadata.set("annotations", json::Object{{"k8s.io/initial-events-end", "true"}});
    send(batch, "BOOKMARK",
         json::Object{
             {"kind", plan_.scope.kind}, {"apiVersion", plan_.scope.api_version}, {"metadata", std::move(metadata)}});
  }

  void send_initial(std::vector<SharedBytes>& batch) {
    plan_.initial = false;
    plan_.from = objects_.revision();
    objects_.each(plan_.scope.resource, plan_.scope.ns, nullptr, [&](const ObjectKey&, const ObjectPtr& object) {
      if (matches(object)) send(batch, "ADDED", *object);
      return true;
    });
    if (plan_.initial_end) send_bookmark(batch, true);
  }

  void collect(std::vector<SharedBytes>& batch) {
    if (plan_.from < objects_.compacted()) {
      over_ = true;
      const auto gone = expired(fmt::format("too old resource version: {} ({})", plan_.from, objects_.compacted()));
      batch.push_back(
          share_bytes(fmt::format("{{\"type\":\"ERROR\",\"object\":{}}}\n", json::print(status_object(gone)))));
      return;
    }
    while (plan_.from < objects_.revision() && batch.size() < kMaxBatch) {
      const Change* change = objects_.change(++plan_.from);
      if (!change || !in_scope(change->key)) continue;
      const bool before = matches(change->before);
      const bool after = matches(change->after);
      if (after) {
        send(batch, before ? "MODIFIED" : "ADDED", *change->after);
      } else if (before) {
        // Out of sight by a change of labels, or gone.
        send(batch, "DELETED", change->after ? *change->after : *change->last);
      }
    }
  }

  Clock& clock_;
  Objects& objects_;
  const Faults& faults_;
  WatchPlan plan_;
  std::uint64_t born_;
  Mono next_bookmark_;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<ReplySource> make_watch(Clock& clock, Objects& objects, const Faults& faults, WatchPlan plan) {
  return std::make_unique<Watch>(clock, objects, faults, std::move(plan));
}

json::Value as_version(const json::Value& object, const std::string& api_version) {
  json::Value copy = object;
  copy.make_object().set("apiVersion", api_version);
  return copy;
}

}  // namespace krake::kubesim
