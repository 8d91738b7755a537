// Which tokens were found to be good a moment ago, and whose they are. Only that: a refusal is never remembered, so
// that a token counts as soon as it does. Keyed by SHA-256: the cache has no token anybody could use. A value with a
// clock passed in. Thread: one.
#pragma once

#include <list>
#include <unordered_map>

#include "access/users.h"
#include "base/clock.h"
#include "base/encoding.h"

namespace krake::access {

class TokenCache {
 public:
  struct Limits {
    std::size_t size = 10'000;                // the oldest go; 0 keeps nothing
    Duration ttl = std::chrono::seconds(60);  // how long a token that was revoked still counts; 0 keeps nothing
  };
  // Both: the wall clock may be set back, and tokens expire by it.
  struct Now {
    Mono mono;
    Wall wall;
  };

  explicit TokenCache(Limits limits) : limits_(limits) {}

  // Whose it is; null when the token is not known (any more). Valid until the next put() or clear().
  const Identity* find(const Digest& token, Now now) const;
  // `expires`: of the token itself, where that is before the end of what it opens; else that is meant.
  void put(const Digest& token, Identity identity, Now now, std::optional<Wall> expires = std::nullopt);
  void clear();
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Identity identity;
    Mono until;
    std::optional<Wall> expires;
    std::list<Digest>::iterator place;
  };
  Limits limits_;
  std::unordered_map<Digest, Entry, DigestHash> entries_;
  std::list<Digest> by_age_;  // the oldest first
};

}  // namespace krake::access
