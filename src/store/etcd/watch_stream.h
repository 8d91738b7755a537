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
  // What next() has handed out: the last revision, and how many more keys etcd has since the beginning, with the
  // hidden.
  Revision handed() const { return handed_; }
  std::int64_t growth() const { return growth_; }

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
  std::int64_t partial_growth_ = 0;  // see growth()
  std::vector<CommitEvent> ready_;
  std::size_t ready_bytes_ = 0;
  std::int64_t ready_growth_ = 0;
  Revision handed_;
  std::int64_t growth_ = 0;
  std::optional<Error> error_;
  Notifier changed_;
  std::shared_ptr<WatchStream> self_;  // while something is in flight
};

}  // namespace krake::store::etcd
