// One Kubernetes cluster, spoken to over its HTTP API: discovery, objects, apply, watch. Every call has a timeout and
// every error says what was tried on which object of which server, and what the server answered. Codes: those of the
// HTTP status, except that 409 AlreadyExists is already_exists, an expired resourceVersion is compacted, and any 5xx or
// an answer that is not Kubernetes' JSON is unavailable (504: timeout). What is refused as invalid names the fields.
// Ownership: Env and Dialer outlive the client; the client outlives its calls and its watches. Thread: the loop.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "net/dial.h"
#include "providers/kubernetes/kubeconfig.h"

namespace krake::kube {

struct ResourceType {
  std::string group;  // empty: core
  std::string version;
  std::string kind;
  std::string plural;
  bool namespaced = true;

  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  // "deployments.apps", as kubectl writes it.
  std::string name() const { return group.empty() ? plural : plural + "." + group; }
  auto operator<=>(const ResourceType&) const = default;
};

// `ns` is ignored for cluster-scoped types; for namespaced ones it must be given.
struct ObjectRef {
  ResourceType type;
  std::string ns;
  std::string name;
  auto operator<=>(const ObjectRef&) const = default;
};
std::string to_string(const ObjectRef& ref);  // "deployments.apps default/web"
// The comparison above tells in which version an object is spoken of; what it is is its group, kind, namespace and
// name.
bool same_object(const ObjectRef& a, const ObjectRef& b);

struct ObjectList {
  std::vector<json::Value> items;  // with apiVersion and kind filled in
  std::string resource_version;    // where a watch continues
};

struct ListOptions {
  std::string ns;  // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
  int page_size = 500;
};

struct ApplyOptions {
  bool force = true;
  bool dry_run = false;
};

struct Applied {
  json::Value object;  // as the server has it now
  bool created = false;
};

struct RemoveOptions {
  // Only when the live object still has these; otherwise Code::conflict. Empty: not checked.
  std::string uid;
  std::string resource_version;
  std::string propagation = "Background";  // Background, Foreground or Orphan
};
enum class Removed { deleted, deleting, absent };  // gone; waits for finalizers or children; was not there

struct WatchOptions {
  std::string ns;  // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;  // from a list or from an earlier watch
};

struct WatchEvent {
  enum class Type { added, modified, deleted, bookmark } type = Type::added;
  json::Value object;  // of a bookmark: only metadata.resourceVersion
};

// A watch in progress. Destroying it closes it.
class ObjectWatch {
 public:
  // `held` is kept as long as the watch lives.
  ObjectWatch(Clock& clock, std::unique_ptr<ByteStream> body, std::string what, std::string resource_version,
              std::shared_ptr<void> held = nullptr);
  // nullopt: the server ended the watch regularly; open the next one at resource_version().
  // Errors: compacted (list again), unavailable (cut; open again), timeout (nothing came for `silence`; open again),
  // others as the server says. After nullopt or an error the watch is over.
  Awaitable<Result<std::optional<WatchEvent>>> next(Duration silence = std::chrono::seconds(100));
  const std::string& resource_version() const { return resource_version_; }

 private:
  Result<WatchEvent> parse(std::string_view line);
  Clock& clock_;
  std::shared_ptr<void> held_;
  std::unique_ptr<ByteStream> body_;
  std::string what_;
  std::string resource_version_;
  std::string buffer_;
  std::size_t begin_ = 0;  // of the unread part of buffer_
};

struct ClientOptions {
  Duration timeout = std::chrono::seconds(30);        // of one request
  Duration probe_timeout = std::chrono::seconds(5);   // of ready()
  Duration watch_period = std::chrono::seconds(280);  // after which the server ends a watch
  std::size_t body_limit = std::size_t{64} << 20;
  std::size_t max_watches = 96;  // of the connections to one cluster; the others are for requests
  std::string field_manager = "krake";
};

class KubeClient {
 public:
  // An endpoint that cannot be dialled makes every call fail with the dialler's error.
  KubeClient(Env& env, Dialer& dialer, ClusterAccess access, ClientOptions options = {});
  KubeClient(const KubeClient&) = delete;
  KubeClient& operator=(const KubeClient&) = delete;

  const ClusterAccess& access() const { return access_; }
  const std::string& server() const { return access_.endpoint.url; }
  // How often the server has answered so far, whatever it said. An error during which this did not move means that
  // nobody was there; any other one is the answer to one request.
  std::uint64_t answers() const { return answers_; }
  // For how long it has been asked (watches being opened included) without saying anything.
  Duration silence(Mono now) const;

  // The type behind an object's apiVersion and kind. Cached; an unknown one is looked up again before it is refused
  // with not_found ("the server has no kind ..."). invalid_argument when either is empty or malformed.
  Awaitable<Result<ResourceType>> resolve(std::string api_version, std::string kind);
  // The same kind in a version of the group that the server has, `api_version` before all others: what was made in a
  // version that is no longer served is still there, and is reached in another one. not_found: it has none.
  Awaitable<Result<ResourceType>> resolve_in_any_version(std::string api_version, std::string kind);
  enum class Version : std::uint8_t { own, any };
  // Where `manifest` lives: its type, its namespace or else the kubeconfig's, its name. any: see above.
  Awaitable<Result<ObjectRef>> locate(json::Value manifest, Version version = Version::own);
  void forget_discovery() { discovery_.clear(); }

  Awaitable<Result<json::Value>> get(ObjectRef ref);
  Awaitable<Result<ObjectList>> list(ResourceType type, ListOptions options = {});
  // The namespace is `ns` for namespaced types; the name comes from the object.
  Awaitable<Result<json::Value>> create(ResourceType type, std::string ns, json::Value object);
  // Server-side apply as field manager `krake`; where the server refuses the media type (405, 415): create, or merge
  // patch.
  Awaitable<Result<Applied>> apply(ObjectRef ref, json::Value object, ApplyOptions options = {});
  // `subresource` e.g. "status"; empty: the object itself.
  Awaitable<Result<json::Value>> json_patch(ObjectRef ref, json::Array operations, std::string subresource = {});
  Awaitable<Result<json::Value>> merge_patch(ObjectRef ref, json::Value patch, std::string subresource = {});
  // PUT: with a metadata.resourceVersion in the object, conflict when the live one has moved on.
  Awaitable<Result<json::Value>> replace(ObjectRef ref, json::Value object, std::string subresource = {});
  Awaitable<Result<Removed>> remove(ObjectRef ref, RemoveOptions options = {});

  Awaitable<Result<std::unique_ptr<ObjectWatch>>> watch(ResourceType type, WatchOptions options);

  Awaitable<Result<std::vector<json::Value>>> nodes();
  // That the server answers and takes our credentials. A server that hides /readyz counts as ready.
  Awaitable<Status> ready();
  // What identifies a cluster, however it is reached: the uid of its namespace kube-system.
  Awaitable<Result<std::string>> kube_system_uid();

 private:
  using Kinds = std::map<std::string, ResourceType, std::less<>>;  // by kind

  HttpRequest request(std::string_view method, std::string target) const;
  Awaitable<Result<HttpResponse>> exchange(HttpRequest request, std::string what, Duration timeout);
  // exchange(), and any status but 2xx is an error.
  Awaitable<Result<json::Value>> call_json(HttpRequest request, std::string what);
  Awaitable<Result<json::Value>> patch(ObjectRef ref, std::string subresource, std::string media_type,
                                       std::string body);
  Awaitable<Result<Kinds>> discover(std::string api_version);
  Awaitable<Result<std::vector<std::string>>> versions_of(std::string group);  // the preferred one first
  Awaitable<Result<Applied>> apply_without_ownership(ObjectRef ref, json::Value object, ApplyOptions options);
  std::shared_ptr<void> ask();
  void note_answer();
  std::string describe(std::string_view verb, const ObjectRef& ref) const;

  Env& env_;
  ClusterAccess access_;
  ClientOptions options_;
  Result<std::shared_ptr<Transport>> transport_;
  std::map<std::string, Kinds, std::less<>> discovery_;  // by apiVersion
  std::uint64_t answers_ = 0;
  Mono answered_at_{};
  std::shared_ptr<int> asked_ = std::make_shared<int>(0);  // requests under way; may be dropped after the client
  std::shared_ptr<std::size_t> streams_ = std::make_shared<std::size_t>(0);  // watches that are open
  Mono asked_since_{};
};

// The error for an answer with a status other than 2xx. `what` begins its message. With `conceal` (Secrets) the
// server's message, which may quote values, is left out.
Error error_of_response(const HttpResponse& response, std::string_view what, bool conceal = false);

}  // namespace krake::kube
