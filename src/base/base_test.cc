#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/backoff.h"
#include "base/datetime.h"
#include "base/encoding.h"
#include "base/epoch.h"
#include "base/names.h"
#include "base/testing.h"

namespace krake {
namespace {

TEST(DateTime, AcceptsAndPrintsWhatUpstreamDoes) {
  const char* cases[][2] = {
      {"2026-03-01T09:30:00.123456+00:00", "2026-03-01T09:30:00.123456+00:00"},
      {"2026-03-01T09:30:00Z", "2026-03-01T09:30:00+00:00"},
      {"2026-3-1 9:30", "2026-03-01T09:30:00"},
      {"2026-03-01T09:30:00.5+02", "2026-03-01T09:30:00.500000+02:00"},
      {"2026-03-01T09:30:00.1234569-0130", "2026-03-01T09:30:00.123456-01:30"},
      {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999+00:00"},
  };
  for (const auto& [in, out] : cases) {
    const auto time = parse_datetime(in);
    ASSERT_TRUE(time) << in;
    EXPECT_EQ(to_string(*time), out);
  }
  for (const auto* bad :
       {"", "2026-03-01", "1772357400", "2026-03-01T09:30:00z", "2026-02-30T00:00", "2026-03-01T24:00",
        "2026-03-01T09:30:00.", "2026-03-01T09:30:00+1", "26-03-01T09:30", "2026-03-01T09:30:00 x"}) {
    EXPECT_FALSE(parse_datetime(bad)) << bad;
  }
  EXPECT_EQ(*parse_datetime("2026-03-01T09:30:00Z"), *parse_datetime("2026-03-01T11:30:00+02:00"));
  EXPECT_FALSE(*parse_datetime("2026-03-01T09:30:00Z") == *parse_datetime("2026-03-01T09:30:00"));
}

TEST(Encoding, Base64AndPercentRoundTrip) {
  for (const auto* text : {"", "f", "fo", "foo", "foob"}) EXPECT_EQ(base64_decode(base64_encode(text)), text);
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  EXPECT_FALSE(base64_decode("a*b"));
  for (const auto* text : {"", "f", "fo", "foo", "\xfb\xff"}) EXPECT_EQ(base64url_decode(base64url_encode(text)), text);
  EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
  // One value is written in one way only.
  for (const auto* text : {"Zm8=", "Zm9v\n", "Z g", "+/", "Zh", "Z", "a.b"})
    EXPECT_FALSE(base64url_decode(text)) << text;
  const auto digest = sha256("abc");
  EXPECT_EQ(sha256_hex("abc").substr(0, 4), fmt::format("{:02x}{:02x}", digest[0], digest[1]));
  EXPECT_EQ(percent_decode("system%3Aadmin"), "system:admin");
  EXPECT_EQ(percent_decode("%41"), "A");
  for (const auto* bad : {"%", "%4", "%zz", "a%2"}) EXPECT_FALSE(percent_decode(bad)) << bad;
  EXPECT_EQ(percent_encode("a b/ü"), "a%20b%2F%C3%BC");
  const auto query = parse_query("watch&heartbeat=1&x=a%20b+c&&");
  ASSERT_EQ(query.size(), 3u);
  EXPECT_EQ(query[0], (std::pair<std::string, std::string>{"watch", ""}));
  EXPECT_EQ(query[2].second, "a b c");
  EXPECT_EQ(secret_token().size(), 43u);
  EXPECT_TRUE(constant_time_equal("abc", "abc"));
  EXPECT_FALSE(constant_time_equal("abc", "abd"));
  EXPECT_FALSE(constant_time_equal("abc", "ab"));
}

TEST(Encoding, TextOfTheUsualCharsetsBecomesUtf8) {
  using namespace std::string_literals;
  struct Case {
    std::string charset;
    std::string bytes;
    std::optional<std::string> wanted;
  };
  const Case cases[] = {
      {"", "\xC3\xBC", "\xC3\xBC"},
      {"", "\xFC", "\xFC"},  // whoever parses it refuses it
      {"UTF-8", "\xC3\xBC", "\xC3\xBC"},
      {"utf8", "a", "a"},
      {"us-ascii", "a\x7F", "a\x7F"},
      {"ASCII", "\x80", std::nullopt},
      {"latin-1", "a\xFC\xFF\x80", "a\xC3\xBC\xC3\xBF\xC2\x80"},
      {"ISO-8859-1", "\xE9", "\xC3\xA9"},
      {"iso_8859_1", "\xE9", "\xC3\xA9"},
      {"utf-16", "\xFF\xFE\xFC\x00"s, "\xC3\xBC"},
      {"utf-16", "\xFE\xFF\x00\xFC"s, "\xC3\xBC"},
      {"utf-16", "\xFC\x00"s, "\xC3\xBC"},
      {"UTF-16LE", "\xAC\x20"s, "\xE2\x82\xAC"},
      {"utf-16be", "\x20\xAC"s, "\xE2\x82\xAC"},
      {"utf-16le", "\x3D\xD8\x00\xDE"s, "\xF0\x9F\x98\x80"},
      {"utf-16le", "\x3D\xD8"s, std::nullopt},          // half a pair
      {"utf-16le", "\x3D\xD8\x41\x00"s, std::nullopt},  // and no second half
      {"utf-16le", "\x00\xDE"s, std::nullopt},
      {"utf-16", "abc", std::nullopt},
      {"utf-16", "", ""},
      {"utf-8-sig", "\xEF\xBB\xBF\xC3\xBC", "\xC3\xBC"},
      {"UTF_8_SIG", "\xC3\xBC", "\xC3\xBC"},
      {"cp1252", "a\x80\x9F\xFC"s, "a\xE2\x82\xAC\xC5\xB8\xC3\xBC"},
      {"windows-1252", "\0"s, "\0"s},
      {"windows-1252", "\x81", std::nullopt},
      {"windows-1252", "\x9D", std::nullopt},
      {"iso-8859-15", "a\xA4\xA5\xBE\x80"s, "a\xE2\x82\xAC\xC2\xA5\xC5\xB8\xC2\x80"},
      {"Latin-9", "\xA6\xA8\xB4\xB8\xBC\xBD", "\xC5\xA0\xC5\xA1\xC5\xBD\xC5\xBE\xC5\x92\xC5\x93"},
      {"utf-32", "\xFF\xFE\0\0\xFC\0\0\0"s, "\xC3\xBC"},
      {"utf-32", "\0\0\xFE\xFF\0\0\0\xFC"s, "\xC3\xBC"},
      {"utf-32", "\xFC\0\0\0"s, "\xC3\xBC"},
      {"UTF-32LE", "\0\xF6\x01\0"s, "\xF0\x9F\x98\x80"},
      {"utf-32-be", "\0\x01\xF6\0"s, "\xF0\x9F\x98\x80"},
      {"utf-32be", "\0\x11\0\0"s, std::nullopt},  // beyond the last one
      {"utf-32le", "\0\xD8\0\0"s, std::nullopt},  // half a pair
      {"utf-32le", "abc", std::nullopt},
      {"nonsense", "a", std::nullopt},
      {"utf-7", "a", std::nullopt},
      {"'utf-8'", "a", std::nullopt},
  };
  for (const auto& c : cases) EXPECT_EQ(to_utf8(c.bytes, c.charset), c.wanted) << c.charset << " " << c.bytes;
}

TEST(Encoding, ACharsetIsAParameterOfAContentType) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"application/json", ""},
      {"application/json; charset=utf-16", "utf-16"},
      {"text/plain;CHARSET = \"Latin-1\" ; x=y", "Latin-1"},
      {"text/plain; x=charset=no; charset=yes", "yes"},
      {"text/plain; charset=", ""},
      {";;=;charset", ""},
      {"charset=a", "a"},
  };
  for (const auto& [type, wanted] : cases) EXPECT_EQ(charset_of(type), wanted) << type;
}

TEST(Names, FollowTheAlphabet) {
  for (const auto* good : {"a", "_", "A.b:c-d_1", "system:admin"}) EXPECT_TRUE(valid_resource_name(good)) << good;
  for (const auto* bad : {"", "-", "a-", ".a", "a b", "a/b", "ä"}) EXPECT_FALSE(valid_resource_name(bad)) << bad;
  EXPECT_TRUE(valid_resource_name(std::string(255, 'x')));
  EXPECT_FALSE(valid_resource_name(std::string(256, 'x')));
  for (const auto* good : {"k", "k.k", "key_one.one", "url.com/name-one"}) EXPECT_FALSE(check_label_key(good)) << good;
  for (const auto* bad : {"key.", "-key", "-", "url/second/key", "url/", "/key", ""})
    EXPECT_TRUE(check_label_key(bad)) << bad;
  for (const auto* bad : {"value.", "-v", ".", "url.com/value", ""}) EXPECT_TRUE(check_label_value(bad)) << bad;
}

TEST(SimClock, FiresTimersInOrderAndOnlyWhenTimePasses) {
  testing::World world;
  std::vector<int> fired;
  auto late = world.clock.at(world.clock.now() + std::chrono::seconds(2), [&] { fired.push_back(2); });
  auto early = world.clock.at(world.clock.now() + std::chrono::seconds(1), [&] { fired.push_back(1); });
  auto never = world.clock.at(world.clock.now() + std::chrono::seconds(1), [&] { fired.push_back(3); });
  never.reset();
  world.clock.advance(std::chrono::milliseconds(999));
  EXPECT_TRUE(fired.empty());
  world.clock.advance(std::chrono::seconds(5));
  EXPECT_EQ(fired, (std::vector<int>{1, 2}));
}

TEST(SimClock, AWallTimeIsAsFarAwayAsItLooksNow) {
  testing::World world;
  auto& clock = world.clock;
  const Wall when = clock.wall() + std::chrono::seconds(100);
  EXPECT_EQ(mono_of(clock, when), clock.now() + std::chrono::seconds(100));
  clock.jump_wall(std::chrono::seconds(40));
  EXPECT_EQ(mono_of(clock, when), clock.now() + std::chrono::seconds(60));
  EXPECT_LT(mono_of(clock, Wall::min() + std::chrono::hours(1'000'000)), clock.now());
  EXPECT_GT(mono_of(clock, Wall(std::chrono::seconds(253'402'300'799))), clock.now() + std::chrono::hours(24 * 365));
}

Awaitable<Result<int>> answer_after(Clock& clock, Duration time) {
  co_await sleep_for(clock, time);
  co_return 42;
}

TEST(Async, TimeoutCancelsTheOperation) {
  testing::World world;
  const auto good = world.run(with_timeout(world.clock, std::chrono::seconds(5), "the question",
                                           answer_after(world.clock, std::chrono::seconds(1))));
  EXPECT_EQ(good, 42);
  const auto late = world.run(with_timeout(world.clock, std::chrono::seconds(5), "the question",
                                           answer_after(world.clock, std::chrono::hours(1))));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::timeout);
  EXPECT_EQ(late.error().message, "the question did not finish within 5000 ms");
}

Awaitable<void> hold(AsyncMutex& mutex, Clock& clock, int id, std::vector<int>& order) {
  const auto lock = co_await mutex.lock();
  order.push_back(id);
  co_await sleep_for(clock, std::chrono::seconds(1));
  order.push_back(id);
}

TEST(TaskGroup, ATaskCancelledBeforeItsFirstStepNeverRuns) {
  testing::World world;
  TaskGroup group(world.env.executor);
  bool ran = false;
  group.spawn("late", [](bool& flag) -> Awaitable<void> {
    flag = true;
    co_return;
  }(ran));
  group.cancel();
  world.settle();
  EXPECT_FALSE(ran);
  EXPECT_EQ(group.size(), 0u);
}

TEST(TaskGroup, CancelsAndJoins) {
  testing::World world;
  AsyncMutex mutex(world.env.executor);
  std::vector<int> order;
  TaskGroup group(world.env.executor);
  for (int i = 0; i < 3; ++i) group.spawn("hold", hold(mutex, world.clock, i, order));
  EXPECT_TRUE(world.run_until([&] { return group.size() == 0; }));
  ASSERT_EQ(order.size(), 6u);
  for (std::size_t i = 0; i < 6; i += 2) EXPECT_EQ(order[i], order[i + 1]);  // nobody came in between
  group.spawn("sleeper", hold(mutex, world.clock, 9, order));
  world.settle();
  world.run(group.stop());
  EXPECT_EQ(group.size(), 0u);
  EXPECT_EQ(order.size(), 7u);  // cancelled in its sleep
}

TEST(Random, IsReproducibleAndForksAreIndependent) {
  Random a(1);
  Random b(1);
  EXPECT_EQ(a.next(), b.next());
  Random fork = a.fork("x");
  EXPECT_EQ(fork.next(), b.fork("x").next());
  EXPECT_NE(a.fork("x").next(), a.fork("y").next());
  EXPECT_EQ(a.uuid4().size(), 36u);
  EXPECT_EQ(a.uuid4()[14], '4');
}

TEST(Backoff, GrowsToItsCap) {
  Random random(1);
  const Backoff backoff{.base = std::chrono::seconds(1), .cap = std::chrono::seconds(10), .factor = 2, .jitter = 0};
  EXPECT_EQ(backoff.delay(0, random), std::chrono::seconds(1));
  EXPECT_EQ(backoff.delay(3, random), std::chrono::seconds(8));
  EXPECT_EQ(backoff.delay(1000, random), std::chrono::seconds(10));
}

TEST(Log, DiscardsWithoutASink) { Log().error("nobody reads this", {{"key", 1}}); }

// Level and place of a log can be changed under all who have a copy of it.
TEST(Log, AllCopiesFollow) {
  namespace fs = std::filesystem;
  const auto dir = fs::path(::testing::TempDir()) / fmt::format("krake-log-{}", ::getpid());
  fs::create_directories(dir);
  const auto text = [&](const char* name) {
    std::ifstream in(dir / name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const auto open = [&](const char* name, LogLevel level, std::vector<std::pair<std::string, LogLevel>> levels) {
    LogOptions options{.level = level};
    options.outputs = {{.to = LogOutput::To::file, .file = (dir / name).string(), .pattern = "%n %&: %v"}};
    options.levels = std::move(levels);
    return Log::open(options).value();
  };
  const Log log = open("first", LogLevel::warning, {{"gc", LogLevel::debug}});
  const Log gc = log.named("gc");
  const Log part = gc.named("part");
  const auto tell = [&] {
    log.info("root", {{"n", 1}});
    gc.info("gc");
    part.debug("part");
  };
  tell();
  EXPECT_EQ(text("first"), "krake.gc INFO: gc\nkrake.gc.part DEBUG: part\n");
  EXPECT_FALSE(log.enabled(LogLevel::info));
  EXPECT_TRUE(part.enabled(LogLevel::debug));
  log.become(open("second", LogLevel::info, {{"gc.part", LogLevel::off}}));
  tell();
  EXPECT_EQ(text("first"), "krake.gc INFO: gc\nkrake.gc.part DEBUG: part\n");
  EXPECT_EQ(text("second"), "krake INFO: root n=1\nkrake.gc INFO: gc\n");
  EXPECT_FALSE(part.enabled(LogLevel::error));
  Log().become(log);
  fs::remove_all(dir);
}

TEST(Epoch, IsAStoreAndARevision) {
  EXPECT_EQ(parse_epoch("s1-12"), (Epoch{"s1", 12}));
  EXPECT_EQ(parse_epoch("0a-1b-2c-9000000000"), (Epoch{"0a-1b-2c", 9'000'000'000}));
  for (const auto* text : {"", "-", "s1", "s1-", "-3", "s1-x", "s1-0", "s1-03", "s1-3x", "s1-99999999999999999999"}) {
    EXPECT_EQ(parse_epoch(text), std::nullopt) << text;
  }
}

}  // namespace
TEST(Encoding, UrlsAreShownWithoutWhatMayBeSecret) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"http://a:1/b", "http://a:1/b"},
      {"http://u:p@a/b", "http://***@a/b"},
      {"http://u:p/q@a", "http://***@a"},
      {"http://u:p@q@a/?t=s", "http://***@a/?***"},
      {"ftp://u:p@a", "ftp://***@a"},
      {"u:p@a", "***@a"},
      {"http://a/?t=s", "http://a/?***"},
      {"http://a/#s", "http://a/?***"},
      {"http://u:p?q@a", "http://***"},
      {"http://a/?mail=b@s", "http://***"},
      {"a@b://c", "***"},
      {"", ""},
  };
  for (const auto& [url, shown] : cases) EXPECT_EQ(presentable_url(url), shown) << url;
}

}  // namespace krake
