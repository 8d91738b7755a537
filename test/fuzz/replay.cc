// Every input of the corpora through its target, and variations of each that are the same at each run: what is cut off
// anywhere, bytes changed, pieces doubled, dropped and taken from other inputs. In any build, without libFuzzer.
//
//   krake_fuzz_replay CORPUS [--target NAME] [--variations N] [--last FILE] [FILE...]
//
// The files, or all of CORPUS/TARGET; N variations of each, 40 unless told. The last line on standard error names the
// input at work when the process dies; with --last, FILE is that input, or that variation of it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz.h"

namespace {

namespace fs = std::filesystem;

struct Input {
  std::string name;
  std::string bytes;
};

std::vector<Input> read_inputs(const std::vector<fs::path>& paths) {
  std::vector<Input> inputs;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    inputs.push_back({path.string(), std::string(std::istreambuf_iterator<char>(in), {})});
  }
  return inputs;
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

class Variations {
 public:
  Variations(const std::vector<Input>& inputs, unsigned seed) : inputs_(inputs), random_(seed) {}

  std::string of(std::string bytes) {
    const auto rounds = 1 + below(3);
    for (std::size_t i = 0; i < rounds; ++i) change(bytes);
    return bytes;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void change(std::string& bytes) {
    const auto at = below(bytes.size() + 1);
    const auto length = std::min(bytes.size() - at, 1 + below(16));
    switch (below(6)) {
      case 0:
        bytes.resize(at);
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << below(8)));
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 4:
        bytes.erase(at, length);
        break;
      default: {
        const auto& other = inputs_[below(inputs_.size())].bytes;
        const auto from = below(other.size() + 1);
        bytes.replace(at, length, other.substr(from, 1 + below(32)));
      }
    }
  }

  const std::vector<Input>& inputs_;
  std::minstd_rand random_;
};

struct Options {
  fs::path corpus;
  std::string target;
  std::size_t variations = 40;
  fs::path last;
  std::vector<fs::path> files;
};

bool read_options(int argc, char** argv, Options& options) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  for (std::size_t i = 0; i < args.size(); ++i) {
    const bool has_value = i + 1 < args.size();
    if (args[i] == "--target" && has_value) {
      options.target = args[++i];
    } else if (args[i] == "--variations" && has_value) {
      options.variations = std::strtoul(args[++i].c_str(), nullptr, 10);
    } else if (args[i] == "--last" && has_value) {
      options.last = args[++i];
    } else if (options.corpus.empty()) {
      options.corpus = args[i];
    } else {
      options.files.emplace_back(args[i]);
    }
  }
  if (!options.target.empty() && !krake::fuzz::find_target(options.target)) return false;
  return !options.corpus.empty() && (options.files.empty() || !options.target.empty());
}

// How many inputs were run; 0: there are none, which is an error.
std::size_t replay(const krake::fuzz::Target& target, const Options& options) {
  const auto inputs = read_inputs(options.files.empty() ? files_of(options.corpus / target.name) : options.files);
  std::size_t count = 0;
  Variations variations(inputs, 1);
  const auto run = [&](const std::string& bytes) {
    if (!options.last.empty()) std::ofstream(options.last, std::ios::binary) << bytes;
    target.run(bytes);
  };
  for (const auto& input : inputs) {
    std::fprintf(stderr, "%s\n", input.name.c_str());
    run(input.bytes);
    for (std::size_t i = 0; i < options.variations; ++i) run(variations.of(input.bytes));
    count += 1 + options.variations;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!read_options(argc, argv, options)) {
    std::fprintf(stderr, "usage: krake_fuzz_replay CORPUS [--target NAME] [--variations N] [--last FILE] [FILE...]\n");
    return 2;
  }
  bool complete = true;
  for (const auto& target : krake::fuzz::targets()) {
    if (!options.target.empty() && options.target != target.name) continue;
    const auto count = replay(target, options);
    std::printf("%-14.*s %zu inputs\n", static_cast<int>(target.name.size()), target.name.data(), count);
    std::fflush(stdout);
    complete = complete && count > 0;
  }
  if (!complete) std::fprintf(stderr, "a target has no inputs in %s\n", options.corpus.c_str());
  return complete ? 0 : 1;
}
