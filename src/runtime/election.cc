#include "runtime/election.h"

#include <algorithm>

namespace krake {

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::standby:
      return "standby";
    case Mode::repair_only:
      return "repair-only";
    case Mode::leading:
      break;
  }
  return "leading";
}

Answer answer_of(const Result<HttpResponse>& response) {
  if (response) {
    const auto epoch = response->headers.get("Krake-Epoch");
    if (epoch && !epoch->empty()) return {.kind = Answer::Kind::held, .epoch = std::string(*epoch), .why = {}};
    return {.kind = Answer::Kind::unknown, .epoch = {}, .why = "the answer names no epoch (header Krake-Epoch)"};
  }
  const Error& error = response.error();
  auto kind = Answer::Kind::unknown;
  if (error.code == Code::conflict) kind = Answer::Kind::taken;
  if (error.code == Code::not_found || error.code == Code::method_not_allowed || error.code == Code::forbidden)
    kind = Answer::Kind::no_leases;
  return {.kind = kind, .epoch = {}, .why = error.message};
}

Standing after(const Standing& before, const Answer& answer, Mono sent) {
  using Kind = Standing::Kind;
  switch (answer.kind) {
    case Answer::Kind::held:
      // Another epoch is another term, though the holder is the same: in between somebody else may have led.
      if (before.kind == Kind::elected && before.epoch == answer.epoch) {
        Standing same = before;
        same.confirmed = std::max(before.confirmed, sent);
        return same;
      }
      return {.kind = Kind::elected, .epoch = answer.epoch, .confirmed = sent, .leases_seen = true};
    case Answer::Kind::taken:
      return {.kind = Kind::none, .epoch = {}, .confirmed = {}, .leases_seen = true};
    case Answer::Kind::no_leases:
      // A server that had leases a moment ago has lost its way, or we our rights: others may still be elected.
      if (before.leases_seen) return before;
      return {.kind = Kind::alone, .epoch = {}, .confirmed = {}, .leases_seen = false};
    case Answer::Kind::unknown:
      break;
  }
  return before;
}

Mode mode_of(const Standing& standing, const ElectionTiming& timing, Mono now) {
  if (standing.kind == Standing::Kind::alone) return Mode::leading;
  if (standing.kind == Standing::Kind::none) return Mode::standby;
  return now < standing.confirmed + timing.confidence() ? Mode::leading : Mode::repair_only;
}

std::optional<Mono> next_turn(const Standing& standing, const ElectionTiming& timing, Mono now) {
  if (standing.kind != Standing::Kind::elected || mode_of(standing, timing, now) != Mode::leading) return std::nullopt;
  return standing.confirmed + timing.confidence();
}

Mono next_request(const Standing& standing, const ElectionTiming& timing, Mono sent, Mono now, int failures,
                  Random& random) {
  if (failures > 0) return now + timing.retry().delay(failures - 1, random);
  Duration pause = timing.renew_every();
  if (standing.kind == Standing::Kind::alone) pause = timing.lone_pause();
  if (standing.kind == Standing::Kind::none) pause = timing.standby_pause();
  // Who waits asks with jitter, so that many do not ask at once; earlier, never later.
  const double jitter = standing.kind == Standing::Kind::elected ? 0 : 0.4;
  const auto early = std::chrono::duration_cast<Duration>(pause * (jitter * random.unit()));
  return std::max(sent + pause - early, now + timing.shortest_pause());
}

}  // namespace krake
