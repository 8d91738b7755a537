// Cross-origin requests of browsers (api-contract 7.7). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"
#include "server/problem.h"

namespace krake::server {

struct CorsOptions {
  // Exactly as browsers send them ("https://ui.example"). "*" is every one of them; none: no page of another origin is
  // answered for.
  std::vector<std::string> origins;

  bool allows(std::string_view origin) const;
};

// What an OPTIONS request is answered, on any path there is.
ServerReply preflight(const CorsOptions& options, const Headers& request, std::string_view problem_base_url);

// Adds to the answer of any other request what lets a page of an allowed origin read it.
void share_with_origin(const CorsOptions& options, const Headers& request, Headers& reply);

}  // namespace krake::server
