#include "runtime/elector.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include "base/encoding.h"

namespace krake {

Elector::Elector(Env& env, Client& client, ElectorOptions options)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      timing_{.ttl = options_.ttl},
      random_(env.random.fork("elector " + options_.name)),
      leases_(env, client),
      work_(std::make_shared<Work>(0, Notifier(env.executor))),
      wake_(env.executor),
      turned_(env.executor),
      leads_(env.metrics.gauge("krake_leader", "1 while this process leads", {{"controller", options_.name}})),
      tasks_(env.executor) {
  leads_.Set(0);
  leases_.on_change([this](const ObjectKey& key) {
    if (key.name == options_.name) look_at_lease();
  });
}

void Elector::start() {
  if (!options_.enabled) {
    standing_.kind = Standing::Kind::alone;
    return announce();
  }
  tasks_.spawn("election of " + options_.name, run());
  tasks_.spawn("term of " + options_.name, watch_the_clock());
}

Awaitable<void> Elector::run() {
  for (;;) {
    const Mono sent = env_.clock.now();
    hurried_ = false;
    asking_ = true;
    const auto response = co_await ask();
    asking_ = false;
    take(answer_of(response), sent);
    const Mono now = env_.clock.now();
    const Mono next = next_request(standing_, timing_, sent, now, failures_, random_);
    const Mono soonest = now + timing_.doubt_pause();
    for (;;) {
      const Mono until = hurried_ ? std::min(next, soonest) : next;
      if (env_.clock.now() >= until) break;
      co_await wake_.wait_until(env_.clock, until);
    }
  }
}

Awaitable<void> Elector::wait_answer(Duration limit) {
  const Mono deadline = env_.clock.now() + limit;
  while (options_.enabled && !answered_ && env_.clock.now() < deadline) {
    co_await turned_.wait_until(env_.clock, deadline);
  }
}

Awaitable<Result<HttpResponse>> Elector::ask() {
  json::Object body{{"holder", options_.holder},
                    {"ttl_seconds", std::chrono::duration_cast<std::chrono::seconds>(options_.ttl).count()}};
  co_return co_await with_timeout(
      env_.clock, timing_.request_timeout(failures_, took_), "asking for lease " + options_.name,
      client_.call("PUT", Client::item<Lease>({.ns = "", .name = options_.name}), std::move(body)));
}

void Elector::take(const Answer& answer, Mono sent) {
  if (resigned_) return;  // it came in the moment of the resignation
  announce();             // what the time alone has changed meanwhile
  const bool alone_before = alone();
  const Standing now = after(standing_, answer, sent);
  const bool tells =
      answer.kind == Answer::Kind::held || answer.kind == Answer::Kind::taken || now.kind == Standing::Kind::alone;
  failures_ = tells ? 0 : failures_ + 1;
  answered_ = true;
  if (tells) took_ = env_.clock.now() - sent;
  why_ = answer.why;
  if (!tells && failures_ == 1) {
    env_.log.info("the lease could not be asked for; trying again", {{"lease", options_.name}, {"why", answer.why}});
  }
  standing_ = now;
  if (standing_.kind == Standing::Kind::elected) last_epoch_ = standing_.epoch;
  if (alone() && !alone_before) {
    env_.log.warning(
        "the API server has no leases for this controller: it runs as the single instance. Run no second one against "
        "this server; for several, the server must be a Krake with leases and the controller have the right to update "
        "core/leases",
        {{"lease", options_.name}, {"why", answer.why}});
  }
  if (standing_.leases_seen && !std::exchange(watching_, true)) leases_.start();
  turned_.notify_all();
  announce();
}

// The lease came, went or changed hands. Events only wake: what it means is asked.
void Elector::look_at_lease() {
  const auto lease = leases_.find({.ns = "", .name = options_.name});
  const bool ours = lease && lease->object.spec.holder == options_.holder;
  const bool believed = standing_.kind == Standing::Kind::elected;
  if (lease && ours == believed) return;  // as we thought
  doubt();
}

void Elector::doubt() {
  hurried_ = true;
  wake_.notify_all();
}

// The mode follows from the time too.
Awaitable<void> Elector::watch_the_clock() {
  for (;;) {
    if (const auto turn = next_turn(standing_, timing_, env_.clock.now())) {
      co_await turned_.wait_until(env_.clock, *turn);
    } else {
      co_await turned_.wait();
    }
    announce();
  }
}

void Elector::announce() {
  const Mode mode = this->mode();
  if (mode == told_mode_ && standing_.epoch == told_epoch_) return;
  env_.log.info("leadership", {{"controller", options_.name},
                               {"mode", to_string(mode)},
                               {"epoch", standing_.epoch},
                               {"why", mode == Mode::leading ? "" : why_}});
  env_.metrics
      .counter("krake_leader_transitions_total", "changes of what this process may do",
               {{"controller", options_.name}, {"to", std::string(to_string(mode))}})
      .Increment();
  leads_.Set(mode == Mode::leading ? 1 : 0);
  told_mode_ = mode;
  told_epoch_ = standing_.epoch;
  std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
  for (const auto& listener : std::vector(listeners_)) {
    if (const auto callback = listener.lock()) (*callback)();
  }
}

std::shared_ptr<void> Elector::on_change(std::function<void()> callback) {
  auto listener = std::make_shared<std::function<void()>>(std::move(callback));
  listeners_.emplace_back(listener);
  return listener;
}

std::string Elector::leader() const {
  if (alone() || !options_.enabled) return {};
  return options_.name + "/" + (last_epoch_.empty() ? "none" : last_epoch_);
}

std::shared_ptr<void> Elector::at_work() {
  ++work_->running;
  return {nullptr, [work = work_](void*) {
            if (--work->running == 0) work->ended.notify_all();
          }};
}

Awaitable<void> Elector::resign(Duration patience) {
  if (std::exchange(resigned_, true)) co_return;
  // A request under way may make us the holder yet.
  const bool held = standing_.kind == Standing::Kind::elected || asking_;
  standing_ = {};
  why_ = "this process stops";
  announce();
  co_await tasks_.stop();
  const Mono deadline = env_.clock.now() + patience;
  while (work_->running > 0 && env_.clock.now() < deadline) co_await work_->ended.wait_until(env_.clock, deadline);
  if (!held || !options_.enabled) co_return;
  const std::string target =
      Client::item<Lease>({.ns = "", .name = options_.name}) + "?holder=" + percent_encode(options_.holder);
  auto released = co_await with_timeout(env_.clock, timing_.request_timeout(0, took_),
                                        "giving back lease " + options_.name, client_.call("DELETE", target));
  if (!released) {
    env_.log.info("the lease could not be given back; it runs out by itself",
                  {{"lease", options_.name}, {"why", released.error().message}});
  }
}

Awaitable<void> Elector::stop() {
  co_await resign();
  co_await leases_.stop();
}

json::Value Elector::debug() const {
  return json::Object{{"lease", options_.name},
                      {"mode", to_string(mode())},
                      {"epoch", standing_.epoch},
                      {"holder", options_.holder},
                      {"why", mode() == Mode::leading ? std::string() : why_}};
}

}  // namespace krake
