#include "runtime/election.h"

#include <gtest/gtest.h>

namespace krake {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = Standing::Kind;

constexpr ElectionTiming kTiming{.ttl = seconds(6)};

Mono at(Duration since_start) { return Mono(since_start); }
Standing elected(std::string epoch, Duration confirmed) {
  return {.kind = Kind::elected, .epoch = std::move(epoch), .confirmed = at(confirmed), .leases_seen = true};
}
Answer held(std::string epoch) { return {.kind = Answer::Kind::held, .epoch = std::move(epoch), .why = {}}; }
Answer other(Answer::Kind kind) { return {.kind = kind, .epoch = {}, .why = "why"}; }
const Standing kNone{};
const Standing kNoneOfLeases{.kind = Kind::none, .epoch = {}, .confirmed = {}, .leases_seen = true};
const Standing kAlone{.kind = Kind::alone, .epoch = {}, .confirmed = {}, .leases_seen = false};

TEST(Election, WhatAnAnswerMeansForTheStanding) {
  const struct {
    const char* what;
    Standing before;
    Answer answer;
    Duration sent;
    Standing after;
  } rows[] = {
      {"elected", kNone, held("s-1"), seconds(5), elected("s-1", seconds(5))},
      {"renewed", elected("s-1", seconds(5)), held("s-1"), seconds(7), elected("s-1", seconds(7))},
      {"an older answer takes nothing back", elected("s-1", seconds(7)), held("s-1"), seconds(5),
       elected("s-1", seconds(7))},
      {"another epoch is another term", elected("s-1", seconds(5)), held("s-9"), seconds(7),
       elected("s-9", seconds(7))},
      {"another store as well", elected("s-1", seconds(5)), held("t-1"), seconds(7), elected("t-1", seconds(7))},
      {"lost", elected("s-1", seconds(5)), other(Answer::Kind::taken), seconds(7), kNoneOfLeases},
      {"not the first", kNone, other(Answer::Kind::taken), seconds(7), kNoneOfLeases},
      {"no answer changes nothing", elected("s-1", seconds(5)), other(Answer::Kind::unknown), seconds(7),
       elected("s-1", seconds(5))},
      {"nor in standby", kNone, other(Answer::Kind::unknown), seconds(7), kNone},
      {"a server without leases", kNone, other(Answer::Kind::no_leases), seconds(7), kAlone},
      {"which once had them", kNoneOfLeases, other(Answer::Kind::no_leases), seconds(7), kNoneOfLeases},
      {"or had ours", elected("s-1", seconds(5)), other(Answer::Kind::no_leases), seconds(7),
       elected("s-1", seconds(5))},
      {"a server that got leases", kAlone, held("s-1"), seconds(7), elected("s-1", seconds(7))},
      {"and others use them", kAlone, other(Answer::Kind::taken), seconds(7), kNoneOfLeases},
      {"alone as long as nobody answers", kAlone, other(Answer::Kind::unknown), seconds(7), kAlone},
  };
  for (const auto& row : rows) EXPECT_EQ(after(row.before, row.answer, at(row.sent)), row.after) << row.what;
}

TEST(Election, TheModeIsAFunctionOfTheTime) {
  const auto term = elected("s-1", seconds(10));
  const struct {
    const char* what;
    Standing standing;
    Duration now;
    Mode mode;
  } rows[] = {
      {"just confirmed", term, seconds(10), Mode::leading},
      {"confident", term, seconds(14) - milliseconds(1), Mode::leading},
      {"two thirds of the ttl", term, seconds(14), Mode::repair_only},
      {"long after (the process was stopped)", term, seconds(1000), Mode::repair_only},
      {"nobody", kNone, seconds(14), Mode::standby},
      {"alone", kAlone, seconds(100'000), Mode::leading},
  };
  for (const auto& row : rows) EXPECT_EQ(mode_of(row.standing, kTiming, at(row.now)), row.mode) << row.what;
  EXPECT_EQ(next_turn(term, kTiming, at(seconds(11))), at(seconds(14)));
  EXPECT_EQ(next_turn(term, kTiming, at(seconds(14))), std::nullopt);
  EXPECT_EQ(next_turn(kNone, kTiming, at(seconds(14))), std::nullopt);
  EXPECT_EQ(next_turn(kAlone, kTiming, at(seconds(14))), std::nullopt);
}

// The lease runs out a ttl after the server got the request; it got it after it was sent. So whoever counts from the
// sending has always stopped deciding by then.
TEST(Election, NobodyLeadsBeyondTheLease) {
  const Duration sent = seconds(10);
  for (const Duration under_way : {seconds(0), seconds(1), seconds(4), seconds(5)}) {
    const Standing standing = after(kNone, held("s-1"), at(sent));
    const Mono lease_ends = at(sent + kTiming.ttl);
    EXPECT_EQ(mode_of(standing, kTiming, lease_ends), Mode::repair_only);
    EXPECT_EQ(mode_of(standing, kTiming, at(sent + under_way)),
              under_way < seconds(4) ? Mode::leading : Mode::repair_only);
  }
}

TEST(Election, AsksOftenEnoughAndNotTooOften) {
  const auto term = elected("s-1", seconds(10));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const auto next = [&](const Standing& standing, int failures) {
      return next_request(standing, kTiming, at(seconds(10)), at(seconds(10) + milliseconds(50)), failures, random) -
             at(seconds(10));
    };
    EXPECT_EQ(next(term, 0), seconds(2));
    EXPECT_LE(next(kNoneOfLeases, 0), seconds(1));  // an expired lease is found within a second without any event
    EXPECT_GE(next(kNoneOfLeases, 0), milliseconds(500));
    EXPECT_GE(next(kAlone, 0), seconds(30));
    EXPECT_LE(next(term, 1), milliseconds(250));
    EXPECT_LE(next(term, 100), milliseconds(1050));
    EXPECT_GE(next(term, 100), milliseconds(500));
  }
  // Two tries that are not answered fit between a renewal that is due and doubt.
  EXPECT_LT(kTiming.renew_every() + kTiming.request_timeout() + kTiming.shortest_pause(), kTiming.confidence());
  // An answer that came late does not make the next request come at once.
  Random random(1);
  EXPECT_GE(next_request(term, kTiming, at(seconds(10)), at(seconds(13)), 0, random),
            at(seconds(13)) + milliseconds(200));
}

TEST(Election, WhatTheServerSays) {
  const auto ok = [](Headers headers) { return Result<HttpResponse>(HttpResponse{200, std::move(headers), "{}"}); };
  EXPECT_EQ(answer_of(ok({{"Krake-Epoch", "s-7"}})).kind, Answer::Kind::held);
  EXPECT_EQ(answer_of(ok({{"Krake-Epoch", "s-7"}})).epoch, "s-7");
  EXPECT_EQ(answer_of(ok({})).kind, Answer::Kind::unknown);
  const std::pair<Code, Answer::Kind> rows[] = {
      {Code::conflict, Answer::Kind::taken},          {Code::not_found, Answer::Kind::no_leases},
      {Code::forbidden, Answer::Kind::no_leases},     {Code::method_not_allowed, Answer::Kind::no_leases},
      {Code::unauthenticated, Answer::Kind::unknown}, {Code::too_many_requests, Answer::Kind::unknown},
      {Code::unavailable, Answer::Kind::unknown},     {Code::timeout, Answer::Kind::unknown},
      {Code::internal, Answer::Kind::unknown},        {Code::invalid_object, Answer::Kind::unknown},
  };
  for (const auto& [code, kind] : rows) {
    EXPECT_EQ(answer_of(fail(code, "said so")).kind, kind) << to_string(code);
    EXPECT_EQ(answer_of(fail(code, "said so")).why, "said so");
  }
}

}  // namespace
}  // namespace krake
