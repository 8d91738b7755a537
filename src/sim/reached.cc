#include "sim/reached.h"

#include <algorithm>

#include "base/check.h"

namespace krake::sim {

void Reached::mark(std::string_view name, std::uint64_t times) {
  CHECK(std::ranges::find(kSituations, name, &Situation::name) != std::end(kSituations), name);
  if (times == 0) return;
  const auto it = counts_.try_emplace(std::string(name), 0).first;
  it->second += times;
}

}  // namespace krake::sim
