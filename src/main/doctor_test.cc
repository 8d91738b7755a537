#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "api/registry.h"
#include "main/doctor_findings.h"
#include "main/files.h"
#include "net/pki.h"

namespace krake {

namespace {

using Severity = Finding::Severity;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string role(std::string_view name, std::string_view meta = "", std::string_view rest = "") {
  return fmt::format(
      R"({{"api":"core","kind":"Role","metadata":{{"name":"{}","uid":"u","created":"2026-01-01T00:00:00",)"
      R"("modified":"2026-01-01T00:00:00"{}}},"rules":[]{}}})",
      name, meta, rest);
}

std::vector<Finding> look(const std::vector<std::pair<std::string, std::string>>& values) {
  DataCheck check(krake_registry());
  for (const auto& [key, value] : values)
    check.add({.key = key, .value = std::make_shared<const std::string>(value), .created = 1, .modified = 1});
  return check.findings();
}

TEST(DataCheck, FindsNothingInGoodData) { EXPECT_THAT(look({{"/core/roles/a", role("a")}}), IsEmpty()); }

// A search for each key among all would take minutes here.
TEST(DataCheck, ManyKeysTakeNoTime) {
  std::string labels;
  for (int i = 0; i < 200'000; ++i) fmt::format_to(std::back_inserter(labels), R"({}"k{}":"v")", i == 0 ? "" : ",", i);
  EXPECT_THAT(look({{"/core/roles/a", role("a", fmt::format(R"(,"labels":{{{}}})", labels))}}), IsEmpty());
}

TEST(DataCheck, FindsWhatIsWrong) {
  const std::string binding =
      R"({"api":"core","kind":"RoleBinding","metadata":{"name":"b","uid":"u","created":"2026-01-01T00:00:00",)"
      R"("modified":"2026-01-01T00:00:00"},"users":[],"roles":["gone"]})";
  const std::tuple<std::string, std::string, Severity, std::string> rows[] = {
      {"/core/roles/a", "junk", Severity::error, "the value cannot be read"},
      {"/core/roles/a", R"({"metadata":{"name":"a"}})", Severity::error, "metadata.uid: Missing data"},
      {"/core/roles/b", role("a"), Severity::error, "the value is of Role 'a', not of its key"},
      {"/core/roles/a/b", role("a"), Severity::warning, "the key is not that of an object"},
      {"/core/roles/a", role("a", R"(,"namespace":"n")"), Severity::warning, "it has the namespace 'n'"},
      {"/core/roles/a", role("a", R"(,"finalizers":["x","y","x"])"), Severity::warning,
       "finalizers that are there twice: x"},
      {"/core/roles/a", role("a", R"(,"colour":"red")", R"(,"more":1)"), Severity::note,
       "keys that are unknown here, and kept: metadata.colour, more"},
      {"/core/rolebindings/b", binding, Severity::warning, "roles.0 names Role 'gone', which is not there"},
      {"/of_others/things/a", "{}", Severity::note, "objects of 'of_others/things' are not served"},
  };
  for (const auto& [key, value, severity, what] : rows) {
    const auto findings = look({{key, value}});
    ASSERT_THAT(findings, ::testing::Not(IsEmpty())) << key << " " << value;
    EXPECT_EQ(findings[0].severity, severity) << findings[0].what;
    EXPECT_EQ(findings[0].where, key);
    EXPECT_THAT(findings[0].what, HasSubstr(what));
  }
}

// What upstream acts on and nothing here does yet.
TEST(DataCheck, TellsWhatNobodyLooksAfterYet) {
  const auto meta = [](std::string_view name) {
    return fmt::format(R"("metadata":{{"name":"{}","namespace":"demo","uid":"u","created":"2026-01-01T00:00:00",)"
                       R"("modified":"2026-01-01T00:00:00"}})",
                       name);
  };
  const auto application = [&](std::string_view name, std::string_view spec) {
    return std::pair(
        fmt::format("/kubernetes/applications/demo/{}", name),
        fmt::format(R"({{{},"spec":{{"constraints":{{"cluster":{{}}}},{}}},"status":{{}}}})", meta(name), spec));
  };
  const auto hooked = [&](std::string_view name) {
    return application(name, R"("manifest":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}],)"
                             R"("hooks":["complete"])");
  };
  const auto told = [](const std::vector<std::pair<std::string, std::string>>& values) {
    std::vector<std::string> lines;
    for (const auto& finding : look(values)) {
      if (finding.severity == Severity::warning) lines.push_back(finding.where + ": " + finding.what);
    }
    return lines;
  };
  EXPECT_THAT(told({hooked("a")}), ElementsAre(HasSubstr("/kubernetes/applications/: applications with spec.hooks: 1 "
                                                         "(demo/a); no controller acts on hooks yet")));
  EXPECT_THAT(told({hooked("a"), hooked("b"), hooked("c"), hooked("d"), hooked("e")}),
              ElementsAre(HasSubstr("5 (demo/a, demo/b, demo/c and 2 more); ")));
  EXPECT_THAT(told({application("t", R"("manifest":[],"tosca":"http://x/t.yaml")")}),
              ElementsAre(HasSubstr("applications of TOSCA or CSAR: 1 (demo/t)")));
  const auto cluster = [&](std::string_view tosca) {
    return std::pair(
        std::string("/kubernetes/clusters/demo/c"),
        fmt::format(R"({{{},"spec":{{"kubeconfig":{{}},"tosca":{},"constraints":{{"cloud":{{}}}}}},"status":{{}}}})",
                    meta("c"), tosca));
  };
  EXPECT_THAT(told({cluster(R"({"topology_template":{}})")}),
              Contains(HasSubstr("clusters with spec.tosca: 1 (demo/c)")));
  EXPECT_THAT(told({cluster("{}")}), Not(Contains(HasSubstr("spec.tosca"))));
  EXPECT_THAT(
      told({{"/openstack/magnumclusters/demo/m", fmt::format(R"({{{},"spec":{{}},"status":{{}}}})", meta("m"))}}),
      Contains(HasSubstr("/openstack/magnumclusters/: magnumclusters: 1 (demo/m); no controller looks after")));
}

TEST(DataCheck, CountsByKind) {
  DataCheck check(krake_registry());
  for (const auto* name : {"a", "b"})
    check.add({.key = fmt::format("/core/roles/{}", name), .value = std::make_shared<const std::string>(role(name))});
  EXPECT_EQ(check.counts(), (std::map<std::string, std::size_t>{{"core/Role", 2}}));
}

TEST(ConfigCheck, FindsFilesOfTlsThatCannotBeUsed) {
  const auto dir = std::filesystem::path(::testing::TempDir()) / fmt::format("krake-doctor-{}", ::getpid());
  std::filesystem::create_directories(dir);
  const auto at = [&](const char* name) { return (dir / name).string(); };
  const Wall now = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1);
  const auto ca = make_ca("ca", now, std::chrono::hours(24 * 365)).value();
  const auto soon = issue(ca, "s", {}, {.server = true}, now, std::chrono::hours(24 * 7)).value();
  ASSERT_TRUE(write_whole_file(at("soon.pem"), soon.cert_pem, 0644, false));
  ASSERT_TRUE(write_whole_file(at("key.pem"), soon.key_pem, 0644, false));
  ASSERT_TRUE(write_whole_file(at("api.yaml"),
                               fmt::format("authorization: RBAC\nprot: 1\ntls: {{enabled: true, cert: {}, key: {}, "
                                           "client_ca: {}}}\n",
                                           at("soon.pem"), at("key.pem"), at("no.pem")),
                               0644, false));
  const auto check = [&](Wall when) { return check_config_file(at("api.yaml"), *find_program("api"), when); };
  const auto has = [](Severity severity, const char* text) {
    return Contains(::testing::AllOf(::testing::Field(&Finding::severity, severity),
                                     ::testing::Field(&Finding::what, HasSubstr(text))));
  };
  EXPECT_THAT(check(now), has(Severity::warning, "unknown configuration key 'prot'"));
  EXPECT_THAT(check(now), has(Severity::warning, "the certificate expires at 2026-01-08"));
  EXPECT_THAT(check(now), has(Severity::warning, "chmod 600 (tls.key)"));
  EXPECT_THAT(check(now), has(Severity::error, "no.pem"));
  EXPECT_THAT(check(now + std::chrono::hours(24 * 8)), has(Severity::error, "the certificate expired at 2026-01-08"));
  std::filesystem::remove_all(dir);
}

// It would be waited for, and could not be read a second time.
TEST(ConfigCheck, WaitsForNoPipe) {
  const auto dir = std::filesystem::path(::testing::TempDir()) / fmt::format("krake-doctor-pipe-{}", ::getpid());
  std::filesystem::create_directories(dir);
  const auto pipe = (dir / "api.yaml").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const auto& findings :
       {check_config_file(pipe, *find_program("api"), Wall()), check_combined_file(pipe, Wall())})
    EXPECT_THAT(findings, ElementsAre(Finding{Severity::error, pipe,
                                              fmt::format("cannot read '{}': it is no regular file", pipe)}));
  const auto file = (dir / "file").string();
  const auto link = (dir / "scheduler.yaml").string();
  ASSERT_TRUE(write_whole_file(file, "stickiness: 0.3\n", 0600, false));
  std::filesystem::create_symlink(file, link);
  EXPECT_THAT(check_config_file(link, *find_program("scheduler"), Wall()), IsEmpty());
  std::filesystem::remove_all(dir);
}

TEST(ConfigCheck, LooksAtEverySectionOfACombinedFile) {
  const auto dir = std::filesystem::path(::testing::TempDir()) / fmt::format("krake-combined-{}", ::getpid());
  std::filesystem::create_directories(dir);
  const auto path = (dir / "krake.yaml").string();
  const auto check = [&](std::string_view text) {
    EXPECT_TRUE(write_whole_file(path, text, 0644, true));
    return check_combined_file(path, Wall());
  };
  const auto is = [&](Severity severity, const char* text) {
    return ::testing::AllOf(::testing::Field(&Finding::severity, severity), ::testing::Field(&Finding::where, path),
                            ::testing::Field(&Finding::what, HasSubstr(text)));
  };
  EXPECT_THAT(check("api: {authorization: RBAC, store: {type: memory}}\nscheduler: {}\n"), IsEmpty());
  EXPECT_THAT(check("schedular: {}\napi: {authorization: rbac, store: {type: memory}}\ngarbage_collector: {typo: 1}\n"),
              ::testing::UnorderedElementsAre(is(Severity::warning, "krake.yaml:1: 'schedular' is the section of no"),
                                              is(Severity::error, "authorization strategy 'rbac'"),
                                              is(Severity::warning, "krake.yaml:3: unknown configuration key 'typo'")));
  EXPECT_THAT(check("api: {authorisation: RBAC, port: 0, store: {type: memory}}\n"),
              ::testing::UnorderedElementsAre(is(Severity::error, "'authorization': Missing data"),
                                              is(Severity::warning, "unknown configuration key 'authorisation'")));
  EXPECT_THAT(check("schedular: {}\n"), ::testing::ElementsAre(is(Severity::warning, "no section of a program")));
  EXPECT_THAT(check("{"), ::testing::ElementsAre(is(Severity::error, "krake.yaml:")));
  EXPECT_THAT(check("scheduler: 1\n"), ::testing::ElementsAre(is(Severity::error, "krake.yaml:1: want a mapping")));
  ASSERT_TRUE(write_whole_file((dir / "scheduler.yaml").string(), "", 0644, false));
  EXPECT_THAT(check("scheduler: {}\n"), ::testing::ElementsAre(is(Severity::note, "'scheduler.yaml' is beside it")));
  std::filesystem::remove_all(dir);
}

TEST(Findings, TheWorstComesFirst) {
  std::vector<Finding> findings{{Severity::note, "b", "x"}, {Severity::error, "c", "x"}, {Severity::note, "a", "x"}};
  EXPECT_EQ(worst(findings), Severity::error);
  sort_findings(findings);
  EXPECT_EQ(findings[0].where, "c");
  EXPECT_EQ(findings[1].where, "a");
  EXPECT_EQ(worst({}), Severity::note);
}

}  // namespace
}  // namespace krake
