// The load of the watch row, and the least a server can do for it; no code of Krake, so that both are measured alike.
//   load --port N --watchers N --watch PATH --write PATH --body FILE --seconds N --window N [--pid N]
//     opens the watches, then lets one writer POST the body (NAME in it is numbered) for that long on one connection,
//     with up to `window` requests under way, then waits until every watcher has every line. Prints lines, seconds,
//     bytes, writes and the CPU seconds that process `pid` took.
//   broadcast --line BYTES
//     a server for that load: each POST is one line in one chunk for every watcher, nothing else. What has come from
//     the writer at one time goes out in one send() per watcher.
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "loopback.h"

namespace {

using namespace bench;

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(30);

double cpu_seconds(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(text.c_str() + name_end + 2, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// One writer on one connection, with up to `window` requests under way.
class Writer {
 public:
  Writer(int port, std::string path, std::string body, std::size_t window)
      : fd_(dial(port)), path_(std::move(path)), body_(std::move(body)), window_(window) {
    if (body_.find("NAME") == std::string::npos) complain("the body has no NAME");
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { ::close(fd_); }

  std::uint64_t run(std::chrono::duration<double> time) {
    const auto end = Clock::now() + time;
    while (true) {
      std::string requests;
      const bool more = Clock::now() < end;
      for (; more && sent_ < answered_ + window_; ++sent_) requests += request();
      if (!requests.empty()) send_all(fd_, requests);
      if (answered_ == sent_) return answered_;
      receive();
    }
  }

 private:
  std::string request() const {
    std::array<char, 16> name{};
    std::snprintf(name.data(), name.size(), "w%09llu", static_cast<unsigned long long>(sent_));
    std::string text = body_;
    for (std::size_t at = 0; (at = text.find("NAME", at)) != std::string::npos;) text.replace(at, 4, name.data());
    return "POST " + path_ + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(text.size()) + "\r\n\r\n" + text;
  }
  void receive() {
    const auto n = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
    if (n <= 0) die("the server ended the writer's connection");
    input_.append(buffer_.data(), static_cast<std::size_t>(n));
    for (auto size = message_size(input_); size > 0 && input_.size() >= size; size = message_size(input_)) {
      if (!input_.starts_with("HTTP/1.1 200")) complain("a write was refused: " + input_.substr(0, size));
      input_.erase(0, size);
      ++answered_;
    }
  }

  int fd_;
  std::string path_;
  std::string body_;
  std::uint64_t window_;
  std::uint64_t sent_ = 0;
  std::uint64_t answered_ = 0;
  std::string input_;
  std::array<char, 65536> buffer_{};
};

struct Watcher {
  int fd = -1;
  std::string head;  // until it is complete
  bool open = false;
  char last = 0;
  std::uint64_t lines = 0;
};

// '\n' that ends a line and not the framing around a chunk, where it follows '\r'.
std::uint64_t count_lines(Watcher& watcher, std::string_view bytes) {
  std::uint64_t lines = 0;
  for (auto at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    if ((at > 0 ? bytes[at - 1] : watcher.last) != '\r') ++lines;
  }
  watcher.last = bytes.back();
  watcher.lines += lines;
  return lines;
}

int load(const Options& options) {
  const int port = std::stoi(option(options, "port"));
  const auto count = std::stoul(option(options, "watchers"));
  const std::string request = "GET " + option(options, "watch") + " HTTP/1.1\r\nHost: bench\r\n\r\n";
  std::ifstream file(option(options, "body"));
  const std::string body((std::istreambuf_iterator<char>(file)), {});
  const auto window = std::stoul(option(options, "window"));
  const std::chrono::duration<double> time(std::stod(option(options, "seconds")));
  const auto pid = options.contains("pid") ? options.at("pid") : "";

  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Watcher> watchers(count);
  for (std::size_t i = 0; i < count; ++i) {
    watchers[i].fd = dial(port);
    send_all(watchers[i].fd, request);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, watchers[i].fd, &event);
  }

  std::size_t open = 0;
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;
  std::vector<char> buffer(std::size_t{1} << 18);
  std::array<epoll_event, 256> events{};
  const auto receive = [&](Watcher& watcher) {
    const auto n = ::recv(watcher.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("the server ended a watch");
    std::string_view piece(buffer.data(), static_cast<std::size_t>(n));
    if (!watcher.open) {
      const auto before = watcher.head.size();
      watcher.head += piece;
      const auto end = message_size(watcher.head);
      if (end == 0) return;
      if (!watcher.head.starts_with("HTTP/1.1 200")) complain("a watch was refused: " + watcher.head);
      piece.remove_prefix(end - before);
      watcher.open = true;
      ++open;
    }
    if (piece.empty()) return;
    bytes += piece.size();
    lines += count_lines(watcher, piece);
  };
  auto progress = Clock::now();  // when something came last
  const auto step = [&] {
    const int ready = ::epoll_wait(poll, events.data(), events.size(), 100);
    for (int i = 0; i < ready; ++i) receive(watchers[events[static_cast<std::size_t>(i)].data.u64]);
    if (ready > 0) progress = Clock::now();
    if (Clock::now() - progress > kPatience) {
      complain("nothing came for 30 s: " + std::to_string(open) + " watches open, " + std::to_string(lines) + " lines");
    }
  };
  while (open < count) step();

  const double cpu_before = pid.empty() ? 0 : cpu_seconds(pid);
  const auto begin = Clock::now();
  std::atomic<std::uint64_t> writes{0};
  std::atomic<bool> written{false};
  std::thread writing([&] {
    writes = Writer(port, option(options, "write"), body, window).run(time);
    written = true;
  });
  while (!written || lines < writes * count) step();
  const std::chrono::duration<double> took = progress - begin;
  const double cpu = pid.empty() ? 0 : cpu_seconds(pid) - cpu_before;
  writing.join();
  for (const auto& watcher : watchers) {
    if (watcher.lines != writes)
      complain("a watcher has " + std::to_string(watcher.lines) + " lines of " + std::to_string(writes));
  }
  std::printf(R"({"lines": %llu, "seconds": %.4f, "bytes": %llu, "writes": %llu, "cpu_seconds": %.2f})"
              "\n",
              static_cast<unsigned long long>(lines), took.count(), static_cast<unsigned long long>(bytes),
              static_cast<unsigned long long>(writes.load()), cpu);
  return 0;
}

int broadcast(const Options& options) {
  std::string line(std::stoul(option(options, "line")), 'x');
  line.back() = '\n';
  std::array<char, 32> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", line.size());
  const std::string chunk = size.data() + line + "\r\n";
  constexpr std::string_view kWatch = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  constexpr std::string_view kDone = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

  const int listener = listen_and_tell();
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event listening{.events = EPOLLIN, .data = {.fd = listener}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &listening);
  struct Peer {
    std::string input;   // of requests
    std::string output;  // what its socket did not take at once
  };
  std::map<int, Peer> peers;
  std::vector<std::pair<int, Peer*>> watchers;
  const auto wait_for = [&](int fd, std::uint32_t what) {
    epoll_event event{.events = what, .data = {.fd = fd}};
    ::epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
  };
  const auto tell = [&](int fd, Peer& peer, const std::string& chunks) {
    auto sent = peer.output.empty() ? ::send(fd, chunks.data(), chunks.size(), MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    sent = std::max<ssize_t>(sent, 0);
    if (static_cast<std::size_t>(sent) == chunks.size()) return;
    if (peer.output.empty()) wait_for(fd, EPOLLIN | EPOLLOUT);
    peer.output.append(chunks, static_cast<std::size_t>(sent));
  };
  std::array<epoll_event, 256> events{};
  std::array<char, 65536> buffer{};
  while (true) {
    const int ready = ::epoll_wait(poll, events.data(), events.size(), -1);
    for (int i = 0; i < ready; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == listener) {
        for (int peer = 0; (peer = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
          no_delay(peer);
          peers[peer];
          epoll_event reading{.events = EPOLLIN, .data = {.fd = peer}};
          ::epoll_ctl(poll, EPOLL_CTL_ADD, peer, &reading);
        }
        continue;
      }
      auto& peer = peers[fd];
      if ((event.events & EPOLLOUT) != 0) {
        const auto sent = ::send(fd, peer.output.data(), peer.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) peer.output.erase(0, static_cast<std::size_t>(sent));
        if (peer.output.empty()) wait_for(fd, EPOLLIN);
      }
      if ((event.events & ~EPOLLOUT) == 0) continue;
      const auto n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n <= 0) {
        std::erase_if(watchers, [&](const auto& watcher) { return watcher.first == fd; });
        peers.erase(fd);
        ::close(fd);
        continue;
      }
      peer.input.append(buffer.data(), static_cast<std::size_t>(n));
      std::string answers;
      std::string chunks;
      for (auto size = message_size(peer.input); size > 0 && peer.input.size() >= size;
           size = message_size(peer.input)) {
        if (peer.input.starts_with("GET")) {
          watchers.emplace_back(fd, &peer);
          answers += kWatch;
        } else {
          answers += kDone;
          chunks += chunk;
        }
        peer.input.erase(0, size);
      }
      if (!answers.empty()) send_all(fd, answers);
      if (chunks.empty()) continue;
      for (const auto& [watcher, state] : watchers) tell(watcher, *state, chunks);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::vector<std::string> args(argv + 1, argv + argc);
  const Options options = parse(args);
  if (!args.empty() && args[0] == "load") return load(options);
  if (!args.empty() && args[0] == "broadcast") return broadcast(options);
  std::fprintf(stderr, "usage: %s load|broadcast --option value...\n", argv[0]);
  return 2;
}
