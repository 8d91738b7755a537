#include "cli/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing.h"

namespace krake::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ran;
using ::testing::StartsWith;
using testing::TestCli;

struct Loader : TestCli {
  std::string show(std::optional<std::string> path = std::nullopt) {
    Ran ran;
    const auto config = load_config(io(ran), path);
    if (!config) return "E " + config.error().message;
    std::string out = fmt::format("{} {}", config->endpoint.url, config->user);
    if (!config->token.empty()) out += " token=" + config->token;
    if (!config->endpoint.client_cert_pem.empty()) {
      out += fmt::format(" tls={},{},{}", config->endpoint.client_cert_pem, config->endpoint.client_key_pem,
                         config->endpoint.ca_pem);
    }
    if (config->endpoint.insecure_skip_verify) out += " insecure";
    if (config->timeout != std::chrono::seconds(30))
      out += fmt::format(" timeout={}", std::chrono::duration_cast<std::chrono::milliseconds>(config->timeout).count());
    for (const auto& warning : config->warnings) out += " W " + warning;
    for (const auto& remark : config->remarks) out += " R " + remark;
    return out;
  }
};

TEST(CliConfig, LooksInUpstreamsPlaces) {
  Loader cli;
  EXPECT_EQ(cli.show(), "http://localhost:8080 system:admin");
  cli.dir.write("etc/krakectl.yaml", "api_url: http://etc:1\nuser: etc\n");
  EXPECT_EQ(cli.show(), "http://etc:1 etc");
  cli.env["HOME"] = (cli.dir.path / "home").string();
  cli.dir.write("home/.config/krakectl.yaml", "api_url: http://home:1\nuser: home\n");
  EXPECT_EQ(cli.show(), "http://home:1 home");
  cli.env["XDG_CONFIG_HOME"] = (cli.dir.path / "xdg").string();
  EXPECT_EQ(cli.show(), "http://etc:1 etc");
  cli.dir.write("xdg/krakectl.yaml", "api_url: http://xdg:1\nuser: xdg\n");
  EXPECT_EQ(cli.show(), "http://xdg:1 xdg");
  cli.dir.write("krakectl.yaml", "api_url: http://here:1\nuser: here\n");
  EXPECT_EQ(cli.show(), "http://here:1 here");
  cli.dir.write("other.yaml", "api_url: http://other:1\nuser: other\n");
  cli.env["KRAKECTL_CONFIG"] = "other.yaml";
  EXPECT_EQ(cli.show(), "http://other:1 other");
  EXPECT_EQ(cli.show("krakectl.yaml"), "http://here:1 here");
  cli.env["KRAKE_API_URL"] = "https://env:2";
  cli.env["KRAKE_NAMESPACE"] = "env";
  cli.env["KRAKE_TOKEN"] = "T";
  EXPECT_EQ(cli.show(), "https://env:2 env token=T");
  EXPECT_THAT(cli.show("missing.yaml"), HasSubstr("does not exist"));
  cli.env["KRAKE_API_URL"] = "nonsense";
  EXPECT_THAT(cli.show(), StartsWith("E KRAKE_API_URL: 'nonsense'"));
}

TEST(CliConfig, OfARepeatedKeyTheLastCountsWithAWarning) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: http://a:1\nuser: u\napi_url: http://b:1\n");
  const auto shown = cli.show("krakectl.yaml");
  EXPECT_TRUE(shown.starts_with("http://b:1 u R ")) << shown;
  EXPECT_TRUE(shown.ends_with("krakectl.yaml:3: the key 'api_url' is there since line 1; the last one counts"))
      << shown;
}

// Whoever can put a file where we happen to stand is not obeyed, and gets no token.
TEST(CliConfig, AFileThatWasFoundIsNotTrusted) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: http://evil:1\nuser: u\ntoken_command: login\n");
  EXPECT_THAT(cli.show(), HasSubstr("token_command: not run"));
  EXPECT_EQ(cli.show("krakectl.yaml"),
            "http://evil:1 u token=output of login R the token goes to http://evil:1 unencrypted");
  cli.dir.write("krakectl.yaml", "api_url: http://evil:1\nuser: u\n");
  cli.env["KRAKE_TOKEN"] = "T";
  EXPECT_THAT(cli.show(), HasSubstr("KRAKE_TOKEN is not sent to http://evil:1"));
  cli.env["KRAKE_API_URL"] = "https://mine:1";
  EXPECT_EQ(cli.show(), "https://mine:1 u token=T");
}

TEST(CliConfig, ReadsItsKeys) {
  Loader cli;
  cli.dir.write("c.pem", "C");
  cli.dir.write("k.pem", "K");
  cli.dir.write("ca.pem", "A");
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"api_url: https://h:1/prefix\nuser: u\n", "https://h:1/prefix u"},
      {"api_url: https://h:1\nuser: u\ntls:\n  enabled: true\n  client_cert: c.pem\n  client_key: k.pem\n  client_ca: "
       "ca.pem\n",
       "https://h:1 u tls=C,K,A"},
      {"api_url: http://h:1\nuser: u\ntls: {enabled: yes, client_cert: c.pem, client_key: k.pem}\n",
       "https://h:1 u tls=C,K, W api_url http://h:1 has the wrong scheme for tls.enabled: true; using https"},
      {"api_url: https://h:1\nuser: u\ntls: {enabled: false}\n",
       "http://h:1 u W api_url https://h:1 has the wrong scheme for tls.enabled: false; using http"},
      {"api_url: http://a:1, https://b:2\nuser: u\n", "http://a:1, https://b:2 u"},
      {"api_url: http://a:1,https://b:2\nuser: u\ntls: {enabled: false}\n",
       "http://a:1,http://b:2 u W api_url https://b:2 has the wrong scheme for tls.enabled: false; using http"},
      {"api_url: https://h:1\nuser: u\ntoken: T\ntls: {enabled: true}\n", "https://h:1 u token=T"},
      {"api_url: https://h:1\nuser: u\ntoken_command: login\n", "https://h:1 u token=output of login"},
      {"api_url: https://h:1\nuser: u\ninsecure_skip_verify: true\ntimeout: 2.5\n",
       "https://h:1 u insecure timeout=2500"},
      {"user: u\n", "E FILE: api_url: missing"},
      {"api_url: http://h:1\n", "E FILE: user: missing"},
      {"api_url: 5\nuser: u\n", "E FILE: api_url: want a text"},
      {"api_url: http://h\nuser: u\ntls: {}\n", "E FILE: tls.enabled: missing"},
      {"api_url: http://h\nuser: u\ntls: {enabled: true, client_key: k.pem}\n", "E FILE: tls.client_cert: missing"},
      {"api_url: http://h\nuser: u\ntls: {enabled: true, client_cert: no.pem, client_key: k.pem}\n",
       "E FILE: tls.client_cert: 'no.pem': No such file or directory"},
      {"api_url: http://h\nuser: u\ntimeout: -1\n", "E FILE: timeout: want seconds, more than 0, at most 86400"},
      {"- a\n", "E FILE: want one mapping of keys to values"},
      {"a: [\n", "E FILE:2:1: "},
      {"current-context: b\nuser: all\ncontexts:\n  a: {api_url: 'http://a'}\n  b: {api_url: 'http://b'}\n",
       "http://b all"},
      {"current-context: b\ncontexts:\n- {name: a, api_url: 'http://a', user: ua}\n- {name: b, api_url: 'http://b', "
       "user: ub}\n",
       "http://b ub"},
      {"current-context: x\ncontexts: {}\n", "E FILE: there is no context 'x' under contexts"},
  };
  for (const auto& [text, wanted] : cases) {
    const auto file = cli.dir.write("krakectl.yaml", text);
    std::string seen = cli.show("krakectl.yaml");
    for (std::size_t at; (at = seen.find(file)) != std::string::npos;) seen.replace(at, file.size(), "FILE");
    EXPECT_TRUE(seen == wanted || (wanted.ends_with(": ") && seen.starts_with(wanted))) << text << "\n" << seen;
  }
}

TEST(CliConfig, ReachesTheApiAsConfigured) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: http://krake:9\nuser: demo\ntoken: secret\n");
  const auto ran = cli.run("kube app list");
  EXPECT_EQ(cli.dialer->last.url, "http://krake:9");
  ASSERT_EQ(ran.requests.size(), 1U);
  EXPECT_EQ(ran.requests[0].target, "/kubernetes/namespaces/demo/applications");
  EXPECT_EQ(ran.requests[0].headers.get("Authorization"), "Bearer secret");
}

TEST(CliConfig, SaysWhatIsMissingForTls) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: https://h:1\nuser: u\ntls: {enabled: true}\n");
  const auto err = cli.run("kube app list").err;
  EXPECT_THAT(err, HasSubstr("tls.client_cert: missing"));
  EXPECT_THAT(err, HasSubstr("Hint: tls.client_cert and tls.client_key say who you are, unless a token does"));
  cli.dir.write("krakectl.yaml", "user: u\n");
  EXPECT_THAT(cli.run("kube app list").err, HasSubstr("Hint: krakectl.yaml needs at least api_url and user"));
}

TEST(CliConfig, RefusesATokenNoHeaderCanCarry) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: http://h:1\nuser: u\ntoken: \"abc\\ndef\"\n");
  const auto ran = cli.run("kube app list");
  EXPECT_EQ(ran.exit, 1);
  EXPECT_TRUE(ran.requests.empty());
  EXPECT_THAT(ran.err, HasSubstr("krakectl.yaml: byte 4 of the token is a control character"));
  EXPECT_THAT(ran.err, Not(HasSubstr("abc")));
  cli.dir.write("krakectl.yaml", "api_url: http://h:1\nuser: u\n");
  cli.env["KRAKE_TOKEN"] = "\x7f";
  EXPECT_THAT(cli.show("krakectl.yaml"), HasSubstr("E KRAKE_TOKEN: byte 1 of the token"));
}

TEST(CliConfig, ACommandThatFailsIsNotPrinted) {
  Loader cli;
  const auto io = process_io(cli.server.world.context.get_executor(), cli.server.world.clock);
  const auto failed = io.run_command("PASSWORD=hunter2; exit 3");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "the command failed with status 3");
  const auto killed = io.run_command("PASSWORD=hunter2; kill -9 $$");
  ASSERT_FALSE(killed);
  EXPECT_EQ(killed.error().message, "the command was ended by signal 9");
}

TEST(CliConfig, TellsOfKeysNobodyKnows) {
  Loader cli;
  cli.dir.write("krakectl.yaml",
                "api_url: https://h:1\nuser: u\nfoo: 1\ntoken: T\ntls:\n  enabled: true\n  client_kee: k.pem\n"
                "contexts:\n- name: a\n  usr: b\n");
  const auto shown = cli.show("krakectl.yaml");
  EXPECT_THAT(shown, HasSubstr("krakectl.yaml:3: the key 'foo' is not known and ignored R"));
  EXPECT_THAT(shown, HasSubstr(":7: the key 'tls.client_kee' is not known and ignored; did you mean 'client_key'?"));
  EXPECT_THAT(shown, HasSubstr(":10: the key 'contexts.0.usr' is not known and ignored; did you mean 'user'?"));
  EXPECT_THAT(cli.run("kube app list").err, HasSubstr("WARNING: "));
  EXPECT_EQ(cli.run("kube app list -o json").err, "");
}

TEST(CliConfig, TellsAForcedSchemeEvenWithJson) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: https://krake:9\nuser: demo\ntls: {enabled: false}\n");
  EXPECT_THAT(cli.run("kube app list -o json").err, HasSubstr("WARNING: api_url https://krake:9"));
  cli.env["PYTHONWARNINGS"] = "ignore";
  EXPECT_EQ(cli.run("kube app list -o json").err, "");
}

TEST(CliConfig, TellsWhatUpstreamDoesNotToHumansAlone) {
  Loader cli;
  cli.dir.write("krakectl.yaml", "api_url: http://a:1\napi_url: http://krake:9\nuser: demo\ntoken: T\n");
  for (const auto* format : {"json", "yaml", "name"})
    EXPECT_EQ(cli.run(fmt::format("kube app list -o {}", format)).err, "") << format;
  const auto err = cli.run("kube app list").err;
  EXPECT_THAT(err, HasSubstr("WARNING: the token goes to http://krake:9 unencrypted"));
  EXPECT_THAT(err, HasSubstr("the key 'api_url' is there since line 1"));
}

}  // namespace
}  // namespace krake::cli
