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
#include "sim/process_clock.h"
#include "sim/recorder.h"
#include "store/faulty_store.h"
#include "store/memory/memory_store.h"

namespace krake::sim {

// Who the user is to the API: the administrator of the roles Krake ships. Controllers come under their own names and
// have the rights those roles give them and no others.
inline constexpr std::string_view kUser = "system:admin";

// What a process is started with. `life` tells the lives of one process apart, so that a new one does not draw the
// chances (and uids) of the last.
struct ProcessStart {
  std::string name;  // of the machine: "api0", "scheduler1"
  std::uint64_t life = 1;
  Skew skew;
};

// What all outlive.
struct Surroundings {
  Env& env;  // its clock is the true time
  SimClock& clock;
  Conductor& conductor;
  Network& network;
  Recorder& recorder;
};

class Process {
 public:
  Process(const ProcessStart& start, const Surroundings& world);
  virtual ~Process() { conductor_.remove(loop_); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  const std::string& name() const { return name_; }
  // In order: everything it does ends. Runs on its loop.
  virtual Awaitable<void> finish() = 0;
  // Destroys what runs; what is left is to be destroyed next.
  virtual void crash() { loop_.drop(); }
  boost::asio::any_io_executor executor() { return env.executor; }
  ProcessLoop& loop() { return loop_; }
  void jump_wall(Duration by) { clock_.jump_wall(by); }

 private:
  std::string name_;
  Conductor& conductor_;
  ProcessLoop loop_;  // dies last
  ProcessClock clock_;

 public:
  Env env;
};

// Serves from the start, and refuses until its store answers.
struct ApiProcess final : Process {
  ApiProcess(const ProcessStart& start, const Surroundings& world, std::shared_ptr<store::MemoryDisk> disk,
             store::FaultRates rates);
  Awaitable<void> finish() override;
  void crash() override;

  Network& network;
  std::unique_ptr<store::Store> inner;  // keeps the true time: it stands for machines of its own
  store::FaultyStore store;
  std::unique_ptr<store::Store> recorded;
  server::ApiServer server;
  TaskGroup tasks;

 private:
  Awaitable<void> begin();
};

inline constexpr std::string_view kControllers[] = {"scheduler", "kubernetes-application", "kubernetes-cluster", "gc"};

// Of informers and of what looks at everything again now and then.
inline constexpr Duration kResync = std::chrono::minutes(4);

struct ControllerProcess final : Process {
  // `role` is one of kControllers; `servers` the names of all API servers.
  ControllerProcess(const ProcessStart& start, const Surroundings& world, std::string_view role,
                    const std::vector<std::string>& servers);
  // Gives its lease back first: another one takes over while it clears up.
  Awaitable<void> finish() override;

  SimDialer dialer;
  std::shared_ptr<Transport> transport;
  Client lease_client;
  Elector elector;
  Client client;
  std::unique_ptr<Controller> controller;
};

std::vector<std::shared_ptr<Transport>> to_servers(Network& network, const std::vector<std::string>& servers,
                                                   const std::string& from, const std::string& user);

}  // namespace krake::sim
