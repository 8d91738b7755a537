#include "main/log_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace krake {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Planned {
  LogOptions options;
  std::vector<std::string> warnings;
};
Planned plan(std::string_view text, std::map<std::string, std::string> overrides = {}) {
  auto config = parse_config(text, "a.yaml");
  EXPECT_TRUE(config) << config.error().message;
  config->overrides = std::move(overrides);
  Planned planned;
  planned.options = plan_log(*config, planned.warnings);
  return planned;
}

constexpr std::string_view kUpstream = R"(log:
  version: 1
  level: INFO
  formatters:
    krake:
      format: "%(asctime)s - [%(name)s] - [%(levelname)s] - %(message)s"
  handlers:
    console:
      class: logging.StreamHandler
      formatter: krake
      stream: ext://sys.stdout
    file:
      class: logging.handlers.WatchedFileHandler
      formatter: krake
      filename: ./logs/krake-api.log
    rotating:
      class: logging.handlers.RotatingFileHandler
      level: WARNING
      filename: ./logs/krake-api.log
      maxBytes: 2000000
      backupCount: 3
  loggers:
    krake:
      handlers: [console, rotating]
      propagate: false
  root:
    level: ERROR
    handlers: [file]
)";

TEST(LogConfig, HasUpstreamsHandlers) {
  const auto [options, warnings] = plan(kUpstream);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(options.level, LogLevel::info);
  ASSERT_EQ(options.outputs.size(), 2U);
  EXPECT_EQ(options.outputs[0].to, LogOutput::To::standard_output);
  EXPECT_EQ(options.outputs[0].pattern, "%Y-%m-%d %H:%M:%S,%e - [%n] - [%&] - %v");
  EXPECT_EQ(options.outputs[1].file, "./logs/krake-api.log");
  EXPECT_EQ(options.outputs[1].max_bytes, 2'000'000U);
  EXPECT_EQ(options.outputs[1].backups, 3);
  EXPECT_EQ(options.outputs[1].level, LogLevel::warning);
  EXPECT_EQ(options.outputs[1].pattern, "");
}

TEST(LogConfig, FindsTheLevel) {
  const std::tuple<std::string_view, std::map<std::string, std::string>, LogLevel> rows[] = {
      {"log: {}", {}, LogLevel::info},
      {"log: {level: 10}", {}, LogLevel::debug},
      {"log: {level: warn}", {}, LogLevel::warning},
      {"log: {root: {level: ERROR}}", {}, LogLevel::error},
      {"log: {level: DEBUG, root: {level: ERROR}}", {}, LogLevel::debug},
      {"log: {level: DEBUG, loggers: {krake: {level: ERROR}}}", {}, LogLevel::error},
      {"log: {level: DEBUG, loggers: {krake: {level: ERROR}}}", {{"log.level", "--log-level"}}, LogLevel::debug},
  };
  for (const auto& [text, overrides, wanted] : rows) EXPECT_EQ(plan(text, overrides).options.level, wanted) << text;
  const auto parts =
      plan("log:\n  loggers:\n    krake.controller: {level: ERROR}\n    krake.controller.scheduler: {level: DEBUG}\n");
  EXPECT_THAT(parts.options.levels,
              ElementsAre(std::pair("scheduler", LogLevel::debug), std::pair("gc", LogLevel::error),
                          std::pair("kubernetes-application", LogLevel::error),
                          std::pair("kubernetes-cluster", LogLevel::error)));
  EXPECT_THAT(parts.warnings, IsEmpty());
}

TEST(LogConfig, SaysWhatItCannotDo) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"log:\n  handlers:\n    x: {class: logging.handlers.SysLogHandler}\n  root: {handlers: [x]}\n",
       "a.yaml:3: 'log.handlers.x' is ignored: there is no handler of the class 'logging.handlers.SysLogHandler' here"},
      {"log:\n  root: {handlers: [x]}\n", "'log.handlers' has no handler 'x', which is used"},
      {"log:\n  version: 1\n  colour: red\n", "a.yaml:3: 'log.colour' is unknown and ignored"},
      {"log:\n  loggers:\n    aiohttp: {level: INFO}\n", "a.yaml:3: 'log.loggers.aiohttp' has no counterpart here"},
      {"log:\n  root:\n    level: LOUD\n", "a.yaml:3: 'log.root.level' is ignored: it is no level"},
      {"log:\n  handlers:\n    x:\n      class: logging.FileHandler\n  root: {handlers: [x]}\n", "it has no filename"},
      {"log:\n  formatters: {f: {format: '%(pathname)s %(message)s'}}\n"
       "  handlers: {x: {class: logging.StreamHandler, formatter: f}}\n  root: {handlers: [x]}\n",
       "there is no %(pathname) here"},
  };
  for (const auto& [text, wanted] : rows)
    EXPECT_THAT(plan(text).warnings, ::testing::Contains(HasSubstr(std::string(wanted)))) << text;
}

TEST(LogConfig, FindsHandlersWithAHyphen) {
  const auto [options, warnings] =
      plan("log:\n  handlers: {my-own: {class: logging.FileHandler, filename: f}}\n  root: {handlers: [my-own]}\n");
  EXPECT_THAT(warnings, IsEmpty());
  ASSERT_EQ(options.outputs.size(), 1U);
  EXPECT_EQ(options.outputs[0].file, "f");
}

TEST(LogConfig, SimpleKeysWinOverHandlers) {
  const auto [options, warnings] = plan(
      "log: {format: json, output: o, handlers: {x: {class: logging.FileHandler, filename: f}}, root: {handlers: "
      "[x]}}");
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.file, "o");
  EXPECT_THAT(options.outputs, IsEmpty());
}

TEST(LogPattern, IsWhatPythonsFormatSays) {
  const std::tuple<std::string_view, std::string_view, std::string_view> good[] = {
      {"%(message)s", "", "%v"},
      {"%(levelname)-8s|%(message)s", "", "%-8&|%v"},
      {"100%% %(message)s %(process)d", "", "100%% %v %P"},
      {"%(asctime)s %(message)s", "%H:%M:%S", "%H:%M:%S %v"},
      {"%(asctime)s %(message)s", "%d.%m.%y", "%d.%m.%C %v"},
  };
  for (const auto& [format, datefmt, wanted] : good) EXPECT_EQ(log_pattern(format, datefmt), wanted) << format;
  const std::pair<std::string_view, std::string_view> bad[] = {
      {"no fields", ""},
      {"%(message)", ""},
      {"%(lineno)d %(message)s", ""},
      {"% %(message)s", ""},
      {"%(asctime)s %(message)s", "%j"},
  };
  for (const auto& [format, datefmt] : bad) EXPECT_FALSE(log_pattern(format, datefmt)) << format;
}

// The whole way: from the section to lines in files.
TEST(LogConfig, WritesWhereItIsTold) {
  const auto dir = std::filesystem::path(::testing::TempDir()) / fmt::format("krake-log-{}", ::getpid());
  std::filesystem::create_directories(dir);
  const auto file = (dir / "krake.log").string();
  const auto config = fmt::format(R"(log:
  formatters: {{f: {{format: "[%(name)s] %(levelname)s %(message)s"}}}}
  handlers:
    all: {{class: logging.handlers.RotatingFileHandler, filename: {0}, formatter: f, maxBytes: 60, backupCount: 2}}
    bad: {{class: logging.FileHandler, filename: {0}.bad, formatter: f, level: ERROR}}
  loggers: {{krake.controller.gc: {{level: ERROR}}}}
  root: {{level: INFO, handlers: [all, bad]}}
)",
                                  file);
  const auto planned = plan(config);
  EXPECT_THAT(planned.warnings, IsEmpty());
  const auto log = Log::open(planned.options);
  ASSERT_TRUE(log) << log.error().message;
  log->debug("no");
  log->info("one");
  log->named("gc").info("no");
  log->named("scheduler").error("two", {{"k", "v"}});
  EXPECT_EQ(*read_file(file), "[krake] INFO one\n[krake.scheduler] ERROR two k=v\n");
  EXPECT_EQ(*read_file(file + ".bad"), "[krake.scheduler] ERROR two k=v\n");
  log->info("three, which has no room");
  EXPECT_EQ(*read_file(file), "[krake] INFO three, which has no room\n");
  EXPECT_EQ(*read_file(file + ".1"), "[krake] INFO one\n[krake.scheduler] ERROR two k=v\n");
  std::filesystem::rename(file, file + ".away");
  log->info("four");
  EXPECT_EQ(*read_file(file), "[krake] INFO four\n") << "moved away, it is made anew";
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace krake
