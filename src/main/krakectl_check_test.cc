#include "main/krakectl_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "main/files.h"

namespace krake {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  EXPECT_THAT(got->warnings, ElementsAre(path + ":3: unknown configuration key 'usr' is ignored",
                                         path + ":7: unknown configuration key 'tls.ca' is ignored"));
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
