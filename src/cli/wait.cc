#include "cli/wait.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <ranges>

#include "api/registry.h"
#include "base/datetime.h"

namespace krake::cli {

namespace {

// A controller has looked at the new version when nothing has happened for so long after it was handed over.
constexpr Duration kSettled = std::chrono::seconds(3);
constexpr Duration kHeartbeat = std::chrono::seconds(5);
constexpr Duration kSilence = std::chrono::seconds(15);
constexpr std::size_t kMaxLine = std::size_t{64} << 20;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view uid_of(const json::Value& object) { return object.string_at({"metadata", "uid"}); }
std::string_view state_of(const json::Value& object) { return object.string_at({"status", "state"}); }

std::string reason_of(const json::Value& object) {
  const auto code = object.string_at({"status", "reason", "code"});
  const auto message = object.string_at({"status", "reason", "message"});
  return code.empty() ? std::string() : fmt::format("{}: {}", code, message);
}

// DEGRADED without a reason is a rollout under way: all has been taken by the cluster, not all of it is ready yet.
bool rolling_out(const json::Value& object) {
  const auto* place = object.at_path({"status", "running_on"});
  return state_of(object) == "DEGRADED" && reason_of(object).empty() && place && !place->is_null();
}

// The scheduler has chosen another cluster than the one it runs on.
bool to_move(const json::Value& object) {
  const auto* there = object.at_path({"status", "scheduled_to"});
  const auto* here = object.at_path({"status", "running_on"});
  return there && here && !there->is_null() && !here->is_null() && *there != *here;
}

enum class Verdict : std::uint8_t { wait, done, failed };

class Waiter {
 public:
  Waiter(Session& session, WaitGoal goal, json::Value object)
      : session_(session),
        goal_(std::move(goal)),
        uid_(uid_of(object)),
        first_(object),
        last_(std::move(object)),
        end_(session.io().clock->now() + goal_.timeout) {}

  Awaitable<Outcome<json::Value>> run() {
    report();
    std::string trouble;
    for (;;) {
      auto stream = co_await session_.watch(target(), subject());
      // The watch is open: what the object is now, and every change after it, will be seen.
      if (stream) {
        auto outcome = co_await follow(**stream);
        if (outcome) co_return *std::move(outcome);
      } else if (stream.error().http_status >= 400 && stream.error().http_status < 500 &&
                 stream.error().http_status != 429) {
        co_return stop(std::move(stream).error());
      } else {
        trouble = stream.error().message;
      }
      if (clock().now() >= end_) co_return stop(timed_out(trouble, co_await holders()));
      if (!stream) co_await sleep_until(clock(), std::min(end_, clock().now() + std::chrono::seconds(1)));
    }
  }

 private:
  Clock& clock() const { return *session_.io().clock; }
  Subject subject() const {
    return {&session_.kind(), std::string(last_.string_at({"metadata", "namespace"})),
            std::string(last_.string_at({"metadata", "name"}))};
  }
  std::string target() const {
    const auto about = subject();
    return fmt::format("{}?watch&heartbeat={}", about.kind->collection_path(about.ns),
                       std::chrono::duration_cast<std::chrono::seconds>(kHeartbeat).count());
  }
  std::string title() const {
    const auto about = subject();
    return fmt::format("{} \"{}\"{}", about.kind->name, about.name,
                       about.ns.empty() ? "" : fmt::format(" in namespace \"{}\"", about.ns));
  }

  // A result, or nothing: look again with a new watch.
  Awaitable<std::optional<Outcome<json::Value>>> follow(ByteStream& stream) {
    const auto about = subject();
    auto now = co_await session_.call({.target = about.kind->item_path(about.ns, about.name), .subject = about});
    if (!now && now.error().http_status == 404) co_return gone();
    if (!now) {
      co_await sleep_until(clock(), std::min(end_, clock().now() + std::chrono::seconds(1)));
      co_return std::nullopt;
    }
    if (uid_of(*now) != uid_) co_return gone();
    if (auto result = take(*std::move(now))) co_return result;
    std::string buffer;
    for (;;) {
      const Mono next = std::min({end_, clock().now() + kSilence, settled_at_});
      if (next <= clock().now()) co_return check();
      auto piece = co_await with_timeout(clock(), next - clock().now(), "the watch", stream.read());
      if (!piece) co_return check();
      if (piece->empty()) {
        co_await sleep_until(clock(), std::min(end_, clock().now() + std::chrono::milliseconds(200)));
        co_return std::nullopt;
      }
      buffer += *piece;
      if (buffer.size() > kMaxLine) co_return stop("the watch sent a line that is too long");
      for (std::size_t at; (at = buffer.find('\n')) != std::string::npos;) {
        const std::string line = buffer.substr(0, at);
        buffer.erase(0, at + 1);
        if (auto result = line_came(line)) co_return result;
      }
    }
  }

  std::optional<Outcome<json::Value>> line_came(std::string_view line) {
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) return std::nullopt;
    auto event = json::parse(line);
    if (!event) return std::nullopt;
    const auto* object = event->at_path({"object"});
    if (!object || uid_of(*object) != uid_) return std::nullopt;
    if (event->string_at({"type"}) == "DELETED") return gone();
    return take(*object);
  }

  std::optional<Outcome<json::Value>> take(json::Value object) {
    const bool news = state_of(object) != state_of(last_) || reason_of(object) != reason_of(last_);
    // Between these two it goes to and fro with its Pods.
    const auto taken = [](const json::Value& o) { return state_of(o) == "RUNNING" || rolling_out(o); };
    if (state_of(object) != state_of(first_) && !(taken(object) && taken(first_))) moved_ = true;
    last_ = std::move(object);
    if (news) report();
    return check();
  }

  std::optional<Outcome<json::Value>> check() {
    switch (verdict()) {
      case Verdict::wait:
        return std::nullopt;
      case Verdict::done:
        return last_;
      case Verdict::failed:
        break;
    }
    const std::string reason = reason_of(last_);
    return stop(fmt::format("{} is {}{}", title(), state_of(last_), reason.empty() ? "" : fmt::format(" ({})", reason)),
                "the change itself was accepted; the get verb shows the details");
  }

  Outcome<json::Value> gone() {
    if (goal_.after == WaitGoal::After::remove) return last_;
    return stop(fmt::format("{} was deleted while waiting for it", title()), "the change itself was accepted");
  }

  // FAILED or DEGRADED counts when it came after our change, not when it is what the change is to mend.
  bool failed() const {
    const auto state = state_of(last_);
    // A kubeconfig that cannot be used: nothing that is waited for mends it, and to remove it none is needed.
    const bool useless = state == "OFFLINE" && last_.string_at({"status", "reason", "code"}) == "INVALID_RESOURCE" &&
                         goal_.after != WaitGoal::After::remove;
    if (!useless && state != "FAILED" && (state != "DEGRADED" || rolling_out(last_))) return false;
    return goal_.after == WaitGoal::After::create || moved_ || reason_of(last_) != reason_of(first_);
  }

  Verdict verdict() {
    const std::string state = rolling_out(last_) ? "running" : lower(state_of(last_));
    if (goal_.after == WaitGoal::After::remove) {
      if (goal_.state == "deleting" && !last_.string_at({"metadata", "deleted"}).empty()) return Verdict::done;
      return failed() ? Verdict::failed : Verdict::wait;
    }
    if (failed()) return Verdict::failed;
    if (goal_.after == WaitGoal::After::create) return reached(state) ? Verdict::done : Verdict::wait;
    return updated(state) ? Verdict::done : Verdict::wait;
  }

  // There, or already past it: a short state may not be seen.
  bool reached(std::string_view state) const {
    if (state == goal_.state || state == "completed") return true;
    if (goal_.state == "pending") return true;
    return goal_.state == "creating" && state == "running";
  }

  bool updated(std::string_view state) {
    settled_at_ = Mono::max();
    if (goal_.state == "reconciling" && state == "reconciling") return true;
    if (state != "running" && state != "completed" && state != "online") return false;
    if (to_move(last_)) {
      handed_over_.reset();
      return false;
    }
    if (moved_) return true;
    // Applications tell when the scheduler has handed the new version over; clusters have no such mark.
    if (session_.kind().name == "Application") {
      const auto triggered = parse_datetime(last_.string_at({"status", "kube_controller_triggered"}));
      const auto modified = parse_datetime(first_.string_at({"metadata", "modified"}));
      if (!triggered || !modified || triggered->wall() < modified->wall()) {
        handed_over_.reset();
        return false;
      }
    }
    // The controller may not have begun yet, or find nothing to do.
    if (!handed_over_) handed_over_ = clock().now();
    if (clock().now() - *handed_over_ >= kSettled) return true;
    settled_at_ = *handed_over_ + kSettled;
    return false;
  }

  // Applications that something of lies on the cluster that is to go.
  Awaitable<std::vector<std::string>> holders() {
    std::vector<std::string> names;
    const auto about = subject();
    if (goal_.after != WaitGoal::After::remove || about.kind->name != "Cluster") co_return names;
    const Kind& applications = krake_registry().get("kubernetes", "Application");
    const auto list = co_await session_.call(
        {.target = applications.collection_path(about.ns), .subject = Subject{&applications, about.ns, ""}});
    const auto* items = list ? list->at_path({"items"}) : nullptr;
    if (!items || !items->is_array()) co_return names;
    const auto is_it = [&](const json::Value* ref) {
      return ref && ref->string_at({"kind"}) == "Cluster" && ref->string_at({"namespace"}) == about.ns &&
             ref->string_at({"name"}) == about.name;
    };
    for (const auto& item : *items->if_array()) {
      bool there = is_it(item.at_path({"status", "running_on"})) || is_it(item.at_path({"status", "scheduled_to"}));
      const auto* owners = item.at_path({"metadata", "owners"});
      if (owners && owners->is_array())
        for (const auto& owner : *owners->if_array()) there = there || is_it(&owner);
      const auto* cleanup = item.at_path({"status", "cleanup"});
      if (cleanup && cleanup->is_array())
        for (const auto& entry : *cleanup->if_array()) there = there || is_it(entry.at_path({"cluster"}));
      if (there) names.emplace_back(item.string_at({"metadata", "name"}));
    }
    co_return names;
  }

  Failure timed_out(const std::string& trouble, std::vector<std::string> holders) const {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(goal_.timeout).count();
    const std::string reason = reason_of(last_);
    const std::string wanted = goal_.state.empty() ? "done" : goal_.state;
    if (!holders.empty()) {
      constexpr std::size_t kShown = 5;
      std::string names = fmt::format("{}", fmt::join(holders | std::views::take(kShown), ", "));
      if (holders.size() > kShown) names += fmt::format(" and {} more", holders.size() - kShown);
      return {.message = fmt::format("{} is not gone after {} s: there may still be objects on it of {}", title(),
                                     seconds, names),
              .hint = "it goes when they are taken away from it; --force forgets them, if it never comes back"};
    }
    return {.message = fmt::format("{} is {}{}, not {} after {} s{}", title(),
                                   state_of(last_).empty() ? "unchanged" : state_of(last_),
                                   reason.empty() ? "" : fmt::format(" ({})", reason), wanted, seconds,
                                   trouble.empty() ? "" : "; " + trouble),
            .hint = "the change itself was accepted; --timeout gives more time"};
  }

  void report() const {
    const auto about = subject();
    const std::string reason = reason_of(last_);
    session_.progress(fmt::format("{} {}: {}{}", about.kind->name, about.name, state_of(last_),
                                  reason.empty() ? "" : fmt::format(" ({})", reason)));
  }

  Session& session_;
  WaitGoal goal_;
  std::string uid_;
  json::Value first_;
  json::Value last_;
  Mono end_;
  Mono settled_at_ = Mono::max();
  std::optional<Mono> handed_over_;
  bool moved_ = false;
};

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  std::int64_t unit = 1;
  if (!text.empty()) {
    constexpr std::array<std::pair<char, std::int64_t>, 3> kUnits{{{'s', 1}, {'m', 60}, {'h', 3600}}};
    for (const auto& [letter, seconds] : kUnits) {
      if (text.back() == letter) {
        unit = seconds;
        text.remove_suffix(1);
        break;
      }
    }
  }
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  return std::chrono::seconds(std::stoll(std::string(text)) * unit);
}

Outcome<std::optional<WaitGoal>> wait_goal(const Session& session, WaitGoal::After after,
                                           std::string_view default_state, Duration default_timeout) {
  WaitGoal goal{
      .after = after, .state = lower(session.args().one_or("--wait", default_state)), .timeout = default_timeout};
  if (const auto text = session.args().one("--timeout")) {
    const auto duration = parse_duration(*text);
    if (!duration || *duration <= Duration::zero())
      return stop(session.usage("--timeout", fmt::format("invalid duration: '{}' (like 30s, 5m, 1h)", *text)));
    goal.timeout = *duration;
  }
  if (!session.args().has("--wait")) return std::nullopt;
  return goal;
}

Awaitable<Outcome<json::Value>> wait_for(Session& session, WaitGoal goal, json::Value object) {
  if (object.is_null()) co_return object;
  Waiter waiter(session, std::move(goal), std::move(object));
  co_return co_await waiter.run();
}

}  // namespace krake::cli
