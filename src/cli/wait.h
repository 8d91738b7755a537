// --wait: follows one object, by its uid, until it is where it should be. Thread: the loop.
#pragma once

#include "cli/session.h"

namespace krake::cli {

struct WaitGoal {
  enum class After : std::uint8_t { create, update, remove };
  After after = After::create;
  std::string state;  // lower case; "" for none of its own
  Duration timeout{};
};

// Whether --wait was given, with the state it names or the default, and --timeout.
Outcome<std::optional<WaitGoal>> wait_goal(const Session& session, WaitGoal::After after,
                                           std::string_view default_state, Duration default_timeout);

// "30", "30s", "5m", "1h".
std::optional<Duration> parse_duration(std::string_view text);

// `object`: the answer to the change. Gives the object as it was seen last. Fails when it came to FAILED or DEGRADED,
// when it vanished, and when the time is up.
Awaitable<Outcome<json::Value>> wait_for(Session& session, WaitGoal goal, json::Value object);

}  // namespace krake::cli
