// A map from strings that is gone through in order, and in which one is found by a hash: the way down a tree of 100,000
// is as many cache misses as it has levels. 8 bytes and a hash slot for each entry beside what std::map takes.
#pragma once

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace krake {

template <class T>
class KeyedMap {
  using InOrder = std::map<std::string, T, std::less<>>;

 public:
  using iterator = InOrder::iterator;
  using const_iterator = InOrder::const_iterator;

  // Who chooses the keys cannot know where we are, and so not which of them collide.
  KeyedMap() : by_hash_(0, Hash{reinterpret_cast<std::size_t>(this)}) {}
  KeyedMap(const KeyedMap&) = delete;  // by_hash_ points into in_order_
  KeyedMap& operator=(const KeyedMap&) = delete;

  iterator begin() { return in_order_.begin(); }
  iterator end() { return in_order_.end(); }
  const_iterator begin() const { return in_order_.begin(); }
  const_iterator end() const { return in_order_.end(); }
  std::size_t size() const { return in_order_.size(); }
  bool empty() const { return in_order_.empty(); }
  const_iterator lower_bound(std::string_view key) const { return in_order_.lower_bound(key); }
  bool contains(std::string_view key) const { return by_hash_.contains(key); }
  iterator find(std::string_view key) {
    const auto it = by_hash_.find(key);
    return it == by_hash_.end() ? in_order_.end() : *it;
  }
  const_iterator find(std::string_view key) const { return const_cast<KeyedMap*>(this)->find(key); }

  // As those of std::map.
  std::pair<iterator, bool> try_emplace(std::string_view key) {
    if (const auto it = by_hash_.find(key); it != by_hash_.end()) return {*it, false};
    const auto place = in_order_.try_emplace(std::string(key)).first;
    by_hash_.insert(place);
    return {place, true};
  }
  void erase(iterator place) {
    by_hash_.erase(place);
    in_order_.erase(place);
  }
  // All of them; it is empty then.
  InOrder take_all() {
    by_hash_.clear();
    return std::exchange(in_order_, {});
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t seed = 0;
    std::size_t operator()(std::string_view key) const {
      auto hash = seed;
      boost::hash_range(hash, key.begin(), key.end());
      return hash;
    }
    std::size_t operator()(iterator it) const { return (*this)(std::string_view(it->first)); }
  };
  struct Equal {
    using is_transparent = void;
    static std::string_view key(std::string_view key) { return key; }
    static std::string_view key(iterator it) { return it->first; }
    bool operator()(const auto& a, const auto& b) const { return key(a) == key(b); }
  };
  InOrder in_order_;
  boost::unordered_flat_set<iterator, Hash, Equal> by_hash_;
};

}  // namespace krake
