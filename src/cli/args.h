// The command line as upstream's parser reads it (cli-and-config-contract 0 and 1.1): command words, then options and
// positionals in any order, long options by any unambiguous prefix, '_' and '-' alike. Commands are data. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace krake::cli {

struct Option {
  std::string_view name;  // "--namespace"
  char letter = 0;
  std::string_view values;  // shown in help: "NAME WEIGHT"; empty: a switch
  std::size_t min = 0;      // how many words follow it
  std::size_t max = 0;
  std::string_view help;
  bool required = false;
  int group = 0;  // not 0: at most one option of the group
  std::vector<std::string_view> choices;
  // False for a word that cannot be the index-th value: ends the values of a greedy option.
  bool (*accepts)(std::size_t index, std::string_view word) = nullptr;
  bool number = false;  // its last value is a floating point number
  bool ours = false;    // upstream has no such option: a prefix that fits another one means that one
};

// What was found on the command line.
class Parsed {
 public:
  bool has(std::string_view option) const { return options_.contains(option); }
  // The first value of the last occurrence.
  std::optional<std::string> one(std::string_view option) const;
  std::string one_or(std::string_view option, std::string_view otherwise) const;
  // The values of each occurrence, in order.
  const std::vector<std::vector<std::string>>& all(std::string_view option) const;
  // All values of all occurrences.
  std::vector<std::string> list(std::string_view option) const;
  void add(std::string_view option, std::vector<std::string> values) {
    options_[std::string(option)].push_back(std::move(values));
  }
  std::vector<std::string> names;  // positionals

 private:
  std::map<std::string, std::vector<std::vector<std::string>>, std::less<>> options_;
};

struct Level {
  std::vector<std::string_view> words;  // the first one is its name, the others are aliases
  std::string_view help;
};

struct Syntax {
  std::vector<Level> path;      // "kube" "application" "create"
  std::string_view positional;  // "NAME", or "" for none; "[NAME]" may be missing; several, with blanks between them
  std::vector<Option> options;
};

struct HelpWanted {
  std::string text;
};
struct CompletionWanted {
  std::string shell;
};
struct UsageError {
  std::string text;  // usage block and message, with newlines
};
struct Matched {
  std::size_t command = 0;  // index into the commands
  Parsed parsed;
};
using ParseOutcome = std::variant<Matched, HelpWanted, CompletionWanted, UsageError>;

// Words that are no command here, though somebody may know them as one.
struct Absent {
  std::vector<std::vector<std::string_view>>
      path;                  // words and their aliases, level by level; what follows is of no matter
  std::string_view instead;  // ends the message
};

ParseOutcome parse_args(const std::vector<Syntax>& commands, const std::vector<std::string>& args,
                        const std::vector<Absent>& absent = {});
// For errors found later, by the same form.
std::string usage_error(const Syntax& command, std::string_view message);
std::string option_label(const Option& option);  // "-f/--file"
const Option* find_option(const Syntax& command, std::string_view name);

// A script for bash, zsh or tcsh that completes the words of the commands.
std::string completion_script(const std::vector<Syntax>& commands, std::string_view shell);

// "; did you mean 'create'?", or nothing when none is close.
std::string suggestion(std::string_view word, const std::vector<std::string_view>& known);

bool is_number(std::string_view word);
bool is_integer(std::string_view word);

}  // namespace krake::cli
