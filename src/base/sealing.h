// Values that only who has a key can read: AES-256-GCM (OpenSSL), each bound to what it is about, so that none can be
// put in another's place. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace krake {

class SealingKeys {
 public:
  // Lines `ID KEY`: KEY is base64 of 32 bytes, ID 1 to 32 letters, digits, '-', '_', '.'. The first seals, all open;
  // '#' begins a comment. A line `plain` before all keys: nothing is sealed (yet, or any more), the keys open. Errors:
  // invalid_argument with `source` and the line, never with a key.
  static Result<SealingKeys> parse(std::string_view text, std::string_view source);

  bool empty() const { return keys_.empty(); }
  bool seals() const { return !plain_ && !keys_.empty(); }
  // Needs a key. 12 random bytes make each sealing another: one key is good for some billions of them.
  std::string seal(std::string_view plain, std::string_view about) const;
  static bool is_sealed(std::string_view value);
  // Of the key a sealed value names; empty when it is not sealed, or so badly damaged that it names none.
  static std::string_view key_id(std::string_view value);
  // `value` itself when it is not sealed. unavailable when its key is not here; internal when it was changed, or sealed
  // about something else.
  Result<std::string> open(std::string_view value, std::string_view about) const;

 private:
  const std::string* find(std::string_view id) const;
  std::vector<std::pair<std::string, std::string>> keys_;  // id, 32 bytes
  bool plain_ = false;
};

}  // namespace krake
