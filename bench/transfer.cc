// Large answers: the load of their rows, and the most any server can do: the same bytes from memory into the socket. No
// code of Krake.
//   fetch --port N --path PATH --bytes N --connections N --seconds N
//     GETs the path on so many connections, each the next request with the end of the answer, for that long, then waits
//     for what is under way. Every answer must be 200 with a body of exactly `bytes` (with its length, or in chunks).
//     Prints answers and seconds.
//   serve --body FILE
//     answers each request with the bytes of the file.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "loopback.h"

namespace {

using namespace bench;
using Clock = std::chrono::steady_clock;

constexpr int kPatienceMs = 30'000;

// Reads one answer after the other and keeps nothing of the bodies.
class AnswerReader {
 public:
  explicit AnswerReader(std::size_t wanted) : wanted_(wanted) {}

  // True when `piece` ends an answer. There is no next one before it is asked for.
  bool take(std::string_view piece) {
    while (!piece.empty()) {
      if (left_ > 0) {
        const auto n = std::min(left_, piece.size());
        piece.remove_prefix(n);
        left_ -= n;
        body_ += n;
      } else if (!take_line(piece)) {
        return false;
      }
      if (left_ == 0 && at_ == At::done) return finish(piece);
    }
    return false;
  }

 private:
  enum class At : std::uint8_t { head, chunk_size, chunk_end, trailer, done };

  // A line of the head or of the framing, once all of it is there.
  bool take_line(std::string_view& piece) {
    const auto end = piece.find('\n');
    const auto n = end == std::string_view::npos ? piece.size() : end + 1;
    line_ += piece.substr(0, n);
    piece.remove_prefix(n);
    if (end == std::string_view::npos) return false;
    use(line_);
    line_.clear();
    return true;
  }

  void use(std::string_view line) {
    switch (at_) {
      case At::head:
        return use_head(line);
      case At::chunk_size:
        left_ = std::strtoul(line.data(), nullptr, 16);
        at_ = left_ == 0 ? At::trailer : At::chunk_end;
        return;
      case At::chunk_end:
        at_ = At::chunk_size;
        return;
      case At::trailer:
        if (line == "\r\n") at_ = At::done;
        return;
      case At::done:
        return;
    }
  }

  void use_head(std::string_view line) {
    if (first_ && !line.starts_with("HTTP/1.1 200")) complain("refused: " + std::string(line));
    first_ = false;
    if (line.starts_with(kLength)) left_after_head_ = std::strtoul(line.data() + kLength.size(), nullptr, 10);
    if (line == "Transfer-Encoding: chunked\r\n") chunked_ = true;
    if (line != "\r\n") return;
    at_ = chunked_ ? At::chunk_size : At::done;
    left_ = chunked_ ? 0 : left_after_head_;
  }

  bool finish(std::string_view rest) {
    if (body_ != wanted_ || !rest.empty())
      complain("a body of " + std::to_string(body_) + " bytes, and " + std::to_string(rest.size()) + " after it; " +
               std::to_string(wanted_) + " are wanted");
    *this = AnswerReader(wanted_);
    return true;
  }

  std::size_t wanted_;
  At at_ = At::head;
  bool first_ = true;
  bool chunked_ = false;
  std::size_t left_after_head_ = 0;
  std::size_t left_ = 0;  // of the body, or of this chunk
  std::size_t body_ = 0;
  std::string line_;
};

struct Client {
  int fd;
  AnswerReader reader;
};

int fetch(const Options& options) {
  const int port = std::stoi(option(options, "port"));
  const std::string request = "GET " + option(options, "path") + " HTTP/1.1\r\nHost: bench\r\n\r\n";
  const auto wanted = std::stoul(option(options, "bytes"));
  const std::chrono::duration<double> time(std::stod(option(options, "seconds")));
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Client> clients;
  for (auto left = std::stoul(option(options, "connections")); left > 0; --left) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = clients.size()}};
    clients.push_back({.fd = dial(port), .reader = AnswerReader(wanted)});
    ::epoll_ctl(poll, EPOLL_CTL_ADD, clients.back().fd, &event);
  }

  std::vector<char> buffer(std::size_t{1} << 18);
  std::array<epoll_event, 64> events{};
  std::uint64_t answers = 0;
  const auto begin = Clock::now();
  for (auto& client : clients) send_all(client.fd, request);
  for (auto open = clients.size(); open > 0;) {
    const int ready = ::epoll_wait(poll, events.data(), events.size(), kPatienceMs);
    if (ready == 0) complain("nothing came for 30 s, after " + std::to_string(answers) + " answers");
    for (int i = 0; i < ready; ++i) {
      auto& client = clients[events[static_cast<std::size_t>(i)].data.u64];
      const auto n = ::recv(client.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) die("the server ended a connection");
      if (!client.reader.take({buffer.data(), static_cast<std::size_t>(n)})) continue;
      ++answers;
      if (Clock::now() - begin < time)
        send_all(client.fd, request);
      else
        --open;
    }
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::printf(R"({"answers": %llu, "seconds": %.4f})"
              "\n",
              static_cast<unsigned long long>(answers), took.count());
  return 0;
}

struct Peer {
  std::string input;
  std::string_view output;  // what its socket has not taken yet
};

int serve(const Options& options) {
  const std::string body = contents(option(options, "body"));
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + std::string(kLength) +
                             std::to_string(body.size()) + std::string(kHeaderEnd) + body;
  const int listener = listen_and_tell();
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event listening{.events = EPOLLIN, .data = {.fd = listener}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &listening);
  const auto accept_all = [&] {
    for (int fd = 0; (fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
      no_delay(fd);
      // Told once of each change: what follows goes on until the socket has no more, or takes no more.
      epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.fd = fd}};
      ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
  };
  std::map<int, Peer> peers;
  std::array<char, 65536> buffer{};
  // False when the peer has gone.
  const auto receive = [&](int fd, Peer& peer) {
    ssize_t n = 0;
    while ((n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0)
      peer.input.append(buffer.data(), static_cast<std::size_t>(n));
    return n < 0 && errno == EAGAIN;
  };
  const auto send = [&](int fd, Peer& peer) {
    while (true) {
      if (peer.output.empty()) {
        const auto size = message_size(peer.input);
        if (size == 0 || peer.input.size() < size) return true;
        peer.input.erase(0, size);
        peer.output = answer;
      }
      const auto n = ::send(fd, peer.output.data(), peer.output.size(), MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN;
      peer.output.remove_prefix(static_cast<std::size_t>(n));
    }
  };
  std::array<epoll_event, 64> events{};
  while (true) {
    const int ready = ::epoll_wait(poll, events.data(), events.size(), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        accept_all();
        continue;
      }
      auto& peer = peers[fd];
      if (receive(fd, peer) && send(fd, peer)) continue;
      peers.erase(fd);
      ::close(fd);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const Options options = parse(args);
  if (!args.empty() && args[0] == "fetch") return fetch(options);
  if (!args.empty() && args[0] == "serve") return serve(options);
  std::fprintf(stderr, "usage: %s fetch|serve --option value...\n", argv[0]);
  return 2;
}
