#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/export.h"
#include "backup/restore.h"
#include "base/testing.h"
#include "meta/kind.h"
#include "store/faulty_store.h"
#include "store/memory/memory_store.h"
#include "store/txn.h"

namespace krake::backup {

namespace {

using krake::testing::World;
using store::CommitFault;
using ::testing::HasSubstr;

const std::vector<std::string> kPrefixes{"/core/", "/kubernetes/"};

store::Bytes bytes(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

std::map<std::string, std::string> texts(const Values& values) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : values) out[key] = *value;
  return out;
}

std::string file_of(const std::map<std::string, std::string>& values) {
  Writer writer;
  std::string text;
  writer.begin({.store_id = "s1", .time = "2026-01-02T03:04:05"}, text);
  for (const auto& [key, value] : values) writer.put(key, value, text);
  writer.end(42, text);
  return text;
}

Result<Backup> read(std::string_view text, std::size_t piece = std::string::npos) {
  Reader reader;
  while (!text.empty()) {
    RETURN_IF_ERROR(reader.add(text.substr(0, piece)));
    text.remove_prefix(std::min(piece, text.size()));
  }
  return reader.finish();
}

// --- the file --------------------------------------------------------------------------------------------------------

TEST(BackupFile, KeepsEveryByteWhateverThePieces) {
  std::string every_byte;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  const std::map<std::string, std::string> values{{"/core/roles/a", R"({"name":"a \"quoted\" \\ é €"})"},
                                                  {"/core/roles/empty", ""},
                                                  {"/core/roles/bytes", every_byte},
                                                  {"/core/roles/low", every_byte.substr(0, 128)},
                                                  {"/openstack/" + every_byte, "\xff"},
                                                  {"/kubernetes/large", std::string(1'300'000, '\x01')}};
  const auto file = file_of(values);
  for (const std::size_t piece : {std::string::npos, std::size_t{1}, std::size_t{1000}}) {
    const auto backup = read(file, piece);
    ASSERT_TRUE(backup) << backup.error().message;
    EXPECT_TRUE(texts(backup->values) == values);
    EXPECT_EQ(backup->header.store_id, "s1");
    EXPECT_EQ(backup->header.time, "2026-01-02T03:04:05");
    EXPECT_EQ(backup->revision, 42);
    EXPECT_THAT(file, HasSubstr(backup->checksum));
  }
}

TEST(BackupFile, MayHaveNothingInIt) {
  const auto backup = read(file_of({}));
  ASSERT_TRUE(backup);
  EXPECT_TRUE(backup->values.empty());
}

TEST(BackupFile, OfTwoRecordsOfAKeyTheLaterHolds) {
  Writer writer;
  std::string text;
  writer.begin({}, text);
  writer.put("a", "1", text);
  writer.put("b", "1", text);
  writer.put("a", "2", text);
  writer.remove("b", text);
  writer.remove("never", text);
  writer.end(1, text);
  const auto backup = read(text);
  ASSERT_TRUE(backup);
  EXPECT_EQ(texts(backup->values), (std::map<std::string, std::string>{{"a", "2"}}));
}

TEST(BackupFile, IsRefusedWhereverItIsCut) {
  const auto file = file_of({{"/core/roles/a", "1"}, {"/core/roles/b", "\xff"}});
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto backup = read(std::string_view(file).substr(0, size));
    ASSERT_FALSE(backup) << "cut to " << size << " bytes";
    EXPECT_EQ(backup.error().code, Code::invalid_argument);
  }
  EXPECT_FALSE(read(file + "\n"));
  EXPECT_FALSE(read(file + "x"));
  EXPECT_FALSE(read(file + file));
}

TEST(BackupFile, IsRefusedWhicheverBitIsFlipped) {
  const auto file = file_of({{"/core/roles/a", "1"}, {"/core/roles/b", "\xff"}});
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    auto damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_FALSE(read(damaged)) << "bit " << bit % 8 << " of byte " << bit / 8;
  }
}

TEST(BackupFile, OfANewerFormatSaysSo) {
  auto file = file_of({});
  file.replace(file.find("\"version\":1"), 11, "\"version\":2");
  const auto backup = read(file);
  ASSERT_FALSE(backup);
  EXPECT_THAT(backup.error().message, HasSubstr("has format version 2, this program knows 1"));
}

TEST(BackupFile, ALineWithoutEndIsRefusedBeforeItFillsTheMemory) {
  Reader reader;
  const std::string piece(1 << 20, 'x');
  Status taken;
  std::size_t pieces = 0;
  for (; taken && pieces < 100; ++pieces) taken = reader.add(piece);
  ASSERT_FALSE(taken);
  EXPECT_EQ(pieces, kMaxLine / piece.size() + 1);
}

TEST(BackupFile, CanBeCheckedWithoutKeepingTheValues) {
  Reader reader(Reader::Keep::keys);
  ASSERT_TRUE(reader.add(file_of({{"a", "1"}, {"b", "2"}})));
  const auto backup = reader.finish();
  ASSERT_TRUE(backup);
  EXPECT_EQ(backup->values.size(), 2u);
  EXPECT_FALSE(backup->values.at("a"));
}

// A store another writer writes to just before each commit of ours; true: of the marker.
class SharedStore final : public store::Store {
 public:
  using Meanwhile = std::function<void(bool marks)>;
  SharedStore(store::Store& inner, Meanwhile meanwhile) : inner_(inner), meanwhile_(std::move(meanwhile)) {}

  Awaitable<Result<store::CommitResult>> commit(store::Txn txn) override {
    meanwhile_(std::ranges::any_of(txn.puts, [](const auto& put) { return put.key == kMarkerKey; }));
    return inner_.commit(std::move(txn));
  }
  Awaitable<Result<std::optional<store::Entry>>> get(std::string key) override { return inner_.get(std::move(key)); }
  Awaitable<Result<store::Listing>> list(std::string prefix, store::ListOptions options) override {
    return inner_.list(std::move(prefix), std::move(options));
  }
  Awaitable<Result<std::unique_ptr<store::Watch>>> watch(std::string prefix, store::Revision after) override {
    return inner_.watch(std::move(prefix), after);
  }
  Awaitable<Result<store::Revision>> current() override { return inner_.current(); }
  Awaitable<Status> compact(store::Revision revision) override { return inner_.compact(revision); }
  Awaitable<Result<store::LeaseId>> grant(Duration ttl) override { return inner_.grant(ttl); }
  Awaitable<Status> keep_alive(store::LeaseId lease) override { return inner_.keep_alive(lease); }
  Awaitable<Status> revoke(store::LeaseId lease) override { return inner_.revoke(lease); }
  const std::string& id() const override { return inner_.id(); }

 private:
  store::Store& inner_;
  Meanwhile meanwhile_;
};

// --- a store that is written to while it is read ---------------------------------------------------------------------

class BackupStore : public ::testing::Test {
 protected:
  store::Revision commit(store::Txn txn) {
    const auto result = world.run(memory->commit(std::move(txn)));
    EXPECT_TRUE(result);
    const auto* done = result ? std::get_if<store::Committed>(&*result) : nullptr;
    EXPECT_TRUE(done);
    return done ? done->revision : 0;
  }
  store::Revision put(const std::string& key, std::string value, store::LeaseId lease = 0) {
    return commit({.puts = {{key, bytes(std::move(value)), lease}}});
  }
  std::map<std::string, std::string> below(const std::vector<std::string>& prefixes) {
    std::map<std::string, std::string> out;
    for (const auto& [key, entry] : disk->entries()) {
      if (is_below(key, prefixes) && entry.lease == 0) out[key] = *entry.value;
    }
    return out;
  }
  // `meanwhile` runs after each piece.
  Result<Backup> backup(store::Store& from, const std::function<void()>& meanwhile = [] {}) {
    Export source(from, world.clock, kPrefixes);
    Reader reader;
    for (;;) {
      std::string piece;
      const auto more = world.run(source.next(piece));
      if (!more) return fail(more.error());
      RETURN_IF_ERROR(reader.add(piece));
      if (!*more) return reader.finish();
      meanwhile();
    }
  }
  Result<RestorePlan> restore_all(store::Store& into, const Backup& from, bool replace = false,
                                  std::string attempt = "one") {
    return world.run(restore(into, std::make_shared<const Backup>(from),
                             RestoreOptions{.prefixes = kPrefixes, .replace = replace, .attempt = std::move(attempt)}));
  }
  Backup backup_of(const std::map<std::string, std::string>& values) { return *read(file_of(values)); }

  static Awaitable<void> notice(store::Store& store, Clock& clock, bool& noticed) {
    co_await begun(store, clock);
    noticed = true;
  }

  World world;
  std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>("m", store::MemoryOptions{});
  std::unique_ptr<store::Store> memory = store::make_memory_store(world.context.get_executor(), world.clock, disk);
};

TEST_F(BackupStore, HasTheStateOfOneRevisionHoweverMuchIsWrittenMeanwhile) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const auto any_key = [&] {
      const char* prefixes[] = {"/core/a/", "/core/b/", "/kubernetes/c/", "/elsewhere/", "/registry/", "outside/"};
      return prefixes[random.below(6)] + std::to_string(random.below(400));
    };
    const auto lease = world.run(memory->grant(std::chrono::hours(1)));
    ASSERT_TRUE(lease);
    std::map<store::Revision, std::map<std::string, std::string>> model;
    const auto change = [&] {
      std::map<std::string, int> keys;  // each once
      for (auto n = 1 + random.below(5); n > 0; --n) keys[any_key()];
      store::Txn txn;
      for (const auto& [key, unused] : keys) {
        if (random.below(4) == 0) {
          txn.removes.push_back({key});
        } else {
          txn.puts.push_back({key, bytes(std::to_string(random.below(1000))), random.below(8) == 0 ? *lease : 0});
        }
      }
      commit(std::move(txn));
      model[disk->revision()] = below(kPrefixes);
    };
    for (int i = 0; i < 400; ++i) change();
    int pieces = 0;
    const auto made = backup(*memory, [&] {
      ++pieces;
      for (auto n = random.below(60); n > 0; --n) change();
    });
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_GE(pieces, 4);
    EXPECT_EQ(texts(made->values), std::prev(model.upper_bound(made->revision))->second);
    EXPECT_EQ(made->header.store_id, "m");
  }
}

TEST_F(BackupStore, ComesToItsEndAlsoWhenTheNewestCommitsAreOfOthers) {
  for (int i = 0; i < 150; ++i) put("/core/a/" + std::to_string(i), "1");
  const auto made = backup(*memory, [&] { put("outside", "1"); });
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(texts(made->values), below(kPrefixes));
}

TEST_F(BackupStore, IsNoMixtureWithARestoreThatBeginsOrEndsMeanwhile) {
  const auto wanted = backup_of({{"/core/a/000", "restored"}});
  const auto fill = [&] {
    for (int i = 0; i < 150; ++i) put(fmt::format("/core/a/{:03}", i), "1");
  };
  const auto begin = [&] { ASSERT_TRUE(restore_all(*memory, wanted, true)); };
  const auto end = [&] { ASSERT_TRUE(world.run(finish(*memory, "one"))); };
  fill();
  auto made = backup(*memory, [&, begun = false]() mutable {
    if (!std::exchange(begun, true)) begin();
  });
  ASSERT_FALSE(made) << "it begins";
  EXPECT_EQ(made.error().code, Code::unavailable);
  EXPECT_THAT(made.error().message, HasSubstr("take the backup again"));

  made = backup(*memory);
  ASSERT_FALSE(made) << "it had begun";
  EXPECT_EQ(made.error().code, Code::unavailable);
  end();

  fill();
  made = backup(*memory, [&, done = false]() mutable {
    if (std::exchange(done, true)) return;
    begin();
    end();
  });
  ASSERT_FALSE(made) << "it begins and ends";
  EXPECT_EQ(made.error().code, Code::unavailable);
  EXPECT_TRUE(backup(*memory)) << "what is restored is whole";
}

TEST_F(BackupStore, OfAnEmptyStoreIsAFileToo) {
  const auto made = backup(*memory);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->values.empty());
}

TEST_F(BackupStore, FailsWhenTheHistoryIsGoneOrTheStoreIsAway) {
  for (int i = 0; i < 150; ++i) put("/core/a/" + std::to_string(i), "1");
  store::FaultyStore faulty(*memory, world.context.get_executor(), world.clock, Random(1));
  faulty.script(store::WatchFault::compacted);
  auto made = backup(faulty, [&] { put("/core/a/0", "2"); });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::compacted);
  made = backup(faulty, [&] { faulty.set_away(true); });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::unavailable);
}

// --- restore ---------------------------------------------------------------------------------------------------------

TEST_F(BackupStore, FillsAnEmptyStore) {
  const std::map<std::string, std::string> values{{"/core/roles/a", "1"}, {"/kubernetes/foreign/x/y", "\xff"}};
  const auto done = restore_all(*memory, backup_of(values));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->written, 2u);
  EXPECT_EQ(below(kPrefixes), values);
  EXPECT_EQ(world.run(check_whole(*memory)).error().code, Code::unavailable) << "the id is not renewed yet";
  ASSERT_TRUE(world.run(finish(*memory, "one")));
  EXPECT_TRUE(world.run(check_whole(*memory)));
  EXPECT_EQ(disk->entries().size(), 2u) << "and leaves nothing of its own";
}

TEST_F(BackupStore, LeavesAStoreThatHasSomethingAloneUnlessTold) {
  put("/core/roles/mine", "1");
  put("/registry/of-somebody-else", "1");
  const auto lease = world.run(memory->grant(std::chrono::hours(1)));
  put("/core/leases/gc", "held", *lease);
  const auto kept = put("/core/roles/same", "same");
  const auto wanted = backup_of({{"/core/roles/same", "same"}, {"/core/roles/new", "1"}, {"/core/leases/gc", "held"}});

  auto done = restore_all(*memory, wanted);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::already_exists);
  EXPECT_THAT(done.error().message, HasSubstr("has 3 keys"));
  EXPECT_THAT(done.error().message, HasSubstr("--replace"));
  EXPECT_EQ(disk->revision(), kept) << "nothing was changed";

  done = restore_all(*memory, wanted, true);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->written, 2u);
  EXPECT_EQ(done->removed, 1u);
  EXPECT_EQ(done->unchanged, 1u);
  ASSERT_TRUE(world.run(finish(*memory, "one")));
  EXPECT_EQ(below(kPrefixes), texts(wanted.values));
  EXPECT_EQ(disk->get("/core/roles/same")->modified, kept);
  EXPECT_TRUE(disk->get("/registry/of-somebody-else"));
}

TEST_F(BackupStore, TakesNothingItCannotTakeWhole) {
  auto done = restore_all(*memory, backup_of({{"/core/a", "1"}, {"/unheard-of/b", "1"}}));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::invalid_argument);
  EXPECT_THAT(done.error().message, HasSubstr("/unheard-of/b"));
  done = restore_all(*memory, backup_of({{"/core/a", "1"}, {"/core/b", std::string(store::kMaxBytesOfFew, 'x')}}));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::too_large);
  EXPECT_THAT(done.error().message, HasSubstr("/core/b"));
  EXPECT_EQ(disk->revision(), 0);
  // As large as another program could store it.
  done = restore_all(*memory, backup_of({{"/core/a", "1"}, {"/core/b", std::string(store::kMaxTxnBytes, 'x')}}));
  EXPECT_TRUE(done) << done.error().message;
}

TEST(BackupPlan, KeepsToTheLimitsOfTransactions) {
  Values wanted;
  std::vector<store::Entry> present;
  for (int i = 0; i < 1000; ++i) {
    const auto key = fmt::format("/core/{:04}", i);
    if (i % 3 != 0) wanted[key] = bytes(std::string(i % 100 == 1 ? 1'000'000 : 10, 'x'));
    if (i % 2 != 0) present.push_back({.key = key, .value = bytes("old"), .created = 1, .modified = 1});
  }
  const auto plan = plan_restore(wanted, present);
  ASSERT_TRUE(plan);
  std::set<std::string> written;
  std::set<std::string> removed;
  for (auto txn : plan->transactions) {
    txn.guards.push_back(store::Guard::modified_at(std::string(kMarkerKey), 1));
    EXPECT_TRUE(store::check_txn(txn));
    for (const auto& put : txn.puts) EXPECT_TRUE(written.insert(put.key).second);
    for (const auto& remove : txn.removes) EXPECT_TRUE(removed.insert(remove.key).second);
  }
  EXPECT_EQ(written.size(), wanted.size());
  EXPECT_EQ(removed.size(), 167u);
  EXPECT_EQ(plan->written, written.size());
  EXPECT_EQ(plan->removed, removed.size());
  EXPECT_LT(plan->transactions.size(), 25u);
}

TEST_F(BackupStore, GoesOnWhereverItWasInterrupted) {
  std::map<std::string, std::string> values;
  for (int i = 0; i < 250; ++i) values[fmt::format("/core/a/{:03}", i)] = std::to_string(i);
  const auto wanted = backup_of(values);
  for (const auto fault : {CommitFault::unavailable, CommitFault::timeout, CommitFault::lost_answer}) {
    for (int harmless = 0;; ++harmless) {
      SCOPED_TRACE(fmt::format("fault {} after {} commits", static_cast<int>(fault), harmless));
      disk = std::make_shared<store::MemoryDisk>("m", store::MemoryOptions{});
      memory = store::make_memory_store(world.context.get_executor(), world.clock, disk);
      for (int i = 200; i < 330; ++i) put(fmt::format("/core/a/{:03}", i), "old");
      const auto before = below(kPrefixes);
      store::FaultyStore faulty(*memory, world.context.get_executor(), world.clock, Random(1));
      for (int i = 0; i < harmless; ++i) faulty.script(CommitFault::none);
      faulty.script(fault);
      const auto first = restore_all(faulty, wanted, true, "first");
      const auto finished = first ? world.run(finish(faulty, "first")) : Status(fail(first.error()));
      if (faulty.faults() == 0) {
        EXPECT_TRUE(finished) << "no commit was left to be harmed";
        EXPECT_GE(harmless, 5) << "the marker, some transactions, the marker again";
        break;
      }
      ASSERT_FALSE(finished);
      const auto whole = world.run(check_whole(*memory));
      EXPECT_TRUE(!whole || below(kPrefixes) == before || below(kPrefixes) == values)
          << "half of it, and nobody says so";

      // Once it has begun the word that it may replace is not asked for again.
      const bool begun = disk->get(kMarkerKey).has_value();
      const auto second = restore_all(*memory, wanted, !begun, "second");
      ASSERT_TRUE(second) << second.error().message;
      ASSERT_TRUE(world.run(finish(*memory, "second")));
      EXPECT_EQ(below(kPrefixes), values);
      EXPECT_TRUE(world.run(check_whole(*memory)));
    }
  }
}

TEST_F(BackupStore, UndoesWhatAServerWroteThatHadNotYetSeenTheMarker) {
  std::map<std::string, std::string> values;
  for (int i = 0; i < 250; ++i) values[fmt::format("/core/a/{:03}", i)] = std::to_string(i);
  const auto wanted = backup_of(values);
  for (const bool after_the_marker : {false, true}) {
    SCOPED_TRACE(after_the_marker ? "while it is filled" : "between the list and the marker");
    disk = std::make_shared<store::MemoryDisk>("m", store::MemoryOptions{});
    memory = store::make_memory_store(world.context.get_executor(), world.clock, disk);
    put("/core/a/000", "0");
    int writes = 0;
    SharedStore shared(*memory, [&](bool marks) {
      if (marks == after_the_marker || writes == 3) return;
      ++writes;
      for (const char* key : {"/core/a/000", "/core/a/249", "/core/b/new"}) put(key, fmt::format("late {}", writes));
    });
    const auto done = restore_all(shared, wanted, true);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(writes, after_the_marker ? 3 : 1);
    EXPECT_GE(done->written, 250u) << "what is written again counts";
    EXPECT_EQ(done->removed, 1u);
    ASSERT_TRUE(world.run(finish(*memory, "one")));
    EXPECT_EQ(below(kPrefixes), values);
  }
}

TEST_F(BackupStore, GivesUpWhenSomebodyGoesOnWriting) {
  int writes = 0;
  SharedStore shared(*memory, [&](bool marks) {
    if (!marks) put(fmt::format("/core/b/{}", ++writes), "1");
  });
  const auto done = restore_all(shared, backup_of({{"/core/a", "1"}, {"/core/b/old", "1"}}));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::unavailable);
  EXPECT_THAT(done.error().message, HasSubstr("stop every API server"));
  EXPECT_THAT(done.error().message, HasSubstr("run it again"));
  EXPECT_EQ(writes, 10);
  EXPECT_EQ(world.run(check_whole(*memory)).error().code, Code::unavailable);
}

TEST_F(BackupStore, OfTwoRestoresAtOnceTheLaterWins) {
  const auto wanted = backup_of({{"/core/a", "1"}});
  ASSERT_TRUE(restore_all(*memory, wanted, false, "early"));
  ASSERT_TRUE(restore_all(*memory, wanted, false, "late"));
  const auto early = world.run(finish(*memory, "early"));
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Code::conflict);
  EXPECT_FALSE(world.run(check_whole(*memory)));
  EXPECT_TRUE(world.run(finish(*memory, "late")));
}

TEST_F(BackupStore, IsNoticedWhereItBeginsAlsoWhenTheStoreWasAway) {
  for (const bool away : {false, true}) {
    SCOPED_TRACE(away ? "away" : "there");
    disk = std::make_shared<store::MemoryDisk>("m", store::MemoryOptions{});
    memory = store::make_memory_store(world.context.get_executor(), world.clock, disk);
    store::FaultyStore seen_by_server(*memory, world.context.get_executor(), world.clock, Random(1));
    bool noticed = false;
    TaskGroup tasks(world.context.get_executor());
    tasks.spawn("server", notice(seen_by_server, world.clock, noticed));
    put("/core/a", "1");
    world.settle();
    EXPECT_FALSE(noticed);
    seen_by_server.set_away(away);
    world.settle();
    ASSERT_TRUE(restore_all(*memory, backup_of({{"/core/a", "2"}}), true));
    ASSERT_TRUE(world.run(finish(*memory, "one")));
    seen_by_server.set_away(false);
    EXPECT_TRUE(world.run_until([&] { return noticed; }, std::chrono::seconds(5)));
    world.run(tasks.stop());
  }
}

TEST_F(BackupStore, OfAnotherFileDoesNotGoOnWithAHalfDoneOneUnlessTold) {
  ASSERT_TRUE(restore_all(*memory, backup_of({{"/core/a", "1"}})));
  EXPECT_EQ(restore_all(*memory, backup_of({{"/core/b", "1"}})).error().code, Code::already_exists);
  ASSERT_TRUE(restore_all(*memory, backup_of({{"/core/b", "1"}}), true, "two"));
  ASSERT_TRUE(world.run(finish(*memory, "two")));
  EXPECT_EQ(below(kPrefixes), (std::map<std::string, std::string>{{"/core/b", "1"}}));
}

TEST(BackupKeys, CoverTheGroupsOfThisProgramAndOfUpstream) {
  const auto prefixes = key_prefixes(Registry());
  EXPECT_THAT(prefixes, ::testing::ElementsAre("/core/", "/infrastructure/", "/kubernetes/", "/openstack/"));
  EXPECT_TRUE(is_below("/openstack/projects/x", prefixes));
  EXPECT_FALSE(is_below("/registry/pods/x", prefixes));
  EXPECT_FALSE(is_below(kMarkerKey, prefixes));
}

}  // namespace

}  // namespace krake::backup
