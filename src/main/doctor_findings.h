// What `krake doctor` finds in a data set and in configurations. Pure but for the files that are looked at.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "main/config_command.h"
#include "main/references.h"
#include "meta/kind.h"
#include "store/store.h"

namespace krake {

struct Finding {
  enum class Severity { note, warning, error };
  Severity severity = Severity::note;
  std::string where;  // a key, or a file with its line
  std::string what;
  friend bool operator==(const Finding&, const Finding&) = default;
};
std::string_view to_string(Finding::Severity severity);
Finding::Severity worst(const std::vector<Finding>& findings);
// The worst first.
void sort_findings(std::vector<Finding>& findings);

// Takes the entries of a store in any order, and answers when it has seen all.
class DataCheck {
 public:
  explicit DataCheck(const Registry& registry) : registry_(registry) {}
  void add(const store::Entry& entry);
  // Once, at the end: also what is named and not there, and what nothing acts on yet.
  std::vector<Finding> findings();
  // By "core/Role"; what is of no kind is under its first two steps, "openstack/projects".
  const std::map<std::string, std::size_t>& counts() const { return counts_; }

 private:
  void check_object(const Kind& kind, const store::Entry& entry, const std::string& ns, const std::string& name);
  void found(Finding::Severity severity, const std::string& where, std::string what);

  struct Named {
    std::string key;
    Reference reference;
  };
  // Objects that want what no controller here does yet.
  struct Unattended {
    std::size_t count = 0;
    std::vector<std::string> first;  // of them, "demo/web"
    std::string_view meaning;
  };
  const Registry& registry_;
  std::map<std::string, std::size_t> counts_;
  std::vector<Finding> findings_;
  std::set<std::string> keys_;
  std::vector<Named> named_;
  std::map<std::pair<const Kind*, std::string_view>, Unattended> unattended_;  // by what they want
};

// Paths of keys in `document` that `known` does not have.
std::vector<std::string> surplus_keys(const json::Value& document, const json::Value& known);

// What is wrong with a configuration file: whatever keeps its program from starting, doubtful keys, files of TLS that
// cannot be used or expire soon. It must be a regular file: it is looked at more than once.
std::vector<Finding> check_config_file(const std::string& path, const ProgramInfo& program, Wall now);
// The same of a krake.yaml, for all programs that have a section in it.
std::vector<Finding> check_combined_file(const std::string& path, Wall now);

}  // namespace krake
