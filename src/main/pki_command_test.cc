#include "main/pki_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "main/config.h"
#include "main/files.h"
#include "net/pki.h"

namespace krake {

namespace {

namespace fs = std::filesystem;

struct PkiCommand : ::testing::Test {
  const fs::path dir = fs::path(::testing::TempDir()) / fmt::format("krake-pki-{}", ::getpid());
  ~PkiCommand() override { fs::remove_all(dir); }

  int pki(Arguments args) {
    args.insert(args.end(), {"--dest-dir", dir.string()});
    return run_pki(std::move(args));
  }
  std::string text(const char* name) { return read_file((dir / name).string()).value_or(""); }
};

TEST_F(PkiCommand, MakesWhatUpstreamsHelperMakes) {
  ASSERT_EQ(pki({"system:admin"}), 0);
  EXPECT_EQ(fs::status(dir).permissions(), fs::perms::owner_all);
  for (const auto* name : {"ca.pem", "ca-key.pem", "system:admin.pem", "system:admin-key.pem"})
    EXPECT_TRUE(fs::exists(dir / name)) << name;
  for (const auto* name : {"ca-key.pem", "system:admin-key.pem"})
    EXPECT_EQ(fs::status(dir / name).permissions(), fs::perms::owner_read | fs::perms::owner_write) << name;
  EXPECT_TRUE(check_ca({text("ca.pem"), text("ca-key.pem")}));
  EXPECT_FALSE(check_ca({text("system:admin.pem"), text("system:admin-key.pem")}));
}

TEST_F(PkiCommand, OverwritesNothingUnlessTold) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  const auto before = text("a.pem");
  EXPECT_EQ(pki({"client", "a"}), 1);
  EXPECT_EQ(pki({"client", "a", "--ignore"}), 0);
  EXPECT_EQ(text("a.pem"), before);
  const auto ca = text("ca.pem");
  EXPECT_EQ(pki({"client", "a", "--force"}), 0);
  EXPECT_NE(text("a.pem"), before);
  EXPECT_EQ(text("ca.pem"), ca) << "the authority is not made anew on the way";
  EXPECT_EQ(pki({"ca"}), 1);
  EXPECT_EQ(pki({"ca", "--force"}), 0);
  EXPECT_NE(text("ca.pem"), ca);
}

TEST_F(PkiCommand, RefusesAnAuthorityThatIsNone) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  const auto at = [&](const char* name) { return (dir / name).string(); };
  EXPECT_EQ(pki({"client", "b", "--ca-cert", at("ca.pem"), "--ca-key", at("a-key.pem")}), 1) << "a wrong key";
  EXPECT_EQ(pki({"client", "b", "--ca-cert", at("a.pem"), "--ca-key", at("a-key.pem")}), 1) << "no authority";
  EXPECT_EQ(pki({"client", "b", "--ca-cert", at("ca.pem")}), 1) << "no key";
  EXPECT_FALSE(fs::exists(dir / "b.pem"));
  EXPECT_FALSE(fs::exists(dir / "b-key.pem"));
}

TEST_F(PkiCommand, MakesTheWholeSet) {
  ASSERT_EQ(pki({"init", "--host", "krake.example.org"}), 0);
  EXPECT_TRUE(check_ca({text("system:complete-signing.pem"), text("system:complete-signing-key.pem")}));
  const CertificateAndKey signing{text("system:complete-signing.pem"), text("system:complete-signing-key.pem")};
  const Wall now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  EXPECT_TRUE(issue(signing, "system:complete-hook", {}, {.client = true}, now));
  EXPECT_EQ(pki({"init"}), 1);
  EXPECT_EQ(pki({"init", "--ignore"}), 0);
}

TEST_F(PkiCommand, RenewsWhatTheAuthoritySigned) {
  ASSERT_EQ(pki({"server", "s", "--host", "krake.example.org", "--host", "::1"}), 0);
  ASSERT_EQ(pki({"client", "c"}), 0);
  ASSERT_EQ(pki({"intermediate", "i"}), 0);
  const auto ca = text("ca.pem");
  std::map<std::string, CertificateInfo> before;
  for (const auto* name : {"s.pem", "c.pem", "i.pem"}) before[name] = certificate_info(text(name)).value();
  const auto key = text("s-key.pem");
  ASSERT_EQ(pki({"renew"}), 0);
  EXPECT_EQ(text("ca.pem"), ca);
  EXPECT_NE(text("s-key.pem"), key);
  for (const auto& [name, old] : before) {
    const auto info = certificate_info(text(name.c_str())).value();
    EXPECT_NE(info.fingerprint, old.fingerprint) << name;
    EXPECT_TRUE(is_signed_by(text(name.c_str()), ca).value()) << name;
    EXPECT_EQ(info.subject, old.subject);
    EXPECT_EQ(info.hosts, old.hosts);
    EXPECT_EQ(info.authority, old.authority);
    EXPECT_EQ(info.use.server, old.use.server);
    EXPECT_EQ(info.use.client, old.use.client);
  }
  EXPECT_EQ(before["s.pem"].hosts, (std::vector<std::string>{"127.0.0.1", "localhost", "krake.example.org", "::1"}));
  EXPECT_TRUE(check_ca({text("i.pem"), text("i-key.pem")}));
  EXPECT_FALSE(fs::exists(dir / "renew.pem"));
}

TEST_F(PkiCommand, RenewsTheNamedOnesAlone) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  const auto a = text("a.pem");
  const auto b = text("b.pem");
  ASSERT_EQ(pki({"renew", "a"}), 0);
  EXPECT_NE(text("a.pem"), a);
  EXPECT_EQ(text("b.pem"), b);
  EXPECT_EQ(pki({"renew", "nobody"}), 1);
  ASSERT_EQ(pki({"ca", "--force"}), 0);
  EXPECT_EQ(pki({"renew", "b"}), 1) << "another authority's";
  EXPECT_EQ(pki({"renew"}), 0) << "they are left";
  EXPECT_EQ(text("b.pem"), b);
  fs::rename(dir / "ca.pem", dir / "root.pem");
  fs::rename(dir / "ca-key.pem", dir / "root-key.pem");
  const auto root = text("root.pem");
  EXPECT_EQ(pki({"renew", "--ca-cert", (dir / "root.pem").string(), "--ca-key", (dir / "root-key.pem").string()}), 0);
  EXPECT_EQ(text("root.pem"), root) << "an authority does not become one below itself";
  EXPECT_EQ(pki({"renew"}), 1) << "no authority is made on the way";
}

TEST_F(PkiCommand, ShowsCertificatesAndNoKey) {
  ASSERT_EQ(pki({"server", "s", "--host", "krake.example.org"}), 0);
  ::testing::internal::CaptureStdout();
  const int status = pki({"show"});
  std::fflush(stdout);
  const auto out = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(status, 0);
  for (const auto* part :
       {"/ca.pem\n  subject: CN=krake-ca\n", "/s.pem\n  subject: CN=s\n  issuer: CN=krake-ca\n",
        "  kind: server\n  names: 127.0.0.1, localhost, krake.example.org\n", "  not after: 2", "  SHA-256: "})
    EXPECT_THAT(out, ::testing::HasSubstr(part));
  EXPECT_THAT(out, ::testing::Not(::testing::HasSubstr("PRIVATE")));
  EXPECT_THAT(out, ::testing::Not(::testing::HasSubstr("s-key")));
  EXPECT_EQ(pki({"show", "nobody"}), 1);
}

TEST_F(PkiCommand, KnowsWrongUsage) {
  const Arguments rows[] = {{},
                            {"a/b"},
                            {"server"},
                            {"a", "b"},
                            {"client", "a", "--host", "h"},
                            {"--no-such"},
                            {"a", "--ignore", "--force"},
                            {"..", "--ignore"},
                            {"intermediate", "i", "--host", "h"},
                            {"issue"},
                            {"list"},
                            {"help"},
                            {"show", "--force"},
                            {"renew", "--host", "h"},
                            {"renew", "ca"},
                            {"show", "../x"}};
  for (const auto& row : rows) EXPECT_EQ(pki(row), 2) << fmt::format("{}", fmt::join(row, " "));
  EXPECT_FALSE(fs::exists(dir));
}

TEST(WholeFile, TakesNoOtherFilesPlace) {
  const auto path = (fs::path(::testing::TempDir()) / fmt::format("krake-file-{}", ::getpid())).string();
  EXPECT_TRUE(write_whole_file(path, "one", 0600, false));
  const auto again = write_whole_file(path, "two", 0600, false);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::already_exists);
  EXPECT_EQ(*read_file(path), "one");
  EXPECT_TRUE(write_whole_file(path, "two", 0640, true));
  EXPECT_EQ(*read_file(path), "two");
  fs::remove(path);
}

}  // namespace
}  // namespace krake
