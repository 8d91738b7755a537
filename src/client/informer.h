// An informer keeps a copy of all objects of one kind (in one namespace, or in all): list, then watch from the list's
// revision. What it promises:
//  - changes of one object are reported in order; states in between may be skipped; nothing holds across objects;
//  - a stream that breaks is resumed where everything before was seen: several objects may change at one revision, so
//  the
//    last line tells only of all that was before its own; what comes again is dropped: nothing is reported twice, and
//    nothing goes back. When the server no longer keeps that, or the stream broke in the middle of what the server
//    itself had missed (a gap), the list is read again and what is missing from it is reported as removed; streams that
//    told something are opened again soon, others ever more rarely;
//  - every `resync` the list is read again and compared, so that a wrong entry heals;
//  - synced() once the first list is in.
// Callbacks only wake: they name a key; read the present state from the informer. Thread: the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/env.h"
#include "base/epoch.h"
#include "base/task_group.h"
#include "client/client.h"

namespace krake {

struct InformerOptions {
  std::string ns;  // empty: all namespaces
  Duration heartbeat = std::chrono::seconds(10);
  Duration silence = std::chrono::seconds(35);  // a stream without a line for so long is dead
  Duration resync = std::chrono::minutes(10);   // with 20 % jitter
};

// The untyped part: the protocol. The typed one holds the objects.
class InformerBase {
 public:
  InformerBase(Env& env, Client& client, const Kind& kind, InformerOptions options);
  virtual ~InformerBase() = default;
  void start() { tasks_.spawn("informer " + std::string(kind_.plural), run()); }
  Awaitable<void> stop() { return tasks_.stop(); }

  bool synced() const { return synced_; }
  Awaitable<void> wait_synced();
  // The newest revision heard of: of what else changed at it something may still be to come.
  std::int64_t revision() const { return revision_; }
  // Everything up to here has been seen.
  std::int64_t complete() const { return complete_; }
  // Returns when what happened to `key` up to `revision` has been seen, or after `limit`: no acting on stale reads
  // after an own write.
  Awaitable<void> wait_for(ObjectKey key, std::int64_t revision, Duration limit = std::chrono::seconds(5));
  // Returns when everything that was committed before that term of leadership has been seen: who takes over knows what
  // the one before has done. The stream is opened anew; where it does not say soon how far it is, the list is read.
  Awaitable<void> catch_up(Epoch epoch);
  // Whether everything up to that revision of that store has been seen.
  bool has_seen(const Epoch& point) const { return store_ == point.store && complete_ >= point.revision; }
  // Returns when it has, or false after `limit`. Many that wait share what it costs.
  Awaitable<bool> reach(Epoch point, Duration limit);
  // Asks how far the stream is, without waiting: it is opened anew, but not more often than every 200 ms.
  void hurry();
  // Whose revisions these are; empty: the server does not tell.
  const std::string& store() const { return store_; }
  void on_change(std::function<void(const ObjectKey&)> callback) { listeners_.push_back(std::move(callback)); }
  const Kind& kind() const { return kind_; }
  int relists() const { return relists_; }

 protected:
  // Both: true when the stored copy changed. What is put is newer than what is stored, or of a list.
  virtual bool put(const json::Value& object) = 0;
  virtual bool erase(const ObjectKey& key) = 0;
  // Of the stored copy; 0 when there is none.
  virtual std::int64_t revision_of(const ObjectKey& key) const = 0;
  virtual std::vector<ObjectKey> keys() const = 0;
  // What cannot be decoded here is as if it were not there.
  bool leave_out(const json::Value& object, const Error& why);
  void changed(const ObjectKey& key) {
    for (const auto& listener : listeners_) listener(key);
  }

 private:
  Awaitable<void> run();
  Awaitable<Status> list();
  Awaitable<Status> follow(Mono until);
  Awaitable<Result<std::string>> next_piece(ByteStream& body, std::function<bool()> wished);
  Status handle_line(std::string_view line);
  void handle_event(std::string_view type, const json::Value& object, std::int64_t revision);
  bool has_heard(const ObjectKey& key, std::int64_t revision) const;

  Env& env_;
  Client& client_;
  const Kind& kind_;
  InformerOptions options_;
  Random random_;
  std::vector<std::function<void(const ObjectKey&)>> listeners_;
  std::int64_t revision_ = 0;
  std::set<ObjectKey> at_newest_;  // of what is told to have happened at revision_
  std::int64_t complete_ = 0;
  std::int64_t mixed_until_ = 0;  // what is here is of different moments until everything up to there has been seen
  bool synced_ = false;
  bool resumable_ = false;      // the server gives revisions
  std::string store_;           // whose revisions these are
  std::uint64_t reopens_ = 0;   // wishes for another stream, so far
  std::uint64_t reopened_ = 0;  // of them, those whose stream has told something
  Mono reopen_at_{};            // hurry() waits until then
  bool told_ = false;           // the last stream has told something
  std::uint64_t wishes_ = 0;    // for a list, so far
  std::uint64_t granted_ = 0;   // of them
  int relists_ = 0;
  Notifier progress_;
  Notifier wished_;
  TaskGroup tasks_;
};

template <Resource T>
class Informer final : public InformerBase {
 public:
  using Ptr = std::shared_ptr<const Versioned<T>>;
  // `project` drops what this reader does not need, to save memory. May be empty.
  Informer(Env& env, Client& client, InformerOptions options = {}, std::function<void(T&)> project = {})
      : InformerBase(env, client, Client::kind_of<T>(), std::move(options)), project_(std::move(project)) {}

  // Null when there is none.
  Ptr find(const ObjectKey& key) const {
    const auto it = objects_.find(key);
    return it == objects_.end() ? nullptr : it->second;
  }
  const std::map<ObjectKey, Ptr>& objects() const { return objects_; }
  // For tests of self-healing: puts a wrong copy in.
  void plant_for_test(const ObjectKey& key, Ptr object) { objects_[key] = std::move(object); }

 private:
  bool put(const json::Value& value) override {
    auto decoded = Client::decode_versioned<T>(value);
    if (!decoded) return leave_out(value, decoded.error());
    if (project_) project_(decoded->object);
    const auto key = key_of(decoded->object.metadata);
    auto& slot = objects_[key];
    if (slot && slot->object == decoded->object && slot->revision == decoded->revision) return false;
    slot = std::make_shared<const Versioned<T>>(std::move(*decoded));
    changed(key);
    return true;
  }
  bool erase(const ObjectKey& key) override {
    if (objects_.erase(key) == 0) return false;
    changed(key);
    return true;
  }
  std::int64_t revision_of(const ObjectKey& key) const override {
    const auto object = find(key);
    return object ? object->revision : 0;
  }
  std::vector<ObjectKey> keys() const override {
    std::vector<ObjectKey> all;
    for (const auto& [key, object] : objects_) all.push_back(key);
    return all;
  }

  std::map<ObjectKey, Ptr> objects_;
  std::function<void(T&)> project_;
};

}  // namespace krake
