#include "sim/nemesis.h"

#include "base/check.h"

namespace krake::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verb = Fault::Verb;

// Not 404: that would be a lie about what is there. 410 belongs to watches, which break off with it.
constexpr int kErrors[] = {401, 403, 409, 422, 429, 500, 502, 503, 504};

struct Chance {
  Verb verb;
  int weight;
};
constexpr Chance kChances[] = {
    {Verb::crash, 9},     {Verb::stop, 2}, {Verb::pause, 3},   {Verb::storeless, 2}, {Verb::compact, 1},
    {Verb::partition, 3}, {Verb::cut, 2},  {Verb::cluster, 5}, {Verb::forget, 1},    {Verb::watches, 1},
};

// Pods that were made before this very moment and have not started.
bool has_waiting_pods(const kubesim::SimCluster& cluster) {
  const auto now = cluster.api().now();
  return std::ranges::any_of(cluster.list("pods"), [&](const auto& pod) {
    return pod->string_at({"status", "phase"}) == "Pending" && pod->string_at({"metadata", "creationTimestamp"}) != now;
  });
}

}  // namespace

Duration Nemesis::some(Duration least, Duration most) {
  const auto span = std::chrono::duration_cast<milliseconds>(most - least).count();
  return least + milliseconds(random_.below(static_cast<std::uint64_t>(span) + 1));
}

Fault Nemesis::draw() {
  int total = 0;
  for (const auto& chance : kChances) total += chance.weight;
  auto left = static_cast<int>(random_.below(static_cast<std::uint64_t>(total)));
  Fault fault;
  for (const auto& chance : kChances) {
    fault.verb = chance.verb;
    if ((left -= chance.weight) < 0) break;
  }
  fault.lasting = some({}, seconds(6));
  const bool server = random_.chance(0.4);
  switch (fault.verb) {
    case Verb::crash:
      fault.handlers = random_.below(60);
      [[fallthrough]];
    case Verb::stop:
      fault.who = any(server ? fleet_.servers() : fleet_.controllers());
      break;
    case Verb::pause:
      fault.who = any(server ? fleet_.servers() : fleet_.controllers());
      fault.lasting = some(seconds(1), seconds(25));
      break;
    case Verb::storeless:
      fault.who = any(fleet_.servers());
      break;
    case Verb::compact:
      fault.lasting = {};
      break;
    case Verb::partition:
    case Verb::cut:
      fault = draw_partition();
      break;
    case Verb::cluster:
      fault.who = any(clusters_).first;
      fault.what = any(kClusterFaults);
      fault.lasting = some(seconds(1), seconds(20));
      break;
    case Verb::forget:
    case Verb::watches:
      fault.who = any(clusters_).first;
      fault.lasting = {};
      break;
    case Verb::jump:
      return draw_jump();
  }
  return fault;
}

// By chances of its own: worlds without it go on as they did before there were any.
Fault Nemesis::draw_jump() {
  const auto& names = jumps_.chance(0.4) ? fleet_.servers() : fleet_.controllers();
  return {.verb = Verb::jump,
          .who = names[jumps_.below(names.size())],
          .what = jumps_.chance(0.5) ? "ahead" : "back",
          .lasting = milliseconds(1 + jumps_.below(240'000))};
}

// Of any two who talk to each other.
Fault Nemesis::draw_partition() {
  Fault fault{.verb = random_.chance(0.4) ? Verb::cut : Verb::partition};
  fault.silently = random_.chance(0.5);
  fault.lasting = some(seconds(1), seconds(20));
  switch (random_.below(5)) {
    case 0:
      fault.who = "user";
      fault.what = any(fleet_.servers());
      break;
    case 1:
      fault.who = any(fleet_.controllers());
      fault.what = any(fleet_.servers());
      break;
    case 2:
      fault.who = any(fleet_.controllers());
      fault.what = any(clusters_).first;
      break;
    case 3:
      fault.who = any(fleet_.controllers());
      fault.what = "*";
      break;
    default:
      fault.who = any(clusters_).first;
      fault.what = "*";
  }
  if (fault.verb == Verb::cut && random_.chance(0.5)) std::swap(fault.who, fault.what);
  return fault;
}

void Nemesis::later(const std::string& key, Duration time, std::function<void()> what) {
  ends_[key] = world_.clock.at(world_.clock.now() + time, std::move(what));
}

void Nemesis::carry_out(const Fault& fault) {
  trace_.add("fault: " + to_string(fault));
  switch (fault.verb) {
    case Verb::crash:
      return fleet_.crash_inside(fault.who, fault.handlers, seconds(3), fault.lasting);
    case Verb::stop:
      return fleet_.stop(fault.who, fault.lasting);
    case Verb::pause:
      return fleet_.pause(fault.who, fault.lasting);
    case Verb::storeless:
      return fleet_.cut_off_store(fault.who, fault.lasting);
    case Verb::compact:
      checks_.advance();  // it reads the history
      CHECK(disk_.compact(disk_.revision()).has_value(), "a store forgets what is past");
      return reached_.mark("the store forgot its history");
    case Verb::partition:
    case Verb::cut:
      return cut(fault);
    case Verb::cluster:
      return harm_cluster(fault);
    case Verb::forget:
      reached_.mark("a cluster forgot its history");
      clusters_.at(fault.who)->compact();
      return clusters_.at(fault.who)->cut_watches();
    case Verb::watches:
      return clusters_.at(fault.who)->cut_watches();
    case Verb::jump:
      return fleet_.jump_wall(fault.who, fault.what == "back" ? -fault.lasting : fault.lasting);
  }
}

void Nemesis::cut(const Fault& fault) {
  const Way way = fault.silently ? Way::silent : Way::refused;
  const bool both = fault.verb == Verb::partition;
  auto& network = world_.network;
  network.cut(fault.who, fault.what, way);
  if (both) network.cut(fault.what, fault.who, way);
  reached_.mark(both ? "two parties were partitioned" : "messages passed in one direction only");
  later(fmt::format("cut {} {} {}", fault.who, fault.what, both), fault.lasting, [&network, fault, both] {
    network.heal(fault.who, fault.what);
    if (both) network.heal(fault.what, fault.who);
  });
}

void Nemesis::harm_cluster(const Fault& fault) {
  auto& cluster = *clusters_.at(fault.who);
  kubesim::Faults faults;
  if (fault.what == "slow") faults.latency = some(milliseconds(100), milliseconds(3000));
  if (fault.what == "errors") {
    faults.error_rate = 0.2 + 0.8 * random_.unit();
    faults.error_status = any(kErrors);
  }
  if (fault.what == "hang") faults.hang = true;
  if (fault.what == "refuse") faults.refuse = true;
  if (fault.what == "garbage") faults.garbage = true;
  if (fault.what == "forbids") faults.forbidden = {random_.chance(0.5) ? "deployments" : "watch:*"};
  if (fault.what == "sick") faults.nodes["MemoryPressure"] = "True";
  if (fault.what == "stuck-pods") faults.pods_never_ready = true;
  if (fault.what == "silent-watches") faults.silent_watches = true;
  cluster.set_faults(std::move(faults));
  if (fault.what == "refuse" || fault.what == "hang") cluster.cut_watches();
  later("cluster " + fault.who, fault.lasting, [this, &cluster] {
    if (cluster.faults.pods_never_ready && has_waiting_pods(cluster)) reached_.mark("a roll-out was slow");
    cluster.set_faults({});
    trace_.add(cluster.options().name + " is well");
  });
}

void Nemesis::heal() {
  ends_.clear();
  world_.network.heal();
  for (const auto& [name, cluster] : clusters_) cluster->set_faults({});
  fleet_.restore();
}

}  // namespace krake::sim
