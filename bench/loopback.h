// What the programs of the raw rows share: options, sockets on 127.0.0.1, requests with their length. No code of Krake,
// so that both sides are measured alike. Whatever fails ends the program with a line on standard error.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using Options = std::map<std::string, std::string>;

inline constexpr std::string_view kHeaderEnd = "\r\n\r\n";
inline constexpr std::string_view kLength = "Content-Length: ";

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what.c_str(), errno ? ": " : "",
               errno ? std::strerror(errno) : "");
  std::exit(1);
}

[[noreturn]] inline void complain(const std::string& what) {
  errno = 0;
  die(what);
}

// Of `MODE --option value...`.
inline Options parse(const std::vector<std::string>& args) {
  Options options;
  for (std::size_t i = 1; i + 1 < args.size(); i += 2) options[args[i].substr(2)] = args[i + 1];
  return options;
}

inline std::string option(const Options& options, const std::string& name) {
  const auto it = options.find(name);
  if (it == options.end()) complain("--" + name + " is missing");
  return it->second;
}

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) die(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

inline int dial(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = loopback(port);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("connect");
  no_delay(fd);
  return fd;
}

// A listener that does not block, on a port the kernel picks, which is printed as the first line.
inline int listen_and_tell() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 4096) != 0 || ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    die("listen");
  }
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return listener;
}

inline void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) die("send");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

// The length of the whole message at the front of `bytes`; 0 while its header is not complete.
inline std::size_t message_size(std::string_view bytes) {
  const auto end = bytes.find(kHeaderEnd);
  if (end == std::string_view::npos) return 0;
  std::size_t body = 0;
  if (const auto at = bytes.substr(0, end).find(kLength); at != std::string_view::npos)
    body = std::strtoul(bytes.data() + at + kLength.size(), nullptr, 10);
  return end + kHeaderEnd.size() + body;
}

}  // namespace bench
