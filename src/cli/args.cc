#include "cli/args.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace krake::cli {

namespace {

constexpr std::string_view kProgram = "krakectl";

const std::vector<Option>& common_options() {
  static const std::vector<Option> options = {
      {"--output",
       'o',
       "FORMAT",
       1,
       1,
       "table (default), wide, name, json or yaml",
       false,
       0,
       {"table", "wide", "name", "json", "yaml"}},
      {"--config", 0, "PATH", 1, 1, "configuration file (default: krakectl.yaml, see the user guide)"},
      {.name = "--no-headers", .help = "tables without frame and header line", .ours = true},
      {.name = "--quiet", .letter = 'q', .help = "no warnings and no progress", .ours = true},
  };
  return options;
}

std::string folded(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '_', '-');
  return out;
}

// Two words are close when two edits or fewer separate them.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool negative_number(std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return false;
  const auto rest = word.substr(1);
  return rest.find_first_not_of("0123456789.") == std::string_view::npos && std::ranges::count(rest, '.') <= 1 &&
         rest.back() != '.';
}
bool looks_like_option(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && !negative_number(word) && !word.contains(' ');
}
// A short option with its value in the same word, which may have blanks: -L'location is DE'.
bool is_letter_with_value(std::string_view word, const std::vector<const Option*>& known) {
  return word.size() > 2 && word[0] == '-' && word[1] != '-' && !negative_number(word) &&
         std::ranges::any_of(known, [&](const auto* option) { return option->letter == word[1] && option->max > 0; });
}

std::string value_part(const Option& option) {
  if (option.max == 0) return {};
  return option.min == 0 ? fmt::format(" [{}]", option.values) : fmt::format(" {}", option.values);
}

std::string words_of(const Syntax& command, std::size_t levels) {
  std::string out(kProgram);
  for (std::size_t i = 0; i < levels; ++i) out += fmt::format(" {}", command.path[i].words[0]);
  return out;
}

// Words up to 100 columns, continued below the first one.
std::string folded_line(std::string head, const std::vector<std::string>& parts) {
  const std::size_t indent = std::min<std::size_t>(head.size() + 1, 30);
  std::string out;
  std::string line = std::move(head);
  for (const auto& part : parts) {
    if (line.size() + 1 + part.size() > 100) {
      out += line + '\n';
      line = std::string(indent - 1, ' ');
    }
    line += ' ' + part;
  }
  return out + line + '\n';
}

std::vector<std::string_view> words_in(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const auto end = text.find(' ');
    words.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return words;
}

std::string usage_of(const Syntax& command) {
  std::vector<std::string> parts{"[-h]"};
  for (const auto& option : command.options) {
    const std::string text =
        (option.letter ? fmt::format("-{}", option.letter) : std::string(option.name)) + value_part(option);
    parts.push_back(option.required ? text : '[' + text + ']');
  }
  for (const auto word : words_in(command.positional)) parts.emplace_back(word);
  return folded_line("usage: " + words_of(command, command.path.size()), parts);
}

std::string help_of(const Syntax& command) {
  std::string out = usage_of(command) + fmt::format("\n{}\n\noptions:\n", command.path.back().help);
  const auto line = [&](const std::string& left, std::string_view right) {
    if (left.size() < 32) {
      out += fmt::format("  {:<32}{}\n", left, right);
    } else {
      out += fmt::format("  {}\n  {:<32}{}\n", left, "", right);
    }
  };
  line("-h, --help", "show this help");
  const auto show = [&](const Option& option) {
    const std::string left =
        (option.letter ? fmt::format("-{}, ", option.letter) : std::string()) + std::string(option.name);
    std::string right(option.help);
    if (option.required) right += " (required)";
    line(left + value_part(option), right);
  };
  for (const auto& option : command.options) show(option);
  for (const auto& option : common_options()) show(option);
  return out;
}

bool names(const Level& level, std::string_view word) {
  return std::ranges::find(level.words, word) != level.words.end();
}

// The commands below the words given so far.
struct Place {
  std::vector<std::size_t> commands;
  std::size_t depth = 0;
};

std::vector<const Level*> next_levels(const std::vector<Syntax>& all, const Place& place) {
  std::vector<const Level*> levels;
  for (const auto index : place.commands) {
    const auto& level = all[index].path[place.depth];
    if (std::ranges::none_of(levels, [&](const auto* l) { return l->words[0] == level.words[0]; }))
      levels.push_back(&level);
  }
  return levels;
}

std::string place_words(const std::vector<Syntax>& all, const Place& place) {
  return words_of(all[place.commands.front()], place.depth);
}

std::string place_usage(const std::vector<Syntax>& all, const Place& place) {
  std::vector<std::string> choices;
  for (const auto* level : next_levels(all, place)) choices.emplace_back(level->words[0]);
  return fmt::format("usage: {} [-h] {{{}}} ...\n", place_words(all, place), fmt::join(choices, ","));
}

std::string place_help(const std::vector<Syntax>& all, const Place& place) {
  std::string out = place_usage(all, place) + "\ncommands:\n";
  for (const auto* level : next_levels(all, place)) {
    std::string left(level->words[0]);
    if (level->words.size() > 1) {
      left += fmt::format(" ({})", fmt::join(level->words.begin() + 1, level->words.end(), ", "));
    }
    const bool leaf = std::ranges::any_of(place.commands, [&](auto i) {
      return all[i].path[place.depth].words[0] == level->words[0] && all[i].path.size() == place.depth + 1;
    });
    out += fmt::format("  {:<48}{}\n", left, leaf || place.depth < 2 ? level->help : "");
  }
  if (place.depth == 0) {
    out +=
        "\nmore:\n  --print-completion {bash,zsh,tcsh}              a completion script for the shell\n"
        "  --version                                       the version of this program\n";
  }
  return out;
}

UsageError place_error(const std::vector<Syntax>& all, const Place& place, std::string_view message) {
  return {place_usage(all, place) + fmt::format("{}: error: {}\n", place_words(all, place), message)};
}

// What to say of `word` at that place beyond that it is no choice.
std::string advice(const std::vector<Syntax>& all, const Place& place, const std::string& word,
                   const std::vector<Absent>& absent) {
  const auto& before = all[place.commands.front()].path;
  for (const auto& [path, instead] : absent) {
    if (path.size() != place.depth + 1 || std::ranges::find(path.back(), word) == path.back().end()) continue;
    bool same = true;
    for (std::size_t i = 0; i < place.depth; ++i) same = same && path[i].front() == before[i].words[0];
    if (same) return fmt::format("; {}", instead);
  }
  std::vector<std::string_view> known;
  for (const auto* level : next_levels(all, place)) known.insert(known.end(), level->words.begin(), level->words.end());
  return suggestion(word, known);
}

// Reads the words after the command.
class LeafParser {
 public:
  LeafParser(const Syntax& command, std::vector<std::string> args) : command_(command), args_(std::move(args)) {
    for (const auto& option : command.options) known_.push_back(&option);
    for (const auto& option : common_options()) known_.push_back(&option);
  }

  std::optional<ParseOutcome> run(Parsed& parsed) {
    while (next_ < args_.size()) {
      const std::string word = args_[next_++];
      if (word == "--") {
        while (next_ < args_.size()) take_positional(args_[next_++]);
      } else if (word.starts_with("--") && (looks_like_option(word) || word.contains('='))) {
        if (auto outcome = long_option(word, parsed)) return outcome;
      } else if (looks_like_option(word) || is_letter_with_value(word, known_)) {
        if (auto outcome = letters(word, parsed)) return outcome;
      } else {
        take_positional(word);
      }
    }
    return finish(parsed);
  }

 private:
  ParseOutcome error(std::string_view message) const { return UsageError{usage_error(command_, message)}; }
  void take_positional(const std::string& word) { positionals_.push_back(word); }

  std::optional<ParseOutcome> long_option(const std::string& word, Parsed& parsed) {
    const std::size_t equal = word.find('=');
    const std::string name = folded(word.substr(0, equal));
    if (name == "--help") return HelpWanted{help_of(command_)};
    std::vector<const Option*> matches;
    for (const auto* option : known_) {
      const std::string full = folded(option->name);
      if (full == name) {
        matches = {option};
        break;
      }
      if (full.starts_with(name)) matches.push_back(option);
    }
    if (matches.empty()) {
      if (name.size() > 2 && std::string_view("--help").starts_with(name)) return HelpWanted{help_of(command_)};
      std::vector<std::string_view> names;
      for (const auto* option : known_) names.push_back(option->name);
      return error(fmt::format("unrecognized arguments: {}{}", word, suggestion(name, names)));
    }
    if (std::ranges::any_of(matches, [](const auto* option) { return !option->ours; }))
      std::erase_if(matches, [](const auto* option) { return option->ours; });
    if (matches.size() > 1) {
      std::vector<std::string_view> names;
      for (const auto* option : matches) names.push_back(option->name);
      return error(fmt::format("ambiguous option: {} could match {}", word.substr(0, equal), fmt::join(names, ", ")));
    }
    std::optional<std::string> attached;
    if (equal != std::string::npos) attached = word.substr(equal + 1);
    return take_values(*matches[0], std::move(attached), parsed);
  }

  std::optional<ParseOutcome> letters(const std::string& word, Parsed& parsed) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      if (word[i] == 'h') return HelpWanted{help_of(command_)};
      const auto it = std::ranges::find_if(known_, [&](const auto* o) { return o->letter == word[i]; });
      if (it == known_.end()) return error(fmt::format("unrecognized arguments: {}", word));
      std::optional<std::string> attached;
      if ((*it)->max > 0 && i + 1 < word.size()) attached = word.substr(word[i + 1] == '=' ? i + 2 : i + 1);
      const bool ends = attached.has_value();
      if (auto outcome = take_values(**it, std::move(attached), parsed)) return outcome;
      if (ends) break;
    }
    return std::nullopt;
  }

  std::optional<ParseOutcome> take_values(const Option& option, std::optional<std::string> attached, Parsed& parsed) {
    const auto label = option_label(option);
    if (option.max == 0 && attached)
      return error(fmt::format("argument {}: ignored explicit argument '{}'", label, *attached));
    for (const auto* other : known_) {
      if (option.group != 0 && other != &option && other->group == option.group && parsed.has(other->name)) {
        return error(fmt::format("argument {}: not allowed with argument {}", label, option_label(*other)));
      }
    }
    std::vector<std::string> values;
    const auto fits = [&](const std::string& word) { return !option.accepts || option.accepts(values.size(), word); };
    if (attached) {
      if (!fits(*attached)) return error(fmt::format("argument {}: invalid value '{}'", label, *attached));
      values.push_back(*attached);
    } else {
      while (values.size() < option.max && next_ < args_.size() && !looks_like_option(args_[next_]) &&
             !is_letter_with_value(args_[next_], known_) && fits(args_[next_])) {
        values.push_back(args_[next_++]);
      }
    }
    if (values.size() < option.min) {
      const bool exact = option.min == option.max;
      return error(fmt::format("argument {}: expected {}{} argument{}", label, exact ? "" : "at least ",
                               option.min == 1 ? "one" : std::to_string(option.min), option.min == 1 ? "" : "s"));
    }
    if (!option.choices.empty() && !values.empty() &&
        std::ranges::find(option.choices, values[0]) == option.choices.end()) {
      return error(fmt::format("argument {}: invalid choice: '{}' (choose from '{}'){}", label, values[0],
                               fmt::join(option.choices, "', '"), suggestion(values[0], option.choices)));
    }
    if (option.number && !is_number(values.back())) {
      return error(fmt::format("argument {}: invalid float value: '{}'", label, values.back()));
    }
    parsed.add(option.name, std::move(values));
    return std::nullopt;
  }

  std::optional<ParseOutcome> finish(Parsed& parsed) {
    std::vector<std::string> missing;
    const auto names = words_in(command_.positional);
    for (std::size_t i = positionals_.size(); i < names.size(); ++i) {
      if (!names[i].starts_with('[')) missing.emplace_back(names[i]);
    }
    const std::size_t wanted = names.size();
    for (const auto& option : command_.options) {
      if (option.required && !parsed.has(option.name)) missing.push_back(option_label(option));
    }
    if (!missing.empty())
      return error(fmt::format("the following arguments are required: {}", fmt::join(missing, ", ")));
    if (positionals_.size() > wanted) {
      return error(
          fmt::format("unrecognized arguments: {}",
                      fmt::join(positionals_.begin() + static_cast<std::ptrdiff_t>(wanted), positionals_.end(), " ")));
    }
    for (std::size_t i = 0; i < positionals_.size(); ++i) {
      if (positionals_[i].empty()) return error(fmt::format("argument {}: must not be empty", names[i]));
    }
    parsed.names = std::move(positionals_);
    return std::nullopt;
  }

  const Syntax& command_;
  std::vector<std::string> args_;
  std::vector<const Option*> known_;
  std::vector<std::string> positionals_;
  std::size_t next_ = 0;
};

}  // namespace

std::string suggestion(std::string_view word, const std::vector<std::string_view>& known) {
  std::string_view best;
  std::size_t least = 3;
  if (word.size() > 64) return {};
  for (const auto candidate : known) {
    const std::size_t d = distance(word, candidate);
    if (d < least && d < candidate.size()) least = d, best = candidate;
  }
  return best.empty() ? std::string() : fmt::format("; did you mean '{}'?", best);
}

bool is_number(std::string_view word) {
  if (word.starts_with('+')) word.remove_prefix(1);
  double value = 0;
  const auto [end, ec] = std::from_chars(word.data(), word.data() + word.size(), value);
  return ec == std::errc() && end == word.data() + word.size() && value - value == 0;
}

bool is_integer(std::string_view word) {
  if (word.starts_with('+')) word.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(word.data(), word.data() + word.size(), value);
  return ec == std::errc() && end == word.data() + word.size();
}

std::optional<std::string> Parsed::one(std::string_view option) const {
  const auto& occurrences = all(option);
  if (occurrences.empty() || occurrences.back().empty()) return std::nullopt;
  return occurrences.back().front();
}
std::string Parsed::one_or(std::string_view option, std::string_view otherwise) const {
  return one(option).value_or(std::string(otherwise));
}
const std::vector<std::vector<std::string>>& Parsed::all(std::string_view option) const {
  static const std::vector<std::vector<std::string>> none;
  const auto it = options_.find(option);
  return it == options_.end() ? none : it->second;
}
std::vector<std::string> Parsed::list(std::string_view option) const {
  std::vector<std::string> values;
  for (const auto& occurrence : all(option)) values.insert(values.end(), occurrence.begin(), occurrence.end());
  return values;
}

std::string option_label(const Option& option) {
  return option.letter ? fmt::format("-{}/{}", option.letter, option.name) : std::string(option.name);
}

const Option* find_option(const Syntax& command, std::string_view name) {
  const auto it = std::ranges::find(command.options, name, &Option::name);
  return it == command.options.end() ? nullptr : &*it;
}

std::string usage_error(const Syntax& command, std::string_view message) {
  return usage_of(command) + fmt::format("{}: error: {}\n", words_of(command, command.path.size()), message);
}

ParseOutcome parse_args(const std::vector<Syntax>& commands, const std::vector<std::string>& args,
                        const std::vector<Absent>& absent) {
  Place place;
  for (std::size_t i = 0; i < commands.size(); ++i) place.commands.push_back(i);
  std::vector<std::string> leading;  // common options before the command is complete
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& word = args[i];
    if (word == "-h" || word == "--help") return HelpWanted{place_help(commands, place)};
    if (place.depth == 0 && (word == "--print-completion" || word.starts_with("--print-completion="))) {
      const std::string shell = word.contains('=')    ? word.substr(word.find('=') + 1)
                                : i + 1 < args.size() ? args[i + 1]
                                                      : "";
      if (shell == "bash" || shell == "zsh" || shell == "tcsh") return CompletionWanted{shell};
      return place_error(
          commands, place,
          fmt::format("argument --print-completion: invalid choice: '{}' (choose from 'bash', 'zsh', 'tcsh')", shell));
    }
    if (place.depth == 0 && word == "--version") {
      return HelpWanted{fmt::format("krakectl {}\n", KRAKE_VERSION)};
    }
    if (word.starts_with('-')) {
      const std::string name = word.substr(0, word.find('='));
      const auto it = std::ranges::find_if(common_options(), [&](const Option& o) {
        return o.name == name || (o.letter && word.size() > 1 && word[1] == o.letter);
      });
      if (it == common_options().end())
        return place_error(commands, place, fmt::format("unrecognized arguments: {}", word));
      leading.push_back(word);
      const bool attached = word.contains('=') || (word[1] != '-' && word.size() > 2);
      if (it->max > 0 && !attached && i + 1 < args.size()) leading.push_back(args[++i]);
      continue;
    }
    Place inner{{}, place.depth + 1};
    for (const auto index : place.commands) {
      if (names(commands[index].path[place.depth], word)) inner.commands.push_back(index);
    }
    if (inner.commands.empty()) {
      std::vector<std::string_view> shown;
      for (const auto* level : next_levels(commands, place)) shown.push_back(level->words[0]);
      return place_error(commands, place,
                         fmt::format("invalid choice: '{}' (choose from '{}'){}", word, fmt::join(shown, "', '"),
                                     advice(commands, place, word, absent)));
    }
    place = std::move(inner);
    const Syntax& command = commands[place.commands.front()];
    if (place.commands.size() == 1 && command.path.size() == place.depth) {
      leading.insert(leading.end(), args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      Matched matched{.command = place.commands.front(), .parsed = {}};
      if (auto outcome = LeafParser(command, std::move(leading)).run(matched.parsed)) return *std::move(outcome);
      return matched;
    }
  }
  return place_error(commands, place, "a command is required");
}

std::string completion_script(const std::vector<Syntax>& commands, std::string_view shell) {
  // "kube app" -> the words that may follow.
  std::map<std::string, std::set<std::string>> follow;
  for (const auto& command : commands) {
    std::vector<std::string> prefixes{""};
    for (const auto& level : command.path) {
      std::vector<std::string> longer;
      for (const auto& prefix : prefixes) {
        for (const auto word : level.words) {
          follow[prefix].insert(std::string(word));
          longer.push_back(prefix + (prefix.empty() ? "" : " ") + std::string(word));
        }
      }
      prefixes = std::move(longer);
    }
    for (const auto& prefix : prefixes) {
      for (const auto& option : command.options) follow[prefix].insert(std::string(option.name));
      for (const auto& option : common_options()) follow[prefix].insert(std::string(option.name));
      follow[prefix].insert("--help");
    }
  }
  std::string cases;
  if (shell == "tcsh") {
    cases = "# completion of krakectl for tcsh\ncomplete krakectl \\\n";
    for (const auto& [prefix, words] : follow) {
      if (prefix.contains(' ')) continue;
      cases += prefix.empty() ? fmt::format("  'p/1/({})/' \\\n", fmt::join(words, " "))
                              : fmt::format("  'n/{}/({})/' \\\n", prefix, fmt::join(words, " "));
    }
    return cases + "  'p/3/(list get create update delete register retry)/'\n";
  }
  for (const auto& [prefix, words] : follow)
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", prefix, fmt::join(words, " "));
  const std::string body =
      "  local path=\"\" word words=\"\" depth=0 i\n"
      "  for ((i = 1; i < COMP_CWORD && depth < 3; i++)); do\n"
      "    word=\"${COMP_WORDS[i]}\"\n"
      "    [[ $word == -* ]] && continue\n"
      "    path=\"${path:+$path }$word\"; depth=$((depth + 1))\n"
      "  done\n"
      "  case \"$path\" in\n" +
      cases +
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n";
  const std::string function = fmt::format("_krakectl() {{\n{}}}\ncomplete -o default -F _krakectl krakectl\n", body);
  if (shell == "zsh") return "#compdef krakectl\nautoload -U +X bashcompinit && bashcompinit\n" + function;
  return "# completion of krakectl for bash\n" + function;
}

}  // namespace krake::cli
