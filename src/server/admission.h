// What the server takes on at once, and for whom. Each limited thing is a Pool; those that matter more may fill it
// further, so that what matters most always finds room: leases before Krake's own components, these before users, and
// bulk lists last. Thread: the loop.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "server/route.h"

namespace krake::server {

enum class Priority : std::uint8_t { lease, component, user, bulk };
inline constexpr std::array kPriorities{Priority::lease, Priority::component, Priority::user, Priority::bulk};
std::string_view to_string(Priority priority);

// Of a request. `user` is empty for one nobody has vouched for. `is_watch`: a list that is one. Pure.
Priority priority_of(const Route* route, std::string_view user, bool is_watch);

// How far `limit` may be filled by requests of that priority: 100, 95, 90 and 60 %.
std::size_t share_of(std::size_t limit, Priority priority);

class Pool {
 public:
  explicit Pool(std::size_t limit) { used_->limit = limit; }

  // A part of the pool, until it is destroyed. It may outlive the pool.
  class Share {
   public:
    Share(Share&& other) noexcept = default;
    Share& operator=(Share&&) = delete;
    ~Share() {
      if (used_ && !paused_) take(-amount_);
    }
    // While a request waits for its sender or for a state it holds up nobody: it does not count.
    void pause() {
      paused_ = true;
      take(-amount_);
    }
    void resume() {
      paused_ = false;
      take(amount_);
    }
    // False, and counted as refused, when that much is not left for this priority by now: many may go on at once.
    bool try_resume();

   private:
    friend class Pool;
    struct Used {
      std::size_t limit = 0;
      std::int64_t all = 0;
      std::array<std::int64_t, kPriorities.size()> by_priority{};
      std::array<std::uint64_t, kPriorities.size()> refused{};
      // Nothing is taken yet.
      bool has_room(Priority priority, std::size_t amount);
    };
    Share(std::shared_ptr<Used> used, Priority priority, std::int64_t amount)
        : used_(std::move(used)), priority_(priority), amount_(amount) {
      take(amount_);
    }
    void take(std::int64_t amount) {
      used_->all += amount;
      used_->by_priority[static_cast<std::size_t>(priority_)] += amount;
    }
    std::shared_ptr<Used> used_;
    Priority priority_;
    std::int64_t amount_;
    bool paused_ = false;
  };

  // Nothing when that much is not left for this priority; then it is counted as refused.
  std::optional<Share> take(Priority priority, std::size_t amount = 1);

  std::size_t limit() const { return used_->limit; }
  std::size_t used() const { return static_cast<std::size_t>(used_->all); }
  std::size_t used(Priority priority) const {
    return static_cast<std::size_t>(used_->by_priority[static_cast<std::size_t>(priority)]);
  }
  std::uint64_t refused(Priority priority) const { return used_->refused[static_cast<std::size_t>(priority)]; }

 private:
  std::shared_ptr<Share::Used> used_ = std::make_shared<Share::Used>();
};

struct AdmissionLimits {
  std::size_t requests = 2000;                      // being worked on; watches and waits for bodies excluded
  std::size_t bodies = 4000;                        // being read
  std::size_t body_bytes = std::size_t{256} << 20;  // announced by them
  std::size_t watches = 20'000;                     // and waits for a state
  std::size_t list_streams = 200;                   // large lists under way
};

struct Admission {
  explicit Admission(const AdmissionLimits& limits)
      : requests(limits.requests),
        bodies(limits.bodies),
        body_bytes(limits.body_bytes),
        watches(limits.watches),
        list_streams(limits.list_streams) {}
  Pool requests;
  Pool bodies;
  Pool body_bytes;
  Pool watches;
  Pool list_streams;
};

}  // namespace krake::server
