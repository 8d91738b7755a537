#include "controllers/cluster/controller.h"

#include <map>

#include "base/check.h"
#include "client/informer.h"
#include "controllers/cluster/link.h"
#include "controllers/cluster/plan.h"
#include "runtime/controller_loop.h"

namespace krake::cluster {

namespace {

class ClusterController final : public Controller {
 public:
  ClusterController(ControllerContext context, ClusterOptions options)
      : context_(context),
        env_(context.env),
        options_(options),
        random_(env_.random.fork("cluster controller")),
        clusters_(env_, context.client, {.resync = options.resync}, [](Cluster& cluster) { cluster.spec.tosca = {}; }),
        loop_(env_,
              {.name = "kubernetes-cluster",
               .workers = options.workers,
               .debounce = options.debounce,
               .elector = context.elector,
               .catch_up = [this](Epoch epoch) { return clusters_.catch_up(std::move(epoch)); },
               .on_lead = [this] { look_at_everything(); }},
              [this](ObjectKey key) { return reconcile(std::move(key)); }),
        closing_(env_.executor),
        tasks_(env_.executor) {
    clusters_.on_change([this](const ObjectKey& key) { loop_.add(key); });
  }

  std::string_view name() const override { return "kubernetes-cluster"; }
  void start() override {
    clusters_.start();
    if (context_.elector) listening_ = context_.elector->on_change([this] { drop_links_on_standby(); });
    tasks_.spawn("kubernetes-cluster", run());
  }
  Awaitable<void> stop() override {
    listening_.reset();
    co_await tasks_.stop();
    co_await loop_.stop();
    co_await clusters_.stop();
    drop_links();
    co_await closing_.join();
  }
  bool ready() const override { return ready_; }
  bool idle() const override { return ready_ && loop_.idle(); }
  std::string debug() const override {
    json::Object contacts;
    for (const auto& [key, entry] : known_) {
      if (!entry.link) continue;
      const auto& contact = entry.link->contact();
      contacts.set(to_string(key), !contact ? json::Value("nothing heard yet")
                                   : contact->problem
                                       ? json::Value(contact->problem->message)
                                       : json::Value(fmt::format("answers, {} nodes", contact->nodes.size())));
    }
    auto out = json::parse(loop_.debug());
    CHECK(out.has_value());
    out->make_object().set("clusters", std::move(contacts));
    return json::print(*out);
  }

 private:
  // What is remembered of a cluster between two reconciles; losing it costs a connection.
  struct Known {
    std::string uid;
    std::unique_ptr<Link> link;
    Mono refresh_allowed_at{};
  };

  Awaitable<void> run() {
    co_await clusters_.wait_synced();
    ready_ = true;
    loop_.start();
    for (;;) {
      co_await sleep_for(env_.clock,
                         std::chrono::duration_cast<Duration>(options_.resync * (0.8 + 0.4 * random_.unit())));
      look_at_everything();
    }
  }

  // Clusters that are gone included: they still have a link.
  void look_at_everything() {
    for (const auto& [key, cluster] : clusters_.objects()) loop_.add(key);
    for (const auto& [key, entry] : known_) loop_.add(key);
  }

  void drop_links() {
    for (auto& [key, entry] : known_) disconnect(entry);
    known_.clear();
  }
  // Somebody else leads and looks after the clusters; which of them are gone is not heard here any more. Who only
  // doubts keeps his links, they are needed again in a moment.
  void drop_links_on_standby() {
    if (context_.elector->mode() == Mode::standby) drop_links();
  }

  Observed observe(const ObjectKey& key) const {
    Observed observed{.cluster = clusters_.find(key), .wall = env_.clock.wall()};
    const auto known = known_.find(key);
    if (known == known_.end()) return observed;
    observed.refresh_allowed_at = known->second.refresh_allowed_at;
    if (const auto& link = known->second.link) {
      const bool current = observed.cluster && known->second.uid == observed.cluster->object.metadata.uid &&
                           link->kubeconfig() == observed.cluster->object.spec.kubeconfig;
      observed.connection = current ? Connection::current : Connection::other;
      observed.contact = link->contact();
    }
    return observed;
  }

  Awaitable<Result<Outcome>> reconcile(ObjectKey key) {
    const auto observed = observe(key);
    const auto plan = make_plan(observed, env_.clock.now());
    Outcome outcome;
    for (const auto& action : plan) {
      if (std::holds_alternative<Disconnect>(action)) {
        disconnect(known_[key]);
      } else if (std::holds_alternative<Connect>(action)) {
        connect(key, observed.cluster->object);
      } else if (const auto* wait = std::get_if<Wait>(&action)) {
        outcome.look_again = wait->time;
      } else if (const auto* patch = std::get_if<PatchStatus>(&action)) {
        CO_RETURN_IF_ERROR(co_await write(key, *patch));
      }
    }
    if (!clusters_.find(key)) {
      // It may have gone while we wrote: then its link is there still.
      if (const auto known = known_.find(key); known != known_.end()) {
        disconnect(known->second);
        known_.erase(known);
      }
      loop_.forget(key);
    }
    co_return outcome;
  }

  void connect(const ObjectKey& key, const Cluster& cluster) {
    auto& known = known_[key];
    known.uid = cluster.metadata.uid;
    known.link = std::make_unique<Link>(
        env_, context_.dialer, cluster.spec.kubeconfig,
        LinkOptions{.probe_interval = options_.probe_interval, .probe_timeout = options_.probe_timeout},
        [this, key] { loop_.add(key); });
    known.link->start();
  }

  void disconnect(Known& known) {
    if (known.link) closing_.spawn("closing a link", close(std::move(known.link)));
  }
  static Awaitable<void> close(std::unique_ptr<Link> link) { co_await link->stop(); }

  Awaitable<Status> write(ObjectKey key, PatchStatus patch) {
    if (const auto* state = patch.fields.find("state")) {
      env_.log.info("cluster changes state", {{"cluster", to_string(key)}, {"state", *state->if_string()}});
    }
    auto written = co_await context_.client.patch_status<Cluster>(key, std::move(patch.fields), {patch.revision});
    if (!written && written.error().code == Code::precondition_failed) {
      // Somebody was faster: what they wrote wakes us. Not at once all the same: where our stream is dead and nobody
      // has noticed yet, the copy stays as old as it is.
      co_await clusters_.wait_for(key, patch.revision + 1, std::chrono::seconds(1));
      loop_.add_after(key, std::chrono::milliseconds(100));
      co_return Status{};
    }
    if (!written && written.error().code == Code::not_found) co_return Status{};
    if (!written) co_return fail(std::move(written).error());
    known_[key].refresh_allowed_at = env_.clock.now() + options_.refresh_interval;
    co_await clusters_.wait_for(key, written->revision);
    co_return Status{};
  }

  ControllerContext context_;
  Env& env_;
  ClusterOptions options_;
  Random random_;
  Informer<Cluster> clusters_;
  std::map<ObjectKey, Known> known_;
  bool ready_ = false;
  ControllerLoop loop_;
  TaskGroup closing_;  // links on their way out
  TaskGroup tasks_;
  std::shared_ptr<void> listening_;  // to the elector
};

}  // namespace

std::unique_ptr<Controller> make_cluster_controller(ControllerContext context, ClusterOptions options) {
  return std::make_unique<ClusterController>(context, options);
}

}  // namespace krake::cluster
