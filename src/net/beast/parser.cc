#include "net/beast/parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace krake {

namespace http = boost::beast::http;
using boost::beast::error_code;
using View = boost::beast::string_view;

namespace {
std::string to_std(View view) { return {view.data(), view.size()}; }

// What the callbacks fill in; shared by both directions.
struct Sink {
  ParserLimits limits;
  MessageHead head;
  std::string* body = nullptr;
  std::size_t fields = 0;
  bool head_done = false;
  bool host = false;
  bool transfer_encoding = false;
  bool too_large = false;
  const char* own_problem = nullptr;

  void refuse(const char* problem, error_code& ec) {
    own_problem = problem;
    ec = http::error::bad_field;
  }
};
}  // namespace

struct MessageParser::Impl {
  virtual ~Impl() = default;
  virtual void reset(bool bodiless) = 0;
  virtual ParseState push(std::string_view& bytes, std::string& body) = 0;
  virtual bool push_end() = 0;
  virtual bool started() const = 0;
  virtual bool done() const = 0;
  Sink sink;
  std::string problem;
};

template <bool is_request>
struct MessageParser::Beast final : Impl {
  struct Parser final : http::basic_parser<is_request> {
    explicit Parser(Sink& s) : sink(s) {}
    Sink& sink;

    void on_request_impl(http::verb, View method, View target, int version, error_code& ec) override {
      if (method.size() + target.size() + 11 > sink.limits.line) return sink.refuse("the request line is too long", ec);
      sink.head.method = to_std(method);
      sink.head.target = to_std(target);
      sink.head.http11 = version >= 11;
    }
    void on_response_impl(int status, View reason, int version, error_code&) override {
      sink.head.status = status;
      sink.head.reason = to_std(reason);
      sink.head.http11 = version >= 11;
    }
    void on_field_impl(http::field field, View name, View value, error_code& ec) override {
      if (sink.head_done) return;  // a trailer: nobody here wants one
      if (name.size() + value.size() + 2 > sink.limits.line) return sink.refuse("a header field is too long", ec);
      if (++sink.fields > sink.limits.fields) {
        sink.too_large = true;
        return sink.refuse("too many header fields", ec);
      }
      if (field == http::field::transfer_encoding) {
        // Once, "chunked" alone, and not from HTTP/1.0: everything else frames a body in a way others may read
        // differently.
        if (sink.transfer_encoding || !sink.head.http11 || !iequals({value.data(), value.size()}, "chunked")) {
          return sink.refuse("unknown Transfer-Encoding", ec);
        }
        sink.transfer_encoding = true;
      }
      if (is_request && field == http::field::host) {  // RFC 9112 3.2: somebody on the way may have gone by the other
        if (sink.host) return sink.refuse("more than one Host field", ec);
        sink.host = true;
      }
      if (field == http::field::expect && iequals({value.data(), value.size()}, "100-continue")) {
        sink.head.expect_continue = true;
      }
      sink.head.headers.add(to_std(name), to_std(value));
    }
    void on_header_impl(error_code& ec) override {
      // A body framed in a way we do not know could be read as a second request: refuse.
      if (sink.transfer_encoding && !this->chunked()) return sink.refuse("unknown Transfer-Encoding", ec);
      sink.head_done = true;
    }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(View bytes, error_code&) override {
      sink.body->append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_chunk_header_impl(std::uint64_t, View, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, View bytes, error_code&) override {
      sink.body->append(bytes.data(), bytes.size());
      return bytes.size();
    }
    void on_finish_impl(error_code&) override {}
  };

  static constexpr int kMaxEmptyLines = 4;
  std::optional<Parser> parser;
  int empty_lines = 0;  // before this message

  void reset(bool bodiless) override {
    empty_lines = 0;
    const auto limits = sink.limits;
    sink = Sink{};
    sink.limits = limits;
    problem.clear();
    parser.emplace(sink);
    parser->header_limit(static_cast<std::uint32_t>(limits.header));
    parser->body_limit(boost::none);  // the callers count
    if (bodiless) parser->skip(true);
  }

  ParseState push(std::string_view& bytes, std::string& body) override {
    if (parser->is_done()) return ParseState::done;
    if (is_request && !parser->got_some() && !skip_empty_lines(bytes)) return ParseState::need_more;
    sink.body = &body;
    const bool had_head = sink.head_done;
    parser->eager(had_head);
    error_code ec;
    bytes.remove_prefix(parser->put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec));
    if (ec && ec != http::error::need_more) return refused(ec);
    if (sink.head_done && !had_head) {
      auto& head = sink.head;
      head.keep_alive = parser->keep_alive();
      head.chunked = parser->chunked();
      if (const auto length = parser->content_length()) head.content_length = *length;
      return ParseState::head;
    }
    return parser->is_done() ? ParseState::done : ParseState::need_more;
  }

  // Before a request line they are to be ignored (RFC 9112 2.2): some clients end a body with one. False: nothing else
  // is there yet.
  bool skip_empty_lines(std::string_view& bytes) {
    while (empty_lines < kMaxEmptyLines && bytes.starts_with("\r\n")) {
      bytes.remove_prefix(2);
      ++empty_lines;
    }
    return !bytes.empty() && bytes != "\r";
  }

  ParseState refused(const error_code& ec) {
    problem = sink.own_problem ? sink.own_problem : ec.message();
    return ec == http::error::header_limit || sink.too_large ? ParseState::header_too_large : ParseState::malformed;
  }

  bool push_end() override {
    if (!sink.head_done) return false;
    if (parser->is_done()) return true;
    error_code ec;
    parser->put_eof(ec);
    return !ec;
  }
  bool started() const override { return parser->got_some(); }
  bool done() const override { return parser->is_done(); }
};

MessageParser::MessageParser(Kind kind, ParserLimits limits) {
  if (kind == Kind::request) {
    impl_ = std::make_unique<Beast<true>>();
  } else {
    impl_ = std::make_unique<Beast<false>>();
  }
  impl_->sink.limits = limits;
  impl_->reset(false);
}
MessageParser::MessageParser(MessageParser&&) noexcept = default;
MessageParser::~MessageParser() = default;

void MessageParser::reset(bool bodiless) { impl_->reset(bodiless); }
ParseState MessageParser::push(std::string_view& bytes, std::string& body) { return impl_->push(bytes, body); }
bool MessageParser::push_end() { return impl_->push_end(); }
MessageHead& MessageParser::head() { return impl_->sink.head; }
const MessageHead& MessageParser::head() const { return impl_->sink.head; }
bool MessageParser::started() const { return impl_->started(); }
bool MessageParser::head_done() const { return impl_->sink.head_done; }
bool MessageParser::done() const { return impl_->done(); }
const std::string& MessageParser::problem() const { return impl_->problem; }

}  // namespace krake
