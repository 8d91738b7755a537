// Plans as text, for logs and tests. Names only: the values may be secrets.
#include <fmt/format.h>

#include "controllers/application/plan.h"

namespace krake::application {
namespace {

std::string text(const PatchMeta& a) {
  std::string out = "PatchMeta";
  if (a.finalizers) out += fmt::format(" finalizers=[{}]", fmt::join(*a.finalizers, ","));
  if (a.owners) {
    out += " owners=[";
    for (const auto& owner : *a.owners) out += krake::to_string(owner) + ";";
    out += "]";
  }
  return out;
}
std::string text(const PatchStatus& a) {
  std::string out = "PatchStatus";
  for (const auto& [key, value] : a.fields) {
    out += ' ' + key;
    if (key == "state" && value.is_string()) out += "=" + *value.if_string();
    if (key == "reason") out += fmt::format("={}", value.is_null() ? "null" : value.string_at({"code"}));
  }
  return out;
}
std::string text(const Apply& a) {
  return fmt::format("{} {} on {}", a.difference == 0 ? "Apply" : "Repair", kube::to_string(a.ref),
                     krake::to_string(a.cluster));
}
std::string text(const Remove& a) {
  return fmt::format("Remove {} on {}", kube::to_string(a.ref), krake::to_string(a.cluster));
}
std::string text(const TryOut& a) {
  return fmt::format("TryOut {} on {}", kube::to_string(a.ref), krake::to_string(a.cluster));
}
std::string text(const BeginHealthWait& a) { return "BeginHealthWait " + krake::to_string(a.target); }
std::string text(const GiveUpMigration& a) {
  return fmt::format("GiveUpMigration {}: {}", krake::to_string(a.target), a.why);
}
std::string text(const ForgetMigration&) { return "ForgetMigration"; }
std::string text(const Again&) { return "Again"; }
std::string text(const Wait& a) {
  return fmt::format("Wait {} ms", std::chrono::duration_cast<std::chrono::milliseconds>(a.time).count());
}
std::string text(const Retry& a) { return "Retry: " + a.why; }

}  // namespace

std::string to_string(const Action& action) {
  return std::visit([](const auto& a) { return text(a); }, action);
}

std::string to_string(const Plan& plan) {
  std::string out;
  for (const auto& action : plan) out += (out.empty() ? "" : "; ") + to_string(action);
  return out;
}

}  // namespace krake::application
