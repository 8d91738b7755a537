// Seeded randomness, passed in. Same seed, same draws, on every platform (xoshiro256**, public domain algorithm by
// Blackman and Vigna; splitmix64 for seeding). Not for secrets: those come from OpenSSL (base/secret_random.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace krake {

class Random {
 public:
  explicit Random(std::uint64_t seed);
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // 0 <= result < bound; bound > 0
  double unit();                             // 0 <= result < 1
  bool chance(double probability) { return unit() < probability; }
  // An independent stream: a new draw in one component does not reshuffle the others.
  Random fork(std::string_view name) const;
  std::string uuid4();

 private:
  std::array<std::uint64_t, 4> state_;
};

// A seed from the operating system, for production.
std::uint64_t os_seed();
std::uint64_t stable_hash(std::string_view text);  // FNV-1a, stable across runs and platforms

}  // namespace krake
