// The errors for bodies that are too large, the same from every transport.
#pragma once

#include "base/error.h"

namespace krake {

// `actual` is the announced size, or what had come when the limit was passed.
Error request_too_large(std::size_t limit, std::size_t actual);
Error response_too_large(std::size_t limit);

}  // namespace krake
