// One watch on etcd: a stream of its own. Delivers whole commits (fragments are put together), bounded: what is not
// read yet stays with etcd. Ends with compacted or unavailable, never resumes by itself. Threads: the loop; arrived()
// is the inbox's, which reads on by itself, so that many small responses cost the loop one visit.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "store/etcd/connection.h"
#include "store/mutex.h"

namespace krake::store::etcd {

struct WatchRange {
  std::string first;  // as etcd has them, prefix included
  std::string end;
  std::size_t strip = 0;  // bytes to take off each key
  std::string hidden;     // of this key only the revisions are told
};

// What a watch has told up to a revision. By this its history is known again.
struct Told {
  struct Put {
    std::string key;  // as etcd has it
    Revision revision = 0;
    Bytes value;
  };
  Revision revision = 0;
  std::int64_t keys = 0;    // that etcd had then in the range, with the hidden one
  std::optional<Put> last;  // the newest
  // Keys that were removed after that, and no more than kMaxRemoved + 1 of them.
  static constexpr std::size_t kMaxRemoved = 4;  // each costs a question
  std::vector<std::string> removed;
};

class WatchStream final : public Operation, public InFlight, public std::enable_shared_from_this<WatchStream> {
 public:
  WatchStream(std::shared_ptr<Connection> connection, WatchRange range, Revision after);
  // Returns when etcd has confirmed it. compacted; unavailable.
  Awaitable<Status> open();
  Awaitable<Result<std::vector<CommitEvent>>> next();
  // The data are not those any more that were watched.
  void end(Error error);
  void cancel() { abandon(); }
  bool ended() const { return error_.has_value(); }
  const MemberPtr& member() const { return member_; }
  // By next(), so far. The stream itself counts the keys from 0; how many there were before is for the caller to add.
  const std::shared_ptr<Told>& told() const { return told_; }

  bool arrived(bool ok) override;
  void completed(bool ok) override;
  void abandon() override;

 private:
  // Finish has a tag of its own: a read that was under way may complete before it.
  struct FinishTag final : Operation {
    explicit FinishTag(WatchStream& the_stream) : stream(the_stream) {}
    void completed(bool /*ok*/) override { stream.finished(); }
    WatchStream& stream;
  };
  enum class State { idle, starting, writing, reading, finishing, finished };
  void take_arrived();
  void read_on();
  void finish();
  void finished();
  void take(pb::WatchResponse& response);
  void take_events(pb::WatchResponse& response);
  void hand_on();
  Error refused(const pb::WatchResponse& response) const;

  std::shared_ptr<Connection> connection_;
  MemberPtr member_;
  WatchRange range_;
  Revision after_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::WatchRequest, pb::WatchResponse>> stream_;
  pb::WatchRequest request_;
  pb::WatchResponse response_;  // of the read under way
  grpc::Status status_;
  std::atomic<State> state_ = State::idle;  // written by the loop
  Mutex mutex_;
  std::vector<pb::WatchResponse> arrived_ KRAKE_GUARDED_BY(mutex_);
  std::size_t arrived_bytes_ KRAKE_GUARDED_BY(mutex_) = 0;
  bool full_ KRAKE_GUARDED_BY(mutex_) = false;    // what was taken waits for its reader
  bool paused_ KRAKE_GUARDED_BY(mutex_) = false;  // no read is under way: too much waits
  FinishTag finish_tag_{*this};
  bool abandoned_ = false;
  bool created_ = false;
  std::optional<CommitEvent> partial_;  // a revision of which more may come
  std::size_t partial_bytes_ = 0;
  Told partial_told_;  // of what is partial and ready: the keys are those that came to it
  std::vector<CommitEvent> ready_;
  std::size_t ready_bytes_ = 0;
  Told ready_told_;
  std::shared_ptr<Told> told_;
  std::optional<Error> error_;
  Notifier changed_;
  std::shared_ptr<WatchStream> self_;  // while something is in flight
};

}  // namespace krake::store::etcd
