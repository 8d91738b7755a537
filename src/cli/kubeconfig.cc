#include "cli/kubeconfig.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "base/encoding.h"
#include "cli/config.h"

namespace krake::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHint = "`kubectl config view --raw --flatten` prints a complete kubeconfig";

// The entry of the list `key` with that name; null when there is none.
const json::Value* entry(const json::Value& document, std::string_view key, std::string_view name) {
  const auto* list = document.at_path({key});
  if (!list || !list->is_array()) return nullptr;
  for (const auto& item : *list->if_array()) {
    // What has no name is not the entry that a missing reference means.
    const auto* own = item.at_path({"name"});
    if (own && own->is_string() && *own->if_string() == name) return &item;
  }
  return nullptr;
}

// What to choose from.
std::string contexts_hint(const json::Value& document) {
  std::vector<std::string_view> names;
  if (const auto* list = document.at_path({"contexts"}); list && list->is_array()) {
    for (const auto& item : *list->if_array()) names.push_back(item.string_at({"name"}));
  }
  if (names.empty()) return fmt::format("the file has no contexts; {}", kHint);
  return fmt::format("its contexts, for --context: {}", fmt::join(names, ", "));
}

Result<std::string> read_beside(const CliIo& io, const std::string& directory, const std::string& path) {
  if (!fs::path(path).is_absolute()) {
    const std::string beside = (fs::path(directory) / path).string();
    auto text = read_input(io, beside);
    if (text || text.error().code != Code::not_found) return text;
  }
  return read_input(io, absolute_path(io, path));
}

// Puts the file under `key` into "`key`-data".
Outcome<bool> inline_file(const CliIo& io, const std::string& directory, json::Value& part, std::string_view key,
                          std::string_view data_key, bool base64) {
  auto* object = part.if_object();
  const auto* value = object ? object->find(key) : nullptr;
  if (!value) return false;
  const std::string path = value->is_string() ? *value->if_string() : "";
  if (path.empty()) {
    object->erase(key);
    return false;
  }
  auto text = read_beside(io, directory, path);
  if (!text) return stop(fmt::format("kubeconfig: {} '{}': {}", key, path, text.error().message), std::string(kHint));
  object->erase(key);
  while (!base64 && !text->empty() && text->back() == '\n') text->pop_back();
  object->set(data_key, base64 ? base64_encode(*text) : *text);
  return true;
}

}  // namespace

Outcome<PickedKubeconfig> pick_context(const CliIo& io, const json::Value& document, std::string_view context,
                                       const std::string& directory) {
  if (!document.is_object())
    return stop("kubeconfig: want a mapping with clusters, contexts and users", std::string(kHint));
  std::string name(context.empty() ? document.string_at({"current-context"}) : context);
  if (name.empty()) {
    return stop("kubeconfig: no current-context, and no --context given", contexts_hint(document));
  }
  const auto* chosen = entry(document, "contexts", name);
  if (!chosen) {
    return stop(fmt::format("kubeconfig: there is no context '{}'", name), contexts_hint(document));
  }
  const auto cluster_name = chosen->string_at({"context", "cluster"});
  const auto user_name = chosen->string_at({"context", "user"});
  const auto* cluster = entry(document, "clusters", cluster_name);
  if (!cluster)
    return stop(fmt::format("kubeconfig: context '{}' names the cluster '{}', which is not there", name, cluster_name),
                std::string(kHint));
  const auto* user = entry(document, "users", user_name);
  if (!user)
    return stop(fmt::format("kubeconfig: context '{}' names the user '{}', which is not there", name, user_name),
                std::string(kHint));

  json::Value cluster_copy = *cluster;
  json::Value user_copy = *user;
  auto& cluster_part = (*cluster_copy.if_object())["cluster"];
  auto& user_part = (*user_copy.if_object())["user"];
  TRY([[maybe_unused]] const bool ca,
      inline_file(io, directory, cluster_part, "certificate-authority", "certificate-authority-data", true));
  TRY([[maybe_unused]] const bool cert,
      inline_file(io, directory, user_part, "client-certificate", "client-certificate-data", true));
  TRY([[maybe_unused]] const bool key, inline_file(io, directory, user_part, "client-key", "client-key-data", true));
  TRY([[maybe_unused]] const bool token, inline_file(io, directory, user_part, "tokenFile", "token", false));

  PickedKubeconfig picked{document, std::string(cluster_name)};
  auto& out = *picked.kubeconfig.if_object();
  out.set("current-context", name);
  out.set("contexts", json::Array{*chosen});
  out.set("clusters", json::Array{std::move(cluster_copy)});
  out.set("users", json::Array{std::move(user_copy)});
  return picked;
}

}  // namespace krake::cli
