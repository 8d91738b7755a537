#include "runtime/controller_loop.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include "runtime/elector.h"

namespace krake {

ControllerLoop::ControllerLoop(Env& env, LoopOptions options, Reconcile reconcile)
    : env_(env),
      options_(std::move(options)),
      reconcile_(std::move(reconcile)),
      random_(env.random.fork("loop " + options_.name)),
      queue_(options_.debounce),
      changed_(env.executor),
      succeeded_(env.metrics.counter("krake_reconciles_total", "reconciles by outcome",
                                     {{"controller", options_.name}, {"outcome", "ok"}})),
      failed_(env.metrics.counter("krake_reconciles_total", "reconciles by outcome",
                                  {{"controller", options_.name}, {"outcome", "error"}})),
      duration_(
          env.metrics.histogram("krake_reconcile_seconds", "time of one reconcile", {{"controller", options_.name}})) {}

void ControllerLoop::start() {
  started_ = true;
  if (options_.elector) listening_ = options_.elector->on_change([this] { change_shift(); });
  change_shift();
}

Awaitable<void> ControllerLoop::stop() {
  stopped_ = true;
  end_shift();
  for (const auto& group : leaving_) co_await group->join();
}

// ---- shifts

ControllerLoop::Shift ControllerLoop::shift_now() const {
  if (!options_.elector) return {};
  return {.mode = options_.elector->mode(), .epoch = options_.elector->epoch()};
}

void ControllerLoop::change_shift() {
  if (stopped_) return;
  Shift now = shift_now();
  if (workers_ && now == shift_) return;
  end_shift();
  if (now.mode < options_.least) return;
  shift_ = std::move(now);
  workers_ = std::make_unique<TaskGroup>(env_.executor);
  if (shift_.mode == Mode::leading && options_.elector) {
    workers_->spawn(options_.name + " takes over", begin(shift_number_));
  } else {
    start_workers();
  }
}

// Nothing is decided on what was so before the leader before came to its end.
Awaitable<void> ControllerLoop::begin(int number) {
  const std::string epoch = shift_.epoch;
  if (const auto parsed = parse_epoch(epoch); parsed && options_.catch_up && caught_up_ != epoch) {
    co_await options_.catch_up(*parsed);
    if (number != shift_number_) co_return;
    caught_up_ = epoch;
  }
  if (options_.on_lead) options_.on_lead();
  start_workers();
}

void ControllerLoop::start_workers() {
  for (int i = 0; i < options_.workers; ++i) {
    workers_->spawn(fmt::format("{} worker {}", options_.name, i), work(shift_number_));
  }
}

// No reconcile of it goes on after its next wait.
void ControllerLoop::end_shift() {
  ++shift_number_;
  std::erase_if(leaving_, [](const auto& group) { return group->size() == 0; });
  if (!workers_) return;
  leaving_.push_back(std::move(workers_));
  leaving_.back()->cancel();
}

// ---- keys

void ControllerLoop::add(const ObjectKey& key) {
  if (!takes_keys()) return;
  queue_.add(key, env_.clock.now());
  changed_.notify_all();
}

void ControllerLoop::add_after(const ObjectKey& key, Duration delay) {
  if (!takes_keys()) return;
  queue_.add_at(key, env_.clock.now() + delay);
  changed_.notify_all();
}

void ControllerLoop::forget(const ObjectKey& key) {
  queue_.forget(key);
  failures_.erase(key);
  last_error_.erase(key);
}

int ControllerLoop::failures(const ObjectKey& key) const {
  const auto it = failures_.find(key);
  return it == failures_.end() ? 0 : it->second;
}

Awaitable<void> ControllerLoop::work(int number) {
  // By the clock: the process may have been stopped, and whoever ends the shift not have had its turn yet.
  while (number == shift_number_) {
    if (shift_now() != shift_) {
      co_await changed_.wait();
      continue;
    }
    const auto key = queue_.take(env_.clock.now());
    if (!key) {
      if (const auto deadline = queue_.next_deadline()) {
        co_await changed_.wait_until(env_.clock, *deadline);
      } else {
        co_await changed_.wait();
      }
      continue;
    }
    const Mono begin = env_.clock.now();
    const auto outcome = co_await run(*key);
    note(*key, begin, outcome);
    changed_.notify_all();
  }
}

// Cancelled with its shift: the key waits for the next one.
Awaitable<Result<Outcome>> ControllerLoop::run(ObjectKey key) {
  const auto at_work = options_.elector ? options_.elector->at_work() : nullptr;
  try {
    co_return co_await with_timeout(env_.clock, options_.slow, options_.name + " reconcile of " + to_string(key),
                                    reconcile_(key));
  } catch (...) {
    queue_.done(key, env_.clock.now());
    queue_.add(key, env_.clock.now());
    changed_.notify_all();
    throw;
  }
}

void ControllerLoop::note(const ObjectKey& key, Mono begin, const Result<Outcome>& outcome) {
  const Mono now = env_.clock.now();
  duration_.Observe(std::chrono::duration<double>(now - begin).count());
  if (outcome) {
    succeeded_.Increment();
    failures_.erase(key);
    last_error_.erase(key);
    if (outcome->look_again) queue_.add_at(key, now + *outcome->look_again);
  } else {
    failed_.Increment();
    const Duration delay = options_.backoff.delay(failures_[key]++, random_);
    last_error_[key] = outcome.error().message;
    queue_.add_at(key, now + delay);
    env_.log.warning("reconcile failed",
                     {{"controller", options_.name},
                      {"key", to_string(key)},
                      {"why", outcome.error().message},
                      {"retry_ms", std::chrono::duration_cast<std::chrono::milliseconds>(delay).count()}});
  }
  queue_.done(key, now);
}

std::string ControllerLoop::debug() const {
  json::Object failing;
  for (const auto& [key, count] : failures_) {
    const auto it = last_error_.find(key);
    failing.set(to_string(key), json::Object{{"failures", count}, {"why", it == last_error_.end() ? "" : it->second}});
  }
  return json::print(json::Object{{"controller", options_.name},
                                  {"leadership", options_.elector ? options_.elector->debug() : json::Value()},
                                  {"ready", static_cast<std::int64_t>(queue_.ready())},
                                  {"working", static_cast<std::int64_t>(queue_.working())},
                                  {"waiting", static_cast<std::int64_t>(queue_.waiting())},
                                  {"failing", std::move(failing)}});
}

}  // namespace krake
