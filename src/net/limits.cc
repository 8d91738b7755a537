#include "net/limits.h"

#include <fmt/format.h>

namespace krake {

Error request_too_large(std::size_t limit, std::size_t actual) {
  // The wording is part of the API: it becomes the detail of the 413 answer.
  return {Code::too_large, fmt::format("Maximum request body size {} exceeded, actual body size {}", limit, actual)};
}

Error response_too_large(std::size_t limit) {
  return {Code::too_large, fmt::format("the response body exceeds the limit of {} bytes", limit)};
}

}  // namespace krake
