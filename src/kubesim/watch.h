// One watch on a simulated cluster: the answer that goes on. Thread: the loop.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "kubesim/objects.h"
#include "kubesim/selector.h"
#include "net/http.h"

namespace krake::kubesim {

struct Faults;

struct WatchScope {
  std::string resource;
  std::string ns;           // empty: all
  std::string api_version;  // as which the objects are sent
  std::string kind;
  Selector labels;
  Selector fields;
};

struct WatchPlan {
  WatchScope scope;
  std::uint64_t from = 0;    // changes after this revision
  bool initial = false;      // first everything there is, as ADDED
  bool initial_end = false;  // then a bookmark that says so
  bool bookmarks = false;
  Mono end{};
  // Changes when all watches are to be cut.
  std::shared_ptr<const std::uint64_t> generation;
};

// Clock, objects and faults must outlive it.
std::unique_ptr<ReplySource> make_watch(Clock& clock, Objects& objects, const Faults& faults, WatchPlan plan);

// The object as a version of its kind (only apiVersion differs).
json::Value as_version(const json::Value& object, const std::string& api_version);

}  // namespace krake::kubesim
