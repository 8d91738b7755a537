#include "main/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "main/files.h"

namespace krake {

namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

struct Reload : ::testing::Test {
  Reload() { fs::create_directories(dir); }
  ~Reload() override { fs::remove_all(dir); }
  std::string file(const char* name, std::string_view text) {
    const auto path = (dir / name).string();
    EXPECT_TRUE(write_whole_file(path, text, 0600, true));
    return path;
  }
  ApiConfig with_files() {
    ApiConfig config;
    config.tls = {.enabled = true,
                  .client_ca = file("ca.pem", "the CA"),
                  .cert = file("cert.pem", "the certificate"),
                  .key = file("key.pem", "the key")};
    config.authentication.strategy.token.file = file("tokens", "# some\n\nt0 alice\n t1\tbob \n");
    config.authentication.strategy.signed_.file = file("signing.pem", access::make_signing_key().value());
    return config;
  }
  std::string refused(const ApiConfig& before, const ApiConfig& now) {
    const auto renewal = read_renewal(before, now);
    return renewal ? "" : renewal.error().message;
  }
  const fs::path dir = fs::path(::testing::TempDir()) / fmt::format("krake-reload-{}", ::getpid());
};

TEST_F(Reload, ReadsTheFilesThatAreNamedNow) {
  const auto before = with_files();
  auto now = before;
  now.tls.cert = file("other.pem", "another certificate");
  now.authentication.strategy.signed_.file = "";
  const auto renewal = read_renewal(before, now);
  ASSERT_TRUE(renewal) << renewal.error().message;
  EXPECT_EQ(renewal->tls->cert_chain_pem, "another certificate");
  EXPECT_EQ(renewal->tls->key_pem, "the key");
  EXPECT_EQ(renewal->tls->client_ca_pem, "the CA");
  EXPECT_THAT(renewal->tokens, ElementsAre(Pair("t0", "alice"), Pair("t1", "bob")));
  EXPECT_THAT(renewal->signing_keys, IsEmpty());
  EXPECT_TRUE(renewal->takes_tokens);
  EXPECT_THAT(read_renewal(before, before)->signing_keys, ::testing::SizeIs(1));
  const auto plain = read_renewal({}, {});
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->tls);
  EXPECT_FALSE(plain->takes_tokens);
}

TEST_F(Reload, AnEmptyFileOfTokensIsOneToo) {
  ApiConfig config;
  config.authentication.strategy.token.file = file("tokens", "# nobody\n");
  const auto renewal = read_renewal(config, config);
  ASSERT_TRUE(renewal) << renewal.error().message;
  EXPECT_THAT(renewal->tokens, IsEmpty());
  EXPECT_TRUE(renewal->takes_tokens) << "a token is then unknown, not passed over";
}

TEST_F(Reload, SaysWhatCannotBeTaken) {
  const auto good = with_files();
  const auto with = [&](const std::function<void(ApiConfig&)>& change) {
    auto config = good;
    change(config);
    return refused(good, config);
  };
  const std::string none = (dir / "none").string();
  EXPECT_EQ(with([](auto&) {}), "");
  EXPECT_THAT(with([&](auto& c) { c.tls.cert = none; }), HasSubstr("none"));
  EXPECT_THAT(with([](auto& c) { c.tls.key = ""; }), HasSubstr("tls.key"));
  EXPECT_THAT(with([](auto& c) { c.tls.enabled = false; }), HasSubstr("tls.enabled"));
  EXPECT_THAT(with([](auto& c) { c.tls.client_ca = ""; }), HasSubstr("tls.client_ca"));
  EXPECT_THAT(with([&](auto& c) { c.authentication.strategy.token.file = none; }), HasSubstr("none"));
  EXPECT_THAT(with([&](auto& c) { c.authentication.strategy.token.file = file("bad", "t0 alice\nt1\n"); }),
              HasSubstr("bad:2: want '<token> <user>'"));
  const auto tokens = [&](std::string_view text) {
    return with([&](auto& c) { c.authentication.strategy.token.file = file("bad", text); });
  };
  EXPECT_THAT(tokens("t0 alice smith\n"), HasSubstr("bad:1: want '<token> <user>'"));
  EXPECT_THAT(tokens("t0 alice\nt1 bob\nt0 carol\n"),
              AllOf(HasSubstr("bad:3: the token of user 'carol' is that of 'alice', too"), Not(HasSubstr("t0"))));
  EXPECT_EQ(tokens("t0 alice # hers\nt0 alice\n"), "");
  EXPECT_THAT(with([&](auto& c) { c.authentication.strategy.signed_.file = file("worse.pem", "nonsense"); }),
              HasSubstr("worse.pem"));
}

TEST_F(Reload, WaitsForNoPipe) {
  const auto pipe = (dir / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto good = with_files();
  const std::vector<std::function<void(ApiConfig&)>> changes{
      [&](auto& c) { c.tls.cert = pipe; }, [&](auto& c) { c.tls.key = pipe; }, [&](auto& c) { c.tls.client_ca = pipe; },
      [&](auto& c) { c.authentication.strategy.token.file = pipe; },
      [&](auto& c) { c.authentication.strategy.signed_.file = pipe; }};
  for (const auto& change : changes) {
    auto config = good;
    change(config);
    EXPECT_THAT(refused(good, config), HasSubstr("pipe': it is no regular file"));
  }
  const auto config = load_config_file(pipe, *find_program("api"), FileKind::regular);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("pipe': it is no regular file"));
}

TEST_F(Reload, NamesTheKeysThatTakeARestart) {
  const auto before = with_files();
  auto now = before;
  now.tls.cert = now.tls.key = now.tls.client_ca = "elsewhere";
  now.authentication.strategy.token.file = now.authentication.strategy.signed_.file = "elsewhere";
  now.log = {.level = "DEBUG", .format = "json", .output = "elsewhere"};
  EXPECT_THAT(needs_restart(before, now), IsEmpty());
  now.port = 1;
  now.etcd = EtcdConfig{.password = "planted"};
  now.authentication.cache.seconds = 1;
  now.default_roles.emplace();
  now.security.strict_roles = !now.security.strict_roles;
  EXPECT_THAT(needs_restart(before, now),
              ::testing::UnorderedElementsAre("port", "etcd", "authentication.cache.seconds", "default_roles",
                                              "security.strict_roles"));
}

TEST_F(Reload, NamesTheKeysOfControllersThatTakeARestart) {
  InnerControllers before;
  before.configs["scheduler"];
  before.configs["gc"];
  auto now = before;
  now.configs["kubernetes-cluster"].worker_count = 9;  // it does not run
  EXPECT_THAT(needs_restart(before, now), IsEmpty());
  now.configs["scheduler"].stickiness = 0.7;
  now.configs["gc"].leader_election.ttl_seconds = 9;
  // These do not count in `krake all`.
  now.configs["gc"].token = "planted";
  now.configs["gc"].tls.enabled = true;
  now.configs["gc"].log.level = "DEBUG";
  EXPECT_THAT(needs_restart(before, now),
              ::testing::UnorderedElementsAre("scheduler.stickiness", "garbage_collector.leader_election.ttl_seconds"));
}

}  // namespace
}  // namespace krake
