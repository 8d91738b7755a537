// On real stores: a site moves from SQLite to etcd and back, with one file each way.
#include <gtest/gtest.h>

#include "backup/export.h"
#include "backup/restore.h"
#include "base/task_group.h"
#include "meta/kind.h"
#include "store/etcd/etcd_cluster.h"
#include "store/etcd/etcd_store.h"
#include "store/sqlite/sqlite_test_backend.h"

namespace krake::backup {

namespace {

using Texts = std::map<std::string, std::string>;

class BackupStores : public ::testing::Test {
 protected:
  template <class T>
  static Awaitable<void> keep(Awaitable<T> task, std::shared_ptr<std::optional<T>> result) {
    result->emplace(co_await std::move(task));
  }
  static Awaitable<void> notice(store::Store& store, Clock& clock, bool& noticed) {
    co_await begun(store, clock);
    noticed = true;
  }
  void run_until(const std::function<bool()>& done) {
    while (!done()) {
      loop.restart();
      loop.run_one();
    }
  }
  template <class T>
  T run(Awaitable<T> task) {
    const auto result = std::make_shared<std::optional<T>>();
    TaskGroup group(loop.get_executor());
    group.spawn("test", keep(std::move(task), result));
    run_until([&] { return result->has_value(); });
    return std::move(**result);
  }
  void put(store::Store& into, std::string key, std::string value) {
    store::Txn txn;
    txn.puts.push_back({std::move(key), std::make_shared<const std::string>(std::move(value)), 0});
    ASSERT_TRUE(run(into.commit(std::move(txn))));
  }
  std::unique_ptr<store::SqliteStore> sqlite(const std::string& name) {
    auto opened = run(store::open_sqlite_store(loop.get_executor(), clock, Random(1), {.path = folder.file(name)}));
    EXPECT_TRUE(opened);
    return opened ? std::move(*opened) : nullptr;
  }
  std::unique_ptr<store::EtcdStore> etcd() {
    auto opened = store::open_etcd_store(loop.get_executor(), clock, Random(seed++), Log(),
                                         {.endpoints = cluster->endpoints(), .timeout = std::chrono::seconds(20)});
    EXPECT_TRUE(opened);
    return opened ? std::move(*opened) : nullptr;
  }
  Backup backup(store::Store& from, const std::function<void()>& meanwhile) {
    Export source(from, clock, prefixes);
    Reader reader;
    for (;;) {
      std::string piece;
      const auto more = run(source.next(piece));
      EXPECT_TRUE(more) << more.error().message;
      if (!more || !reader.add(piece)) return {};
      if (!*more) break;
      meanwhile();
    }
    auto made = reader.finish();
    EXPECT_TRUE(made);
    return made ? std::move(*made) : Backup();
  }
  Texts texts(const Values& values) {
    Texts out;
    for (const auto& [key, value] : values) out[key] = *value;
    return out;
  }
  Texts content(store::Store& of) {
    Texts out;
    for (const auto& prefix : prefixes) {
      const auto listing = run(of.list(prefix));
      EXPECT_TRUE(listing);
      if (!listing) continue;
      for (const auto& entry : listing->entries) out[entry.key] = *entry.value;
    }
    return out;
  }

  boost::asio::io_context loop;
  RealClock clock{loop.get_executor()};
  store::TempFolder folder;
  std::shared_ptr<store::EtcdCluster> cluster = store::borrow_cluster("backup", {});
  std::uint64_t seed = 1;
  const std::vector<std::string> prefixes = key_prefixes(Registry());
};

TEST_F(BackupStores, ASiteMovesFromSqliteToEtcdAndBack) {
  Texts values{{"/openstack/projects/foreign/x", "\xff"}, {"/kubernetes/large", std::string(700'000, '"')}};
  for (int i = 0; i < 250; ++i) values[fmt::format("/core/roles/{:03}", i)] = std::to_string(i);
  auto old_store = sqlite("old.db");
  for (const auto& [key, value] : values) put(*old_store, key, value);
  const auto first = std::make_shared<const Backup>(backup(*old_store, [] {}));
  EXPECT_EQ(texts(first->values), values);

  // Another program's keys are not Krake's, and a server that is still there notices.
  auto replicated = etcd();
  put(*replicated, "/registry/pods/x", "of somebody else");
  auto server = etcd();
  bool noticed = false;
  TaskGroup tasks(loop.get_executor());
  tasks.spawn("server", notice(*server, clock, noticed));
  const auto id = run(server->current()) ? server->id() : "";
  const auto done = run(restore(*replicated, first, RestoreOptions{.prefixes = prefixes, .attempt = "one"}));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->written, values.size());
  run_until([&] { return noticed; });
  EXPECT_FALSE(run(check_whole(*server)));
  ASSERT_TRUE(run(replicated->renew_id()));
  ASSERT_TRUE(run(finish(*replicated, "one")));
  EXPECT_TRUE(run(check_whole(*replicated)));
  EXPECT_EQ(content(*replicated), values);
  EXPECT_TRUE(run(replicated->get("/registry/pods/x"))->has_value());
  (void)run(server->current());  // notices
  EXPECT_NE(server->id(), id);
  EXPECT_EQ(server->id(), replicated->id());

  // Back, while others write beside it.
  const auto second = std::make_shared<const Backup>(backup(*replicated, [&] { put(*server, "outside/of/all", "1"); }));
  EXPECT_EQ(texts(second->values), values);
  auto new_store = sqlite("new.db");
  ASSERT_TRUE(run(restore(*new_store, second, RestoreOptions{.prefixes = prefixes, .attempt = "two"})));
  ASSERT_TRUE(run(finish(*new_store, "two")));
  EXPECT_EQ(content(*new_store), values);
}

}  // namespace

}  // namespace krake::backup
