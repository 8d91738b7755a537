// Names of users. There are no user objects: a user is the text some authenticator vouches for.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"

namespace krake::access {

// Krake's own: its components, its administrator, the anonymous user.
inline constexpr std::string_view kSystemPrefix = "system:";
inline constexpr std::size_t kMaxUserName = 1024;

// Whom an authenticator vouches for.
struct Identity {
  std::string user;
  std::optional<Wall> until{};  // when what he showed expires; nothing: it does not, or nobody knows when
  // Of the server's own tokens and keys, when he showed one of those: where the server has another, he must be asked
  // again.
  std::optional<std::uint64_t> generation{};
  bool operator==(const Identity&) const = default;
};

// What may stand in logs, roles and answers: some UTF-8 text without control characters.
inline bool usable_user_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxUserName && json::valid_utf8(name) &&
         std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace krake::access
