// What a simulated cluster's API does to objects, without HTTP: create, replace, patch, apply, delete, with validation,
// defaults, ownership of fields and the collection of dependents. Thread: the loop.
#pragma once

#include <functional>
#include <string>

#include "base/env.h"
#include "kubesim/kinds.h"
#include "kubesim/objects.h"
#include "kubesim/refusal.h"

namespace krake::kubesim {

struct WriteOptions {
  std::string manager = "unknown";
  std::string subresource;  // "" or "status"
  bool force = false;       // of an apply
  bool dry_run = false;
  bool by_client = true;  // counted in mutations()
};

struct DeleteOptions {
  std::string uid;               // precondition
  std::string resource_version;  // precondition
  std::string propagation;       // Background, Foreground, Orphan; empty: the kind's own
  bool dry_run = false;
  bool by_client = true;
};

struct Written {
  ObjectPtr object;
  bool created = false;
};

struct Deleted {
  ObjectPtr object;   // as it was last, or as it is now
  bool gone = false;  // false: waits for its finalizers
};

class Api {
 public:
  Api(Env& env, Random random, std::size_t max_objects);

  Kinds& kinds() { return kinds_; }
  const Kinds& kinds() const { return kinds_; }
  Objects& objects() { return objects_; }
  const Objects& objects() const { return objects_; }

  Outcome<ObjectPtr> get(const KindInfo& kind, const std::string& ns, const std::string& name) const;
  Outcome<ObjectPtr> create(const KindInfo& kind, const std::string& ns, json::Value object,
                            const WriteOptions& options);
  Outcome<ObjectPtr> replace(const KindInfo& kind, const std::string& ns, const std::string& name, json::Value object,
                             const WriteOptions& options);
  // Replaces the object by what `change` makes of it.
  using Patch = std::function<Outcome<json::Value>(const json::Value& live)>;
  Outcome<ObjectPtr> patch(const KindInfo& kind, const std::string& ns, const std::string& name, const Patch& change,
                           const WriteOptions& options);
  Outcome<Written> apply(const KindInfo& kind, const std::string& ns, const std::string& name, json::Value object,
                         const WriteOptions& options);
  Outcome<Deleted> remove(const KindInfo& kind, const std::string& ns, const std::string& name,
                          const DeleteOptions& options);

  // For the controllers: no ownership, no validation; nothing happens when nothing changes.
  void overwrite(const ObjectKey& key, json::Value object);

  std::string now() const;  // 2026-01-31T12:00:00Z
  std::string random_suffix();
  std::uint64_t mutations() const { return mutations_; }

 private:
  Outcome<ObjectPtr> store(const KindInfo& kind, const ObjectKey& key, const ObjectPtr& before, json::Value after,
                           const WriteOptions& options, bool own);
  Outcome<void> check_request(const KindInfo& kind, const std::string& ns, const std::string& name,
                              json::Value& object) const;
  Outcome<void> check_namespace(const KindInfo& kind, const std::string& ns) const;
  void prepare_new(const KindInfo& kind, const ObjectKey& key, json::Value& object);
  void allocate(const KindInfo& kind, const json::Value* before, json::Value& object);
  std::int64_t free_node_port();
  void admitted(const KindInfo& kind, const ObjectKey& key, const json::Value& object);
  void erase(const ObjectKey& key, const std::string& propagation);
  void erase_if_empty(const std::string& ns);
  Outcome<Deleted> remove_namespace(const KindInfo& kind, const ObjectPtr& live);

  Env& env_;
  Random random_;
  std::size_t max_objects_;
  Kinds kinds_;
  Objects objects_;
  std::uint32_t next_ip_ = 1;
  std::uint64_t mutations_ = 0;
};

ObjectKey key_of(const KindInfo& kind, const std::string& ns, const std::string& name);
// A whole set of finalizers gone, and asked to be deleted.
bool ready_to_go(const json::Value& object);

}  // namespace krake::kubesim
