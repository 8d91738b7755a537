#include "store/etcd/watch_stream.h"

#include <algorithm>
#include <iterator>

#include "store/txn.h"

namespace krake::store::etcd {

namespace {
constexpr std::size_t kMaxReadyEvents = 4096;
constexpr std::size_t kMaxReadyBytes = std::size_t{16} << 20;

void add(Told& told, Told more) {
  told.revision = more.revision;
  told.keys += more.keys;
  if (more.last) {
    told.last = std::move(more.last);
    told.removed.clear();
  }
  for (auto& key : more.removed) {
    if (told.removed.size() <= Told::kMaxRemoved) told.removed.push_back(std::move(key));
  }
}
}  // namespace

WatchStream::WatchStream(std::shared_ptr<Connection> connection, WatchRange range, Revision after)
    : connection_(std::move(connection)),
      member_(connection_->member()),
      range_(std::move(range)),
      after_(after),
      told_(std::make_shared<Told>(Told{.revision = after})),
      changed_(connection_->executor()) {}

Awaitable<Status> WatchStream::open() {
  const auto self = shared_from_this();
  connection_->prepare(context_);
  // A member that has lost the others ends the stream instead of keeping quiet.
  context_.AddMetadata("hasleader", "true");
  auto& create = *request_.mutable_create_request();
  create.set_key(range_.first);
  create.set_range_end(range_.end);
  create.set_start_revision(after_ + 1);
  create.set_fragment(true);
  self_ = self;
  member_->in_flight.insert(this);
  state_ = State::starting;
  stream_ = member_->stub<pb::Watch>().PrepareAsyncWatch(&context_, connection_->queue());
  stream_->StartCall(static_cast<Operation*>(this));
  while (!created_ && !error_) co_await changed_.wait();
  if (error_) co_return fail(*error_);
  co_return Status{};
}

bool WatchStream::arrived(bool ok) {
  if (!ok || state_ != State::reading) return true;
  const MutexLock lock(mutex_);
  arrived_bytes_ += response_.ByteSizeLong();
  arrived_.push_back(std::move(response_));
  response_.Clear();
  paused_ = full_ || arrived_.size() >= kMaxReadyEvents || arrived_bytes_ >= kMaxReadyBytes;
  if (!paused_) stream_->Read(&response_, static_cast<Operation*>(this));
  return arrived_.size() == 1;  // else the loop has been told and not come yet
}

void WatchStream::completed(bool ok) {
  switch (state_) {
    case State::starting:
      if (!ok) return finish();
      state_ = State::writing;
      return stream_->Write(request_, static_cast<Operation*>(this));
    case State::writing:
      if (!ok) return finish();
      state_ = State::reading;
      return stream_->Read(&response_, static_cast<Operation*>(this));
    case State::reading:
      take_arrived();
      if (!ok) return finish();
      return read_on();
    default:
      return;  // a read that arrived before the end
  }
}

void WatchStream::take_arrived() {
  std::vector<pb::WatchResponse> responses;
  {
    const MutexLock lock(mutex_);
    responses.swap(arrived_);
    arrived_bytes_ = 0;
  }
  for (auto& response : responses) {
    if (error_) return;
    take(response);
    if (error_) context_.TryCancel();  // the read under way fails
  }
}

// Unless what was taken waits for its reader.
void WatchStream::read_on() {
  const bool ending = error_ || abandoned_;
  const bool full = !ending && (ready_.size() >= kMaxReadyEvents || ready_bytes_ >= kMaxReadyBytes);
  {
    const MutexLock lock(mutex_);
    full_ = full;
    if (full || !std::exchange(paused_, false)) return;
  }
  if (ending) return finish();
  stream_->Read(&response_, static_cast<Operation*>(this));
}

void WatchStream::finished() {
  state_ = State::finished;
  member_->in_flight.erase(this);
  if (!error_) {
    auto verdict = judge({static_cast<int>(status_.error_code()), status_.error_message(), member_->url, "Watch"});
    if (verdict.next == Next::log_in) connection_->forget_token();
    error_ = std::move(verdict.error);
    // Whatever ends it: the revision last seen is where the next one begins.
    if (error_->code != Code::compacted) error_->code = Code::unavailable;
  }
  changed_.notify_all();
  const auto last = std::move(self_);
}

void WatchStream::finish() {
  state_ = State::finishing;
  stream_->Finish(&status_, static_cast<Operation*>(&finish_tag_));
}

void WatchStream::abandon() {
  abandoned_ = true;
  if (state_ == State::idle || state_ == State::finished || state_ == State::finishing) return;
  context_.TryCancel();
  bool paused = false;
  {
    const MutexLock lock(mutex_);
    paused = state_ == State::reading && std::exchange(paused_, false);
  }
  if (paused) finish();  // nothing else would complete
}

void WatchStream::end(Error error) {
  if (!error_) error_ = std::move(error);
  ready_.clear();
  changed_.notify_all();
  abandon();
}

void WatchStream::take(pb::WatchResponse& response) {
  if (response.canceled()) {
    error_ = refused(response);
    changed_.notify_all();
    return;
  }
  if (response.created()) {
    created_ = true;
    changed_.notify_all();
  }
  take_events(response);
}

Error WatchStream::refused(const pb::WatchResponse& response) const {
  if (response.compact_revision() > 0) return compacted_error(range_.first, after_, response.compact_revision());
  auto verdict = judge({0, response.cancel_reason(), member_->url, "Watch"});
  if (verdict.error.code != Code::compacted) verdict.error.code = Code::unavailable;
  return std::move(verdict.error);
}

// Revisions come in order. A response ends with a whole one unless a fragment of it follows, and who is behind is sent
// a thousand revisions in one: each is handed on when the next begins.
void WatchStream::take_events(pb::WatchResponse& response) {
  for (auto& event : *response.mutable_events()) {
    auto& kv = *event.mutable_kv();
    const Revision revision = kv.mod_revision();
    if (revision <= after_) continue;
    if (partial_ && partial_->revision != revision) hand_on();
    if (!partial_) partial_ = CommitEvent{revision, {}};
    Bytes value;
    if (event.type() == pb::Event::DELETE) {
      --partial_told_.keys;
      if (partial_told_.removed.size() <= Told::kMaxRemoved) partial_told_.removed.push_back(kv.key());
    } else {
      if (kv.create_revision() == revision) ++partial_told_.keys;
      value = std::make_shared<const std::string>(std::move(*kv.mutable_value()));
      partial_told_.last = {.key = kv.key(), .revision = revision, .value = value};
    }
    if (kv.key() == range_.hidden) continue;
    auto& change = partial_->changes.emplace_back();
    change.key = std::move(*kv.mutable_key());
    change.key.erase(0, range_.strip);
    partial_bytes_ += change.key.size();
    if (!value) continue;
    partial_bytes_ += value->size();
    change.value = std::move(value);
    change.created = kv.create_revision();
    change.lease = kv.lease();
  }
  if (!response.fragment()) hand_on();
  if (!ready_.empty()) changed_.notify_all();
}

void WatchStream::hand_on() {
  if (!partial_) return;
  after_ = partial_->revision;
  ready_.push_back(std::move(*partial_));
  partial_.reset();
  ready_bytes_ += std::exchange(partial_bytes_, 0);
  add(ready_told_, std::exchange(partial_told_, {}));
  ready_told_.revision = after_;
}

Awaitable<Result<std::vector<CommitEvent>>> WatchStream::next() {
  const auto self = shared_from_this();
  while (ready_.empty() && !error_) co_await changed_.wait();
  if (ready_.empty()) co_return fail(*error_);
  auto events = std::exchange(ready_, {});
  ready_bytes_ = 0;
  add(*told_, std::exchange(ready_told_, {}));
  if (state_ == State::reading) read_on();
  co_return events;
}

}  // namespace krake::store::etcd
