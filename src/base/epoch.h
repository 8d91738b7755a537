// A term of leadership, as the API server names it: "STORE-REVISION", where the lease was created at that revision of
// that store. Only terms of one store have an order. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace krake {

struct Epoch {
  std::string store;
  std::int64_t revision = 0;
  friend bool operator==(const Epoch&, const Epoch&) = default;
};
std::optional<Epoch> parse_epoch(std::string_view text);

}  // namespace krake
