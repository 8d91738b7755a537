// What comes over a connection: the bytes of HTTP, requests to the server, streams of watch events, backup files.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "api/core/role.h"
#include "api/registry.h"
#include "backup/file.h"
#include "base/encoding.h"
#include "base/names.h"
#include "base/testing.h"
#include "client/informer.h"
#include "fuzz.h"
#include "net/beast/connection.h"
#include "server/testing.h"

namespace krake::fuzz {

namespace {

using Pieces = std::vector<std::string_view>;

Pieces cut(std::string_view bytes, std::size_t size) {
  Pieces pieces;
  for (; bytes.size() > size; bytes.remove_prefix(size)) pieces.push_back(bytes.substr(0, size));
  if (!bytes.empty()) pieces.push_back(bytes);
  return pieces;
}

// ---- messages

struct Transcript {
  std::vector<std::string> messages;  // that are complete
  bool complete = false;              // nothing is left
  bool operator==(const Transcript&) const = default;
};

std::string text_of(const MessageHead& head, std::string_view body) {
  std::string text =
      fmt::format("{} {} {} {} {}\n", head.method, head.target, head.status, head.http11, head.keep_alive);
  for (const auto& [name, value] : head.headers) text += fmt::format("{}: {}\n", name, value);
  return text + std::string(body);
}

Transcript read_messages(MessageParser::Kind kind, const Pieces& pieces) {
  MessageParser parser(kind, {.line = 1000, .header = 4000, .fields = 32});
  Transcript transcript;
  std::string buffer;
  std::string body;
  for (const auto piece : pieces) {
    buffer += piece;
    for (bool again = true; again;) {
      std::string_view rest = buffer;
      const auto state = parser.push(rest, body);
      again = (state == ParseState::done || rest.size() < buffer.size()) && !rest.empty();
      buffer.erase(0, buffer.size() - rest.size());
      if (state == ParseState::malformed || state == ParseState::header_too_large) {
        MUST(!parser.problem().empty());
        return transcript;
      }
      if (state != ParseState::done) continue;
      transcript.messages.push_back(text_of(parser.head(), body));
      body.clear();
      parser.reset();
    }
  }
  transcript.complete = !parser.started() && buffer.empty();
  return transcript;
}

// ---- the server

// The server's end of a connection on which all has been sent already.
class SentBytes final : public Socket {
 public:
  SentBytes(boost::asio::any_io_executor executor, std::string_view bytes, std::string& answer)
      : tcp_(std::move(executor)), bytes_(bytes), answer_(answer) {}
  Awaitable<void> handshake(Ec& ec) override {
    ec = {};
    co_return;
  }
  Awaitable<std::size_t> read_some(boost::asio::mutable_buffer buffer, Ec& ec) override {
    co_await yield();  // as with all sockets, the answer comes later
    const auto size = std::min({buffer.size(), bytes_.size(), std::size_t{100}});
    ec = size == 0 ? boost::asio::error::eof : Ec();
    std::memcpy(buffer.data(), bytes_.data(), size);
    bytes_.remove_prefix(size);
    co_return size;
  }
  Awaitable<std::size_t> write_some(Buffers buffers, Ec& ec) override { co_return try_write(buffers, ec); }
  std::size_t try_write(Buffers buffers, Ec& ec) override {
    ec = {};
    std::size_t size = 0;
    for (const auto& buffer : buffers) {
      answer_.append(static_cast<const char*>(buffer.data()), buffer.size());
      size += buffer.size();
    }
    return size;
  }
  Awaitable<void> finish(Ec& ec) override {
    ec = {};
    co_return;
  }

 private:
  Tcp& tcp() override { return tcp_; }
  const Tcp& tcp() const override { return tcp_; }
  Tcp tcp_;  // never opened
  std::string_view bytes_;
  std::string& answer_;
};

void check_answer(int status, const HttpResponse& answer) {
  const auto type = answer.headers.get("Content-Type").value_or("");
  MUST(status >= 200 && status < 500, fmt::format("{}: {}", status, answer.body));
  if (answer.body.empty() || type == "application/x-ndjson" || type.starts_with("text/plain")) return;
  MUST(json::parse(answer.body).has_value(), answer.body);
  MUST((status >= 400) == type.starts_with("application/problem+json"), fmt::format("{} {}", status, type));
}

// `methods` of the requests, in order: answers to HEAD have no body.
void check_answers(std::string_view bytes, const std::vector<std::string>& methods) {
  MessageParser parser(MessageParser::Kind::response, {});
  std::size_t number = 0;
  while (!bytes.empty()) {
    constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    if (bytes.starts_with(go_on)) {
      bytes.remove_prefix(go_on.size());
      continue;
    }
    parser.reset(number < methods.size() && methods[number] == "HEAD");
    ++number;
    std::string body;
    auto state = ParseState::need_more;
    for (std::size_t before = 0; state != ParseState::done && before != bytes.size();) {
      before = bytes.size();
      state = parser.push(bytes, body);
      MUST(state != ParseState::malformed && state != ParseState::header_too_large, parser.problem());
    }
    // A stream that was cut, or the end of the connection is that of the body.
    if (state != ParseState::done) {
      MUST(parser.head_done(), bytes);
      MUST(parser.head().status < 500);
      return;
    }
    check_answer(parser.head().status, {.headers = parser.head().headers, .body = body});
  }
}

// ---- watches

// A server whose list is empty at revision 5, and which has one stream to give.
class OneStream final : public Transport {
 public:
  explicit OneStream(Pieces pieces) : pieces_(std::move(pieces)) {}
  bool over = false;

  Awaitable<Result<HttpResponse>> send(HttpRequest, CallOptions) override {
    HttpResponse answer{.status = 200};
    answer.headers.add("Content-Type", "application/json; charset=utf-8");
    answer.body = R"({"items":[],"metadata":{"resource_version":"5","store":"s"}})";
    co_return answer;
  }
  Awaitable<Result<HttpStream>> open(HttpRequest, CallOptions) override {
    if (opened_++ > 0) {
      over = true;
      co_return fail(Code::unavailable, "there was one stream only");
    }
    HttpStream stream{.status = 200, .headers = {}, .body = std::make_unique<Body>(*this)};
    stream.headers.add("Content-Type", "application/x-ndjson");
    co_return stream;
  }

 private:
  struct Body final : ByteStream {
    explicit Body(OneStream& of) : server(of) {}
    Awaitable<Result<std::string>> read() override {
      if (next < server.pieces_.size()) co_return std::string(server.pieces_[next++]);
      server.over = true;
      co_return fail(Code::unavailable, "cut");
    }
    OneStream& server;
    std::size_t next = 0;
  };
  Pieces pieces_;
  int opened_ = 0;
};

std::string watched(const Pieces& pieces) {
  testing::World world;
  const auto server = std::make_shared<OneStream>(pieces);
  Client client(server);
  Informer<Role> informer(world.env, client);
  std::string changes;
  informer.on_change([&](const ObjectKey& key) { changes += to_string(key) + "\n"; });
  informer.start();
  MUST(world.run_until([&] { return server->over; }));
  const auto seen =
      fmt::format("{} {} {}\n{}", informer.revision(), informer.complete(), informer.objects().size(), changes);
  world.run(informer.stop());
  return seen;
}

}  // namespace

void route(std::string_view bytes) {
  const Registry& registry = krake_registry();
  const auto [method, target] = split<2>(bytes, ' ');
  const auto [path, query] = split<2>(target, '?');
  parse_query(query);
  const auto routed = server::route(registry, method, path);
  if (!routed.route) {
    MUST(routed.status == 404 || (routed.status == 405 && !routed.allow.empty()));
    return;
  }
  const auto& found = *routed.route;
  if (found.guarded()) found.resource();
  MUST(found.verb().empty() == !found.guarded());
  if (!found.kind || !found.names_valid || !found.on_object()) return;
  const auto again = server::route(registry, "GET", found.kind->item_path(found.ns, found.name)).route;
  MUST(again && again->kind == found.kind && again->ns == found.ns && again->name == found.name, target);
  std::string ns;
  std::string name;
  MUST(found.kind->split_key(found.kind->storage_key(found.ns, found.name), ns, name) && ns == found.ns &&
           name == found.name,
       target);
}

// However the bytes are cut on their way, they are the same messages. (When what is wrong is found may depend on it.)
void http_message(std::string_view bytes) {
  for (const auto kind : {MessageParser::Kind::request, MessageParser::Kind::response}) {
    const auto whole = read_messages(kind, {bytes});
    for (const std::size_t size : {1, 7}) {
      const auto pieces = read_messages(kind, cut(bytes, size));
      MUST(pieces == whole, fmt::format("{} and {} messages: {}", pieces.messages.size(), whole.messages.size(),
                                        fmt::join(pieces.messages, "\n")));
    }
  }
}

// Whatever a client sends: no internal error, and each answer is what HTTP and the API call one.
void http_server(std::string_view bytes) {
  testing::TestServer server;
  std::vector<std::string> methods;
  auto context = std::make_shared<ServerContext>(ServerContext{
      .executor = server.world.env.executor,
      .clock = server.world.clock,
      .handler =
          [&](ServerRequest& request) {
            methods.push_back(request.method);
            return server.server.handle(request);
          },
      .options = {.max_line = 1000, .max_header = 4000, .max_header_fields = 32},
  });
  std::string answer;
  const auto connection =
      std::make_shared<Connection>(context, std::make_unique<SentBytes>(server.world.env.executor, bytes, answer));
  server.world.run(connection->run());
  check_answers(answer, methods);
  check_answer(200, server.call("GET", "/core/roles"));
}

void watch(std::string_view bytes) {
  const auto whole = watched({bytes});
  const auto pieces = watched(cut(bytes, 3));
  MUST(pieces == whole, pieces + whole);
}

void backup(std::string_view bytes) {
  const auto read = [](const Pieces& pieces) -> Result<backup::Backup> {
    backup::Reader reader;
    for (const auto piece : pieces) RETURN_IF_ERROR(reader.add(piece));
    return reader.finish();
  };
  const auto whole = read({bytes});
  const auto pieces = read(cut(bytes, 5));
  MUST(whole.has_value() == pieces.has_value());
  if (!whole) {
    MUST(whole.error() == pieces.error(), whole.error().message + "\n" + pieces.error().message);
    return;
  }
  backup::Writer writer;
  std::string file;
  writer.begin(whole->header, file);
  for (const auto& [key, value] : whole->values) writer.put(key, *value, file);
  writer.end(whole->revision, file);
  const auto again = read({file});
  MUST(again && again->revision == whole->revision && again->values.size() == whole->values.size(), file);
}

}  // namespace krake::fuzz
