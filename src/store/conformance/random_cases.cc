// Random operations against a model small enough to be seen to be right.
#include <gtest/gtest.h>

#include "base/random.h"
#include "store/conformance/conformance.h"

namespace krake::store::conformance {

namespace {

// The model: what is, and all that ever changed.
struct Model {
  struct Cell {
    std::string value;
    Revision created = 0;
    Revision modified = 0;
    LeaseId lease = 0;
  };
  std::map<std::string, Cell> live;
  std::vector<std::pair<Revision, std::vector<std::pair<std::string, std::string>>>> history;  // key, "=value" or "-"
  std::set<LeaseId> leases;
  Revision revision = 0;
  Revision compacted = 0;

  bool holds(const Guard& guard) const {
    const auto it = live.find(guard.key);
    if (guard.kind == Guard::Kind::absent) return it == live.end();
    if (it == live.end()) return false;
    return (guard.kind == Guard::Kind::created_at ? it->second.created : it->second.modified) == guard.revision;
  }
  // The index of the first failed guard, or -1 when it was applied.
  int commit(const Txn& txn) {
    for (std::size_t i = 0; i < txn.guards.size(); ++i) {
      if (!holds(txn.guards[i])) return static_cast<int>(i);
    }
    std::vector<std::pair<std::string, std::string>> changes;
    for (const auto& put : txn.puts) {
      const auto created = live.contains(put.key) ? live[put.key].created : revision + 1;
      live[put.key] = {*put.value, created, revision + 1, put.lease};
      changes.emplace_back(put.key, "=" + *put.value);
    }
    for (const auto& remove : txn.removes) {
      if (live.erase(remove.key) > 0) changes.emplace_back(remove.key, "-");
    }
    if (!changes.empty()) history.emplace_back(++revision, std::move(changes));
    return -1;
  }
  void revoke(LeaseId lease) {
    leases.erase(lease);
    Txn txn;
    for (const auto& [key, cell] : live) {
      if (cell.lease == lease) txn.removes.push_back({key});
    }
    commit(txn);
  }
  std::vector<std::string> seen(const std::string& prefix, Revision after) const {
    std::vector<std::string> lines;
    for (const auto& [at, changes] : history) {
      std::string line;
      for (const auto& [key, change] : changes) {
        if (key.starts_with(prefix)) line += " " + key + change;
      }
      if (at > after && !line.empty()) lines.push_back(std::to_string(at) + line);
    }
    return lines;
  }
};

class Player {
 public:
  Player(const Factory& factory, std::uint64_t seed) : rig_(factory), random_(seed) {
    model_.revision = model_.compacted = rig_.current();
    EXPECT_TRUE(rig_.compact(model_.compacted)) << "what was before is none of the model's";
  }

  void step() {
    const auto dice = random_.below(100);
    if (dice < 60) {
      commit();
    } else if (dice < 70) {
      compare_list();
    } else if (dice < 78) {
      compare_watch();
    } else if (dice < 84) {
      grant_or_revoke();
    } else if (dice < 86 && model_.revision > model_.compacted) {
      model_.compacted +=
          1 + static_cast<Revision>(random_.below(static_cast<std::uint64_t>(model_.revision - model_.compacted)));
      EXPECT_TRUE(rig_.compact(model_.compacted));
    } else if (dice < 87) {
      rig_.reopen();
    } else {
      compare_get(key());
    }
    EXPECT_EQ(rig_.current(), model_.revision);
  }

 private:
  std::string key() {
    static constexpr const char* kFolders[] = {"a", "a/", "b", "\xff", "a\xff"};
    return kFolders[random_.below(5)] + std::to_string(random_.below(4));
  }
  std::string prefix() {
    static constexpr const char* kPrefixes[] = {"", "a", "a/", "\xff", "b1", "zz", "a\xff"};
    return kPrefixes[random_.below(7)];
  }
  // Mostly right, so that commits get through; sometimes of another time.
  Guard guard() {
    auto name = key();
    const auto it = model_.live.find(name);
    if (random_.chance(0.1)) return Guard::modified_at(std::move(name), model_.revision);
    if (it == model_.live.end()) return Guard::absent(std::move(name));
    if (random_.chance(0.5)) return Guard::created_at(std::move(name), it->second.created);
    return Guard::modified_at(std::move(name), it->second.modified);
  }

  void commit() {
    Txn txn;
    std::set<std::string> used;
    for (auto n = random_.below(3); n > 0; --n) txn.guards.push_back(guard());
    for (auto n = random_.below(4); n > 0; --n) {
      auto name = key();
      if (!used.insert(name).second) continue;
      if (random_.chance(0.3)) {
        txn.removes.push_back({std::move(name)});
      } else {
        const LeaseId lease = random_.chance(0.3) && !model_.leases.empty() ? *model_.leases.begin() : 0;
        txn.puts.push_back({std::move(name), bytes(std::to_string(random_.below(1000))), lease});
      }
    }
    const auto result = rig_.commit(txn);
    const int failed = model_.commit(txn);
    if (failed < 0) {
      ASSERT_TRUE(std::holds_alternative<Committed>(result));
      EXPECT_EQ(std::get<Committed>(result).revision, model_.revision);
      return;
    }
    ASSERT_TRUE(std::holds_alternative<Conflict>(result));
    const auto& conflict = std::get<Conflict>(result);
    EXPECT_EQ(static_cast<int>(conflict.guard), failed);
    compare(txn.guards[conflict.guard].key, conflict.current);
  }

  void compare_get(const std::string& name) { compare(name, rig_.get(name)); }
  void compare(const std::string& name, const std::optional<Entry>& entry) {
    const auto it = model_.live.find(name);
    ASSERT_EQ(entry.has_value(), it != model_.live.end()) << name;
    if (!entry) return;
    EXPECT_EQ(*entry->value, it->second.value);
    EXPECT_EQ(entry->created, it->second.created);
    EXPECT_EQ(entry->modified, it->second.modified);
    EXPECT_EQ(entry->lease, it->second.lease);
  }

  void compare_list() {
    const auto start = prefix();
    const ListOptions options{.after = random_.chance(0.5) ? key() : "", .limit = random_.below(6)};
    const auto listing = rig_.list(start, options);
    EXPECT_EQ(listing.revision, model_.revision);
    std::vector<std::string> want;
    for (const auto& [name, cell] : model_.live) {
      if (name.starts_with(start) && name > options.after) want.push_back(name);
    }
    EXPECT_EQ(listing.more, options.limit > 0 && want.size() > options.limit);
    if (listing.more) want.resize(options.limit);
    ASSERT_EQ(listing.entries.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(listing.entries[i].key, want[i]);
      compare(want[i], listing.entries[i]);
    }
  }

  // From a random revision on: exactly what the model saw, or compacted.
  void compare_watch() {
    const auto after = static_cast<Revision>(random_.below(static_cast<std::uint64_t>(model_.revision) + 1));
    const auto start = prefix();
    auto watch = rig_.run(rig_.store().watch(start, after));
    if (after < model_.compacted) {
      const bool refused = !watch || !rig_.run((*watch)->next());
      EXPECT_TRUE(refused) << "after " << after << ", compacted " << model_.compacted;
      return;
    }
    ASSERT_TRUE(watch);
    const auto want = model_.seen(start, after);
    std::vector<std::string> seen;
    while (seen.size() < want.size()) {
      const auto events = rig_.run((*watch)->next());
      ASSERT_TRUE(events);
      for (const auto& event : *events) {
        std::string line = std::to_string(event.revision);
        for (const auto& change : event.changes) line += " " + change.key + (change.value ? "=" + *change.value : "-");
        seen.push_back(line);
      }
    }
    EXPECT_EQ(seen, want);
  }

  void grant_or_revoke() {
    if (model_.leases.size() < 3) {
      model_.leases.insert(rig_.grant(rig_.backend().lease_time()));
      return;
    }
    auto it = model_.leases.begin();
    std::advance(it, random_.below(model_.leases.size()));
    const auto lease = *it;
    EXPECT_TRUE(rig_.run(rig_.store().revoke(lease)));
    model_.revoke(lease);
  }

  Rig rig_;
  Random random_;
  Model model_;
};

void random_operations_agree_with_the_model(const Factory& factory) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Player player(factory, seed);
    for (int i = 0; i < 250 && !testing::Test::HasFailure(); ++i) player.step();
  }
}

}  // namespace

void add_random_cases(std::vector<Case>& cases) {
  cases.push_back({"RandomOperationsAgreeWithTheModel", random_operations_agree_with_the_model});
}

}  // namespace krake::store::conformance
