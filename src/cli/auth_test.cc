#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing.h"

namespace krake::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TestCli;

TEST(KrakectlAuth, SaysWhetherOneMayDoSomething) {
  TestCli cli{.server{krake::testing::TestServer::under_shipped_roles()}};
  const auto yes = cli.run("auth can-i delete applications web -n demo");
  EXPECT_EQ(yes.out, "yes\n") << yes.err;
  EXPECT_EQ(yes.exit, 0);
  EXPECT_EQ(json::print(yes.body(0)), R"({"verb":"delete","resource":"applications","name":"web","namespace":"demo"})");
  EXPECT_EQ(json::print(cli.run("auth can-i update kubernetes/applications/status --all").body(0)),
            R"({"verb":"update","resource":"applications/status","api":"kubernetes"})");
  EXPECT_EQ(cli.server
                .call("PATCH", "/core/roles/role:system",
                      R"({"rules":[{"api":"core","resources":["roles"],"namespaces":[""],"verbs":["get"]}]})")
                .status,
            200);
  const auto no = cli.run("auth can-i delete applications");
  EXPECT_EQ(no.out, "no\n") << no.err;
  EXPECT_EQ(no.exit, 1);
  EXPECT_THAT(cli.run("auth can-i delete applications -o json").out, HasSubstr("\"allowed\": false"));
  const auto list = cli.run("auth can-i --list");
  EXPECT_EQ(list.exit, 0);
  EXPECT_THAT(list.out, AllOf(HasSubstr("core"), HasSubstr("roles"), HasSubstr("(all)"), HasSubstr("get")));
}

TEST(KrakectlAuth, SaysWhatIsMissingAndWhatIsWrong) {
  TestCli cli;
  EXPECT_EQ(cli.run("auth can-i delete").exit, 2);
  EXPECT_EQ(cli.run("auth can-i a b c d").exit, 2);
  const auto unknown = cli.run("auth can-i delete rolls");
  EXPECT_EQ(unknown.exit, 1);
  EXPECT_THAT(unknown.err, HasSubstr("rolls"));
  EXPECT_THAT(cli.run("auth whoami").out, HasSubstr("system:anonymous"));
}

TEST(KrakectlAuth, ShowsTheWarningsOfTheApi) {
  TestCli cli;
  const auto made = cli.run("core gmp create p --type prometheus --url prometheus:9090");
  EXPECT_EQ(made.exit, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("WARNING: spec.url"));
  EXPECT_EQ(cli.run("core gmp create q --type prometheus --url prometheus:9090 --quiet").err, "");
}

}  // namespace
}  // namespace krake::cli
