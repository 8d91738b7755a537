// Always-on assertions for our own bugs. Never for input: that is an Error.
#pragma once

#include <string_view>

namespace krake {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string_view message = {});
}  // namespace krake

#define CHECK(condition, ...) \
  ((condition) ? void(0) : ::krake::check_failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__))
