#include "store/etcd/line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "base/testing.h"
#include "store/etcd/connection.h"
#include "store/etcd/etcd_cluster.h"

namespace krake::store::etcd {

namespace {

using Tcp = boost::asio::ip::tcp;
using Ec = boost::system::error_code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Duration kPatience = std::chrono::seconds(1);

std::string message(const std::string& text, char flag = '\0') {
  return std::string{flag, '\0', '\0', static_cast<char>(text.size() >> 8), static_cast<char>(text.size() & 0xff)} +
         text;
}

// What the member does with a call.
struct Reply {
  std::string body{};        // nothing: the status alone
  std::string status = "0";  // empty: the stream just ends
  bool silent = false;       // never answers
  bool reset = false;
};

// A member as far as its connections go: nghttp2's servers over sockets of the same loop.
class Member {
 public:
  explicit Member(boost::asio::io_context& loop)
      : acceptor_(loop, Tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)) {
    accept();
  }
  Tcp::endpoint place() const { return acceptor_.local_endpoint(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(place().port()); }
  std::size_t connections() const { return peers_.size(); }
  void go_away() { last().go_away(); }
  void say(const std::string& bytes) { last().say(bytes); }
  void ping(const char* data) { last().ping(data); }
  void cut() { last().cut(); }

  // What it does with the message of a call; gRPC's own name their program.
  std::function<Reply(const std::string& request, bool by_grpc)> answer = [](const std::string& request, bool) {
    return Reply{.body = message(request)};
  };
  std::vector<std::string> pongs;
  std::vector<std::string> seen;  // header lines of the calls, and their messages
  int by_line = 0;
  int by_grpc = 0;
  bool in_pieces = false;  // each byte is sent alone

 private:
  struct Stream {
    std::string request;
    bool by_grpc = false;
    Reply reply;
    std::size_t sent = 0;
  };

  class Peer {
   public:
    Peer(Member& member, Tcp::socket socket) : member_(member), socket_(std::move(socket)) { begin(); }
    ~Peer() { nghttp2_session_del(session_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void go_away() {
      const auto last = nghttp2_session_get_last_proc_stream_id(session_);
      nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, 0, nullptr, 0);
      flush();
    }
    void ping(const char* data) {
      nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, reinterpret_cast<const std::uint8_t*>(data));
      flush();
    }
    void say(const std::string& bytes) {
      Ec ec;
      boost::asio::write(socket_, boost::asio::buffer(bytes), ec);
    }
    void cut() {
      Ec ec;
      socket_.close(ec);
    }

   private:
    static Peer& self(void* user) { return *static_cast<Peer*>(user); }
    void begin();
    void respond(std::int32_t id);
    void read();
    void flush();
    static ssize_t body_of(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user);

    Member& member_;
    Tcp::socket socket_;
    nghttp2_session* session_ = nullptr;
    std::map<std::int32_t, Stream> streams_;
    std::array<std::uint8_t, 4096> buffer_{};
  };

  Peer& last() { return *peers_.back(); }
  void accept() {
    acceptor_.async_accept([this](const Ec& ec, Tcp::socket socket) {
      if (ec) return;
      peers_.push_back(std::make_unique<Peer>(*this, std::move(socket)));
      accept();
    });
  }

  Tcp::acceptor acceptor_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

nghttp2_nv field(const char* name, std::string_view value) {
  return {.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)),
          .value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())),
          .namelen = std::strlen(name),
          .valuelen = value.size(),
          .flags = NGHTTP2_NV_FLAG_NONE};
}

void Member::Peer::begin() {
  Ec ec;
  socket_.set_option(Tcp::no_delay(true), ec);
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
        const std::string_view key(reinterpret_cast<const char*>(name), name_size);
        const std::string_view text(reinterpret_cast<const char*>(value), value_size);
        self(user).member_.seen.push_back(fmt::format("{}={}", key, text));
        if (key == "user-agent") self(user).streams_[frame->hd.stream_id].by_grpc = true;
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks,
      [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* user) {
        self(user).streams_[id].request.append(reinterpret_cast<const char*>(bytes), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        if (frame->hd.type == NGHTTP2_PING)
          self(user).member_.pongs.emplace_back(reinterpret_cast<const char*>(frame->ping.opaque_data), 8);
        const bool of_call = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
        if (of_call && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) self(user).respond(frame->hd.stream_id);
        return 0;
      });
  nghttp2_session_server_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  flush();
  read();
}

void Member::Peer::respond(std::int32_t id) {
  auto& stream = streams_[id];
  const auto request = stream.request.size() < 5 ? std::string("?") : stream.request.substr(5);
  member_.seen.push_back(request);
  ++(stream.by_grpc ? member_.by_grpc : member_.by_line);
  stream.reply = member_.answer(request, stream.by_grpc);
  if (stream.reply.silent) return;
  if (stream.reply.reset) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return;
  }
  std::vector<nghttp2_nv> head{field(":status", "200"), field("content-type", "application/grpc")};
  if (stream.reply.body.empty()) {
    head.push_back(field("grpc-status", stream.reply.status));
    nghttp2_submit_response(session_, id, head.data(), head.size(), nullptr);
    return;
  }
  const nghttp2_data_provider body{.source = {}, .read_callback = body_of};
  nghttp2_submit_response(session_, id, head.data(), head.size(), &body);
}

ssize_t Member::Peer::body_of(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                              std::uint32_t* flags, nghttp2_data_source*, void* user) {
  auto& mine = self(user).streams_[id];
  const auto part = std::min(size, mine.reply.body.size() - mine.sent);
  std::copy_n(mine.reply.body.data() + mine.sent, part, buffer);
  mine.sent += part;
  if (mine.sent < mine.reply.body.size()) return static_cast<ssize_t>(part);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (mine.reply.status.empty()) return static_cast<ssize_t>(part);
  *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  const auto end = field("grpc-status", mine.reply.status);
  nghttp2_submit_trailer(session, id, &end, 1);
  return static_cast<ssize_t>(part);
}

void Member::Peer::read() {
  socket_.async_read_some(boost::asio::buffer(buffer_), [this](const Ec& ec, std::size_t size) {
    if (ec || nghttp2_session_mem_recv(session_, buffer_.data(), size) < 0) return;
    flush();
    read();
  });
}

void Member::Peer::flush() {
  for (;;) {
    const std::uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(session_, &bytes);
    if (size <= 0) return;
    const std::string text(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    const std::size_t piece = member_.in_pieces ? 1 : text.size();
    for (std::size_t i = 0; i < text.size(); i += piece) say(text.substr(i, piece));
  }
}

// Runs the loop; what has not come after a minute does not come.
void pump(boost::asio::io_context& loop, const std::function<bool()>& done) {
  bool late = false;
  boost::asio::steady_timer timer(loop, std::chrono::minutes(1));
  timer.async_wait([&late](const Ec& ec) { late = late || !ec; });
  while (!done()) {
    if (late) throw std::runtime_error("it does not come");
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(20));  // done() may have run it
  }
  timer.cancel();
  loop.restart();
  loop.poll();
}

struct LineTest : ::testing::Test {
  LineTest() { connect({}); }
  void connect(LineOptions options) {
    Tcp::socket socket(world.context);
    socket.connect(member.place());
    options.authority = "etcd:2379";
    options.patience = kPatience;
    options.answer = 1000;
    options.silent = [this] { ++silences; };
    line = std::make_shared<Line>(make_plain_socket(std::move(socket)), world.env.executor, world.clock,
                                  std::move(options));
    Line::start(line);
    const auto before = member.connections();
    pump([&] { return member.connections() > before; });
  }
  ~LineTest() override {
    line->close();
    world.settle();
  }
  // Sockets take their time, the clock stands.
  void pump(const std::function<bool()>& done) { etcd::pump(world.context, done); }
  using Outcome = std::shared_ptr<std::optional<Result<std::string>>>;
  Outcome start(const std::string& text, const std::string& token = "") {
    auto outcome = std::make_shared<std::optional<Result<std::string>>>();
    tasks.spawn("call", run(text, token, outcome));
    world.context.restart();
    world.context.poll();
    return outcome;
  }
  Awaitable<void> run(std::string text, std::string token, Outcome outcome) {
    outcome->emplace(co_await line->call("/package.Service/Method", text, token));
  }
  std::string call(const std::string& text, const std::string& token = "") {
    const auto outcome = start(text, token);
    pump([&] { return outcome->has_value(); });
    return show(**outcome);
  }
  static std::string show(const Result<std::string>& outcome) {
    return outcome ? *outcome : "error: " + outcome.error().message;
  }

  krake::testing::World world;
  Member member{world.context};
  TaskGroup tasks{world.env.executor};
  std::shared_ptr<Line> line;
  int silences = 0;
};

TEST_F(LineTest, CallsAsGrpcDoes) {
  member.answer = [](const std::string& request, bool) { return Reply{.body = message("answer to " + request)}; };
  EXPECT_EQ(call("a"), "answer to a");
  EXPECT_THAT(member.seen, ElementsAre(":method=POST", ":scheme=http", ":path=/package.Service/Method",
                                       ":authority=etcd:2379", "content-type=application/grpc", "te=trailers", "a"));
  member.seen.clear();
  EXPECT_EQ(call("", "secret"), "answer to ");
  EXPECT_THAT(member.seen, ::testing::Contains("token=secret"));
  EXPECT_FALSE(line->closed());
}

TEST_F(LineTest, ManyAreUnderWayAndEachGetsItsOwnAnswer) {
  member.answer = [](const std::string& request, bool) { return Reply{.body = message(request)}; };
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 200; ++i) outcomes.push_back(start(std::to_string(i)));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    pump([&] { return outcomes[i]->has_value(); });
    EXPECT_EQ(show(**outcomes[i]), std::to_string(i));
  }
}

TEST_F(LineTest, AnswersInPiecesArePutTogether) {
  member.in_pieces = true;
  member.answer = [](const std::string&, bool) { return Reply{.body = message(std::string(900, 'x'))}; };
  EXPECT_EQ(call("a"), std::string(900, 'x'));
}

TEST_F(LineTest, RefusalsEndTheCallAndNotTheLine) {
  const Reply refusals[] = {
      {.status = "7"},
      {.body = message("x"), .status = "13"},
      {.body = message("x"), .status = ""},
      {.body = message("x", '\1')},
      {.body = message("x") + "y"},
      {.body = std::string(2, '\0')},
      {.body = message("xy").substr(0, 6)},
      {.body = message(std::string(1001, 'x'))},
      {.reset = true},
  };
  for (const auto& refusal : refusals) {
    member.answer = [&](const std::string&, bool) { return refusal; };
    EXPECT_THAT(call("a"), HasSubstr("refused"));
    EXPECT_FALSE(line->closed());
  }
  member.answer = [](const std::string&, bool) { return Reply{.body = message(std::string(1000, 'x'))}; };
  EXPECT_EQ(call("a"), std::string(1000, 'x'));
}

TEST_F(LineTest, SilenceEndsItWhenTheOldestCallIsOutOfPatience) {
  member.answer = [](const std::string& request, bool) {
    return Reply{.body = message(request), .silent = request != "b"};
  };
  const auto first = start("a");
  EXPECT_EQ(call("b"), "b") << "others are answered";
  world.clock.advance(kPatience / 2);
  const auto second = start("c");
  pump([&] { return member.seen.back() == "c"; });
  world.clock.advance(kPatience / 2 - std::chrono::milliseconds(1));
  world.settle();
  EXPECT_FALSE(line->closed());
  EXPECT_FALSE(first->has_value());
  world.clock.advance(std::chrono::milliseconds(1));
  pump([&] { return first->has_value() && second->has_value(); });
  EXPECT_TRUE(line->closed());
  EXPECT_EQ(silences, 1);
  EXPECT_THAT(show(**first), HasSubstr("ended"));
  EXPECT_THAT(show(**second), HasSubstr("ended"));
}

TEST_F(LineTest, EachCallHasThePatienceOfItsOwn) {
  member.answer = [](const std::string& request, bool) {
    return Reply{.body = message(request), .silent = request == "z"};
  };
  EXPECT_EQ(call("a"), "a");
  world.clock.advance(kPatience / 2);
  EXPECT_EQ(call("b"), "b");
  world.clock.advance(10 * kPatience);
  world.settle();
  EXPECT_EQ(call("c"), "c");
  EXPECT_FALSE(line->closed()) << "answered calls are waited for no longer";
  world.clock.advance(kPatience / 2);
  const auto last = start("z");
  world.clock.advance(kPatience / 2);
  world.settle();
  EXPECT_FALSE(line->closed());
  world.clock.advance(kPatience / 2);
  pump([&] { return last->has_value(); });
  EXPECT_EQ(silences, 1);
  EXPECT_THAT(show(**last), HasSubstr("ended"));
}

// etcd asks with each call: to tell it each time would be another message.
TEST_F(LineTest, OnePingAtATimeIsAnsweredLater) {
  member.ping("the 1st.");
  EXPECT_EQ(call("a"), "a");
  EXPECT_EQ(call("b"), "b");
  EXPECT_THAT(member.pongs, ElementsAre());
  member.ping("the 2nd.");  // one that waits is enough
  pump([&] { return !member.pongs.empty(); });
  EXPECT_THAT(member.pongs, ElementsAre("the 2nd."));
  world.clock.advance(std::chrono::milliseconds(99));
  EXPECT_EQ(call("c"), "c");
  EXPECT_THAT(member.pongs, ElementsAre("the 2nd."));
  world.clock.advance(std::chrono::milliseconds(1));
  pump([&] { return member.pongs.size() == 2; });
  EXPECT_THAT(member.pongs, ElementsAre("the 2nd.", "the 1st."));
  member.ping("the 3rd.");
  EXPECT_EQ(call("d"), "d");
  EXPECT_EQ(member.pongs.size(), 2);
  world.clock.advance(std::chrono::milliseconds(100));
  pump([&] { return member.pongs.size() == 3; });
  member.ping("the 4th.");
  EXPECT_EQ(call("e"), "e");
  line->close();
  world.clock.advance(std::chrono::milliseconds(100));
  EXPECT_EQ(member.pongs.size(), 3);
  EXPECT_FALSE(silences);
}

TEST_F(LineTest, WhoLeavesTakesNobodyAlong) {
  TaskGroup impatient(world.env.executor);
  auto ignored = std::make_shared<std::optional<Result<std::string>>>();
  impatient.spawn("call", run("a", "", ignored));
  member.answer = [&](const std::string& request, bool) {
    if (request == "a") impatient.cancel();  // who asked is gone when the answer comes
    return Reply{.body = message(request)};
  };
  pump([&] { return impatient.size() == 0; });
  EXPECT_FALSE(ignored->has_value());
  EXPECT_THAT(member.seen, ::testing::Contains("a"));
  EXPECT_EQ(call("b"), "b");
  world.clock.advance(2 * kPatience);
  world.settle();
  EXPECT_EQ(call("c"), "c");
  EXPECT_EQ(silences, 0);
}

TEST_F(LineTest, ACutEndsAllCalls) {
  member.answer = [](const std::string&, bool) { return Reply{.silent = true}; };
  const auto first = start("a");
  pump([&] { return !member.seen.empty() && member.seen.back() == "a"; });
  member.cut();
  pump([&] { return first->has_value(); });
  EXPECT_THAT(show(**first), HasSubstr("ended"));
  EXPECT_TRUE(line->closed());
  EXPECT_EQ(silences, 0);
  EXPECT_THAT(call("b"), HasSubstr("ended"));
}

TEST_F(LineTest, AMemberThatGoesAwayIsAskedNothingMore) {
  member.answer = [](const std::string& request, bool) { return Reply{.body = message(request)}; };
  EXPECT_EQ(call("a"), "a");
  member.go_away();
  pump([&] { return line->closed(); });
  EXPECT_THAT(call("b"), HasSubstr("ended"));
}

TEST_F(LineTest, AConnectionWhoseStreamsAreSpentEnds) {
  line->close();
  connect({.first_stream = std::numeric_limits<std::int32_t>::max()});
  EXPECT_EQ(call("a"), "a");
  EXPECT_THAT(call("b"), HasSubstr("ended"));
  EXPECT_TRUE(line->closed());
}

TEST_F(LineTest, WhatIsNoHttp2EndsIt) {
  member.answer = [](const std::string&, bool) { return Reply{.silent = true}; };
  const auto first = start("a");
  pump([&] { return !member.seen.empty(); });
  member.say(std::string(64, '\xff') + "HTTP/1.1 400 Bad Request\r\n\r\n");
  pump([&] { return first->has_value(); });
  EXPECT_THAT(show(**first), HasSubstr("ended"));
  EXPECT_TRUE(line->closed());
}

// A connection whose loop runs in real time.
struct Asking {
  explicit Asking(EtcdOptions options)
      : connection(std::make_shared<Connection>(loop.get_executor(), clock, Random(1), Log(), std::move(options))) {
    const auto opened = connection->open();
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
  }
  ~Asking() { connection->close(); }
  using Answer = std::shared_ptr<std::optional<Result<pb::RangeResponse>>>;
  Result<pb::RangeResponse> ask() {
    const auto answer = std::make_shared<std::optional<Result<pb::RangeResponse>>>();
    tasks.spawn("ask", keep(connection, answer));
    pump(loop, [&] { return answer->has_value(); });
    return **answer;
  }
  static Awaitable<void> keep(std::shared_ptr<Connection> connection, Answer answer) {
    pb::RangeRequest request;
    request.set_key("/krake/store_id");
    answer->emplace(co_await connection->ask(std::move(request)));
  }
  std::shared_ptr<Line> line() const { return connection->member()->line; }
  // Asks until one is there.
  std::shared_ptr<Line> line_made() {
    pump(loop, [this] {
      (void)ask();
      return line() && !line()->closed();
    });
    return line();
  }

  boost::asio::io_context loop;
  RealClock clock{loop.get_executor()};
  TaskGroup tasks{loop.get_executor()};
  std::shared_ptr<Connection> connection;
};

enum class Mood { answers, line_refused, line_silent, silent };

// Members that run on a thread of their own, as gRPC does not let the asking loop run while it closes.
struct AskingTest : ::testing::Test {
  Asking& with(int count, Duration patience = std::chrono::seconds(1)) {
    EtcdOptions options{.timeout = std::chrono::seconds(4), .patience = patience};
    for (int i = 0; i < count; ++i) {
      auto& member = *members.emplace_back(std::make_unique<Member>(member_loop));
      member.answer = [this](const std::string&, bool by_grpc) { return answer(by_grpc); };
      options.endpoints.push_back(member.url());
    }
    thread = std::thread([this] {
      const auto work = boost::asio::make_work_guard(member_loop);
      member_loop.run();
    });
    asking.emplace(std::move(options));
    return *asking;
  }
  ~AskingTest() override {
    asking.reset();
    member_loop.stop();
    if (thread.joinable()) thread.join();
  }
  // By its revision: 1 by gRPC, 2 over the line.
  Reply answer(bool by_grpc) const {
    const auto now = mood.load();
    if (now == Mood::silent || (now == Mood::line_silent && !by_grpc)) return {.silent = true};
    if (now == Mood::line_refused && !by_grpc) return {.status = "7"};
    pb::RangeResponse response;
    response.mutable_header()->set_revision(by_grpc ? 1 : 2);
    return {.body = message(response.SerializeAsString())};
  }
  std::int64_t ask() {
    const auto answer = asking->ask();
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    return answer ? answer->header().revision() : -1;
  }

  std::atomic<Mood> mood = Mood::answers;
  boost::asio::io_context member_loop;
  std::vector<std::unique_ptr<Member>> members;
  std::thread thread;
  std::optional<Asking> asking;
};

TEST_F(AskingTest, GoesOverTheLineOnceThereIsOne) {
  auto& a = with(1);
  EXPECT_EQ(ask(), 1) << "the first has no time to wait for it";
  a.line_made();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(), 2);
  EXPECT_EQ(a.connection->member()->line_tries, 0);
}

TEST_F(AskingTest, ARefusalOfTheLineIsJudgedByGrpc) {
  auto& a = with(1);
  const auto line = a.line_made();
  mood = Mood::line_refused;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(), 1);
  EXPECT_TRUE(line->closed()) << "not each question is asked twice";
}

TEST_F(AskingTest, ASilentLineCostsNoAnswerAndIsTriedLessAndLess) {
  auto& a = with(1, std::chrono::milliseconds(100));
  mood = Mood::line_silent;
  const auto member = a.connection->member();
  Duration least = std::chrono::milliseconds(700);  // with jitter
  for (int tries = 1; tries <= 2; ++tries) {
    const Mono before = a.clock.now();
    pump(a.loop, [&] {
      EXPECT_EQ(ask(), 1);
      return member->line_tries == tries;
    });
    EXPECT_GE(member->next_line - before, least);
    least *= 2;
  }
}

TEST_F(AskingTest, WhoseOnlyMemberIsSilentIsToldWhich) {
  auto& a = with(1);
  a.line_made();
  mood = Mood::silent;
  const auto answer = a.ask();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("etcd at " + members[0]->url()));
  EXPECT_THAT(answer.error().message, HasSubstr("up and in reach"));
}

TEST_F(AskingTest, AMemberWhoseLineIsSilentIsLeft) {
  auto& a = with(2);
  const auto line = a.line_made();
  const auto first = a.connection->member();
  mood = Mood::line_silent;
  EXPECT_EQ(ask(), 1);
  EXPECT_NE(a.connection->member(), first);
  EXPECT_TRUE(line->closed());
  EXPECT_FALSE(first->line);
}

// The real thing. That a line has answered is known by `line_tries`, which nothing else sets back.
void expect_questions_over_a_line(ClusterOptions cluster_options, EtcdOptions options,
                                  const std::vector<std::string>& commands = {}) {
  EtcdCluster cluster(std::move(cluster_options));
  for (const auto& command : commands) cluster.ctl(command);
  options.endpoints = cluster.endpoints();
  if (options.endpoints[0].starts_with("https")) options.tls.ca_pem = cluster.ca_pem();
  Asking a(std::move(options));
  const auto member = a.connection->member();
  const auto ask_until_one_answers = [&](const std::shared_ptr<Line>& before) {
    pump(a.loop, [&] {
      (void)a.ask();
      return a.line() && a.line() != before && member->line_tries == 0;
    });
  };
  pump(a.loop, [&] { return a.ask() && (member->line_tries > 0 || member->line); });
  ask_until_one_answers(nullptr);
  const auto line = a.line();
  cluster.kill(0);
  pump(a.loop, [&] { return line->closed(); });
  cluster.start(0);
  ask_until_one_answers(line);
}

TEST(RealMember, IsAskedOverALine) { expect_questions_over_a_line({}, {}); }

TEST(RealMember, IsAskedOverALineOfTls) { expect_questions_over_a_line({.tls = true}, {}); }

TEST(RealMember, IsAskedOverALineByAUser) {
  expect_questions_over_a_line({}, {.user = "root", .password = "top"}, {"user add root:top", "auth enable"});
}

}  // namespace

}  // namespace krake::store::etcd
