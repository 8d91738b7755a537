#include "kubesim/sim_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "kubesim/call.h"
#include "kubesim/discovery.h"
#include "kubesim/watch.h"

namespace krake::kubesim {

namespace {

using json::Object;
using json::Value;

// Cuts the connection without an answer.
class Cut final : public ReplySource {
 public:
  Awaitable<Result<bool>> next(std::vector<SharedBytes>&) override {
    co_return fail(Code::unavailable, "the simulated cluster refuses connections");
  }
};

// All that a kubelet reports: clients with generated models refuse a Node without any of it.
Object node_info(const std::string& name) {
  return Object{{"architecture", "amd64"},
                {"bootID", name},
                {"containerRuntimeVersion", "kubesim://1"},
                {"kernelVersion", "simulated"},
                {"kubeProxyVersion", ""},
                {"kubeletVersion", "v1.36.0+kubesim"},
                {"machineID", name},
                {"operatingSystem", "linux"},
                {"osImage", "simulated"},
                {"systemUUID", name}};
}

Object node_object(const std::string& name) {
  return Object{
      {"metadata",
       Object{{"name", name}, {"labels", Object{{"kubernetes.io/hostname", name}, {"kubernetes.io/os", "linux"}}}}},
      {"spec", Object{}},
      {"status", Object{{"capacity", Object{{"cpu", "64"}, {"memory", "256Gi"}, {"pods", "1000"}}},
                        {"allocatable", Object{{"cpu", "64"}, {"memory", "256Gi"}, {"pods", "1000"}}},
                        {"addresses", json::Array{Object{{"type", "InternalIP"}, {"address", "192.0.2.1"}}}},
                        {"nodeInfo", node_info(name)}}}};
}

}  // namespace

SimCluster::SimCluster(Env& env, SimOptions options)
    : env_(env),
      options_(std::move(options)),
      random_(env.random.fork("kubesim " + options_.name)),
      api_(env, random_.fork("api"), options_.max_objects),
      controllers_(env, api_, faults, options_.times) {
  const KindInfo& kind = *api_.kinds().find_resource("namespaces");
  for (const char* name : {"default", "kube-system", "kube-public"}) {
    (void)api_.create(kind, "", Object{{"metadata", Object{{"name", name}}}},
                      {.manager = "kubesim", .by_client = false});
  }
  for (int i = 0; i < options_.nodes; ++i) add_node(fmt::format("{}-node-{}", options_.name, i));
}

void SimCluster::add_node(const std::string& name) {
  (void)api_.create(*api_.kinds().find_resource("nodes"), "", node_object(name),
                    {.manager = "kubesim", .by_client = false});
  set_node_conditions();
}

std::string SimCluster::uid() const {
  const ObjectPtr ns = api_.objects().find({"namespaces", "", "kube-system"});
  return ns ? std::string(ns->string_at({"metadata", "uid"})) : std::string();
}

void SimCluster::set_faults(Faults changed) {
  faults = std::move(changed);
  set_node_conditions();
  if (faults.refuse || faults.hang) cut_watches();
}

void SimCluster::cut_watches() {
  ++*watch_generation_;
  api_.objects().changed().notify_all();
}

void SimCluster::set_node_conditions() {
  std::vector<std::pair<ObjectKey, ObjectPtr>> nodes;
  api_.objects().each("nodes", "", nullptr, [&](const ObjectKey& key, const ObjectPtr& node) {
    nodes.emplace_back(key, node);
    return true;
  });
  for (const auto& [key, node] : nodes) {
    std::map<std::string, std::string> wanted{
        {"MemoryPressure", "False"}, {"DiskPressure", "False"}, {"PIDPressure", "False"}, {"Ready", "True"}};
    for (const auto& [type, status] : faults.nodes) wanted[type] = status;
    Value after = *node;
    json::Array& conditions = after.make_object()["status"].make_object()["conditions"].make_array();
    json::Array fresh;
    for (const auto& [type, status] : wanted) {
      Value since = api_.now();
      for (const Value& old : conditions) {
        if (old.string_at({"type"}) == type && old.string_at({"status"}) == status)
          since = *old.at_path({"lastTransitionTime"});
      }
      const bool good = status == (type == "Ready" ? "True" : "False");
      fresh.push_back(Object{{"type", type},
                             {"status", status},
                             {"reason", good ? "KubeletIsWell" : "Simulated"},
                             {"message", good ? "" : "simulated fault"},
                             {"lastHeartbeatTime", since},
                             {"lastTransitionTime", since}});
    }
    conditions = std::move(fresh);
    api_.overwrite(key, std::move(after));
  }
}

Value SimCluster::kubeconfig(const std::string& server_url, const std::string& ca_pem) const {
  Object cluster{{"server", server_url}};
  if (!ca_pem.empty()) cluster.set("certificate-authority-data", base64_encode(ca_pem));
  Object user;
  if (!options_.token.empty()) user.set("token", options_.token);
  const std::string& name = options_.name;
  return Object{{"apiVersion", "v1"},
                {"kind", "Config"},
                {"clusters", json::Array{Object{{"name", name}, {"cluster", std::move(cluster)}}}},
                {"users", json::Array{Object{{"name", name + "-admin"}, {"user", std::move(user)}}}},
                {"contexts", json::Array{Object{{"name", name},
                                                {"context", Object{{"cluster", name}, {"user", name + "-admin"}}}}}},
                {"current-context", name}};
}

// ---- other actors

const KindInfo* SimCluster::kind_of(std::string_view resource) const {
  if (const KindInfo* kind = api_.kinds().find_resource(resource)) return kind;
  const auto& all = api_.kinds().all();
  const auto it = std::ranges::find_if(all, [&](const KindInfo& kind) { return kind.plural == resource; });
  return it == all.end() ? nullptr : &*it;
}

ObjectPtr SimCluster::find(std::string_view resource, std::string_view ns, std::string_view name) const {
  const KindInfo* kind = kind_of(resource);
  return kind ? api_.objects().find(key_of(*kind, std::string(ns), std::string(name))) : nullptr;
}

std::vector<ObjectPtr> SimCluster::list(std::string_view resource) const {
  std::vector<ObjectPtr> all;
  const KindInfo* kind = kind_of(resource);
  if (!kind) return all;
  api_.objects().each(kind->resource(), "", nullptr, [&](const ObjectKey&, const ObjectPtr& object) {
    all.push_back(object);
    return true;
  });
  return all;
}

bool SimCluster::erase(std::string_view resource, std::string_view ns, std::string_view name) {
  const KindInfo* kind = kind_of(resource);
  return kind && api_.remove(*kind, std::string(ns), std::string(name), {.by_client = false}).has_value();
}

bool SimCluster::merge(std::string_view resource, std::string_view ns, std::string_view name, const Value& patch) {
  const KindInfo* kind = kind_of(resource);
  const auto change = [&](const Value& live) -> Outcome<Value> {
    Value after = live;
    json::merge_patch(after, patch);
    return after;
  };
  return kind &&
         api_.patch(*kind, std::string(ns), std::string(name), change, {.manager = "somebody-else", .by_client = false})
             .has_value();
}

// ---- serving

Handler SimCluster::handler() {
  return [this](ServerRequest& request) { return serve(request); };
}

bool SimCluster::authenticated(const ServerRequest& request) const {
  if (options_.token.empty() || !request.peer.common_name.empty()) return true;
  const auto header = request.headers.get("Authorization");
  return header && constant_time_equal(*header, "Bearer " + options_.token);
}

Awaitable<ServerReply> SimCluster::serve(ServerRequest& request) {
  ++requests_;
  Call call(request);
  const bool admin = call.is({"kubesim", "faults"});
  if (!admin) {
    if (faults.latency > Duration(0)) co_await sleep_for(env_.clock, faults.latency);
    while (faults.hang) co_await sleep_for(env_.clock, std::chrono::seconds(1));
    if (faults.refuse) {
      ServerReply reply;
      reply.source = std::make_unique<Cut>();
      co_return reply;
    }
    if (faults.garbage) co_return reply_text(200, "<html><body>It works!</body></html>\n");
    if (random_.chance(faults.error_rate)) {
      co_return reply_refusal({faults.error_status, "InternalError", "simulated fault", {}});
    }
  }
  if (!authenticated(request)) co_return reply_refusal(unauthorized());
  if (request.method == "POST" || request.method == "PUT" || request.method == "PATCH" || request.method == "DELETE") {
    auto body = co_await request.body->read(options_.max_body);
    if (!body) {
      co_return reply_refusal({http_status(body.error().code), "RequestEntityTooLarge", body.error().message, {}});
    }
    call.body = std::move(*body);
  }
  co_return answer(call);
}

ServerReply SimCluster::answer(Call& call) {
  if (call.is({"kubesim", "faults"})) return answer_faults(call);
  if (auto document = answer_document(call)) return std::move(*document);
  if (!call.locate(api_.kinds())) return reply_refusal(no_such_path());
  return answer_resource(call);
}

std::optional<ServerReply> SimCluster::answer_document(const Call& call) const {
  const auto& path = call.path;
  const auto found = [](std::optional<Value> document) {
    return document ? reply_json(200, *document) : reply_refusal(no_such_path());
  };
  if (call.is({"version"})) return reply_json(200, version_info());
  if (call.is({"healthz"}) || call.is({"readyz"}) || call.is({"livez"})) return reply_text(200, "ok");
  if (call.is({"api"})) return reply_json(200, core_versions());
  if (call.is({"apis"})) return reply_json(200, group_list(api_.kinds()));
  if (path.empty()) return reply_json(200, Object{{"paths", json::Array{"/api", "/apis", "/version", "/readyz"}}});
  if (path[0] == "openapi") return answer_openapi(call);
  if (path[0] == "api" && path.size() == 2) return found(resource_list(api_.kinds(), "", path[1]));
  if (path[0] == "apis" && path.size() == 2) return found(group(api_.kinds(), path[1]));
  if (path[0] == "apis" && path.size() == 3) return found(resource_list(api_.kinds(), path[1], path[2]));
  return std::nullopt;
}

ServerReply SimCluster::answer_openapi(const Call& call) const {
  const auto& path = call.path;
  if (call.is({"openapi", "v3"})) return reply_json(200, openapi_index(api_.kinds()));
  if (call.is({"openapi", "v2"})) {
    const auto accept = call.request.headers.get("Accept").value_or("");
    if (accept.find("protobuf") == std::string_view::npos) {
      return reply_json(
          200,
          Object{{"swagger", "2.0"}, {"info", Object{{"title", "kubesim"}, {"version", "v1"}}}, {"paths", Object{}}});
    }
    // The empty message: a description of nothing, by which clients check nothing. They ask for ...v2@v1.0+protobuf,
    // which is no media type; this is what a real API server answers.
    ServerReply reply{.status = 200};
    reply.headers.set("Content-Type", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    return reply;
  }
  const bool core = path.size() == 4 && path[2] == "api";
  const bool grouped = path.size() == 5 && path[2] == "apis";
  auto document = core      ? openapi_document(api_.kinds(), "", path[3])
                  : grouped ? openapi_document(api_.kinds(), path[3], path[4])
                            : std::nullopt;
  return document ? reply_json(200, *document) : reply_refusal(no_such_path());
}

ServerReply SimCluster::answer_faults(const Call& call) {
  if (call.request.method == "GET") return reply_json(200, to_json(faults));
  if (call.request.method != "PUT" && call.request.method != "POST") return reply_refusal(method_not_allowed());
  auto body = json::parse(call.body);
  if (!body) return reply_refusal(bad_request(body.error().message));
  auto wanted = parse_faults(*body);
  if (!wanted) return reply_refusal(bad_request(wanted.error().message));
  set_faults(std::move(*wanted));
  return reply_json(200, to_json(faults));
}

ServerReply SimCluster::answer_resource(Call& call) {
  const bool wide = call.kind->namespaced && call.ns.empty();
  if (is_forbidden(faults, call.verb(), call.kind->resource(), wide)) {
    return reply_refusal(
        forbidden(*call.kind, call.name,
                  fmt::format("User \"simulated\" cannot {} resource \"{}\" in API group \"{}\" {}", call.verb(),
                              call.kind->plural, call.kind->group,
                              wide ? "at the cluster scope" : fmt::format("in the namespace \"{}\"", call.ns))));
  }
  return call.name.empty() ? answer_collection(call) : answer_object(call);
}

// ---- collections

ServerReply SimCluster::answer_collection(Call& call) {
  const auto& method = call.request.method;
  if (method == "GET") return call.flag("watch") ? watch(call) : list_objects(call);
  if (method == "DELETE") return remove_collection(call);
  if (method != "POST" || (call.kind->namespaced && call.ns.empty())) return reply_refusal(method_not_allowed());
  auto object = call.json_body();
  if (!object) return reply_refusal(object.error());
  auto created = api_.create(*call.kind, call.ns, std::move(*object), call.write_options());
  return created ? reply_json(201, **created) : reply_refusal(created.error());
}

ServerReply SimCluster::list_objects(Call& call) {
  auto labels = Selector::labels(call.query("labelSelector"));
  auto fields = Selector::fields(call.query("fieldSelector"));
  if (!labels) return reply_refusal(bad_request(labels.error().message));
  if (!fields) return reply_refusal(bad_request(fields.error().message));
  auto page = call.page();
  if (!page) return reply_refusal(page.error());
  std::uint64_t revision = page->revision ? page->revision : api_.objects().revision();
  if (revision < api_.objects().compacted()) {
    return reply_refusal(expired("The provided continue parameter is too old to display a consistent list result."));
  }
  const std::string api_version = call.kind->api_version();
  std::string text = fmt::format(R"({{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{}")",
                                 call.kind->kind, api_version, revision);
  std::string items;
  std::size_t count = 0;
  std::optional<ObjectKey> last;
  bool more = false;
  api_.objects().each(call.kind->resource(), call.ns, page->after ? &*page->after : nullptr,
                      [&](const ObjectKey& key, const ObjectPtr& object) {
                        if (!labels->matches_labels(*object) || !fields->matches_fields(*object)) return true;
                        if (page->limit > 0 && count == page->limit) {
                          more = true;
                          return false;
                        }
                        if (count++ > 0) items += ',';
                        if (object->string_at({"apiVersion"}) == api_version) {
                          json::print_to(*object, items);
                        } else {
                          json::print_to(as_version(*object, api_version), items);
                        }
                        last = key;
                        return true;
                      });
  if (more) text += fmt::format(R"(,"continue":"{}")", Call::continue_token(revision, *last));
  ServerReply reply{.status = 200};
  reply.headers.set("Content-Type", "application/json");
  reply.body.push_back(share_bytes(text + "},\"items\":["));
  reply.body.push_back(share_bytes(std::move(items)));
  reply.body.push_back(share_bytes("]}\n"));
  return reply;
}

ServerReply SimCluster::watch(Call& call) {
  auto labels = Selector::labels(call.query("labelSelector"));
  auto fields = Selector::fields(call.query("fieldSelector"));
  if (!labels) return reply_refusal(bad_request(labels.error().message));
  if (!fields) return reply_refusal(bad_request(fields.error().message));
  const std::string from = call.query("resourceVersion");
  std::uint64_t revision = 0;
  const auto [end, ec] = std::from_chars(from.data(), from.data() + from.size(), revision);
  if (!from.empty() && (ec != std::errc() || end != from.data() + from.size())) {
    return reply_refusal(bad_request(fmt::format("resourceVersion: Invalid value: \"{}\": not a number", from)));
  }
  std::int64_t seconds = 1800;
  const std::string given = call.query("timeoutSeconds");
  std::from_chars(given.data(), given.data() + given.size(), seconds);
  WatchPlan plan{.scope = {.resource = call.kind->resource(),
                           .ns = call.ns,
                           .api_version = call.kind->api_version(),
                           .kind = call.kind->kind,
                           .labels = std::move(*labels),
                           .fields = std::move(*fields)},
                 .from = revision,
                 .initial = revision == 0 || call.flag("sendInitialEvents"),
                 .initial_end = call.flag("sendInitialEvents"),
                 .bookmarks = call.flag("allowWatchBookmarks"),
                 .end = env_.clock.now() + std::chrono::seconds(std::clamp<std::int64_t>(seconds, 1, 86'400)),
                 .generation = watch_generation_};
  ServerReply reply{.status = 200};
  reply.headers.set("Content-Type", "application/json");
  reply.source = make_watch(env_.clock, api_.objects(), faults, std::move(plan));
  return reply;
}

ServerReply SimCluster::remove_collection(Call& call) {
  auto labels = Selector::labels(call.query("labelSelector"));
  auto fields = Selector::fields(call.query("fieldSelector"));
  if (!labels || !fields || (call.kind->namespaced && call.ns.empty())) return reply_refusal(method_not_allowed());
  std::vector<ObjectKey> keys;
  api_.objects().each(call.kind->resource(), call.ns, nullptr, [&](const ObjectKey& key, const ObjectPtr& object) {
    if (labels->matches_labels(*object) && fields->matches_fields(*object)) keys.push_back(key);
    return true;
  });
  for (const auto& key : keys)
    (void)api_.remove(*call.kind, key.ns, key.name, {.propagation = call.query("propagationPolicy")});
  return reply_json(200,
                    Object{{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Object{}}, {"status", "Success"}});
}

// ---- single objects

ServerReply SimCluster::answer_object(Call& call) {
  const auto& method = call.request.method;
  if (call.subresource == "scale" && call.kind->scale) return scale(call);
  if (call.subresource == "log" && call.kind->kind == "Pod") return reply_text(200, "This cluster is simulated.\n");
  const bool finalize = call.subresource == "finalize" && call.kind->kind == "Namespace";
  if (!call.subresource.empty() && !(call.subresource == "status" && call.kind->status) && !finalize) {
    return reply_refusal(no_such_path());
  }
  if (method == "GET") {
    auto object = api_.get(*call.kind, call.ns, call.name);
    if (!object) return reply_refusal(object.error());
    const bool same = (*object)->string_at({"apiVersion"}) == call.kind->api_version();
    return reply_json(200, same ? **object : as_version(**object, call.kind->api_version()));
  }
  if (method == "PATCH") return patch(call);
  if (method == "PUT") {
    auto object = call.json_body();
    if (!object) return reply_refusal(object.error());
    auto replaced = api_.replace(*call.kind, call.ns, call.name, std::move(*object), call.write_options());
    return replaced ? reply_json(200, **replaced) : reply_refusal(replaced.error());
  }
  if (method != "DELETE") return reply_refusal(method_not_allowed());
  auto options = call.delete_options();
  if (!options) return reply_refusal(options.error());
  auto deleted = api_.remove(*call.kind, call.ns, call.name, *options);
  if (!deleted) return reply_refusal(deleted.error());
  if (!deleted->gone) return reply_json(200, *deleted->object);
  Object details{{"name", call.name}};
  if (!call.kind->group.empty()) details.set("group", call.kind->group);
  details.set("kind", call.kind->plural);
  details.set("uid", deleted->object->string_at({"metadata", "uid"}));
  return reply_json(200, Object{{"kind", "Status"},
                                {"apiVersion", "v1"},
                                {"metadata", Object{}},
                                {"status", "Success"},
                                {"details", std::move(details)}});
}

ServerReply SimCluster::patch(Call& call) {
  const std::string type = call.media_type();
  if (std::ranges::find(faults.unsupported, type) != faults.unsupported.end()) {
    return reply_refusal(unsupported_media_type("the simulated cluster was told not to take " + type));
  }
  if (type == "application/apply-patch+yaml" || type == "application/apply-patch+json") {
    auto object = json::parse(call.body);
    if (!object)
      return reply_refusal(bad_request("the simulated cluster takes only JSON in an apply: " + object.error().message));
    if (call.query("fieldManager").empty())
      return reply_refusal(bad_request(
          "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"));
    auto applied = api_.apply(*call.kind, call.ns, call.name, std::move(*object), call.write_options());
    return applied ? reply_json(applied->created ? 201 : 200, *applied->object) : reply_refusal(applied.error());
  }
  auto change = call.patch_function();
  if (!change) return reply_refusal(change.error());
  auto patched = api_.patch(*call.kind, call.ns, call.name, *change, call.write_options());
  return patched ? reply_json(200, **patched) : reply_refusal(patched.error());
}

ServerReply SimCluster::scale(Call& call) {
  auto live = api_.get(*call.kind, call.ns, call.name);
  if (!live) return reply_refusal(live.error());
  const auto as_scale = [&](const Value& object) -> Value {
    Object metadata{{"name", call.name}, {"namespace", call.ns}};
    for (const std::string_view key : {"uid", "resourceVersion", "creationTimestamp"}) {
      if (const Value* value = object.at_path({"metadata", key})) metadata.set(key, *value);
    }
    return Object{{"kind", "Scale"},
                  {"apiVersion", "autoscaling/v1"},
                  {"metadata", std::move(metadata)},
                  {"spec", Object{{"replicas", object.int_at({"spec", "replicas"}).value_or(0)}}},
                  {"status", Object{{"replicas", object.int_at({"status", "replicas"}).value_or(0)}}}};
  };
  if (call.request.method == "GET") return reply_json(200, as_scale(**live));
  Value wanted = as_scale(**live);
  if (call.request.method == "PATCH") {
    auto change = call.patch_function();
    if (!change) return reply_refusal(change.error());
    auto patched = (*change)(wanted);
    if (!patched) return reply_refusal(patched.error());
    wanted = std::move(*patched);
  } else if (call.request.method == "PUT") {
    auto body = call.json_body();
    if (!body) return reply_refusal(body.error());
    wanted = std::move(*body);
  } else {
    return reply_refusal(method_not_allowed());
  }
  Value after = **live;
  after.make_object()["spec"].make_object().set("replicas", wanted.int_at({"spec", "replicas"}).value_or(0));
  const Value* version = wanted.at_path({"metadata", "resourceVersion"});
  Object& metadata = after.make_object()["metadata"].make_object();
  if (version) metadata.set("resourceVersion", *version);
  auto options = call.write_options();
  options.subresource.clear();
  auto stored = api_.replace(*call.kind, call.ns, call.name, std::move(after), options);
  return stored ? reply_json(200, as_scale(**stored)) : reply_refusal(stored.error());
}

}  // namespace krake::kubesim
