// For tests and benchmarks: an etcd cluster of real processes on loopback, data in a folder of its own. Members can be
// killed, paused and started again. Blocks.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace krake::store {

struct ClusterOptions {
  std::vector<std::string> program = {"/usr/bin/etcd"};  // and what comes before the flags
  int members = 1;
  std::vector<std::string> flags;
  bool tls = false;
};

class EtcdCluster {
 public:
  explicit EtcdCluster(ClusterOptions options = {});
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  std::vector<std::string> endpoints() const;
  std::string ca_pem() const;  // with tls
  // `flags` are added for this life.
  void start(int member, const std::vector<std::string>& flags = {});
  void kill(int member);
  void pause(int member);
  void go_on(int member);
  // Its data become those of the snapshot, as `etcdctl snapshot restore` puts them back. It does not run.
  void replace_data(int member, const std::string& snapshot);
  void restart();     // kill and start all
  void wait_ready();  // every member that runs answers a linearizable read
  void wipe();        // no keys, no compaction
  // etcdctl with the endpoints of all members; its standard output. Ends the program when it fails.
  std::string ctl(const std::string& arguments) const;
  bool ctl_succeeds(const std::string& arguments) const;
  const std::string& folder() const { return folder_; }

 private:
  struct Member {
    int client_port = 0;
    int peer_port = 0;
    pid_t pid = 0;
  };
  std::string url(int port) const;
  std::string command(const std::string& arguments) const;
  ClusterOptions options_;
  std::string folder_;
  std::vector<Member> members_;
  std::vector<int> kept_;  // sockets that keep the ports ours between two lives of a member
};

// A cluster that is left over from an earlier test, wiped, or a new one; goes back when the pointer dies. One kind of
// options per `kind`.
std::shared_ptr<EtcdCluster> borrow_cluster(const std::string& kind, const ClusterOptions& options);
// The program with etcd 3.6 (test/kube); built when it is missing.
std::vector<std::string> etcd_3_6();

}  // namespace krake::store
