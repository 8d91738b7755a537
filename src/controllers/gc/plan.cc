#include "controllers/gc/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "meta/object.h"

namespace krake::gc {

bool is_ours(const Subject& subject) {
  return subject.deleted && !subject.finalizers.empty() && subject.finalizers.back() == kCascadeDeletion;
}

Plan make_plan(const Observed& observed, Mono) {
  Plan plan;
  if (!observed.object || !is_ours(*observed.object)) return plan;
  const Subject& object = *observed.object;
  if ((observed.dependents.empty() && !observed.waiting) || observed.knotted) {
    if (!observed.complete) return plan;
    auto rest = object.finalizers;
    rest.pop_back();
    plan.push_back(DropFinalizer{object.ref, object.uid, object.revision, std::move(rest)});
    return plan;
  }
  for (const auto& dependent : observed.dependents) {
    if (dependent.deleted || dependent.ref == object.ref) continue;
    if (plan.size() == observed.max_deletes) {
      plan.push_back(Again{});
      break;
    }
    plan.push_back(Delete{dependent.ref, dependent.uid, dependent.revision});
  }
  return plan;
}

namespace {
struct Printer {
  std::string operator()(const Delete& a) const {
    return fmt::format("delete {} at {}", graph::to_string(a.ref), a.revision);
  }
  std::string operator()(const DropFinalizer& a) const {
    return fmt::format("leave finalizers [{}] on {} at {}", fmt::join(a.finalizers, ", "), graph::to_string(a.ref),
                       a.revision);
  }
  std::string operator()(const Again&) const { return "again"; }
};
}  // namespace

std::string to_string(const Action& action) { return std::visit(Printer{}, action); }

std::string to_string(const Plan& plan) {
  std::string out;
  for (const auto& action : plan) out += (out.empty() ? "" : "; ") + to_string(action);
  return out;
}

}  // namespace krake::gc
