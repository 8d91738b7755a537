// Why a command ends early: what the user reads, and the exit status.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace krake::cli {

struct Failure {
  std::string message;  // one line, without "Error: "
  std::string hint;     // one line: what to do; may be empty
  int exit = 1;
  int http_status = 0;                 // of an answer of the API; 0: it did not come that far
  std::optional<json::Value> problem;  // the API's problem document
  std::string usage;                   // not empty: print this instead, exit 2
};

template <class T>
using Outcome = std::expected<T, Failure>;

inline std::unexpected<Failure> stop(std::string message, std::string hint = {}) {
  return std::unexpected(Failure{.message = std::move(message), .hint = std::move(hint)});
}
inline std::unexpected<Failure> stop(Failure failure) { return std::unexpected(std::move(failure)); }

}  // namespace krake::cli

#define TRY(declaration, expr)                                                      \
  auto KRAKE_CONCAT(outcome_, __LINE__) = (expr);                                   \
  if (!KRAKE_CONCAT(outcome_, __LINE__))                                            \
    return ::krake::cli::stop(std::move(KRAKE_CONCAT(outcome_, __LINE__)).error()); \
  declaration = std::move(*KRAKE_CONCAT(outcome_, __LINE__))
#define CO_TRY(declaration, expr)                                                      \
  auto KRAKE_CONCAT(outcome_, __LINE__) = (expr);                                      \
  if (!KRAKE_CONCAT(outcome_, __LINE__))                                               \
    co_return ::krake::cli::stop(std::move(KRAKE_CONCAT(outcome_, __LINE__)).error()); \
  declaration = std::move(*KRAKE_CONCAT(outcome_, __LINE__))
