// Which kinds a simulated cluster serves: the built-in ones and those its CustomResourceDefinitions add. Pure.
#pragma once

#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace krake::kubesim {

struct KindInfo {
  std::string group;  // empty: core
  std::string version;
  std::string kind;
  std::string plural;
  std::string singular;
  std::vector<std::string> short_names;
  bool namespaced = true;
  bool status = false;      // has the subresource: then ordinary writes do not touch it
  bool scale = false;       // has the subresource
  bool generation = false;  // counts the changes of spec
  bool custom = false;

  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  // "deployments.apps": the name in messages and the key of the store; versions of one kind share it.
  std::string resource() const { return group.empty() ? plural : plural + "." + group; }
};

class Kinds {
 public:
  Kinds();  // the built-in ones
  const KindInfo* find(std::string_view group, std::string_view version, std::string_view plural) const;
  // The preferred (first) version.
  const KindInfo* find_kind(std::string_view group, std::string_view kind) const;
  const KindInfo* find_resource(std::string_view resource) const;
  // In the order they came; the built-in ones first.
  const std::list<KindInfo>& all() const { return kinds_; }

  void define(const json::Value& definition);  // an accepted CustomResourceDefinition; replaces its former self
  void undefine(std::string_view group, std::string_view plural);

 private:
  std::list<KindInfo> kinds_;  // addresses stay valid while a kind is served
};

}  // namespace krake::kubesim
