// A simulated Kubernetes cluster behind one net::Handler. It keeps all in memory, runs no containers and says so in its
// version. Served over TLS by kubesim/service.h, in process by net/inproc.
// Ownership: Env outlives it; it outlives its handler's calls. Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "kubesim/api.h"
#include "kubesim/controllers.h"
#include "kubesim/faults.h"
#include "net/http.h"

namespace krake::kubesim {

struct SimOptions {
  std::string name = "sim";
  std::string token = "sim-token";  // required of clients as bearer token; empty: everybody may do everything
  int nodes = 1;                    // named <name>-node-0...
  ControllerTimes times;
  std::size_t max_objects = 200'000;
  std::size_t max_body = std::size_t{3} << 20;
};

class SimCluster {
 public:
  SimCluster(Env& env, SimOptions options = {});
  SimCluster(const SimCluster&) = delete;
  SimCluster& operator=(const SimCluster&) = delete;

  Handler handler();
  const SimOptions& options() const { return options_; }

  // May be changed at any time; those of nodes and of connections take effect through set_faults().
  Faults faults;
  void set_faults(Faults changed);
  void cut_watches();                                  // as if the connections broke
  void compact() { api_.objects().forget_history(); }  // every resourceVersion so far is expired
  void add_node(const std::string& name);

  // Behind the clients' backs, as other actors see and change things. By plural (or plural.group); null or false when
  // there is no such object.
  ObjectPtr find(std::string_view resource, std::string_view ns, std::string_view name) const;
  std::vector<ObjectPtr> list(std::string_view resource) const;
  bool erase(std::string_view resource, std::string_view ns, std::string_view name);
  bool merge(std::string_view resource, std::string_view ns, std::string_view name, const json::Value& patch);
  std::uint64_t mutations() const { return api_.mutations(); }  // requests that changed something
  Api& api() { return api_; }
  const Api& api() const { return api_; }
  std::string uid() const;  // of kube-system
  std::uint64_t requests() const { return requests_; }

  // With the token of the options. `ca_pem` empty: no TLS.
  json::Value kubeconfig(const std::string& server_url, const std::string& ca_pem) const;

 private:
  struct Call;

  Awaitable<ServerReply> serve(ServerRequest& request);
  ServerReply answer(Call& call);
  ServerReply answer_resource(Call& call);
  std::optional<ServerReply> answer_document(const Call& call) const;
  ServerReply answer_openapi(const Call& call) const;
  ServerReply answer_faults(const Call& call);
  ServerReply answer_object(Call& call);
  ServerReply answer_collection(Call& call);
  const KindInfo* kind_of(std::string_view resource) const;
  ServerReply list_objects(Call& call);
  ServerReply watch(Call& call);
  ServerReply remove_collection(Call& call);
  ServerReply patch(Call& call);
  ServerReply scale(Call& call);
  bool authenticated(const ServerRequest& request) const;
  void set_node_conditions();

  Env& env_;
  SimOptions options_;
  Random random_;
  Api api_;
  std::shared_ptr<std::uint64_t> watch_generation_ = std::make_shared<std::uint64_t>(0);
  std::uint64_t requests_ = 0;
  Controllers controllers_;
};

}  // namespace krake::kubesim
