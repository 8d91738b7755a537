// Problem documents (RFC 9457; api-contract 4). Titles are a closed set; a problem without one has type about:blank.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http.h"

namespace krake::server {

enum class Title {
  none,
  not_found_error,
  transaction_error,
  update_error,
  invalid_keystone_token,
  invalid_keycloak_token,
  resource_already_exists
};

struct Problem {
  int status = 500;
  std::string detail;
  Title title = Title::none;
  std::string reason;  // HTTP reason phrase, when not the standard one
  Headers headers;
};

Problem problem_of(const Error& error);
// "is sealed with the key 'ID', which ...": what is to be said of a stored value.
std::string lacks_key(std::string_view id);
// detail "<status>: <phrase>", as upstream words problems that carry no text of their own.
Problem plain_problem(int status);
Problem plain_problem(int status, std::string_view text);
// 422: of a parameter of the query.
Problem query_problem(std::string_view parameter, std::string message);

ServerReply problem_reply(const Problem& problem, std::string_view base_url);

}  // namespace krake::server
