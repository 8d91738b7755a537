// One program for all targets: krake_fuzz --target=NAME [libFuzzer's options] [folder of inputs]
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "fuzz.h"

namespace {
const krake::fuzz::Target* chosen = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view flag = "--target=";  // libFuzzer passes over what begins with two dashes
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (argument.starts_with(flag)) chosen = krake::fuzz::find_target(argument.substr(flag.size()));
  }
  if (chosen) return 0;
  std::fprintf(stderr, "krake_fuzz: want --target=NAME, with a NAME of these:\n");
  for (const auto& target : krake::fuzz::targets())
    std::fprintf(stderr, "%.*s\n", static_cast<int>(target.name.size()), target.name.data());
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
