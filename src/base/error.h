// Failure as a value. One closed set of codes for the whole of Krake; each maps to one HTTP status and to one answer to
// "is it worth trying again?". Messages name the object, what was wanted, what was seen and what to do.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace krake {

enum class Code : std::uint8_t {
  invalid_argument,     // 400: understood and refused; the same request will be refused again
  unauthenticated,      // 401
  forbidden,            // 403
  not_found,            // 404
  method_not_allowed,   // 405
  conflict,             // 409: lost a race; read again and retry
  already_exists,       // 409: the name is taken
  compacted,            // 410: the wanted history is gone; list again
  precondition_failed,  // 412: If-Match or the leadership epoch does not hold
  too_large,            // 413
  unsupported_media,    // 415: not JSON
  invalid_object,       // 422: JSON, but not what the schema wants
  too_many_requests,    // 429: shed; try later
  internal,             // 500: a bug or damaged data
  unavailable,          // 503: the peer cannot be reached or cannot serve now
  timeout,              // 504: no answer in time; the request may or may not have been carried out
  cancelled,            // the caller gave up; never leaves the process
};

int http_status(Code code);
Code code_of_http_status(int status);
std::string_view to_string(Code code);
// True when the same request may succeed later without anybody changing it.
bool is_transient(Code code);

struct Error {
  Code code = Code::internal;
  std::string message;
  // Of invalid_object: what is wrong, as the peer names it ("spec.ports[1].name"). Empty: it did not say.
  std::vector<std::string> fields{};

  bool operator==(const Error&) const = default;
};

// `context: message`, same code. Callers add where they were, never restate what failed.
Error with_context(Error error, std::string_view context);
std::string to_string(const Error& error);

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

}  // namespace krake

#define KRAKE_CONCAT_(a, b) a##b
#define KRAKE_CONCAT(a, b) KRAKE_CONCAT_(a, b)

// The four early returns. `..._CO_...` are for coroutines.
#define RETURN_IF_ERROR(expr)                                                              \
  do {                                                                                     \
    if (auto status_ = (expr); !status_) return ::krake::fail(std::move(status_).error()); \
  } while (false)
#define CO_RETURN_IF_ERROR(expr)                                                              \
  do {                                                                                        \
    if (auto status_ = (expr); !status_) co_return ::krake::fail(std::move(status_).error()); \
  } while (false)
#define ASSIGN_OR_RETURN(declaration, expr)                                                                       \
  auto KRAKE_CONCAT(result_, __LINE__) = (expr);                                                                  \
  if (!KRAKE_CONCAT(result_, __LINE__)) return ::krake::fail(std::move(KRAKE_CONCAT(result_, __LINE__)).error()); \
  declaration = std::move(*KRAKE_CONCAT(result_, __LINE__))
#define ASSIGN_OR_CO_RETURN(declaration, expr)                                                                       \
  auto KRAKE_CONCAT(result_, __LINE__) = (expr);                                                                     \
  if (!KRAKE_CONCAT(result_, __LINE__)) co_return ::krake::fail(std::move(KRAKE_CONCAT(result_, __LINE__)).error()); \
  declaration = std::move(*KRAKE_CONCAT(result_, __LINE__))
