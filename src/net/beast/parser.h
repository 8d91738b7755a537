// HTTP/1.x parsing over bytes in memory: no sockets, no templates for those who include this. Beast does the grammar.
// Bytes are pushed in as they come; what is not consumed must be pushed again with more behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace krake {

struct ParserLimits {
  std::size_t line = 8190;                    // bytes of the request line, and of each header field
  std::size_t header = std::size_t{1} << 16;  // bytes of everything before the body
  std::size_t fields = 256;
};

struct MessageHead {
  std::string method;  // requests
  std::string target;  // as it came, not decoded
  int status = 0;      // responses
  std::string reason;  // responses: its phrase; may be empty
  Headers headers;
  bool http11 = true;
  bool keep_alive = true;  // what the version and the Connection header say
  bool expect_continue = false;
  bool chunked = false;
  std::optional<std::uint64_t> content_length;
};

enum class ParseState : std::uint8_t {
  need_more,         // push again when there is more
  head,              // the head is complete; what follows belongs to the body. Reported once
  done,              // the message is complete; the rest of the bytes belongs to the next one
  malformed,         // 400
  header_too_large,  // 431
};

class MessageParser {
 public:
  enum class Kind : std::uint8_t { request, response };
  MessageParser(Kind kind, ParserLimits limits);
  MessageParser(MessageParser&&) noexcept;
  ~MessageParser();

  // Ready for the next message. `bodiless`: a response that has no body whatever its head says (to HEAD).
  void reset(bool bodiless = false);
  // Consumes bytes from the front of `bytes` (shortening it) and appends body bytes to `body`.
  ParseState push(std::string_view& bytes, std::string& body);
  // The sender closed. True when the message is complete that way.
  bool push_end();

  // Valid once `head` was reported, until reset(). May be moved from.
  MessageHead& head();
  const MessageHead& head() const;
  bool started() const;  // any byte consumed or the first line under way
  bool head_done() const;
  bool done() const;
  // What is wrong, after malformed or header_too_large: "bad version".
  const std::string& problem() const;

 private:
  struct Impl;
  template <bool is_request>
  struct Beast;
  std::unique_ptr<Impl> impl_;
};

}  // namespace krake
