#include "store/etcd/etcd_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "base/check.h"

namespace krake::store {

namespace {

// A socket on a port of its own, bound but never listening: etcd, which sets SO_REUSEADDR as we do, can take the port
// again and again, and the kernel gives it to nobody else.
int keep_port(int& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  CHECK(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0, "setsockopt");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  port = ntohs(address.sin_port);
  return fd;
}

std::pair<int, std::string> output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  CHECK(pipe, "popen");
  std::string text;
  std::array<char, 4096> buffer{};
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
  return {::pclose(pipe), text};
}

void run(const std::string& command) {
  const auto [status, text] = output_of(command + " 2>&1");
  CHECK(status == 0, command + ": " + text);
}

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

pid_t spawn(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> arguments;
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  CHECK(pid >= 0, "fork");
  if (pid > 0) return pid;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that crashes leaves nothing behind
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

EtcdCluster::EtcdCluster(ClusterOptions options) : options_(std::move(options)) {
  const bool memory = !std::getenv("TMPDIR") && ::access("/dev/shm", W_OK) == 0;
  folder_ = (memory ? std::string("/dev/shm") : std::filesystem::temp_directory_path().string()) + "/krake-etcd-XXXXXX";
  CHECK(::mkdtemp(folder_.data()), "mkdtemp");
  if (options_.tls) {
    run("cd " + folder_ +
        " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "
        "/CN=etcd-test-ca"
        " -keyout ca.key -out ca.pem"
        " && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=etcd -keyout server.key"
        " -out server.csr && printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' >san"
        " && openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile san"
        " -out server.pem");
  }
  for (int i = 0; i < options_.members; ++i) {
    auto& member = members_.emplace_back();
    kept_.push_back(keep_port(member.client_port));
    kept_.push_back(keep_port(member.peer_port));
  }
  for (int i = 0; i < options_.members; ++i) start(i);
  wait_ready();
}

EtcdCluster::~EtcdCluster() {
  for (int i = 0; i < options_.members; ++i) kill(i);
  for (const int fd : kept_) ::close(fd);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string EtcdCluster::url(int port) const {
  return fmt::format("{}://127.0.0.1:{}", options_.tls ? "https" : "http", port);
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> all;
  for (const auto& member : members_) all.push_back(url(member.client_port));
  return all;
}

std::string EtcdCluster::ca_pem() const { return text_of(folder_ + "/ca.pem"); }

void EtcdCluster::start(int member, const std::vector<std::string>& flags) {
  auto& mine = members_[static_cast<std::size_t>(member)];
  CHECK(mine.pid == 0, "the member does not run");
  std::string all;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    all += fmt::format("{}m{}=http://127.0.0.1:{}", i > 0 ? "," : "", i, members_[i].peer_port);
  }
  const std::string peer = fmt::format("http://127.0.0.1:{}", mine.peer_port);
  auto command = options_.program;
  for (const std::string& flag :
       {fmt::format("--name=m{}", member), fmt::format("--data-dir={}/m{}", folder_, member),
        "--listen-client-urls=" + url(mine.client_port), "--advertise-client-urls=" + url(mine.client_port),
        "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + all,
        "--initial-cluster-token=" + folder_, std::string("--log-level=error")}) {
    command.push_back(flag);
  }
  if (options_.tls) {
    command.push_back("--cert-file=" + folder_ + "/server.pem");
    command.push_back("--key-file=" + folder_ + "/server.key");
  }
  for (const std::vector<std::string>* more : {&std::as_const(options_.flags), &flags})
    command.insert(command.end(), more->begin(), more->end());
  mine.pid = spawn(command, fmt::format("{}/m{}.log", folder_, member));
}

void EtcdCluster::kill(int member) {
  auto& pid = members_[static_cast<std::size_t>(member)].pid;
  if (pid == 0) return;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  pid = 0;
}

void EtcdCluster::pause(int member) { ::kill(members_[static_cast<std::size_t>(member)].pid, SIGSTOP); }
void EtcdCluster::go_on(int member) { ::kill(members_[static_cast<std::size_t>(member)].pid, SIGCONT); }

void EtcdCluster::replace_data(int member, const std::string& snapshot) {
  const auto peer = fmt::format("http://127.0.0.1:{}", members_[static_cast<std::size_t>(member)].peer_port);
  const auto data = fmt::format("{}/m{}", folder_, member);
  std::filesystem::remove_all(data);
  run(
      fmt::format("ETCDCTL_API=3 etcdctl snapshot restore {} --name=m{} --data-dir={} --initial-cluster=m{}={} "
                  "--initial-cluster-token={} --initial-advertise-peer-urls={}",
                  snapshot, member, data, member, peer, folder_, peer));
}

void EtcdCluster::restart() {
  for (int i = 0; i < options_.members; ++i) kill(i);
  for (int i = 0; i < options_.members; ++i) start(i);
  wait_ready();
}

std::string EtcdCluster::command(const std::string& arguments) const {
  std::string all;
  for (const auto& endpoint : endpoints()) all += (all.empty() ? "" : ",") + endpoint;
  return fmt::format("ETCDCTL_API=3 etcdctl --endpoints={}{} {}", all,
                     options_.tls ? " --cacert=" + folder_ + "/ca.pem" : "", arguments);
}

bool EtcdCluster::ctl_succeeds(const std::string& arguments) const {
  return output_of(command(arguments) + " 2>/dev/null").first == 0;
}

std::string EtcdCluster::ctl(const std::string& arguments) const {
  const auto [status, text] = output_of(command(arguments) + " 2>&1");
  CHECK(status == 0, arguments + ": " + text);
  return text;
}

void EtcdCluster::wait_ready() {
  for (int attempt = 0; attempt < 200; ++attempt) {
    bool ready = true;
    for (const auto& member : members_) {
      if (member.pid == 0) continue;
      CHECK(::waitpid(member.pid, nullptr, WNOHANG) == 0, "etcd ends at once: see " + text_of(folder_ + "/m0.log"));
      const auto ask = fmt::format(
          "ETCDCTL_API=3 etcdctl --command-timeout=2s --dial-timeout=1s --endpoints={}{} get ready >/dev/null 2>&1",
          url(member.client_port), options_.tls ? " --cacert=" + folder_ + "/ca.pem" : "");
      ready = ready && std::system(ask.c_str()) == 0;
    }
    if (ready) return;
  }
  CHECK(false, "etcd does not get ready: " + text_of(folder_ + "/m0.log"));
}

void EtcdCluster::wipe() { ctl("del '' --from-key=true"); }

std::shared_ptr<EtcdCluster> borrow_cluster(const std::string& kind, const ClusterOptions& options) {
  static std::map<std::string, std::vector<std::unique_ptr<EtcdCluster>>> idle;
  auto& mine = idle[kind];
  std::unique_ptr<EtcdCluster> cluster;
  if (mine.empty()) {
    cluster = std::make_unique<EtcdCluster>(options);
  } else {
    cluster = std::move(mine.back());
    mine.pop_back();
    cluster->wipe();
  }
  return {cluster.release(), [&mine](EtcdCluster* back) { mine.emplace_back(back); }};
}

std::vector<std::string> etcd_3_6() {
  auto [status, path] = output_of(std::string(KRAKE_SOURCE_DIR) + "/test/kube/build.sh");
  CHECK(status == 0 && !path.empty(), "test/kube/build.sh");
  path.pop_back();
  return {path, "etcd"};
}

}  // namespace krake::store
