#include "main/krakectl_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "cli/config.h"
#include "main/files.h"

namespace krake {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct CheckKrakectl : ::testing::Test {
  CheckKrakectl() { std::filesystem::create_directories(dir); }
  ~CheckKrakectl() override { std::filesystem::remove_all(dir); }
  Result<KrakectlCheck> check(std::string_view text, const std::map<std::string, std::string>& variables = {}) const {
    EXPECT_TRUE(write_whole_file(path, text, 0600, true));
    return check_krakectl(path, [&](const std::string& name) {
      const auto it = variables.find(name);
      return it == variables.end() ? std::nullopt : std::optional<std::string>(it->second);
    });
  }
  const std::filesystem::path dir =
      std::filesystem::path(::testing::TempDir()) / fmt::format("krake-krakectl-{}", ::getpid());
  const std::string path = (dir / "krakectl.yaml").string();
};

TEST_F(CheckKrakectl, SaysWhatCountsAndWhere) {
  const auto got =
      check("api_url: http://localhost:1\nuser: me\nusr: you\ntoken: planted\ntls:\n  enabled: false\n  ca: x\n",
            {{"KRAKE_NAMESPACE", "other"}});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->warnings, ElementsAre(path + ":3: the key 'usr' is not known and ignored; did you mean 'user'?",
                                         path + ":7: the key 'tls.ca' is not known and ignored"));
  EXPECT_THAT(got->values, Contains(EffectiveValue{"api_url", R"("http://localhost:1")", path + ":1"}));
  EXPECT_THAT(got->values, Contains(EffectiveValue{"user", R"("other")", "KRAKE_NAMESPACE"}));
  EXPECT_THAT(got->values, Contains(EffectiveValue{"token", R"("********")", path + ":4"}));
  EXPECT_THAT(got->problems, IsEmpty());
}

TEST_F(CheckKrakectl, SaysWhatKeepsItFromWorking) {
  const std::pair<std::string, std::string> rows[] = {
      {"user: me\n", "api_url: missing"},
      {"api_url: nowhere\nuser: me\n", "api_url: 'nowhere'"},
      {"api_url: http://a\nuser: me\ntls: {enabled: true, client_cert: /none}\n", "tls.client_cert: '/none'"},
      {"- a\n", "want one mapping"},
  };
  for (const auto& [text, wanted] : rows) {
    const auto got = check(text);
    ASSERT_FALSE(got) << text;
    EXPECT_THAT(got.error().message, HasSubstr(wanted));
  }
  ASSERT_TRUE(write_whole_file((dir / "junk").string(), "junk", 0600, false));
  const auto junk = (dir / "junk").string();
  const auto got = check(fmt::format(
      "api_url: https://a\nuser: me\ntls:\n  enabled: true\n  client_cert: {0}\n  client_key: {0}\n", junk));
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->problems.size(), 1U);
  EXPECT_THAT(got->problems[0].what, HasSubstr(path + ":3)"));
}

// Its own words: it reads with it.
TEST_F(CheckKrakectl, WarnsAsKrakectlDoes) {
  const auto got = check(
      "api_url: http://a\napi_url: http://b\nuser: me\ninsecure-skip-verify: true\ncontexts:\n"
      "  prod:\n    tokne: planted\n    timeut: 3\n    tls:\n      enabled: false\n      clent_cert: x\n");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(
      got->warnings,
      UnorderedElementsAre(
          path + ":2: the key 'api_url' is there since line 1; the last one counts",
          path + ":4: the key 'insecure-skip-verify' is not known and ignored; did you mean 'insecure_skip_verify'?",
          path + ":7: the key 'contexts.prod.tokne' is not known and ignored; did you mean 'token'?",
          path + ":8: the key 'contexts.prod.timeut' is not known and ignored; did you mean 'timeout'?",
          path + ":11: the key 'contexts.prod.tls.clent_cert' is not known and ignored; did you mean 'client_cert'?"));
  EXPECT_THAT(got->values, Contains(EffectiveValue{"api_url", R"("http://b")", path + ":2"}));
  EXPECT_THAT(got->values, Contains(EffectiveValue{"insecure_skip_verify", "false", "default"}));
  const cli::CliIo io{.read_file = cli::read_local_file, .env = [](const std::string&) { return std::nullopt; }};
  const auto config = cli::load_config(io, path);
  ASSERT_TRUE(config) << config.error().message;
  auto own = config->warnings;
  own.insert(own.end(), config->remarks.begin(), config->remarks.end());
  EXPECT_EQ(got->warnings, own);
}

TEST_F(CheckKrakectl, SaysWhatCountsOfTheCurrentContext) {
  const std::string maps =
      "current-context: b\nuser: all\ntls: {enabled: true, client_ca: /none}\ncontexts:\n"
      "  a: {api_url: 'http://a', timeout: 1}\n  b:\n    api_url: http://b\n    tls:\n      enabled: false\n";
  const std::string list =
      "current-context: b\nuser: all\ntls: {enabled: true, client_ca: /none}\ncontexts:\n"
      "- {name: a, api_url: 'http://a', timeout: 1}\n- name: b\n  api_url: http://b\n  tls:\n    enabled: false\n";
  for (const auto& text : {maps, list}) {
    const auto got = check(text);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_THAT(got->warnings, IsEmpty());
    EXPECT_THAT(got->values, ElementsAre(EffectiveValue{"api_url", R"("http://b")", path + ":7"},
                                         EffectiveValue{"user", R"("all")", path + ":2"},
                                         EffectiveValue{"timeout", "30.0", "default"},
                                         EffectiveValue{"insecure_skip_verify", "false", "default"},
                                         EffectiveValue{"tls.enabled", "false", path + ":9"}))
        << text;
  }
}

TEST_F(CheckKrakectl, RunsNoCommand) {
  const auto made = dir / "made";
  const auto got =
      check(fmt::format("api_url: http://localhost\nuser: me\ntoken_command: touch {0}; echo t\n", made.string()));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_FALSE(std::filesystem::exists(made));
  EXPECT_THAT(got->values, Contains(EffectiveValue{"token_command", R"("********")", path + ":3"}));
}

}  // namespace
}  // namespace krake
