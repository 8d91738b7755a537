#include "main/start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "main/config_command.h"
#include "main/doctor_findings.h"
#include "main/files.h"
#include "net/pki.h"

namespace krake {

namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSubsetOf;
using ::testing::StartsWith;

// In a folder with usable files: "$/" in a text is its path.
struct Start : ::testing::Test {
  Start() {
    fs::create_directories(dir);
    const Wall now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    const auto ca = make_ca("ca", now).value();
    const auto leaf = issue(ca, "leaf", {}, {.server = true, .client = true}, now).value();
    file("ca.pem", ca.cert_pem);
    file("cert.pem", leaf.cert_pem);
    file("key.pem", leaf.key_pem);
    file("junk", "junk\n");
  }
  ~Start() override { fs::remove_all(dir); }

  std::string file(const std::string& name, std::string_view text) const {
    auto path = (dir / name).string();
    EXPECT_TRUE(write_whole_file(path, text, 0600, true));
    return path;
  }
  std::string filled(std::string text) const {
    for (auto at = text.find("$/"); at != std::string::npos; at = text.find("$/")) text.replace(at, 1, dir.string());
    return text;
  }
  template <class T>
  Configured<T> read(const std::string& text, std::string_view program) const {
    auto document = parse_config(filled(text), "a.yaml");
    EXPECT_TRUE(document) << document.error().message;
    Arguments none;
    std::vector<std::string> warnings;
    auto configured = configure<T>(std::move(*document), *find_program(program), none, warnings,
                                   [](const std::string&) { return std::nullopt; });
    EXPECT_TRUE(configured) << configured.error().message;
    return std::move(*configured);
  }
  template <class T>
  std::vector<std::string> problems(const std::string& text, std::string_view program) const {
    const auto configured = read<T>(text, program);
    std::vector<std::string> out;
    if (const auto start = prepare(configured.config); !start) {
      for (const auto& problem : start.error()) out.push_back(describe(configured.document, problem));
    }
    return out;
  }
  std::vector<std::string> of_api(const std::string& text) const { return problems<ApiConfig>(text, "api"); }

  const fs::path dir = fs::path(::testing::TempDir()) / fmt::format("krake-start-{}", ::getpid());
};

TEST_F(Start, SaysEverythingThatKeepsAnApiServerFromStarting) {
  const std::pair<std::string, std::string> rows[] = {
      {"authorization: rbac\n", "authorization: Unknown authorization strategy 'rbac' (a.yaml:1)"},
      {"store: {type: nonsense}\n", "store.type: 'nonsense': known are sqlite, etcd and memory (a.yaml:1)"},
      {"store: {type: sqlite}\n", "store.path: name the database file"},
      {"etcd: {endpoints: ['http://db']}\n", "etcd endpoint 'http://db': want http://HOST:PORT"},
      {"etcd: {endpoints: ['http://db:70000']}\n", "etcd endpoint 'http://db:70000': want http://HOST:PORT"},
      {"etcd: {endpoints: ['http://d b:1']}\n", "etcd endpoint 'http://d b:1': want http://HOST:PORT"},
      {"etcd: {endpoints: ['http://u:p@db:1']}\n", "etcd.endpoints: http://***@db:1 carries a user or password"},
      {"etcd: {user: u}\n", "etcd: user and password"},
      {"etcd: {user: u, password_file: $/none}\n", "/none'"},
      {"etcd: {tls: {ca: $/none}}\n", "/none'"},
      {"security: {encryption_key_file: $/none}\n", "security.encryption_key_file: cannot read '"},
      {"security: {encryption_key_file: $/junk}\n", "/junk:1: want 'ID KEY'"},
      {"tls: {enabled: true}\n", "tls.enabled is true: tls.cert and tls.key must name files (a.yaml:1)"},
      {"tls: {enabled: true, cert: $/cert.pem, key: $/none}\n", "/none'"},
      {"tls: {enabled: true, cert: $/junk, key: $/key.pem}\n", "tls: "},
      {"tls: {enabled: true, cert: $/ca.pem, key: $/key.pem}\n", "tls: "},
      {"tls: {enabled: true, cert: $/cert.pem, key: $/key.pem, client_ca: $/junk}\n", "tls: "},
      {"authentication: {ca: $/none}\n", "authentication.ca: cannot read '"},
      {"authentication: {ca: $/junk}\n", "authentication.ca: "},
      {"authentication: {strategy: {token: {file: $/none}}}\n", "authentication.strategy.token.file: cannot read '"},
      {"authentication: {strategy: {token: {file: $/junk}}}\n", "/junk:1: want '<token> <user>' (a.yaml:1)"},
      {"authentication: {strategy: {signed: {file: $/junk}}}\n", "authentication.strategy.signed.file: "},
      {"authentication: {strategy: {keystone: {enabled: true, endpoint: 'localhost:5000'}}}\n",
       "authentication.strategy.keystone.endpoint: 'localhost:5000' is not an http:// or https:// URL"},
      {"authentication: {strategy: {keycloak: {enabled: true, endpoint: 'x'}}}\n",
       "authentication.strategy.keycloak.endpoint: 'x' is not"},
      {"authentication: {strategy: {oidc: {enabled: true}}}\n", "authentication.strategy.oidc.issuer: the issuer"},
      {"authentication: {strategy: {oidc: {enabled: true, issuer: 'i', audiences: [a]}}}\n",
       "authentication.strategy.oidc.issuer: 'i' is not"},
      {"authentication: {strategy: {oidc: {enabled: true, issuer: 'i', jwks_uri: 'j', audiences: [a]}}}\n",
       "authentication.strategy.oidc.jwks_uri: 'j' is not"},
      {"default_roles: [{metadata: {name: a}, rules: []}, {metadata: {name: 'a b'}, rules: []}]\n",
       "default_roles.1: default Role: "},
      {"default_role_bindings: [{metadata: {name: 'a b'}}]\n", "default_role_bindings.0: default RoleBinding: "},
  };
  for (const auto& [row, wanted] : rows) {
    const auto text = row.starts_with("authorization") ? row : row + "authorization: RBAC\n";
    EXPECT_THAT(of_api(text), ElementsAre(HasSubstr(wanted))) << text;
  }
  const auto all = of_api(
      "store: {type: nonsense}\nauthorization: rbac\nsecurity: {encryption_key_file: /no}\n"
      "authentication:\n  ca: /no\n  strategy:\n    keystone: {enabled: true, endpoint: 'localhost:5000'}\n"
      "    oidc: {enabled: true}\n    token: {file: /no}\n");
  EXPECT_EQ(all.size(), 7U) << "each of them, not the first alone";
  EXPECT_THAT(all, Contains(AllOf(StartsWith("authentication.strategy.token.file:"), HasSubstr("(a.yaml:9)"))));
}

// What a flag has brought is not looked for in the file.
TEST_F(Start, SaysWhereWhatIsWrongComesFrom) {
  const std::tuple<std::string, Arguments, std::string> rows[] = {
      {"tls: {enabled: true, cert: $/cert.pem, key: $/key.pem}\n", {"--tls-client-ca", "/none"}, "tls.client_ca"},
      {"tls: {enabled: true, cert: $/cert.pem, key: $/key.pem}\n", {"--tls-key", "/none"}, "tls.key"},
      {"etcd: {host: db}\n", {"--etcd-tls-ca", "/none"}, "etcd.tls.ca"},
      {"etcd: {user: u}\n", {"--etcd-password-file", "/none"}, "etcd.password_file"},
  };
  for (auto [text, args, key] : rows) {
    const auto flag = args[0];
    auto document = parse_config(filled(text) + "authorization: RBAC\n", "a.yaml").value();
    std::vector<std::string> warnings;
    const auto configured = configure<ApiConfig>(std::move(document), *find_program("api"), args, warnings,
                                                 [](const std::string&) { return std::nullopt; });
    ASSERT_TRUE(configured) << configured.error().message;
    const auto start = prepare(configured->config);
    ASSERT_FALSE(start) << flag;
    ASSERT_EQ(start.error().size(), 1U) << flag;
    EXPECT_THAT(describe(configured->document, start.error()[0]),
                AllOf(StartsWith(key + ": cannot read '/none'"), testing::EndsWith(" (" + flag + ")")));
  }
  const ConfigDocument document{.source = "a.yaml", .overrides = {{"tls.key", "--tls-key"}, {"tlsx", "--tlsx"}}};
  EXPECT_EQ(describe(document, {"tls", "they do not fit"}), "tls: they do not fit (--tls-key)");
}

TEST_F(Start, IsContentWithWhatAnApiServerStartsWith) {
  file("keys", "k1 " + std::string(43, 'A') + "=\n");
  file("tokens", "t alice\n");
  const std::string_view good[] = {
      "",
      "tls: {cert: /none, key: /none}\n",
      "etcd: {host: '::1'}\n",
      "store: {type: sqlite, path: /none/krake.db}\n",
      "tls: {enabled: true, cert: $/cert.pem, key: $/key.pem, client_ca: $/ca.pem}\n",
      "security: {encryption_key_file: $/keys}\nauthentication: {ca: $/ca.pem, strategy: {token: {file: $/tokens}}}\n",
      "authentication: {strategy: {keystone: {enabled: true}, keycloak: {enabled: true, endpoint: unused}}}\n",
      "audit: {file: $/audit.log}\nlog: {output: $/krake.log}\n",
  };
  for (const auto text : good) EXPECT_THAT(of_api(std::string(text) + "authorization: RBAC\n"), IsEmpty()) << text;
  EXPECT_FALSE(fs::exists(dir / "audit.log")) << "to look is not to open";
  EXPECT_FALSE(fs::exists(dir / "krake.log"));
}

TEST_F(Start, SaysEverythingThatKeepsAControllerFromStarting) {
  const std::pair<std::string, std::string> rows[] = {
      {"api_endpoint: 'localhost:8080'\n", "api_endpoint: 'localhost:8080' is not an http:// or https:// URL"},
      {"api_endpoint: 'http://a:1,http://b:0'\n", "the port must be 1 to 65535 (a.yaml:1)"},
      {"tls: {enabled: true, client_ca: $/none}\n", "tls.client_ca: cannot read '"},
      {"tls: {enabled: true, client_ca: $/junk}\n", "tls: "},
      {"tls: {enabled: true, client_cert: $/cert.pem}\n", "tls: a client certificate needs its key"},
  };
  for (const auto& program : kPrograms) {
    if (program.name == "api") continue;
    EXPECT_THAT(problems<ControllerConfig>("", program.name), IsEmpty());
    for (const auto& [text, wanted] : rows)
      EXPECT_THAT(problems<ControllerConfig>(text, program.name), ElementsAre(HasSubstr(wanted))) << text;
  }
}

TEST_F(Start, GivesControllersTheirEndpoint) {
  const auto start = prepare(read<ControllerConfig>("api_endpoint: 'http://a:1, https://b'\ntls: {enabled: true, "
                                                    "client_ca: $/ca.pem}\n",
                                                    "gc")
                                 .config);
  ASSERT_TRUE(start);
  EXPECT_EQ(start->endpoint.url, "https://a:1,https://b");
  EXPECT_THAT(start->endpoint.ca_pem, HasSubstr("CERTIFICATE"));
}

TEST_F(Start, OfAllHasAStoreOfItsOwn) {
  EXPECT_EQ(for_all({}).store->path, "krake.db");
  EXPECT_FALSE(for_all({.etcd = EtcdConfig()}).store);
  EXPECT_EQ(for_all({.store = StoreConfig{.type = "memory"}}).store->type, "memory");
}

// One code for both: what the start says, the doctor finds.
TEST_F(Start, IsWhatTheDoctorAsksFor) {
  const std::pair<std::string, std::string> files[] = {
      {"api.yaml",
       "authorization: rbac\nstore: {type: nonsense}\ntls: {enabled: true, cert: $/none, key: $/key.pem}\n"},
      {"scheduler.yaml", "api_endpoint: nowhere\n"},
  };
  for (const auto& [name, text] : files) {
    const auto path = file(name, filled(text));
    const auto& program = *std::ranges::find(kPrograms, name, &ProgramInfo::file);
    std::vector<std::string> found;
    for (const auto& finding : check_config_file(path, program, Wall())) {
      if (finding.severity == Finding::Severity::error) found.push_back(finding.what);
    }
    auto wanted = name == "api.yaml" ? of_api(text) : problems<ControllerConfig>(text, program.name);
    for (auto& problem : wanted) problem.replace(problem.find("(a.yaml"), 7, "(" + path);
    EXPECT_THAT(wanted, testing::Not(IsEmpty()));
    EXPECT_THAT(wanted, IsSubsetOf(found)) << name;
  }
}

}  // namespace
}  // namespace krake
