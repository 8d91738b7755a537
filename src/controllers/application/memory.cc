// What is remembered between two reconciles: what was sent, the pace of repairs and of migrations.
#include <algorithm>

#include "base/random.h"
#include "controllers/application/plan.h"

namespace krake::application {
namespace {

using std::chrono::seconds;

constexpr int kFreeRepairs = 5;  // of one difference before the pace slows
constexpr Duration kForgetRepairs = std::chrono::minutes(2);

}  // namespace

std::string memory_key(const Place& place, const kube::ObjectRef& ref) {
  const std::string where = place.identity.empty() ? krake::to_string(place.cluster) : place.identity;
  return where + '|' + kube::to_string(ref);
}

std::uint64_t fingerprint_of(const json::Value& desired) { return stable_hash(json::print(desired)); }

Mono RepairRecord::allowed_at() const {
  if (!stuck && count < kFreeRepairs) return last;
  const int step = std::clamp(stuck ? count : count - kFreeRepairs, 0, 6);
  return last + std::min<Duration>(seconds(5) * (1 << step), std::chrono::minutes(5));
}

Mono Refusal::allowed_at() const {
  const int step = std::clamp(count - 1, 0, 6);
  return last + std::min<Duration>(std::chrono::milliseconds(500) * (1 << step), seconds(30));
}

void note_sending(Memory& memory, const std::string& key, std::uint64_t what, std::int64_t revision, bool repair) {
  auto& sent = memory.sent[key];
  const bool answered = repair || (sent.answered && sent.fingerprint == what);
  sent = {.fingerprint = what, .revision = revision, .answered = answered};
}

void note_taken(Memory& memory, const std::string& key, std::uint64_t what) {
  const auto found = memory.sent.find(key);
  // Forgotten meanwhile: then another term has begun.
  if (found != memory.sent.end() && found->second.fingerprint == what) found->second.answered = true;
}

void forget_removals(Memory& memory, std::int64_t revision) {
  std::erase_if(memory.sent,
                [&](const auto& entry) { return entry.second.fingerprint == 0 && entry.second.revision < revision; });
}

void note_refusal(Memory& memory, const std::string& key, std::uint64_t what, Reason reason, Mono now) {
  auto& refusal = memory.refusals[key];
  const int count = refusal.what == what ? refusal.count + 1 : 1;
  refusal = {.what = what, .reason = std::move(reason), .count = count, .last = now};
}

void note_repair(Memory& memory, const std::string& key, std::uint64_t difference, bool stuck, Mono now) {
  auto& record = memory.repairs[key];
  const bool same = record.difference == difference && now < record.allowed_at() + kForgetRepairs;
  record = {.difference = difference, .count = same ? record.count + 1 : 1, .stuck = stuck, .last = now};
}

void remember(Memory& memory, const Action& action, const PlanOptions& options, Mono now) {
  auto& migration = memory.migration;
  const auto of = [&](const ResourceRef& target) -> Migration& {
    if (!migration || migration->target != target) migration = Migration{.target = target};
    return *migration;
  };
  if (const auto* begin = std::get_if<BeginHealthWait>(&action)) {
    auto& at = of(begin->target);
    at.waiting_since = now;
    at.retry_at.reset();
  } else if (const auto* give_up = std::get_if<GiveUpMigration>(&action)) {
    auto& at = of(give_up->target);
    at.waiting_since.reset();
    at.why = give_up->why;
    at.retry_at = now + options.migration_retry * (1 << std::min(at.failures, 5));
    ++at.failures;
  } else if (std::holds_alternative<ForgetMigration>(action)) {
    migration.reset();
  }
}

}  // namespace krake::application
