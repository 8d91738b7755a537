#include "cli/args.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace krake::cli {
namespace {

const std::vector<Syntax>& sample() {
  static const std::vector<Syntax> commands = {
      {{{{"kube", "k"}, "group"}, {{"app", "apps"}, "resource"}, {{"create"}, "make it"}},
       "NAME",
       {{"--namespace", 'n', "NS", 1, 1, "ns"},
        {"--all", 'a', "", 0, 0, "all"},
        {"--metric", 'm', "NAME WEIGHT", 2, 2, "m", false, 0, {}, nullptr, true},
        {"--backoff", 0, "N", 1, 1, "b"},
        {"--backoff_delay", 0, "N", 1, 1, "b"},
        {"--backoff_limit", 0, "N", 1, 1, "b"},
        {"--on", 0, "", 0, 0, "", false, 7},
        {"--off", 0, "", 0, 0, "", false, 7},
        {"--observer_schema_file", 'O', "FILE", 1, 1, "o"},
        {"--many",
         0,
         "INT ...",
         0,
         9,
         "m",
         false,
         0,
         {},
         [](std::size_t, std::string_view w) { return is_integer(w); }}}},
      {{{{"kube", "k"}, "group"}, {{"app", "apps"}, "resource"}, {{"list"}, "show"}},
       "",
       {{"--file", 'f', "FILE", 1, 1, "f", true}}},
      {{{{"version"}, "v"}}, "", {}},
  };
  return commands;
}

std::string outcome(std::string_view line) {
  std::vector<std::string> args;
  std::string word;
  for (const char c : std::string(line) + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      args.push_back(std::exchange(word, {}));
    }
  }
  const auto result = parse_args(sample(), args);
  if (const auto* error = std::get_if<UsageError>(&result)) {
    std::string_view text = error->text;
    return "E " + std::string(text.substr(text.find("error: ") + 7, text.size() - text.find("error: ") - 8));
  }
  if (std::holds_alternative<HelpWanted>(result)) return "help";
  if (std::holds_alternative<CompletionWanted>(result)) return "completion";
  const auto& [command, parsed] = std::get<Matched>(result);
  std::string out = std::to_string(command);
  for (const auto& name : parsed.names) out += " " + name;
  for (const auto option : {"--output", "--namespace", "--all", "--metric", "--backoff", "--backoff_delay",
                            "--backoff_limit", "--on", "--off", "--observer_schema_file", "--many", "--file"}) {
    for (const auto& values : parsed.all(option)) {
      out += fmt::format(" {}(", option + 2);
      for (std::size_t i = 0; i < values.size(); ++i) out += (i ? "," : "") + values[i];
      out += ")";
    }
  }
  return out;
}

TEST(Args, UnderstandsTheCommandLine) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"kube app create x", "0 x"},
      {"k apps create x -n foo", "0 x namespace(foo)"},
      {"k app create -nfoo x", "0 x namespace(foo)"},
      {"k app create -n=foo x", "0 x namespace(foo)"},
      {"k app create --namespace=foo=bar x", "0 x namespace(foo=bar)"},
      {"k app create --name foo x", "0 x namespace(foo)"},
      {"k app create --n foo x", "0 x namespace(foo)"},
      {"k app create --back 3 x", "E ambiguous option: --back could match --backoff, --backoff_delay, --backoff_limit"},
      {"k app create --backoff 3 x", "0 x backoff(3)"},
      {"k app create --backoff-delay 3 x", "0 x backoff_delay(3)"},
      {"k app create --backoff_d 3 x", "0 x backoff_delay(3)"},
      {"k app create --backoff_limit -1 x", "0 x backoff_limit(-1)"},
      {"k app create --observer_schema f x", "0 x observer_schema_file(f)"},
      {"k app create -an foo x -ojson", "0 x output(json) namespace(foo) all()"},
      {"k app create -n a -n b x", "0 x namespace(a) namespace(b)"},
      {"k app create -m heat 1.5 x -m load -2", "0 x metric(heat,1.5) metric(load,-2)"},
      {"k app create -m heat x y", "E argument -m/--metric: invalid float value: 'x'"},
      {"k app create x -m heat", "E argument -m/--metric: expected 2 arguments"},
      {"k app create x -n", "E argument -n/--namespace: expected one argument"},
      {"k app create x -n -a", "E argument -n/--namespace: expected one argument"},
      {"k app create x -n -", "0 x namespace(-)"},
      {"k app create --many 1 2 -3 x", "0 x many(1,2,-3)"},
      {"k app create --many x", "0 x many()"},
      {"k app create --on --off x", "E argument --off: not allowed with argument --on"},
      {"k app create --on --on x", "0 x on() on()"},
      {"k app create --all=yes x", "E argument -a/--all: ignored explicit argument 'yes'"},
      {"k app create -- -x", "0 -x"},
      {"k app create", "E the following arguments are required: NAME"},
      {"k app create x y", "E unrecognized arguments: y"},
      {"k app create x -z", "E unrecognized arguments: -z"},
      {"k app create x --bogus", "E unrecognized arguments: --bogus"},
      {"k app create x --namspace y", "E unrecognized arguments: --namspace; did you mean '--namespace'?"},
      {"k app create x -o jsn",
       "E argument -o/--output: invalid choice: 'jsn' (choose from 'table', 'wide', 'name', 'json', 'yaml'); did you "
       "mean 'json'?"},
      {"k app list", "E the following arguments are required: -f/--file"},
      {"-o json k app list -f x", "1 output(json) file(x)"},
      {"k app list -f=x", "1 file(x)"},
      {"k app list -h", "help"},
      {"k app list --help", "help"},
      {"k app -h", "help"},
      {"k -h", "help"},
      {"-h", "help"},
      {"k app", "E a command is required"},
      {"", "E a command is required"},
      {"k app crate x", "E invalid choice: 'crate' (choose from 'create', 'list'); did you mean 'create'?"},
      {"k ap list", "E invalid choice: 'ap' (choose from 'app'); did you mean 'app'?"},
      {"nomad", "E invalid choice: 'nomad' (choose from 'kube', 'version')"},
      {"version", "2"},
      {"--version", "help"},
      {"--print-completion bash", "completion"},
      {"--print-completion=zsh", "completion"},
      {"--print-completion fish",
       "E argument --print-completion: invalid choice: 'fish' (choose from 'bash', 'zsh', 'tcsh')"},
  };
  for (const auto& [line, wanted] : cases) EXPECT_EQ(outcome(line), wanted) << line;
}

TEST(Args, SaysWhatToUseInsteadOfWhatIsAbsent) {
  const std::vector<Absent> absent{{{{"nomad", "no"}}, "use the API"},
                                   {{{"kube"}, {"app"}, {"drop"}}, "drop it there"}};
  const std::pair<std::vector<std::string>, std::string_view> cases[] = {
      {{"no", "job", "list"}, "invalid choice: 'no' (choose from 'kube', 'version'); use the API\n"},
      {{"k", "apps", "drop", "x"}, "invalid choice: 'drop' (choose from 'create', 'list'); drop it there\n"},
      {{"k", "nomad"}, "invalid choice: 'nomad' (choose from 'app')\n"},
      {{"drop"}, "invalid choice: 'drop' (choose from 'kube', 'version')\n"},
  };
  for (const auto& [args, wanted] : cases) {
    const auto result = parse_args(sample(), args, absent);
    const auto* error = std::get_if<UsageError>(&result);
    ASSERT_TRUE(error) << wanted;
    EXPECT_TRUE(error->text.ends_with(wanted)) << error->text;
  }
}

TEST(Args, UsageBlockNamesTheCommand) {
  const auto text = usage_error(sample()[1], "what");
  EXPECT_EQ(text, "usage: krakectl kube app list [-h] -f FILE\nkrakectl kube app list: error: what\n");
}

TEST(Args, CompletionKnowsWordsAndOptions) {
  const auto bash = completion_script(sample(), "bash");
  EXPECT_NE(bash.find("\"kube app\") words=\"create list\""), std::string::npos) << bash;
  EXPECT_NE(bash.find("--namespace"), std::string::npos);
  EXPECT_NE(completion_script(sample(), "zsh").find("bashcompinit"), std::string::npos);
  EXPECT_NE(completion_script(sample(), "tcsh").find("complete krakectl"), std::string::npos);
}

}  // namespace
}  // namespace krake::cli
