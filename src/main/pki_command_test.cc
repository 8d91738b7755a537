#include "main/pki_command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>

#include "main/config.h"
#include "main/faults_testing.h"
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
  std::string path(const char* name) { return (dir / name).string(); }
  std::string text(const char* name) { return read_file(path(name)).value_or(""); }
  void write(const char* name, std::string_view text) { ASSERT_TRUE(write_whole_file(path(name), text, 0600, true)); }
  std::string key_of(const char* name) { return text(fmt::format("{}-key.pem", name).c_str()); }
  bool is_pair(const char* name) {
    return is_key_of(key_of(name), text(fmt::format("{}.pem", name).c_str())).value_or(false);
  }
  // Exit code and what is written to one of the two.
  std::pair<int, std::string> err(Arguments args) {
    ::testing::internal::CaptureStderr();
    const int status = pki(std::move(args));
    return {status, ::testing::internal::GetCapturedStderr()};
  }
  std::pair<int, std::string> out(Arguments args) {
    ::testing::internal::CaptureStdout();
    const int status = pki(std::move(args));
    std::fflush(stdout);
    return {status, ::testing::internal::GetCapturedStdout()};
  }
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

TEST_F(PkiCommand, SignsNothingBeforeTheAuthorityIsValid) {
  const Wall now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  fs::create_directories(dir);
  const auto starts = [&](std::chrono::minutes later) {
    // What it makes is valid five minutes before.
    const auto ca = make_ca("krake-ca", now + later + std::chrono::minutes(5)).value();
    write("ca.pem", ca.cert_pem);
    write("ca-key.pem", ca.key_pem);
  };
  starts(std::chrono::minutes(3));
  EXPECT_EQ(pki({"client", "a"}), 0) << "clocks differ";
  starts(std::chrono::minutes(60));
  for (const Arguments& signing : {Arguments{"client", "b"}, {"renew"}}) {
    const auto [status, said] = err(signing);
    EXPECT_EQ(status, 1);
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: is not valid before 2", path("ca.pem"))));
  }
  EXPECT_FALSE(fs::exists(dir / "b.pem"));
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

TEST_F(PkiCommand, KeepsTheKeysOfAuthoritiesAndWhatTheySigned) {
  ASSERT_EQ(pki({"client", "c"}), 0);
  ASSERT_EQ(pki({"intermediate", "i"}), 0);
  ASSERT_EQ(pki({"client", "leaf", "--ca-cert", path("i.pem"), "--ca-key", path("i-key.pem")}), 0);
  const auto leaf = text("leaf.pem");
  const auto key = text("i-key.pem");
  const auto old = text("i.pem");
  write("leaf.pem", leaf + old);
  ASSERT_EQ(pki({"renew"}), 0);
  EXPECT_NE(text("i.pem"), old);
  EXPECT_EQ(text("i-key.pem"), key);
  EXPECT_TRUE(is_signed_by(leaf, text("i.pem")).value());
  EXPECT_EQ(text("leaf.pem"), leaf + text("i.pem")) << "the renewed one stands behind it";
  EXPECT_EQ(pki({"renew", "leaf"}), 1) << "another authority's";
  ASSERT_EQ(pki({"renew", "leaf", "--ca-cert", path("i.pem"), "--ca-key", path("i-key.pem")}), 0);
  EXPECT_TRUE(is_signed_by(text("leaf.pem"), text("i.pem")).value());
  EXPECT_TRUE(text("leaf.pem").ends_with(text("i.pem")));
  EXPECT_TRUE(is_pair("leaf"));

  const auto c = text("c.pem");
  const auto i = text("i.pem");
  for (const auto& wrong : {key_of("c"), std::string("junk"), std::string()}) {
    fs::remove(dir / "i-key.pem");
    if (!wrong.empty()) write("i-key.pem", wrong);
    for (const Arguments& renewal : {Arguments{"renew", "i"}, Arguments{"renew"}}) {
      if (wrong.empty() && renewal.size() == 1) break;
      const auto [status, said] = err(renewal);
      EXPECT_EQ(status, 1);
      EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("put its key into '{}'", path("i-key.pem"))));
      EXPECT_EQ(text("i.pem"), i);
      EXPECT_EQ(text("c.pem"), c);
      EXPECT_EQ(text("i-key.pem"), wrong);
    }
  }
  const auto [status, said] = err({"renew"});
  EXPECT_EQ(status, 0) << "it is kept elsewhere";
  EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("its key is not in '{}'", path("i-key.pem"))));
  EXPECT_EQ(text("i.pem"), i);
  EXPECT_NE(text("c.pem"), c);
}

TEST_F(PkiCommand, RenewsFilesWhereAndAsTheyAre) {
  ASSERT_EQ(pki({"client", "c"}), 0);
  fs::create_directory(dir / "far");
  fs::rename(dir / "c-key.pem", dir / "far/key");
  fs::create_symlink("far/key", dir / "c-key.pem");
  fs::create_symlink("c.pem", dir / "alias.pem");
  using enum fs::perms;
  fs::permissions(dir / "far/key", owner_read | group_read);
  fs::permissions(dir / "c.pem", owner_read);
  const auto old = text("c.pem");
  ASSERT_EQ(pki({"renew"}), 0);
  EXPECT_NE(text("c.pem"), old);
  EXPECT_TRUE(is_pair("c"));
  EXPECT_TRUE(fs::is_symlink(dir / "c-key.pem") && fs::is_symlink(dir / "alias.pem"));
  EXPECT_EQ(fs::status(dir / "far/key").permissions(), owner_read | group_read);
  EXPECT_EQ(fs::status(dir / "c.pem").permissions(), owner_read);
  EXPECT_FALSE(fs::exists(dir / "alias-key.pem")) << "it is c under another name";
}

TEST_F(PkiCommand, RenewsUnderTheNameThatHasTheKey) {
  ASSERT_EQ(pki({"client", "b"}), 0);
  fs::create_directory(dir / "far");
  fs::rename(dir / "b.pem", dir / "far/cert");
  for (const auto* name : {"a.pem", "b.pem"}) fs::create_symlink("far/cert", dir / name);
  const auto old = text("far/cert");
  EXPECT_EQ(pki({"renew"}), 0);
  EXPECT_NE(text("far/cert"), old);
  EXPECT_TRUE(is_pair("b"));
  EXPECT_FALSE(fs::exists(dir / "a-key.pem"));
}

TEST_F(PkiCommand, RenewsNothingWhoseKeyIsElsewhere) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  const auto unchanged = [&, a = text("a.pem"), key = key_of("a"), b = text("b.pem")] {
    return text("a.pem") == a && key_of("a") == key && text("b.pem") == b;
  };
  const auto refused = [&](const Arguments& renewal, const std::string& why) {
    const auto [status, said] = err(renewal);
    EXPECT_EQ(status, 1);
    EXPECT_THAT(said, ::testing::HasSubstr(why));
    EXPECT_TRUE(unchanged()) << why;
  };
  fs::create_symlink("a.pem", dir / "alias.pem");
  refused({"renew", "alias"},
          fmt::format("{}: leads to '{}'", path("alias.pem"), fs::canonical(path("a.pem")).string()));
  EXPECT_FALSE(fs::exists(dir / "alias-key.pem"));

  fs::remove(dir / "b-key.pem");
  refused({"renew", "b"}, fmt::format("its key is not in '{}'", path("b-key.pem")));
  EXPECT_FALSE(fs::exists(dir / "b-key.pem"));
  fs::create_symlink("nowhere", dir / "b-key.pem");
  refused({"renew", "b"}, path("b-key.pem"));

  fs::remove(dir / "b-key.pem");
  fs::create_symlink("a-key.pem", dir / "b-key.pem");
  const auto others = fmt::format("'{}' holds the key of something else", path("b-key.pem"));
  refused({"renew", "b"}, others);
  const auto [status, said] = err({"renew"});
  EXPECT_EQ(status, 0);
  EXPECT_THAT(said, ::testing::HasSubstr(others)) << "b is left, and a is not";
  EXPECT_TRUE(is_pair("a"));

  fs::remove(dir / "b-key.pem");
  fs::create_symlink("a-key.pem", dir / "alias-key.pem");
  EXPECT_EQ(pki({"renew", "alias"}), 0);
  EXPECT_TRUE(is_pair("a")) << "both links lead to it";
  EXPECT_TRUE(fs::is_symlink(dir / "alias.pem") && fs::is_symlink(dir / "alias-key.pem"));
}

TEST_F(PkiCommand, RepairsAnInterruptedRenewal) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  write("a-key.pem.krake-part-aB3dE6.old", key_of("a"));
  write("a-key.pem", key_of("b"));
  const auto [status, said] = err({"show"});
  EXPECT_EQ(status, 1);
  EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: is not the key of {}: a renewal was interrupted",
                                                     path("a-key.pem"), path("a.pem"))));
  EXPECT_EQ(pki({"renew"}), 0);
  EXPECT_TRUE(is_pair("a"));
  EXPECT_EQ(pki({"show"}), 0);
}

TEST_F(PkiCommand, OverwritesNoKeyOfSomethingElse) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  ASSERT_EQ(pki({"client", "other"}), 0);
  fs::create_directory(dir / "far");
  fs::rename(dir / "other-key.pem", dir / "far/key");
  fs::remove(dir / "other.pem");
  fs::remove(dir / "a-key.pem");
  fs::create_symlink("far/key", dir / "a-key.pem");
  const auto key = text("far/key");
  const auto a = text("a.pem");
  for (const Arguments& renewal : {Arguments{"renew", "a"}, {"renew"}}) {
    const auto b = text("b.pem");
    const auto [status, said] = err(renewal);
    EXPECT_EQ(status, renewal.size() == 1 ? 0 : 1);
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("'{}' holds the key of something else", path("a-key.pem"))));
    EXPECT_EQ(text("far/key"), key);
    EXPECT_EQ(text("a.pem"), a);
    EXPECT_EQ(text("b.pem") != b, renewal.size() == 1) << "one odd file stops no others";
  }
}

TEST_F(PkiCommand, LeavesOddFilesAndRenewsTheOthers) {
  for (const auto* name : {"a", "folder", "linked", "loose", "twice"}) ASSERT_EQ(pki({"client", name}), 0);
  fs::remove(dir / "folder-key.pem");
  fs::create_directory(dir / "folder-key.pem");
  fs::create_hard_link(dir / "linked.pem", dir / "elsewhere");
  fs::remove(dir / "loose-key.pem");
  fs::create_symlink("nowhere", dir / "loose-key.pem");
  write("twice-key.pem", key_of("twice") + key_of("a"));
  fs::create_symlink("nowhere", dir / "zz.pem");
  const auto a = text("a.pem");
  const auto linked = text("linked.pem");
  const auto [status, said] = err({"renew"});
  EXPECT_EQ(status, 0) << said;
  EXPECT_NE(text("a.pem"), a);
  EXPECT_TRUE(is_pair("a"));
  EXPECT_EQ(text("linked.pem"), linked);
  const std::pair<const char*, std::string> notes[] = {
      {"folder.pem", fmt::format("cannot read '{}': it is a folder", path("folder-key.pem"))},
      {"linked.pem", fmt::format("cannot replace '{}'", path("linked.pem"))},
      {"loose.pem", fmt::format("cannot read '{}': No such file", path("loose-key.pem"))},
      {"twice.pem", fmt::format("{}: holds more than a private key", path("twice-key.pem"))},
      {"zz.pem", fmt::format("cannot read '{}': No such file", path("zz.pem"))}};
  for (const auto& [name, why] : notes)
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: left as it is: {}", path(name), why)));
}

TEST_F(PkiCommand, RenewsNamesThatLookLikeThoseOfKeys) {
  for (const Arguments& making : {Arguments{"client", "api-key"}, {"api-key"}, {"intermediate", "i-key"}})
    EXPECT_EQ(pki(making), 2);
  ASSERT_EQ(pki({"client", "api"}), 0);
  // As older versions have made them.
  fs::rename(dir / "api.pem", dir / "api-key.pem.new");
  fs::rename(dir / "api-key.pem", dir / "api-key-key.pem");
  fs::rename(dir / "api-key.pem.new", dir / "api-key.pem");
  EXPECT_THAT(out({"show"}).second, ::testing::HasSubstr(path("api-key.pem")));
  for (const Arguments& renewal : {Arguments{"renew"}, {"renew", "api-key"}}) {
    const auto before = text("api-key.pem");
    EXPECT_EQ(err(renewal), std::pair(0, std::string()));
    EXPECT_NE(text("api-key.pem"), before);
    EXPECT_TRUE(is_pair("api-key"));
  }
}

TEST_F(PkiCommand, TakesTheNamesThatThereAre) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  const std::string name(70, 'n');
  EXPECT_EQ(pki({"client", name}), 2) << "no certificate can say it";
  fs::rename(dir / "a.pem", dir / (name + ".pem"));
  fs::rename(dir / "a-key.pem", dir / (name + "-key.pem"));
  const auto old = text((name + ".pem").c_str());
  EXPECT_EQ(pki({"renew", name}), 0);
  EXPECT_NE(text((name + ".pem").c_str()), old);
  EXPECT_EQ(out({"show", name}).first, 0);
}

// Whether a child whose standard output and standard error are these files ends so.
bool ends_with(int status, const std::function<int()>& run, const char* out, const char* err) {
  // What throws ends the child, not the test in it.
  return testing::holds_in_child([&]() noexcept {
    std::fflush(nullptr);
    for (const auto& [path, fd] : {std::pair(out, STDOUT_FILENO), std::pair(err, STDERR_FILENO)}) {
      const int opened = ::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(opened, fd);
      ::close(opened);
    }
    return run() == status;
  });
}

TEST_F(PkiCommand, TellsWhatItHasDoneThoughItsListIsLost) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  write("junk.pem", "junk");
  const auto said = path("said");
  const auto with_full_output = [&](const Arguments& args, int status) {
    EXPECT_TRUE(ends_with(status, [&] { return pki(args); }, "/dev/full", said.c_str())) << args.front();
    return text("said");
  };
  const auto old = text("a.pem");
  const auto* lost = " cannot be written to the standard output: No space left on device";
  EXPECT_THAT(with_full_output({"renew"}, 1),
              ::testing::HasSubstr(fmt::format("krake pki: all 2 files are replaced, but their list{}", lost)));
  EXPECT_NE(text("a.pem"), old);
  EXPECT_TRUE(is_pair("a"));
  EXPECT_THAT(with_full_output({"client", "b"}, 1),
              ::testing::HasSubstr(fmt::format("all is made, but the list of the files{}", lost)));
  EXPECT_TRUE(is_pair("b"));
  EXPECT_THAT(with_full_output({"show", "a"}, 1), ::testing::HasSubstr(lost));
  EXPECT_EQ(with_full_output({"--help"}, 1), "");

  // More than the standard output keeps until it is flushed.
  const std::string name(60, 'n');
  for (int i = 100; i < 130; ++i) ASSERT_EQ(pki({"client", fmt::format("{}{}", name, i)}), 0);
  EXPECT_THAT(with_full_output({"renew"}, 1), ::testing::HasSubstr("all 64 files are replaced, but their list cannot"));
}

TEST_F(PkiCommand, GoesOnWhenNothingCanBeToldOfProblems) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  write("junk.pem", "junk");
  const auto ends_so = [&](int status, const Arguments& args) {
    return ends_with(status, [&] { return pki(args); }, path("list").c_str(), "/dev/full");
  };
  const auto old = text("a.pem");
  EXPECT_TRUE(ends_so(0, {"renew"})) << "a note is lost";
  EXPECT_NE(text("a.pem"), old);
  EXPECT_EQ(text("list"), fmt::format("{}\n{}\n", path("a-key.pem"), path("a.pem")));
  EXPECT_TRUE(ends_so(1, {"renew", "junk"}));
  EXPECT_TRUE(ends_so(1, {"show", "junk"}));
  EXPECT_TRUE(ends_so(1, {"client", "a"}));
  EXPECT_TRUE(ends_so(2, {"client"}));
}

TEST_F(PkiCommand, NamesWhatIsReplacedBeforeASignalEndsIt) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  const auto is_notified = [&] {
    const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ::fcntl(fd, F_SETSIG, SIGTERM) == 0 && ::fcntl(fd, F_NOTIFY, DN_CREATE) == 0;
  };
  if (!testing::holds_in_child(is_notified)) GTEST_SKIP() << "needs dnotify";
  const auto list = fs::path(dir.string() + "-list");
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::fflush(nullptr);
    ::dup2(::open(list.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    // It comes when the first file is made beside them.
    if (!is_notified()) ::_exit(1);
    (void)pki({"renew", "a"});
    ::_exit(2);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  EXPECT_TRUE(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGTERM);
  EXPECT_EQ(read_file(list.string()).value_or(""), fmt::format("{}\n{}\n", path("a-key.pem"), path("a.pem")));
  EXPECT_TRUE(is_pair("a"));
  fs::remove(list);
}

TEST_F(PkiCommand, AsksForNoPassword) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  write("locked.pem",
        "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n"
        "-----END CERTIFICATE-----\n");
  // Where there is no terminal, the question goes to the standard error.
  EXPECT_TRUE(testing::holds_in_child([&] {
    ::setsid();
    ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    const auto [status, said] = err({"show", "locked"});
    return status == 1 && said.contains("holds no PEM certificate") && !said.contains("pass phrase");
  }));
}

TEST_F(PkiCommand, RepairsAnInterruptedRenewalBehindLinks) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  fs::create_symlink("a.pem", dir / "alias.pem");
  fs::create_symlink("a-key.pem", dir / "alias-key.pem");
  write("a-key.pem.krake-part-aB3dE6.old", key_of("a"));
  write("a-key.pem", key_of("b"));
  const auto left = fs::canonical(dir) / "a-key.pem.krake-part-aB3dE6.old";
  EXPECT_THAT(err({"show", "alias"}).second,
              ::testing::HasSubstr(fmt::format("{}: a renewal that was", left.string())));
  EXPECT_EQ(pki({"renew", "alias"}), 0);
  EXPECT_TRUE(is_pair("a"));
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(err({"show", "alias"}), std::pair(0, std::string()));
}

TEST_F(PkiCommand, RepairsAnInterruptedRenewalInTwoFolders) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  for (const auto& [folder, name] : {std::pair("certs", "a.pem"), std::pair("private", "a-key.pem")}) {
    fs::create_directory(dir / folder);
    fs::rename(dir / name, dir / folder / name);
    fs::create_symlink(fs::path(folder) / name, dir / name);
  }
  const auto old_key = key_of("a");
  write("private/a-key.pem", key_of("b"));
  const auto [status, said] = err({"renew", "a"});
  EXPECT_EQ(status, 1);
  EXPECT_THAT(said, ::testing::HasSubstr("renew that by its own name"));
  write("private/a-key.pem.krake-part-aB3dE6.old", old_key);
  EXPECT_EQ(pki({"renew", "a"}), 0);
  EXPECT_TRUE(is_pair("a"));
  EXPECT_FALSE(fs::exists(dir / "private/a-key.pem.krake-part-aB3dE6.old"));
}

TEST_F(PkiCommand, LosesNoKeyThatIsInAWrongFile) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  const auto a = key_of("a");
  const auto b = key_of("b");
  write("a-key.pem", b);
  write("b-key.pem", a);
  EXPECT_EQ(pki({"renew", "a"}), 1);
  EXPECT_EQ(pki({"renew"}), 0) << "both are left";
  EXPECT_EQ(key_of("a"), b);
  EXPECT_EQ(key_of("b"), a);

  // The authority's key, which is nowhere else.
  fs::create_directory(dir / "far");
  fs::rename(dir / "ca.pem", dir / "far/root.pem");
  fs::rename(dir / "ca-key.pem", dir / "far/key");
  fs::remove(dir / "b-key.pem");
  fs::create_symlink("far/key", dir / "b-key.pem");
  write("far/key.krake-part-aB3dE6.old", b);  // as if it were that of an interruption
  const auto key = text("far/key");
  const auto [status, said] = err({"renew", "b", "--ca-cert", path("far/root.pem"), "--ca-key", path("far/key")});
  EXPECT_EQ(status, 1);
  EXPECT_THAT(said, ::testing::HasSubstr(
                        fmt::format("is one file with '{}', the key of '{}'", path("far/key"), path("far/root.pem"))));
  EXPECT_EQ(text("far/key"), key);
}

TEST_F(PkiCommand, PutsNewKeysWhereOthersHaveNone) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  const auto key = key_of("a");
  const auto refused = [&](const std::string& why) {
    const auto [status, said] = err({"renew", "a"});
    EXPECT_EQ(status, 1);
    EXPECT_THAT(said, ::testing::HasSubstr(why));
    EXPECT_EQ(key_of("a"), key);
  };
  fs::permissions(dir / "a-key.pem", fs::perms(0644));
  refused("/a-key.pem' has mode 0644, with which everybody may read or write the new key: 'chmod o-rw ");
  fs::permissions(dir / "a-key.pem", fs::perms(0602));
  refused("has mode 0602");
  fs::permissions(dir / "a-key.pem", fs::perms(0640));
  if (::geteuid() == 0) {
    constexpr uid_t kNobody = 65534;
    ASSERT_EQ(::chown(path("a-key.pem").c_str(), kNobody, kNobody), 0);
    refused(fmt::format("is the file of user {}, who would have the new key, and neither you (user 0) nor", kNobody));
    ASSERT_EQ(::chown(path("a.pem").c_str(), kNobody, kNobody), 0);
  }
  EXPECT_EQ(pki({"renew", "a"}), 0);
  EXPECT_TRUE(is_pair("a"));
}

TEST_F(PkiCommand, NamesWhatIsReplacedThoughTheDiskIsUnknown) {
  if (!testing::has_faults()) GTEST_SKIP() << "needs seccomp";
  ASSERT_EQ(pki({"client", "a"}), 0);
  // The first folder that is opened is locked, the next one is written into.
  const testing::Fault fault{.call = SYS_fsync, .argument = 0, .value = testing::next_fd() + 1, .error = EIO};
  const auto wanted = fmt::format("{}\n{}\n", path("a-key.pem"), path("a.pem"));
  EXPECT_TRUE(testing::holds_with(fault, [&] {
    // Each needs a file of its own: made before, they would take the numbers.
    const int fd = ::memfd_create("out", MFD_CLOEXEC);
    const int kept = ::fcntl(fd, F_DUPFD_CLOEXEC, 100);
    ::close(fd);
    std::fflush(nullptr);
    ::dup2(kept, STDOUT_FILENO);
    ::dup2(kept, STDERR_FILENO);
    const int status = pki({"renew", "a"});
    std::fflush(nullptr);
    std::string said(10'000, '\0');
    said.resize(static_cast<std::size_t>(::pread(kept, said.data(), said.size(), 0)));
    return status == 1 && said.starts_with(wanted) && said.contains("all 2 files are replaced, but it is unknown") &&
           !said.contains("give the command again");
  }));
  EXPECT_TRUE(is_pair("a"));
}

TEST_F(PkiCommand, RenewsOneAtATime) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  fs::create_directory(dir / "far");
  fs::rename(dir / "a-key.pem", dir / "far/key");
  fs::create_symlink("far/key", dir / "a-key.pem");
  fs::create_directory(dir / "ca");
  fs::rename(dir / "ca.pem", dir / "ca/cert");
  fs::create_symlink("ca/cert", dir / "ca.pem");
  const auto old = text("a.pem");
  for (const auto& folder : {dir, dir / "far"}) {
    FolderLocks other;
    ASSERT_TRUE(other.add(folder.string()));
    const auto [status, said] = err({"renew"});
    EXPECT_EQ(status, 1);
    EXPECT_THAT(said, ::testing::HasSubstr("another process works on the folder '"));
    EXPECT_THAT(said, ::testing::HasSubstr(folder.filename().string() + "' and has it locked"));
    EXPECT_EQ(text("a.pem"), old);
  }
  FolderLocks other;
  ASSERT_TRUE(other.add((dir / "ca").string()));
  EXPECT_EQ(pki({"renew"}), 0) << "nothing is written there";
  EXPECT_TRUE(is_pair("a"));
}

std::pair<std::string, std::string> moved;
void move_it(int /*signal*/) { (void)::rename(moved.first.c_str(), moved.second.c_str()); }

TEST_F(PkiCommand, ReplacesNothingThatHasChangedMeanwhile) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  fs::create_directory(dir / "far");
  fs::rename(dir / "a.pem", dir / "far/cert");
  fs::create_symlink("far/cert", dir / "a.pem");
  const auto other = text("b.pem");
  write("far/next", other);
  const auto key = key_of("a");
  const auto is_notified = [&] {
    const int fd = ::open(path("far").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return ::fcntl(fd, F_SETSIG, SIGUSR1) == 0 && ::fcntl(fd, F_NOTIFY, DN_ACCESS) == 0;
  };
  if (!testing::holds_in_child(is_notified)) GTEST_SKIP() << "needs dnotify";
  // It takes the place of the certificate as soon as that is read.
  moved = {path("far/next"), path("far/cert")};
  EXPECT_TRUE(testing::holds_in_child([&] {
    (void)std::signal(SIGUSR1, move_it);
    if (!is_notified()) return false;
    const auto [status, said] = err({"renew", "a"});
    return status == 1 && said.contains("have changed meanwhile, and none is replaced: give the command again");
  }));
  EXPECT_EQ(text("a.pem"), other);
  EXPECT_EQ(key_of("a"), key);
}

TEST_F(PkiCommand, MakesNothingBesideARenewal) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  const auto old = text("a.pem");
  {
    FolderLocks renewal;
    ASSERT_TRUE(renewal.add(dir.string()));
    for (const Arguments& making : {Arguments{"client", "a", "--force"}, {"client", "b"}, {"ca", "--force"}}) {
      const auto [status, said] = err(making);
      EXPECT_EQ(status, 1);
      EXPECT_THAT(said, ::testing::HasSubstr("another process works on the folder '"));
    }
  }
  EXPECT_EQ(text("a.pem"), old);
  EXPECT_FALSE(fs::exists(dir / "b.pem"));
  FolderLocks another;
  ASSERT_TRUE(another.add(dir.string(), FolderLocks::Kind::shared));
  EXPECT_EQ(pki({"client", "b"}), 0) << "others that make may";
  EXPECT_EQ(pki({"client", "a", "--force"}), 1) << "but not replace";
  EXPECT_EQ(text("a.pem"), old);
  EXPECT_EQ(pki({"renew"}), 1);
}

TEST_F(PkiCommand, RefusesACopyOfTheKeyBesideALink) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  fs::create_symlink("a.pem", dir / "alias.pem");
  fs::copy_file(dir / "a-key.pem", dir / "alias-key.pem");
  const auto old = text("a.pem");
  for (const Arguments& renewal : {Arguments{"renew"}, {"renew", "a"}, {"renew", "alias"}, {"renew", "alias", "a"}}) {
    const auto [status, said] = err(renewal);
    EXPECT_EQ(status, renewal.size() == 1 ? 0 : 1);
    EXPECT_THAT(said, ::testing::HasSubstr("leads to the same certificate and has a key file of its own, '"));
    EXPECT_EQ(text("a.pem"), old);
  }
  fs::create_directory(dir / "far");
  for (const auto* name : {"a.pem", "a-key.pem"}) fs::rename(dir / name, dir / "far" / name);
  fs::remove(dir / "alias.pem");
  fs::create_symlink("far/a.pem", dir / "alias.pem");
  EXPECT_EQ(pki({"renew", "alias"}), 1) << "the other pair is in another folder";
  EXPECT_EQ(text("alias.pem"), old);
  fs::remove(dir / "alias-key.pem");
  fs::create_symlink("far/a-key.pem", dir / "alias-key.pem");
  EXPECT_EQ(pki({"renew"}), 0);
  EXPECT_NE(text("far/a.pem"), old);
  EXPECT_TRUE(is_pair("far/a"));
}

TEST_F(PkiCommand, RenewsALinkWithAKeyWhenTheFileHasNone) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  fs::create_symlink("a.pem", dir / "b.pem");
  fs::rename(dir / "a-key.pem", dir / "b-key.pem");
  const auto old = text("a.pem");
  EXPECT_EQ(pki({"renew"}), 0);
  EXPECT_NE(text("a.pem"), old);
  EXPECT_TRUE(is_pair("b"));
  EXPECT_TRUE(fs::is_symlink(dir / "b.pem"));
}

TEST_F(PkiCommand, RefusesAKeyThatAnotherCertificateNeeds) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "more"}), 0);
  const auto first = text("a.pem");
  const auto key = key_of("a");
  ASSERT_EQ(pki({"renew", "a"}), 0);
  write("a-old.pem", first);
  // As an interruption leaves it; but it is the key of the other one alone.
  write("a-key.pem.krake-part-aB3dE6.old", key_of("a"));
  write("a-key.pem", key);
  const auto old = text("a.pem");
  const auto why = fmt::format("{}: is the key of '{}', too", path("a-key.pem"), path("a-old.pem"));
  for (const Arguments& renewal : {Arguments{"renew", "a"}, {"renew"}}) {
    const auto more = text("more.pem");
    const auto [status, said] = err(renewal);
    EXPECT_EQ(status, renewal.size() == 1 ? 0 : 1);
    EXPECT_THAT(said, ::testing::HasSubstr(why));
    EXPECT_EQ(text("a.pem"), old);
    EXPECT_EQ(text("more.pem") != more, renewal.size() == 1) << "one odd file stops no others";
  }
  fs::copy_file(dir / "a-key.pem", dir / "a-old-key.pem");
  EXPECT_EQ(pki({"renew"}), 0);
  EXPECT_TRUE(is_pair("a"));
  EXPECT_TRUE(is_pair("a-old"));
}

TEST_F(PkiCommand, RenewsACopyInTheFolderToo) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  write("a-chain.pem", text("a.pem") + text("ca.pem"));
  write("b-all.pem", text("b.pem") + key_of("b"));
  const auto all = text("b-all.pem");
  for (const Arguments& renewal : {Arguments{"renew", "a"}, {"renew"}}) {
    const auto old = text("a.pem");
    const auto [status, said] = err(renewal);
    EXPECT_EQ(status, 0);
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: has no key of its own", path("a-chain.pem"))));
    EXPECT_NE(text("a.pem"), old);
    EXPECT_EQ(text("a-chain.pem"), text("a.pem") + text("ca.pem"));
    EXPECT_TRUE(is_pair("a"));
    EXPECT_EQ(text("b-all.pem"), all) << "it holds its key";
  }
  EXPECT_TRUE(is_pair("b"));
}

TEST_F(PkiCommand, RefusesHardLinks) {
  ASSERT_EQ(pki({"client", "a"}), 0);
  ASSERT_EQ(pki({"client", "b"}), 0);
  fs::create_hard_link(dir / "a-key.pem", dir / "elsewhere");
  fs::create_hard_link(dir / "b.pem", dir / "there");
  const auto key = key_of("a");
  const auto b = text("b.pem");
  const auto [status, said] = err({"renew", "a", "b"});
  EXPECT_EQ(status, 1);
  for (const auto* name : {"a-key.pem", "b.pem"}) {
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("cannot replace '{}': '{}' has 2 names (hard links)", path(name),
                                                       fs::canonical(path(name)).string())));
  }
  EXPECT_EQ(key_of("a"), key);
  EXPECT_EQ(text("b.pem"), b);
  EXPECT_TRUE(is_pair("a"));
}

TEST_F(PkiCommand, PutsANamedAuthorityIntoTheOtherFilesToo) {
  ASSERT_EQ(pki({"intermediate", "i"}), 0);
  ASSERT_EQ(pki({"server", "web", "--ca-cert", path("i.pem"), "--ca-key", path("i-key.pem")}), 0);
  const auto web = text("web.pem");
  write("web.pem", web + text("i.pem"));
  write("bundle.pem", text("i.pem") + text("ca.pem"));
  const auto [status, said] = err({"renew", "i"});
  EXPECT_EQ(status, 0);
  EXPECT_EQ(text("web.pem"), web + text("i.pem"));
  EXPECT_EQ(text("bundle.pem"), text("i.pem") + text("ca.pem"));
  EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: stays, with the renewed authority", path("web.pem"))));
  EXPECT_TRUE(is_pair("web"));
}

TEST_F(PkiCommand, LeavesWhatIsNoCertificate) {
  ASSERT_EQ(pki({"client", "c"}), 0);
  write("dhparam.pem", "-----BEGIN DH PARAMETERS-----\nMAMCAQI=\n-----END DH PARAMETERS-----\n");
  fs::create_directory(dir / "folder.pem");
  const auto old = text("c.pem");
  const auto [status, said] = err({"renew"});
  EXPECT_EQ(status, 0);
  EXPECT_NE(text("c.pem"), old);
  for (const auto* name : {"dhparam.pem", "folder.pem"})
    EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: left as it is", path(name))));
  const auto now = text("c.pem");
  EXPECT_EQ(pki({"renew", "c", "dhparam"}), 1);
  EXPECT_EQ(text("c.pem"), now) << "nothing is written before all is decided";
}

TEST_F(PkiCommand, SaysWhatEndsSoon) {
  const Wall now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  const auto ca = make_ca("krake-ca", now, std::chrono::hours(24 * 20), 2).value();
  fs::create_directories(dir);
  write("ca.pem", ca.cert_pem);
  write("ca-key.pem", ca.key_pem);
  ASSERT_EQ(pki({"client", "c"}), 0);
  EXPECT_THAT(out({"show", "c"}).second, ::testing::HasSubstr(" (in less than 30 days)\n"));
  const auto [status, said] = err({"renew", "c"});
  EXPECT_EQ(status, 0);
  EXPECT_THAT(said, ::testing::HasSubstr(fmt::format("{}: ends with the authority, on 2", path("c.pem"))));
  ASSERT_EQ(pki({"ca", "--force"}), 0);
  ASSERT_EQ(pki({"client", "c", "--force"}), 0);
  EXPECT_THAT(out({"show", "c"}).second, ::testing::Not(::testing::HasSubstr("30 days")));
  EXPECT_EQ(err({"renew", "c"}), std::pair(0, std::string()));
}

TEST_F(PkiCommand, SaysWhatToDoAboutARoot) {
  ASSERT_EQ(pki({"ca"}), 0);
  const auto ca = text("ca.pem");
  const auto [status, said] = err({"renew", "ca"});
  EXPECT_EQ(status, 1);
  EXPECT_THAT(said, ::testing::HasSubstr("is a root, which is not renewed: keep a copy, make a new one"));
  EXPECT_EQ(text("ca.pem"), ca);
}

TEST_F(PkiCommand, NamesAllThatItCannotShow) {
  ASSERT_EQ(pki({"client", "c"}), 0);
  write("junk.pem", "junk");
  const auto [status, said] = err({"show", "nobody", "c", "junk"});
  EXPECT_EQ(status, 1);
  EXPECT_THAT(said, ::testing::HasSubstr(path("nobody.pem")));
  EXPECT_THAT(said, ::testing::HasSubstr(path("junk.pem")));
}

TEST_F(PkiCommand, LetsNoNameSteerTheTerminal) {
  ASSERT_EQ(pki({"client", "a\u009b31m"}), 0);
  const auto [status, shown] = out({"show"});
  EXPECT_EQ(status, 0);
  EXPECT_THAT(shown, ::testing::HasSubstr("subject: CN=a?31m\n"));
  EXPECT_THAT(shown, ::testing::Not(::testing::HasSubstr("\u009b")));
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
