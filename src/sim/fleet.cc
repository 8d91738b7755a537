#include "sim/fleet.h"

#include <algorithm>

#include "base/check.h"

namespace krake::sim {

Fleet::Fleet(const Surroundings& world, std::shared_ptr<store::MemoryDisk> disk, const Topology& topology, Trace& trace,
             Reached& reached)
    : world_(world),
      disk_(std::move(disk)),
      topology_(topology),
      trace_(trace),
      reached_(reached),
      random_(world.env.random.fork("fleet")) {
  for (int i = 0; i < topology.servers; ++i) servers_.push_back(fmt::format("api{}", i));
  for (const auto role : kControllers) {
    for (int i = 0; i < topology.replicas; ++i) controllers_.push_back(fmt::format("{}{}", role, i));
  }
}

Fleet::~Fleet() {
  for (auto& [name, slot] : processes_) slot.process->crash();
}

std::string_view Fleet::role_of(std::string_view name) {
  return name.substr(0, name.find_last_not_of("0123456789") + 1);
}

bool Fleet::is_controller(std::string_view name) {
  return std::ranges::find(kControllers, role_of(name)) != std::end(kControllers);
}

// A machine keeps its clock over restarts.
Skew Fleet::draw_skew(const std::string& name) {
  const auto [it, fresh] = skews_.try_emplace(name);
  if (fresh && topology_.skewed) {
    it->second.wall = std::chrono::milliseconds(random_.below(240'001)) - std::chrono::minutes(2);
    it->second.parts_per_million = static_cast<std::int64_t>(random_.below(40'001)) - 20'000;
  }
  return it->second;
}

void Fleet::start(const std::string& name) {
  restarts_.erase(name);
  if (runs(name)) return;
  const ProcessStart start{.name = name, .life = ++lives_[name], .skew = draw_skew(name)};
  std::unique_ptr<Process> process;
  if (std::ranges::find(servers_, name) != servers_.end()) {
    process = std::make_unique<ApiProcess>(start, world_, disk_, rates_);
  } else {
    process = std::make_unique<ControllerProcess>(start, world_, role_of(name), servers_);
  }
  processes_[name].process = std::move(process);
  if (stores_.contains(name)) {
    server(name)->store.set_away(true);
    reached_.mark("an API server was started without its store");
  }
  trace_.add(name + " up");
}

bool Fleet::ready() const {
  return std::ranges::all_of(servers_, [this](const auto& name) {
    auto* process = server(name);
    return process && process->server.cache().ready();
  });
}

const Elector* Fleet::elector(const std::string& name) const {
  const auto it = processes_.find(name);
  const auto* process = it == processes_.end() ? nullptr : dynamic_cast<ControllerProcess*>(it->second.process.get());
  return process ? &process->elector : nullptr;
}

void Fleet::start_later(const std::string& name, Duration away) {
  restarts_[name] = world_.clock.at(world_.clock.now() + away, [this, name = std::string(name)] { start(name); });
}

void Fleet::destroy(const std::string& name) {
  const auto it = processes_.find(name);
  if (auto* process = server(name)) store_faults_ += process->store.faults();
  world_.network.crashing(true);
  it->second.process->crash();
  processes_.erase(it);
  world_.network.crashing(false);
}

void Fleet::crash(const std::string& name, Duration away) {
  if (!runs(name)) return;
  if (on_crash_) on_crash_();
  ++crashes_;
  const bool is_server = server(name) != nullptr;
  reached_.mark(is_server ? "an API server crashed" : "a controller crashed");
  if (const auto& slot = processes_.at(name); slot.ending && !slot.ended)
    reached_.mark("a crash while a process was stopping");
  const std::string copy = name;  // it may belong to what dies now
  destroy(copy);
  trace_.add(copy + " crashed");
  const bool all_down = is_server && std::ranges::none_of(servers_, [this](const auto& n) { return runs(n); });
  if (all_down) reached_.mark("no API server was left");
  start_later(copy, away);
}

void Fleet::crash_inside(const std::string& name, std::uint64_t handlers, Duration limit, Duration away) {
  if (!runs(name)) return;
  auto& slot = processes_.at(name);
  auto& loop = slot.process->loop();
  loop.interrupt(handlers, [this, name = std::string(name), away] { crash(name, away); });
  slot.timer = world_.clock.at(world_.clock.now() + limit, [&loop] { loop.interrupt_now(); });
}

void Fleet::stop(const std::string& name, Duration away) {
  if (!runs(name)) return;
  auto& slot = processes_.at(name);
  if (slot.ending) return;
  slot.away = away;
  slot.ending = std::make_unique<TaskGroup>(slot.process->executor());
  slot.ending->spawn("stop " + name, [](Process& process, bool& ended) -> Awaitable<void> {
    co_await process.finish();
    ended = true;
  }(*slot.process, slot.ended));
  trace_.add(name + " stops");
}

void Fleet::reap() {
  for (auto it = processes_.begin(); it != processes_.end();) {
    const auto name = it->first;
    const auto& slot = (it++)->second;
    if (!slot.ended) continue;
    const auto away = slot.away;
    reached_.mark(server(name) ? "an API server was stopped in order" : "a controller was stopped in order");
    destroy(name);
    trace_.add(name + " stopped");
    start_later(name, away);
  }
}

bool Fleet::asleep(const std::string& name) const { return runs(name) && processes_.at(name).process->loop().asleep(); }

void Fleet::pause(const std::string& name, Duration time) {
  if (!runs(name) || asleep(name)) return;
  auto& slot = processes_.at(name);
  auto& loop = slot.process->loop();
  loop.sleep(true);
  reached_.mark(server(name) ? "an API server was asleep for a while" : "a controller was asleep for a while");
  trace_.add(name + " sleeps");
  slot.timer = world_.clock.at(world_.clock.now() + time, [this, &loop, name = std::string(name)] {
    loop.sleep(false);
    trace_.add(name + " wakes");
  });
}

void Fleet::cut_off_store(const std::string& name, Duration time) {
  auto* process = server(name);
  if (!process) return;
  process->store.set_away(true);
  reached_.mark("an API server was cut off from its store");
  trace_.add(name + " is cut off from its store");
  stores_[name] = world_.clock.at(world_.clock.now() + time, [this, name = std::string(name)] {
    if (auto* now = server(name)) now->store.set_away(false);
    trace_.add(name + " reaches its store again");
    stores_.erase(name);
  });
}

void Fleet::jump_wall(const std::string& name, Duration by) {
  draw_skew(name);
  skews_.at(name).wall += by;
  if (runs(name)) processes_.at(name).process->jump_wall(by);
  reached_.mark(by > Duration{} ? "a clock was set forward" : "a clock was set back");
}

void Fleet::restore() {
  for (auto& [name, slot] : processes_) {
    auto& loop = slot.process->loop();
    loop.interrupt(0, nullptr);
    loop.sleep(false);
    slot.timer.reset();
    if (auto* process = server(name)) process->store.set_away(false);
  }
  stores_.clear();
  for (const auto* names : {&servers_, &controllers_}) {
    for (const auto& name : *names) start(name);
  }
}

void Fleet::set_store_faults(const store::FaultRates& rates) {
  rates_ = rates;
  for (const auto& name : servers_) {
    if (auto* process = server(name)) process->store.set_rates(rates);
  }
}

std::uint64_t Fleet::store_faults() const {
  std::uint64_t met = store_faults_;
  for (const auto& name : servers_) {
    if (const auto* process = server(name)) met += process->store.faults();
  }
  return met;
}

ApiProcess* Fleet::server(const std::string& name) const {
  const auto it = processes_.find(name);
  return it == processes_.end() ? nullptr : dynamic_cast<ApiProcess*>(it->second.process.get());
}

}  // namespace krake::sim
