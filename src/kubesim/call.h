// One request to a simulated cluster, taken apart. Thread: the loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kubesim/api.h"
#include "kubesim/sim_cluster.h"

namespace krake::kubesim {

struct Page {
  std::size_t limit = 0;       // 0: all
  std::uint64_t revision = 0;  // of the first page; 0: this is the first
  std::optional<ObjectKey> after;
};

struct SimCluster::Call {
  explicit Call(const ServerRequest& r);

  const ServerRequest& request;
  std::vector<std::string> path;  // decoded segments
  std::vector<std::pair<std::string, std::string>> queries;
  std::string body;
  // Set by locate().
  const KindInfo* kind = nullptr;
  std::string ns;
  std::string name;
  std::string subresource;

  bool is(std::initializer_list<std::string_view> segments) const;
  // Finds kind, namespace, name and subresource in the path; false when nothing is served there.
  bool locate(const Kinds& kinds);

  std::string query(std::string_view key) const;  // "" when absent
  bool flag(std::string_view key) const;          // present as 1 or true
  std::string_view verb() const;                  // as access rules call it
  std::string media_type() const;                 // of the body, without parameters

  Outcome<json::Value> json_body() const;
  Outcome<Page> page() const;
  static std::string continue_token(std::uint64_t revision, const ObjectKey& last);
  WriteOptions write_options() const;
  Outcome<DeleteOptions> delete_options() const;
  // What the body does to an object, as a merge, JSON or strategic merge patch.
  Outcome<Api::Patch> patch_function() const;
};

}  // namespace krake::kubesim
