#include "base/error.h"

namespace krake {

int http_status(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return 400;
    case Code::unauthenticated:
      return 401;
    case Code::forbidden:
      return 403;
    case Code::not_found:
      return 404;
    case Code::method_not_allowed:
      return 405;
    case Code::conflict:
      return 409;
    case Code::already_exists:
      return 409;
    case Code::compacted:
      return 410;
    case Code::precondition_failed:
      return 412;
    case Code::too_large:
      return 413;
    case Code::unsupported_media:
      return 415;
    case Code::invalid_object:
      return 422;
    case Code::too_many_requests:
      return 429;
    case Code::internal:
      return 500;
    case Code::unavailable:
      return 503;
    case Code::timeout:
      return 504;
    case Code::cancelled:
      return 503;
  }
  return 500;
}

Code code_of_http_status(int status) {
  switch (status) {
    case 400:
      return Code::invalid_argument;
    case 401:
      return Code::unauthenticated;
    case 403:
      return Code::forbidden;
    case 404:
      return Code::not_found;
    case 405:
      return Code::method_not_allowed;
    case 408:
      return Code::timeout;
    case 409:
      return Code::conflict;
    case 410:
      return Code::compacted;
    case 412:
      return Code::precondition_failed;
    case 413:
      return Code::too_large;
    case 415:
      return Code::unsupported_media;
    case 422:
      return Code::invalid_object;
    case 429:
      return Code::too_many_requests;
    case 502:
    case 503:
      return Code::unavailable;
    case 504:
      return Code::timeout;
    default:
      return status >= 500 ? Code::internal : Code::invalid_argument;
  }
}

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return "invalid argument";
    case Code::unauthenticated:
      return "unauthenticated";
    case Code::forbidden:
      return "forbidden";
    case Code::not_found:
      return "not found";
    case Code::method_not_allowed:
      return "method not allowed";
    case Code::conflict:
      return "conflict";
    case Code::already_exists:
      return "already exists";
    case Code::compacted:
      return "compacted";
    case Code::precondition_failed:
      return "precondition failed";
    case Code::too_large:
      return "too large";
    case Code::unsupported_media:
      return "unsupported media type";
    case Code::invalid_object:
      return "invalid object";
    case Code::too_many_requests:
      return "too many requests";
    case Code::internal:
      return "internal error";
    case Code::unavailable:
      return "unavailable";
    case Code::timeout:
      return "timeout";
    case Code::cancelled:
      return "cancelled";
  }
  return "unknown";
}

bool is_transient(Code code) {
  switch (code) {
    case Code::conflict:
    case Code::compacted:
    case Code::too_many_requests:
    case Code::internal:
    case Code::unavailable:
    case Code::timeout:
    case Code::cancelled:
      return true;
    case Code::invalid_argument:
    case Code::unauthenticated:
    case Code::forbidden:
    case Code::not_found:
    case Code::method_not_allowed:
    case Code::already_exists:
    case Code::precondition_failed:
    case Code::too_large:
    case Code::unsupported_media:
    case Code::invalid_object:
      return false;
  }
  return false;
}

Error with_context(Error error, std::string_view context) {
  error.message = std::string(context) + ": " + error.message;
  return error;
}

std::string to_string(const Error& error) { return std::string(to_string(error.code)) + ": " + error.message; }

}  // namespace krake
