// Listens at both sides of each API server: to what its store tells it, and to what it tells its clients; and judges
// both by the history of the store (history.h). Also whether writes under a leadership were accepted in its term only.
// Thread: the one there is.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "net/http.h"
#include "sim/history.h"
#include "sim/reached.h"
#include "sim/removals.h"
#include "store/store.h"

namespace krake::sim {

class Recorder {
 public:
  // All outlive it. `advance` tells the history what was committed since; `complain` gets what must not have happened.
  Recorder(History& history, Removals& removals, Reached& reached, std::function<void()> advance,
           std::function<void(const Complaint&)> complain)
      : history_(history),
        removals_(removals),
        reached_(reached),
        advance_(std::move(advance)),
        complain_(std::move(complain)) {}

  // `inner` outlives what is returned; `server` is who asks it.
  std::unique_ptr<store::Store> record(store::Store& inner, std::string server);
  Handler record(Handler inner, std::string server);

 private:
  friend class RecordingStore;
  friend class RecordingWatch;
  struct Asked {
    store::Revision floor = 0;   // what anybody knew
    store::Revision newest = 0;  // what there was
  };
  Asked ask() {
    advance_();
    return {history_.floor(), history_.newest()};
  }
  void judge(const std::string& server, const Complaint& complaint) {
    if (complaint) complain_(server + ": " + *complaint);
  }
  class Removal;
  void force_deletion_answered(Removal& removal, const std::string& key, const ServerReply& reply, Asked asked);
  static Awaitable<ServerReply> pass(Recorder& recorder, Handler inner, std::string server, ServerRequest& request);
  void answered(const std::string& server, const ServerRequest& request, const ServerReply& reply, Asked asked);
  void item_answered(const std::string& server, const std::string& key, const ServerRequest& request,
                     const ServerReply& reply, Asked asked);
  void list_answered(const std::string& server, const std::string& prefix, const ServerReply& reply, Asked asked);
  void accepted(const std::string& server, const std::string& key, const ServerRequest& request,
                store::Revision revision, Asked asked);

  History& history_;
  Removals& removals_;
  Reached& reached_;
  std::function<void()> advance_;
  std::function<void(const Complaint&)> complain_;
  std::map<std::string, std::string> writers_;  // who wrote under which leader and term
};

}  // namespace krake::sim
