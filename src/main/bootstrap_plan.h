// From files and what a store has to what is to be written: pure. bootstrap.cc does it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "meta/kind.h"
#include "store/store.h"

namespace krake {

struct BootstrapFile {
  std::string name;  // as the user gave it
  std::string text;
};

// A document that is an object.
struct BootstrapObject {
  const Kind* kind = nullptr;
  std::shared_ptr<const Object> object;  // as a POST of it would be; no uid, no times
  std::string key;
  std::string file;
  std::string place;        // "roles.yaml:12, document 3"
  bool finalizers = false;  // the document has some, and owners, of its own
  bool owners = false;
};
struct BootstrapProblem {
  std::string file;
  std::string what;   // "Role(api='core', namespace='None', name='x')", or the place where there is no name
  std::string error;  // with document number, line and path of the field
};
struct BootstrapInput {
  std::vector<BootstrapObject> objects;
  std::vector<BootstrapProblem> problems;
  std::vector<std::string> warnings;  // keys that are there more than once: the last one counts, as upstream has it
};

// "Role(api='core', namespace='None', name='x')": upstream's way to name one.
std::string identify(const Kind& kind, const ObjectMeta& meta);

// All documents of all files. No two objects are the same one.
BootstrapInput read_bootstrap(const std::vector<BootstrapFile>& files, const Registry& registry);

// Roles and bindings that are as Krake made them on an empty store are replaced with each of these.
enum class Present {
  refuse_other,  // what is there must be as the file says
  refuse_any,    // upstream's rule without --force: nothing may be there
  replace,       // in place: uid, times of creation and deletion and status stay
};

struct BootstrapStep {
  enum class Action { create, replace, unchanged, refuse };
  Action action = Action::unchanged;
  std::shared_ptr<const Object> object;  // to be written
  std::string why;                       // refuse
};
struct BootstrapStamp {
  std::string uid;  // of an object that is made
  Wall now;
};
// `stored`: the value the store has, null when there is none.
BootstrapStep decide(const BootstrapObject& wanted, const std::string* stored, Present present,
                     const BootstrapStamp& stamp);

struct BootstrapWrite {
  std::size_t object = 0;  // index in `objects`
  bool replaces = false;
};
struct BootstrapBatch {
  store::Txn txn;
  std::vector<BootstrapWrite> writes;
};
struct BootstrapPlan {
  std::vector<BootstrapBatch> batches;  // as few as the store's limits allow
  std::vector<std::size_t> unchanged;
  std::vector<BootstrapProblem> problems;  // if there are any, there are no batches
};
// `stored`: the entries of keys that exist. `done`: what this run wrote before; left alone. `uid` makes one.
BootstrapPlan plan_bootstrap(const std::vector<BootstrapObject>& objects,
                             const std::map<std::string, store::Entry>& stored, const std::vector<std::size_t>& done,
                             Present present, Wall now, const std::function<std::string()>& uid);

// What objects name: of kinds that the registry knows.
struct NamedObject {
  const Kind* kind = nullptr;
  std::string ns;
  std::string name;
  std::string key() const { return kind->storage_key(ns, name); }
};
// In the order of their keys; not what is among `objects`.
std::vector<NamedObject> named_objects(const std::vector<BootstrapObject>& objects, const Registry& registry);
// A line for each place where something is named whose key is in `missing`.
std::vector<std::string> dangling_references(const std::vector<BootstrapObject>& objects, const Registry& registry,
                                             const std::set<std::string>& missing);

}  // namespace krake
