#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "fuzz.h"

namespace krake::fuzz {

namespace {
constexpr Target kTargets[] = {
    {"json", json},
    {"codec", codec},
    {"merge_patch", merge_patch},
    {"json_patch", json_patch},
    {"manifests", manifests},
    {"validators", validators},
    {"kubeconfig", kubeconfig},
    {"yaml", yaml},
    {"config", config},
    {"bootstrap", bootstrap},
    {"constraints", constraints},
    {"selectors", selectors},
    {"datetime", datetime},
    {"quantity", quantity},
    {"url", url},
    {"route", route},
    {"http_message", http_message},
    {"http_server", http_server},
    {"audit", audit},
    {"list_token", list_token},
    {"watch", watch},
    {"backup", backup},
    {"tokens", tokens},
    {"identity", identity},
};
}  // namespace

std::span<const Target> targets() { return kTargets; }

const Target* find_target(std::string_view name) {
  const auto* found = std::ranges::find(kTargets, name, &Target::name);
  return found == std::end(kTargets) ? nullptr : found;
}

void broken(const char* file, int line, const char* condition, std::string_view detail) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n%.*s\n", file, line, condition, static_cast<int>(detail.size()),
               detail.data());
  std::abort();
}

}  // namespace krake::fuzz
