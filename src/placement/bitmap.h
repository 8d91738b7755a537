// Sets of small numbers, 64 to a word. All sets of one snapshot have the same width. Pure.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace krake::placement {

class Bitmap {
 public:
  explicit Bitmap(std::size_t words = 0) : words_(words) {}

  void widen(std::size_t words) { words_.resize(words); }
  bool test(std::size_t i) const { return (words_[i >> 6] >> (i & 63)) & 1; }
  void set(std::size_t i) { words_[i >> 6] |= std::uint64_t{1} << (i & 63); }
  void reset(std::size_t i) { words_[i >> 6] &= ~(std::uint64_t{1} << (i & 63)); }
  void assign(std::size_t i, bool value) { value ? set(i) : reset(i); }
  void clear() { words_.assign(words_.size(), 0); }

  bool any() const {
    std::uint64_t all = 0;
    for (const std::uint64_t word : words_) all |= word;
    return all != 0;
  }
  std::size_t count() const {
    std::size_t total = 0;
    for (const std::uint64_t word : words_) total += static_cast<std::size_t>(std::popcount(word));
    return total;
  }
  bool intersects(const Bitmap& other) const {
    std::uint64_t all = 0;
    for (std::size_t w = 0; w < words_.size(); ++w) all |= words_[w] & other.words_[w];
    return all != 0;
  }
  Bitmap& operator&=(const Bitmap& other) {
    for (std::size_t w = 0; w < words_.size(); ++w) words_[w] &= other.words_[w];
    return *this;
  }

  // Calls `visit(i)` for every member, ascending.
  template <class Visit>
  void each(Visit visit) const {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      for (std::uint64_t rest = words_[w]; rest != 0; rest &= rest - 1) {
        visit((w << 6) + static_cast<std::size_t>(std::countr_zero(rest)));
      }
    }
  }

  std::vector<std::uint64_t>& words() { return words_; }
  const std::vector<std::uint64_t>& words() const { return words_; }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace krake::placement
