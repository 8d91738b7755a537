// The processes of a world, each on a loop of its own: what a crash destroys. What survives is outside: the disk, the
// network, the clusters, the time.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "client/client.h"
#include "controllers/controller.h"
#include "server/api_server.h"
#include "sim/loop.h"
#include "sim/net.h"
#include "store/faulty_store.h"
#include "store/memory/memory_store.h"

namespace krake::sim {

// Who the user is to the API: the administrator of the roles Krake ships. Controllers come under their own names and
// have the rights those roles give them and no others.
inline constexpr std::string_view kUser = "system:admin";

// `life` tells the lives of one process apart, so that a new one does not draw the chances (and uids) of the last.
class Process {
 public:
  Process(const std::string& name, std::uint64_t life, Env& shared, Conductor& conductor);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Destroys what runs; what is left is to be destroyed next.
  void crash() { loop_.drop(); }
  boost::asio::any_io_executor executor() { return env.executor; }

 protected:
  ~Process() { conductor_.remove(loop_); }

 private:
  Conductor& conductor_;
  ProcessLoop loop_;  // dies last

 public:
  Env env;
};

struct ApiProcess : Process {
  ApiProcess(std::uint64_t life, Env& shared, Conductor& conductor, std::shared_ptr<store::MemoryDisk> disk,
             store::FaultRates rates);
  std::unique_ptr<store::Store> inner;
  store::FaultyStore store;
  server::ApiServer server;
};

inline constexpr std::string_view kControllers[] = {"scheduler", "kubernetes-application", "kubernetes-cluster", "gc"};

// Of informers and of what looks at everything again now and then.
inline constexpr Duration kResync = std::chrono::minutes(4);

struct ControllerProcess : Process {
  ControllerProcess(const std::string& name, std::uint64_t life, Env& shared, Conductor& conductor, Network& network);
  SimDialer dialer;
  Client client;
  std::unique_ptr<Controller> controller;
};

}  // namespace krake::sim
