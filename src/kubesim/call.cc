#include "kubesim/call.h"

#include <fmt/format.h>

#include <charconv>

#include "base/encoding.h"
#include "kubesim/patch.h"
#include "manifest/json_patch.h"

namespace krake::kubesim {

namespace {

Outcome<json::Value> applied_patch(Result<json::Value> patched, const KindInfo& kind, const json::Value& live) {
  if (patched) return std::move(*patched);
  if (patched.error().code == Code::invalid_argument) return refuse(bad_request(patched.error().message));
  // The real server says Invalid also of a failed `test`.
  return refuse({422,
                 "Invalid",
                 fmt::format("the server rejected our request due to an error in our request: {} \"{}\": {}", kind.kind,
                             live.string_at({"metadata", "name"}), patched.error().message),
                 {}});
}

}  // namespace

SimCluster::Call::Call(const ServerRequest& r) : request(r) {
  const std::string_view target = request.target;
  const auto mark = target.find('?');
  if (mark != std::string_view::npos) queries = parse_query(target.substr(mark + 1));
  std::string_view rest = target.substr(0, mark);
  while (!rest.empty()) {
    rest.remove_prefix(rest.front() == '/' ? 1 : 0);
    const auto segment = rest.substr(0, rest.find('/'));
    if (!segment.empty()) path.push_back(percent_decode(segment).value_or(std::string(segment)));
    rest.remove_prefix(segment.size());
  }
}

bool SimCluster::Call::is(std::initializer_list<std::string_view> segments) const {
  return std::ranges::equal(path, segments);
}

bool SimCluster::Call::locate(const Kinds& kinds) {
  const bool core = path.size() >= 3 && path[0] == "api";
  const bool grouped = path.size() >= 4 && path[0] == "apis";
  if (!core && !grouped) return false;
  const std::string group = core ? "" : path[1];
  const std::string version = core ? path[1] : path[2];
  std::vector<std::string> rest(path.begin() + (core ? 2 : 3), path.end());
  // /namespaces/NS/<plural>, unless it is a namespace's own subresource.
  const bool own = rest.size() == 3 && core && (rest[2] == "status" || rest[2] == "finalize");
  if (rest[0] == "namespaces" && rest.size() >= 3 && !own) {
    ns = rest[1];
    rest.erase(rest.begin(), rest.begin() + 2);
  }
  kind = kinds.find(group, version, rest[0]);
  if (!kind || rest.size() > 3 || kind->namespaced != !ns.empty()) {
    // Namespaced kinds may be listed over all namespaces, but only that.
    if (!kind || !kind->namespaced || rest.size() > 1) return false;
  }
  if (rest.size() > 1) name = rest[1];
  if (rest.size() > 2) subresource = rest[2];
  return true;
}

std::string SimCluster::Call::query(std::string_view key) const {
  for (const auto& [name_, value] : queries) {
    if (name_ == key) return value;
  }
  return {};
}

bool SimCluster::Call::flag(std::string_view key) const {
  const std::string value = query(key);
  return value == "1" || value == "true";
}

std::string_view SimCluster::Call::verb() const {
  const auto& method = request.method;
  if (method == "GET") return name.empty() ? (flag("watch") ? "watch" : "list") : "get";
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  return name.empty() ? "deletecollection" : "delete";
}

std::string SimCluster::Call::media_type() const {
  const auto header = request.headers.get("Content-Type").value_or("");
  return std::string(header.substr(0, header.find(';')));
}

Outcome<json::Value> SimCluster::Call::json_body() const {
  const std::string type = media_type();
  if (!type.empty() && type != "application/json") {
    return refuse(unsupported_media_type(fmt::format(
        "the body of the request was in an unknown format - accepted media types include: application/json, not {}",
        type)));
  }
  auto value = json::parse(body);
  if (!value) return refuse(bad_request("the object provided is unrecognized: " + value.error().message));
  return std::move(*value);
}

// The token is opaque to clients: revision, namespace and name of the last object sent.
std::string SimCluster::Call::continue_token(std::uint64_t revision, const ObjectKey& last) {
  return base64_encode(fmt::format("{}/{}/{}", revision, last.ns, last.name));
}

Outcome<Page> SimCluster::Call::page() const {
  Page page;
  const std::string limit = query("limit");
  std::from_chars(limit.data(), limit.data() + limit.size(), page.limit);
  const std::string token = query("continue");
  if (token.empty()) return page;
  const auto text = base64_decode(token);
  const auto first = text ? text->find('/') : std::string::npos;
  const auto second = first == std::string::npos ? first : text->find('/', first + 1);
  if (second == std::string::npos) return refuse(bad_request("continue key is not valid"));
  std::from_chars(text->data(), text->data() + first, page.revision);
  page.after = ObjectKey{kind->resource(), text->substr(first + 1, second - first - 1), text->substr(second + 1)};
  return page;
}

WriteOptions SimCluster::Call::write_options() const {
  WriteOptions options{.manager = query("fieldManager"),
                       .subresource = subresource == "status" ? "status" : "",
                       .force = flag("force"),
                       .dry_run = query("dryRun") == "All"};
  if (options.manager.empty()) {
    const auto agent = request.headers.get("User-Agent").value_or("unknown");
    options.manager = agent.substr(0, agent.find('/'));
  }
  return options;
}

Outcome<DeleteOptions> SimCluster::Call::delete_options() const {
  DeleteOptions options{.propagation = query("propagationPolicy"), .dry_run = query("dryRun") == "All"};
  if (body.empty()) return options;
  auto value = json::parse(body);
  if (!value || !value->is_object()) return refuse(bad_request("the body of a DELETE must be DeleteOptions in JSON"));
  options.uid = value->string_at({"preconditions", "uid"});
  options.resource_version = value->string_at({"preconditions", "resourceVersion"});
  if (const auto given = value->string_at({"propagationPolicy"}); !given.empty()) options.propagation = given;
  if (const json::Value* orphan = value->at_path({"orphanDependents"});
      orphan && orphan->if_bool() && *orphan->if_bool()) {
    options.propagation = "Orphan";
  }
  if (const json::Value* dry = value->at_path({"dryRun"}); dry && dry->is_array() && !dry->if_array()->empty())
    options.dry_run = true;
  return options;
}

Outcome<Api::Patch> SimCluster::Call::patch_function() const {
  const std::string type = media_type();
  auto parsed = json::parse(body);
  if (!parsed) return refuse(bad_request("the patch is not JSON: " + parsed.error().message));
  if (type == "application/merge-patch+json") {
    return [patch = std::move(*parsed)](const json::Value& live) -> Outcome<json::Value> {
      json::Value after = live;
      json::merge_patch(after, patch);
      return after;
    };
  }
  if (type == "application/json-patch+json") {
    if (!parsed->is_array()) return refuse(bad_request("a JSON patch must be a list of operations"));
    return [patch = std::move(*parsed), target = kind](const json::Value& live) -> Outcome<json::Value> {
      return applied_patch(manifest::json_patch(live, *patch.if_array()), *target, live);
    };
  }
  if (type == "application/strategic-merge-patch+json" && !kind->custom) {
    return [patch = std::move(*parsed), target = kind](const json::Value& live) -> Outcome<json::Value> {
      return applied_patch(strategic_merge(target->kind, live, patch), *target, live);
    };
  }
  return refuse(unsupported_media_type(fmt::format(
      "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
      "application/merge-patch+json{}, application/apply-patch+yaml",
      kind->custom ? "" : ", application/strategic-merge-patch+json")));
}

}  // namespace krake::kubesim
