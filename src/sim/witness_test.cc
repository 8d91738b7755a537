#include "sim/witness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/loop.h"
#include "sim/net.h"

namespace krake::sim {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

// What a server says on one stream before it ends.
struct Lines final : ReplySource {
  explicit Lines(std::vector<std::string> the_lines) : lines(std::move(the_lines)) {}
  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    const bool more = !lines.empty();
    for (const auto& line : std::exchange(lines, {})) batch.push_back(share_bytes(line + "\n"));
    co_return more;
  }
  std::vector<std::string> lines;
};

// A server whose lists are empty and whose streams are `streams`, one after the other; no lines: it answers 410.
struct Witnessed : ::testing::Test {
  Witnessed() {
    conductor.add(loop);
    network.up("server", env.executor, [this](ServerRequest& request) { return answer(*this, request.target); });
    witness.on_stream([this](bool resumed) { begun.push_back(resumed); });
  }
  ~Witnessed() override { loop.drop(); }

  static Awaitable<ServerReply> answer(Witnessed& self, std::string target) {
    ServerReply reply;
    if (!target.contains("watch")) {
      reply.body.push_back(share_bytes(R"({"metadata":{"resource_version":"0"},"items":[]})"));
      co_return reply;
    }
    if (self.streams.empty()) {
      reply.status = 503;
      co_return reply;
    }
    auto lines = std::move(self.streams.front());
    self.streams.pop_front();
    if (lines.empty()) reply.status = 410;
    if (!lines.empty()) reply.source = std::make_unique<Lines>(std::move(lines));
    co_return reply;
  }
  static std::string event(std::string_view type, int revision) {
    return fmt::format(
        R"({{"type":"{}","revision":"{}","object":{{"metadata":{{"name":"web","resource_version":"{}"}}}}}})", type,
        revision, revision);
  }
  const std::vector<std::string>& follow() {
    witness.start();
    conductor.pass(std::chrono::seconds(10));
    witness.report();
    return checks.broken();
  }

  ProcessLoop loop;
  SimClock clock{loop.get_executor(), Wall()};
  Conductor conductor{clock};
  Metrics metrics;
  Env env{loop.get_executor(), clock, Random(1), Log(), metrics};
  Trace trace{clock};
  Network network{env, trace};
  store::MemoryDisk disk{"test", store::MemoryOptions{}};
  Clusters clusters;
  Model model;
  Removals removals;
  Reached reached;
  Checks checks{disk, clusters, model, removals, reached};
  Client client{network.transport("witness", "server", {})};
  Witness witness{env, client, checks, reached};
  std::deque<std::vector<std::string>> streams;
  std::vector<bool> begun;
};

constexpr auto kResumed = "a watch was taken up where it broke";

TEST_F(Witnessed, AWatchThatTellsEachThingOnce) {
  streams = {{event("ADDED", 6), event("MODIFIED", 7), event("DELETED", 8)}};
  EXPECT_THAT(follow(), IsEmpty());
  EXPECT_THAT(begun, ElementsAre(false));
  EXPECT_THAT(reached.counts(), Not(Contains(Key(kResumed))));
}

TEST_F(Witnessed, AWatchDoesNotRepeatItself) {
  streams = {{event("ADDED", 6), event("MODIFIED", 7), event("MODIFIED", 7)}};
  EXPECT_THAT(follow(), ElementsAre(HasSubstr("once more")));
}

TEST_F(Witnessed, TakenUpItTellsOfTheLastRevisionAgain) {
  streams = {{event("ADDED", 6), event("MODIFIED", 7)}, {event("MODIFIED", 7), event("MODIFIED", 8)}};
  EXPECT_THAT(follow(), IsEmpty());
}

TEST_F(Witnessed, AndOfNothingBeforeIt) {
  streams = {{event("ADDED", 6), event("MODIFIED", 7)}, {event("MODIFIED", 6)}};
  EXPECT_THAT(follow(), ElementsAre(HasSubstr("once more")));
}

TEST_F(Witnessed, AWatchIsTakenUpWhereItBroke) {
  streams = {{event("ADDED", 6)}, {event("MODIFIED", 7)}};
  EXPECT_THAT(follow(), IsEmpty());
  EXPECT_THAT(begun, ElementsAre(false, true));
  EXPECT_THAT(reached.counts(), Contains(std::pair(std::string(kResumed), 1u)));
}

TEST_F(Witnessed, AListInBetweenIsNoResumption) {
  streams = {{event("ADDED", 6)}, {}, {event("ADDED", 7)}};
  EXPECT_THAT(follow(), IsEmpty());
  EXPECT_THAT(begun, ElementsAre(false, false));
  EXPECT_THAT(reached.counts(), Contains(Key("the API no longer kept what a watch asked for")));
  EXPECT_THAT(reached.counts(), Not(Contains(Key(kResumed))));
}

}  // namespace
}  // namespace krake::sim
