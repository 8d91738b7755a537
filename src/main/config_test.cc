#include "main/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "main/config_command.h"
#include "main/config_templates.h"

namespace krake {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const ProgramInfo& program(std::string_view name) { return *find_program(name); }

template <class T>
struct Read : Configured<T> {
  std::vector<std::string> warnings;
};

// `warnings`: also of what cannot be read.
template <class T>
Result<Read<T>> read(std::string_view text, std::string_view name, Arguments args = {},
                     const std::map<std::string, std::string>& variables = {},
                     std::vector<std::string>* warnings = nullptr) {
  ASSIGN_OR_RETURN(auto whole, parse_config(text, "a.yaml"));
  ASSIGN_OR_RETURN(auto document, take_section(std::move(whole), section_of(program(name))));
  std::vector<std::string> told;
  auto configured = configure<T>(std::move(document), program(name), args, told, [&](const std::string& variable) {
    const auto it = variables.find(variable);
    return it == variables.end() ? std::nullopt : std::optional<std::string>(it->second);
  });
  if (warnings) *warnings = told;
  if (!configured) return fail(configured.error());
  if (!args.empty()) return fail(Code::invalid_argument, "left: " + args.front());
  return Read<T>{std::move(*configured), std::move(told)};
}

constexpr std::string_view kSmallApi = "authorization: RBAC\nlog: {}\n";

TEST(Config, ReadsKeysWithHyphensOutsideOfLists) {
  const auto got = read<ApiConfig>(
      "authorization: RBAC\nauthentication:\n  cors-origin: http://x\ndefault-roles: [{a-b: 1}]\nlog: {}\n", "api");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->config.authentication.cors_origin, "http://x");
  EXPECT_TRUE(got->config.default_roles->front().contains("a-b"));
  EXPECT_EQ(got->document.origin("authentication.cors_origin"), "a.yaml:3");
  EXPECT_EQ(got->document.origin("authentication.allow_anonymous"), "default");
  EXPECT_THAT(got->warnings, IsEmpty());
}

// W37: a value of the command line counts even when it is the default; switches can be turned off.
TEST(Config, W37_FlagsWinOverVariablesAndTheyOverTheFile) {
  const std::string_view text = "host: file\nport: 1\ntls: {enabled: true}\nauthorization: RBAC\n";
  const auto got = read<ApiConfig>(text, "api", {"--host", "localhost", "--no-tls-enabled", "--etcd-host=flag"},
                                   {{"KRAKE_HOST", "variable"}, {"KRAKE_PORT", "8080"}});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->config.host, "localhost");
  EXPECT_EQ(static_cast<std::int64_t>(got->config.port), 8080);
  EXPECT_FALSE(got->config.tls.enabled);
  EXPECT_EQ(got->config.etcd->host, "flag") << "a section that the file does not have";
  EXPECT_EQ(got->document.origin("host"), "--host");
  EXPECT_EQ(got->document.origin("port"), "KRAKE_PORT");
  EXPECT_EQ(got->document.origin("tls.enabled"), "--no-tls-enabled");
  EXPECT_EQ(got->document.origin("authorization"), "a.yaml:4");
}

TEST(Config, W37_PathsOfTlsMayBeLeftOut) {
  EXPECT_TRUE(read<ApiConfig>(kSmallApi, "api"));
  EXPECT_TRUE(read<ControllerConfig>("", "scheduler"));
}

TEST(Config, IgnoresWhatKubernetesSaysOfAServiceOfThatName) {
  const auto got = read<ApiConfig>(kSmallApi, "api", {}, {{"KRAKE_PORT", "tcp://10.0.0.1:8080"}});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(static_cast<std::int64_t>(got->config.port), 8080);
  EXPECT_THAT(got->warnings, ElementsAre(HasSubstr("KRAKE_PORT=tcp://10.0.0.1:8080 is no port")));
}

TEST(Config, WarnsOfUnknownKeysWithTheirLine) {
  const auto got =
      read<ApiConfig>("authorization: RBAC\nprot: 1\netcd:\n  hots: x\nauthentication:\n  kind: static\n", "api");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->warnings,
              ElementsAre("a.yaml:2: unknown configuration key 'prot' is ignored",
                          "a.yaml:4: unknown configuration key 'etcd.hots' is ignored",
                          "a.yaml:6: the deprecated configuration key 'authentication.kind' is ignored; use "
                          "'authentication.strategy.NAME.enabled'"));
}

TEST(Config, OfARepeatedKeyTheLastCountsWithAWarning) {
  const auto got = read<ApiConfig>("port: 1\nauthorization: RBAC\netcd: {host: a}\nport: 2\netcd: {port: 3}\n", "api");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(static_cast<std::int64_t>(got->config.port), 2);
  EXPECT_EQ(got->document.origin("port"), "a.yaml:4");
  EXPECT_EQ(got->config.etcd->host, "127.0.0.1");
  EXPECT_EQ(static_cast<std::int64_t>(got->config.etcd->port), 3);
  EXPECT_THAT(got->warnings, ElementsAre("a.yaml:4: the key 'port' is there since line 1; the last one counts",
                                         "a.yaml:5: the key 'etcd' is there since line 3; the last one counts"));
}

TEST(Config, WarnsOfKeysOfAnotherProgram) {
  EXPECT_THAT(read<ControllerConfig>("stickiness: 0.2\n", "scheduler")->warnings, IsEmpty());
  EXPECT_THAT(read<ControllerConfig>("debounce: 0\nstickiness: 0.2\n", "gc")->warnings,
              ElementsAre("a.yaml:2: 'stickiness' has no effect here: it is a key of another program than gc"));
  const auto left = read<ControllerConfig>("", "gc", {"--stickiness", "1"});
  ASSERT_FALSE(left) << "nor has it the flag";
  EXPECT_EQ(left.error().message, "left: --stickiness");
}

TEST(Config, SaysWhatIsWrongAndWhere) {
  const auto got = read<ApiConfig>("port: many\ntls:\n  enabled: perhaps\n", "api", {"--etcd-port", "x"});
  ASSERT_FALSE(got);
  const auto& message = got.error().message;
  EXPECT_TRUE(message.starts_with("Parsing configuration failed with error(s): \n - field '")) << message;
  EXPECT_THAT(message, HasSubstr(" - field 'port': Not a valid integer. (a.yaml:1)"));
  EXPECT_THAT(message, HasSubstr(" - field 'tls.enabled': Not a valid boolean. (a.yaml:3)"));
  EXPECT_THAT(message, HasSubstr(" - field 'etcd.port': Not a valid integer. (--etcd-port)"));
  EXPECT_THAT(message, HasSubstr(" - field 'authorization': Missing data for required field."));
}

TEST(Config, RefusesWhatIsOutOfRange) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"port: 65536\nauthorization: RBAC\n", "'port'"},
      {"log: {level: LOUD}\nauthorization: RBAC\n", "'log.level'"},
      {"log: {format: xml}\nauthorization: RBAC\n", "'log.format'"},
  };
  for (const auto& [text, field] : rows) {
    const auto got = read<ApiConfig>(text, "api");
    ASSERT_FALSE(got) << text;
    EXPECT_THAT(got.error().message, HasSubstr(std::string(field)));
  }
  const auto hook = read<ControllerConfig>("hooks: {shutdown: {failure_strategy: hope}}\n", "kubernetes-application");
  ASSERT_FALSE(hook);
  EXPECT_THAT(hook.error().message, HasSubstr("want delete or give_up, got 'hope'"));
}

TEST(Config, TellsAllThatIsOutOfRangeAndWhere) {
  const auto scheduler = read<ControllerConfig>("worker_count: 0\ndebounce: -1\nadmin:\n  port: x\n", "scheduler",
                                                {"--stickiness", "-2"}, {{"KRAKE_LOG_FORMAT", "xml"}});
  ASSERT_FALSE(scheduler);
  for (const auto* wanted :
       {"'worker_count': want 1 to 1000, got 0 (a.yaml:1)", "'debounce': want 0 to 3600, got -1 (a.yaml:2)",
        "'admin.port': Not a valid integer. (a.yaml:4)", "'stickiness': want 0 to 1000, got -2 (--stickiness)",
        "'log.format': want text or json, got 'xml' (KRAKE_LOG_FORMAT)"})
    EXPECT_THAT(scheduler.error().message, HasSubstr(fmt::format("\n - field {}", wanted)));
  const auto api = read<ApiConfig>(
      "authorization: RBAC\netcd:\n  port: 70000\n  retry_transactions: -1\naudit: {max_files: 0}\nlimits: {bodies: "
      "1}\n",
      "api");
  ASSERT_FALSE(api);
  for (const auto* wanted :
       {"'etcd.port': want 1 to 65535, got 70000 (a.yaml:3)", "'etcd.retry_transactions': want 0 to",
        "'audit.max_files': want 1 to 1000, got 0 (a.yaml:5)", "'limits.bodies': want 20 to"})
    EXPECT_THAT(api.error().message, HasSubstr(fmt::format("\n - field {}", wanted)));
}

// What is missing may be there under a mistyped name.
TEST(Config, WarnsWhateverIsWrongBesides) {
  const std::tuple<std::string_view, std::string_view, std::string_view, std::vector<std::string>> rows[] = {
      {"port: 0\nauthorisation: RBAC\n",
       "api",
       "'authorization': Missing data",
       {"a.yaml:2: unknown configuration key 'authorisation' is ignored"}},
      {"Api: {authorization: RBAC}\nscheduler: {}\n",
       "api",
       "'authorization': Missing data",
       {"a.yaml:1: 'Api' is the section of no program and is ignored; known are " + known_sections()}},
      {"scheduler:\n  stickines: 3\n  reschedule_after: -1\nschedular: {}\n",
       "scheduler",
       "'reschedule_after': want",
       {"a.yaml:4: 'schedular' is the section of no program and is ignored; known are " + known_sections(),
        "a.yaml:2: unknown configuration key 'stickines' is ignored"}},
      {"etcd: {port: x, hots: y}\nauthorization: RBAC\nport: 1\nport: 2\nlog: {colour: red}\n",
       "api",
       "'etcd.port'",
       {"a.yaml:4: the key 'port' is there since line 3; the last one counts",
        "a.yaml:1: unknown configuration key 'etcd.hots' is ignored", "a.yaml:5: 'log.colour' is unknown and ignored"}},
      {"worker_count: 0\ntls: {enabled: true}\napi_endpoint: 'http://a:1, https://b'\n",
       "gc",
       "'worker_count': want",
       {"api_endpoint: the scheme of 'http://a:1' is changed to https, to match tls.enabled (a.yaml:3)"}},
      {"tls: {enabled: perhaps}\napi_endpoint: https://b\n", "gc", "'tls.enabled': Not a valid boolean", {}},
      // What the errors say already is not said again.
      {"log: {level: LOUD}\nauthorization: RBAC\n", "api", "'log.level': want DEBUG", {}},
  };
  for (const auto& [text, name, error, wanted] : rows) {
    std::vector<std::string> warnings;
    std::string failed;
    if (name == "api") {
      const auto got = read<ApiConfig>(text, name, {}, {}, &warnings);
      failed = got ? "" : got.error().message;
    } else {
      const auto got = read<ControllerConfig>(text, name, {}, {}, &warnings);
      failed = got ? "" : got.error().message;
    }
    EXPECT_THAT(failed, HasSubstr(std::string(error))) << text;
    EXPECT_EQ(warnings, wanted) << text;
  }
}

TEST(Config, TakesAnIntervalOfZero) {
  const auto got = read<ControllerConfig>("reschedule_after: 0\n", "scheduler");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->config.reschedule_after, 0);
}

// What is in it would be left out, and nobody told.
TEST(Config, RefusesASecondDocument) {
  const auto got = parse_config("authorization: RBAC\n---\nport: 1\n", "a.yaml");
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, ::testing::MatchesRegex("a.yaml:[23]: a second document begins here; .*"));
  EXPECT_TRUE(parse_config("---\nauthorization: RBAC\n...\n", "a.yaml"));
}

TEST(Config, TakesItsSectionOfACombinedFile) {
  const std::string_view text = "api:\n  authorization: RBAC\n  port: 1\n  prot: 2\nscheduler:\n  worker-count: 7\n";
  const auto api = read<ApiConfig>(text, "api");
  ASSERT_TRUE(api) << api.error().message;
  EXPECT_EQ(api->document.origin("port"), "a.yaml:3");
  EXPECT_THAT(api->warnings, ElementsAre("a.yaml:4: unknown configuration key 'prot' is ignored"));
  EXPECT_EQ(static_cast<std::int64_t>(read<ControllerConfig>(text, "scheduler")->config.worker_count), 7);
  const auto gc = read<ControllerConfig>(text, "gc");
  ASSERT_TRUE(gc) << gc.error().message;
  EXPECT_THAT(gc->warnings, IsEmpty()) << "a program without a section has its defaults";
}

TEST(Config, WarnsOfWhatIsNoSectionOfACombinedFile) {
  const std::string_view text = "api: {authorization: RBAC}\nschedular:\n  stickiness: 1\n";
  for (const auto& warnings :
       {read<ApiConfig>(text, "api").value().warnings, read<ControllerConfig>(text, "scheduler").value().warnings}) {
    EXPECT_THAT(warnings, ElementsAre(HasSubstr("a.yaml:2: 'schedular' is the section of no program and is ignored")));
  }
}

TEST(Config, NamesThePlacesWhereNoFileIs) {
  const ProgramInfo nobody{"x", "no-such-program-of-krake.yaml", ""};
  const auto got = load_config_file("", nobody);
  if (got) GTEST_SKIP() << "this machine has a krake.yaml";
  EXPECT_EQ(got.error().message,
            "Configuration in 'no-such-program-of-krake.yaml', '/etc/krake/no-such-program-of-krake.yaml' not found");
}

TEST(Config, ShowsEveryValueWithItsOriginAndNoSecret) {
  const auto got = read<ApiConfig>("authorization: RBAC\netcd: {user: u, password: planted}\n", "api");
  ASSERT_TRUE(got) << got.error().message;
  const auto values = effective_values(masked<ApiConfig>(to_value(got->config)), got->document, program("api"));
  const auto has = [&](const EffectiveValue& wanted) { return std::ranges::find(values, wanted) != values.end(); };
  EXPECT_TRUE(has({"host", "\"localhost\"", "default"}));
  EXPECT_TRUE(has({"authorization", "\"RBAC\"", "a.yaml:1"}));
  EXPECT_TRUE(has({"etcd.user", "\"u\"", "a.yaml:2"}));
  EXPECT_TRUE(has({"etcd.password", "\"********\"", "a.yaml:2"}));
  for (const auto& value : values) EXPECT_THAT(value.value, Not(HasSubstr("planted")));
}

TEST(Config, ShowsNoUserOfAUrl) {
  const auto api = read<ApiConfig>(
      "authorization: RBAC\n"
      "etcd: {endpoints: ['http://u:planted@a:1', 'http://b:1']}\n"
      "authentication: {strategy: {keycloak: {endpoint: 'http://u:planted@k'}, oidc: {issuer: 'u:planted@i'},\n"
      "  static: {name: 'me@example.org'}}}\n",
      "api");
  ASSERT_TRUE(api) << api.error().message;
  const auto scheduler =
      read<ControllerConfig>("", "scheduler", {"--api-endpoint", "http://u:planted@a:1,https://u:planted@b:1"});
  ASSERT_TRUE(scheduler) << scheduler.error().message;
  auto values = effective_values(masked<ApiConfig>(to_value(api->config)), api->document, program("api"));
  std::ranges::move(effective_values(to_value(scheduler->config), scheduler->document, program("scheduler")),
                    std::back_inserter(values));
  for (const auto& value : values) EXPECT_THAT(value.value, Not(HasSubstr("planted"))) << value.path;
  const auto shown = [&](std::string_view path) {
    return std::ranges::find(values, path, &EffectiveValue::path)->value;
  };
  EXPECT_EQ(shown("etcd.endpoints"), R"(["http://***@a:1","http://b:1"])");
  EXPECT_EQ(shown("authentication.strategy.keycloak.endpoint"), R"("http://***@k")");
  EXPECT_EQ(shown("authentication.strategy.static.name"), R"("me@example.org")");
  EXPECT_EQ(shown("api_endpoint"), R"("http://***@b:1")");
}

// Each program reads its own built-in template without a warning, and no two flags have one name.
TEST(Config, GeneratesWhatItReads) {
  Arguments none;
  const auto values = take_template_values(none);
  ASSERT_TRUE(values) << values.error().message;
  for (const auto& info : kPrograms) {
    const auto text = fill_template(builtin_template(info.file), info.file, *values);
    ASSERT_TRUE(text) << text.error().message;
    ASSERT_FALSE(text->empty()) << info.file;
    if (info.name == "api") {
      const auto got = read<ApiConfig>(*text, info.name);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_THAT(got->warnings, IsEmpty()) << info.file;
    } else {
      const auto got = read<ControllerConfig>(*text, info.name);
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_THAT(got->warnings, IsEmpty()) << info.file;
    }
  }
}

TEST(ConfigTemplate, Fills) {
  const TemplateValues values{{"a", "1"}, {"b_c", "two"}, {"external_endpoint", ""}};
  const std::pair<std::string_view, std::string_view> good[] = {
      {"", ""},           {"x", "x"},
      {"$a\n", "1\n"},    {"${a}b $b_c.", "1b two."},
      {"$$a $$", "$a $"}, {"x\ny: $external_endpoint\nz\n", "x\nz\n"},
  };
  for (const auto& [text, wanted] : good) EXPECT_EQ(fill_template(text, "t", values), wanted) << text;
  const std::pair<std::string_view, std::string_view> bad[] = {
      {"\n$no", "t:2: there is no value for '$no'"},
      {"5 $", "t:1: a '$' without a name"},
      {"$1", "t:1: a '$' without a name"},
      {"${a", "t:1: a '$' without a name"},
  };
  for (const auto& [text, wanted] : bad) {
    const auto got = fill_template(text, "t", values);
    ASSERT_FALSE(got) << text;
    EXPECT_THAT(got.error().message, HasSubstr(std::string(wanted)));
  }
}

TEST(ConfigTemplate, KnowsUpstreamsOptionsInBothSpellings) {
  Arguments args{"--tls_enabled", "--api-port=8443", "--cert_dir", "/a_b", "api"};
  const auto values = take_template_values(args);
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ(args, Arguments{"api"});
  EXPECT_EQ(values->at("api_endpoint"), "https://localhost:8443");
  EXPECT_EQ(values->at("cert_dir"), "/a_b");
  EXPECT_EQ(values->at("listen_address"), "localhost");
  for (Arguments wrong : {Arguments{"--api-port", "x"}, Arguments{"--authorization-mode", "maybe"}})
    EXPECT_FALSE(take_template_values(wrong));
}

// Upstream's templates have a line of each hook, and one version of its api.yaml a formatter, as values of their own.
TEST(ConfigTemplate, FillsUpstreamsLinesOfTheHooksAndItsFormatter) {
  constexpr std::string_view text =
      "hooks:\n  complete:\n    env_url: $complete_hook_env_url\n    $external_complete_endpoint_key_and_value\n"
      "  shutdown:\n    $external_shutdown_endpoint_key_and_value\n    timeout: 3\nformatter: $logging_formatter\n";
  const auto filled = [&](Arguments args) {
    const auto values = take_template_values(args);
    EXPECT_TRUE(values) << values.error().message;
    return fill_template(text, "t", *values);
  };
  EXPECT_EQ(filled({}),
            "hooks:\n  complete:\n    env_url: KRAKE_COMPLETE_URL\n  shutdown:\n    timeout: 3\nformatter: krake\n");
  EXPECT_EQ(filled({"--external-endpoint", "https://k:1", "--logging-formatter=other"}),
            "hooks:\n  complete:\n    env_url: KRAKE_COMPLETE_URL\n    external_endpoint: https://k:1\n"
            "  shutdown:\n    external_endpoint: https://k:1\n    timeout: 3\nformatter: other\n");
}

TEST(Arguments, AreWhatTheNameOfTheProgramMeans) {
  const std::tuple<std::string_view, Arguments, Arguments> rows[] = {
      {"krake", {"api", "-h"}, {"api", "-h"}},
      {"/usr/bin/krake_bootstrap_db", {"f"}, {"bootstrap", "--new-only", "--local-etcd", "f"}},
      {"krake_generate_config", {"t"}, {"config", "generate", "--force", "t"}},
      {"krake_api", {"-c", "x"}, {"api", "-c", "x"}},
      {"krake.controller.kubernetes.application", {}, {"kubernetes-application"}},
      {"krake_garbage_collector", {}, {"gc"}},
      {"python3", {"-m", "krake.controller.scheduler", "-c", "x"}, {"scheduler", "-c", "x"}},
      {"krake", {"-m", "os"}, {"os"}},
      {"krake_program", {"version"}, {"version"}},
  };
  for (const auto& [name, args, wanted] : rows) EXPECT_EQ(as_command(name, args), wanted) << name;
}

// The value may be a password.
TEST(Arguments, AnUnknownOptionIsNamedWithoutItsValue) {
  EXPECT_EQ(option_name("--etcd-pasword=planted=x"), "--etcd-pasword");
  EXPECT_EQ(option_name("--etcd-pasword"), "--etcd-pasword");
  const auto refused = only_positional("backup", {"file", "--etcd-pasword=planted"});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, Not(HasSubstr("planted")));
}

// The page for people has every key; a key that is added is written down there.
TEST(Config, IsDocumentedWhole) {
  const auto page = read_file(KRAKE_SOURCE_DIR "/docs/operations/configuration.md");
  ASSERT_TRUE(page) << page.error().message;
  for (const auto& flags : {config_flags<ApiConfig>(), config_flags<ControllerConfig>()}) {
    for (const auto& flag : flags) EXPECT_THAT(*page, HasSubstr(fmt::format("`{}`", flag.dotted())));
  }
}

}  // namespace
}  // namespace krake
