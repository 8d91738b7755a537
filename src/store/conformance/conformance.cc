#include "store/conformance/conformance.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace krake::store::conformance {

Bytes bytes(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

std::string show(const CommitEvent& event) {
  std::string text;
  for (const auto& change : event.changes) {
    if (!text.empty()) text += ' ';
    text += change.value ? change.key + "=" + *change.value : "-" + change.key;
  }
  return text;
}

Rig::Rig(const Factory& factory, BackendOptions options)
    : backend_(factory(options)), tasks_(std::make_unique<TaskGroup>(backend_->loop().get_executor())) {
  reopen();
}

Rig::~Rig() {
  tasks_->cancel();
  pump([&] { return tasks_->size() == 0; });
  store_.reset();
}

void Rig::reopen() {
  store_.reset();
  auto opened = run(backend_->open());
  CHECK(opened.has_value(), opened ? "" : opened.error().message);
  store_ = std::move(*opened);
}

void Rig::pump(const std::function<bool()>& done) {
  auto& loop = backend_->loop();
  while (!done()) {
    loop.restart();
    CHECK(loop.run_one_for(std::chrono::seconds(30)) > 0, "the store answers within half a minute");
  }
}

CommitResult Rig::commit(Txn txn) {
  auto result = try_commit(std::move(txn));
  if (result) return std::move(*result);
  ADD_FAILURE() << "commit: " << to_string(result.error());
  return Committed{};
}

Revision Rig::committed(Txn txn) {
  const auto result = commit(std::move(txn));
  if (const auto* done = std::get_if<Committed>(&result)) return done->revision;
  ADD_FAILURE() << "commit: guard " << std::get<Conflict>(result).guard << " failed";
  return 0;
}

Revision Rig::put(std::string key, std::string value, LeaseId lease) {
  return committed({.puts = {{std::move(key), bytes(std::move(value)), lease}}});
}

Revision Rig::remove(std::string key) { return committed({.removes = {{std::move(key)}}}); }

std::optional<Entry> Rig::get(std::string key) {
  auto result = run(store().get(std::move(key)));
  if (result) return std::move(*result);
  ADD_FAILURE() << "get: " << to_string(result.error());
  return std::nullopt;
}

Listing Rig::list(std::string prefix, ListOptions options) {
  auto result = run(store().list(std::move(prefix), std::move(options)));
  if (result) return std::move(*result);
  ADD_FAILURE() << "list: " << to_string(result.error());
  return {};
}

std::vector<std::string> Rig::keys(std::string prefix, ListOptions options) {
  std::vector<std::string> keys;
  for (auto& entry : list(std::move(prefix), std::move(options)).entries) keys.push_back(std::move(entry.key));
  return keys;
}

Revision Rig::current() {
  const auto result = run(store().current());
  if (result) return *result;
  ADD_FAILURE() << "current: " << to_string(result.error());
  return 0;
}

LeaseId Rig::grant(Duration ttl) {
  const auto result = run(store().grant(ttl));
  if (result) return *result;
  ADD_FAILURE() << "grant: " << to_string(result.error());
  return 0;
}

Reader Rig::watch(std::string prefix, Revision after) {
  auto result = run(store().watch(std::move(prefix), after));
  CHECK(result.has_value(), result ? "" : result.error().message);
  return Reader(*this, std::move(*result));
}

CommitEvent Reader::next() {
  if (ready_.empty()) {
    auto events = rig_->run(watch_->next());
    CHECK(events.has_value(), events ? "" : events.error().message);
    CHECK(!events->empty(), "next() waits for an event");
    for (auto& event : *events) ready_.push_back(std::move(event));
  }
  auto event = std::move(ready_.front());
  ready_.pop_front();
  return event;
}

Error Reader::error() {
  while (true) {
    auto events = rig_->run(watch_->next());
    if (!events) return std::move(events).error();
  }
}

std::vector<std::string> Reader::until(Revision revision) {
  std::vector<std::string> seen;
  while (true) {
    const auto event = next();
    seen.push_back(show(event));
    if (event.revision >= revision) return seen;
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  add_core_cases(all);
  add_watch_cases(all);
  add_lease_cases(all);
  add_random_cases(all);
  return all;
}

namespace {
class CaseTest final : public testing::Test {
 public:
  CaseTest(Case the_case, Factory factory) : case_(std::move(the_case)), factory_(std::move(factory)) {}
  void TestBody() override { case_.run(factory_); }

 private:
  Case case_;
  Factory factory_;
};
}  // namespace

bool register_cases(const std::string& suite, Factory factory) {
  for (const auto& c : cases()) {
    testing::RegisterTest(suite.c_str(), c.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [c, factory]() -> testing::Test* { return new CaseTest(c, factory); });
  }
  return true;
}

}  // namespace krake::store::conformance
