#include "sim/witness.h"

#include "base/encoding.h"

namespace krake::sim {

namespace {

store::Revision number(std::string_view text) {
  store::Revision revision = 0;
  std::from_chars(text.data(), text.data() + text.size(), revision);
  return revision;
}
const Kind& applications() { return Client::kind_of<Application>(); }

}  // namespace

Awaitable<void> Witness::run() {
  bool listed = false;
  for (;;) {
    Status status;
    listed = listed && resume_ >= mixed_until_;
    if (!listed) {
      status = co_await list();
      listed = status.has_value();
    } else {
      status = co_await follow();
      listed = status || status.error().code != Code::compacted;
      if (!listed) reached_.mark("the API no longer kept what a watch asked for");
    }
    if (!status) co_await sleep_for(env_.clock, std::chrono::seconds(1));
  }
}

Awaitable<Status> Witness::list() {
  auto answer = co_await client_.call_json("GET", applications().collection_path(""));
  if (!answer) co_return fail(answer.error());
  const auto* items = answer->at_path({"items"});
  if (!items || !items->is_array()) co_return fail(Code::unavailable, "no items in a list");
  const auto revision = number(answer->string_at({"metadata", "resource_version"}));
  if (revision < complete_)
    complaints_.push_back(fmt::format("a list is of revision {} after {}", revision, complete_));
  store_ = answer->string_at({"metadata", "store"});
  seen_.clear();
  for (const auto& item : *items->if_array())
    seen_[std::string(item.string_at({"metadata", "name"}))] = number(item.string_at({"metadata", "resource_version"}));
  revision_ = resume_ = revision;
  mixed_until_ = 0;
  undo_.clear();
  broke_ = false;
  complete(revision);
  co_return Status{};
}

Awaitable<Status> Witness::follow() {
  go_back();
  auto target =
      fmt::format("{}?watch&bookmarks=true&heartbeat=10&since={}", applications().collection_path(""), revision_);
  if (!store_.empty()) target += "&store=" + percent_encode(store_);
  auto stream = co_await client_.open_watch(std::move(target), env_.clock);
  if (!stream) co_return fail(stream.error());
  const bool resumed = std::exchange(broke_, true);
  bool first = true;
  std::string buffer;
  for (;;) {
    auto piece = co_await with_timeout(env_.clock, std::chrono::seconds(35), "the next line", stream->body->read());
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) co_return fail(Code::unavailable, "the server ended the watch");
    buffer += *piece;
    std::size_t begin = 0;
    for (std::size_t end; (end = buffer.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (end == begin) continue;
      if (std::exchange(first, false)) began(resumed);
      CO_RETURN_IF_ERROR(take(std::string_view(buffer).substr(begin, end - begin)));
    }
    buffer.erase(0, begin);
  }
}

void Witness::began(bool resumed) {
  if (resumed) reached_.mark("a watch was taken up where it broke");
  if (on_stream_) on_stream_(resumed);
}

Status Witness::take(std::string_view line) {
  auto event = json::parse(line);
  if (!event) return fail(Code::unavailable, "a line of the watch is " + event.error().message);
  const auto type = event->string_at({"type"});
  const auto revision = number(event->string_at({"revision"}));
  const std::string name(event->string_at({"object", "metadata", "name"}));
  if (type == "BOOKMARK") {
    if (revision < revision_) return {};  // promises less than what has come already
    revision_ = resume_ = revision;
    undo_.clear();
    complete(revision);
    return {};
  }
  if (revision < revision_)
    complaints_.push_back(
        fmt::format("a watch at revision {} goes back to {}: {} {}", revision_, revision, type, name));
  if (revision > revision_) undo_.clear();
  revision_ = std::max(revision_, revision);
  resume_ = std::max(resume_, revision - 1);
  mixed_until_ = std::max(mixed_until_, number(event->string_at({"gap"})));
  ++events_;
  // Versions in between may be left out, so the first that comes need not be ADDED.
  const auto seen = seen_.find(name);
  const bool known = seen != seen_.end();
  const auto version = number(event->string_at({"object", "metadata", "resource_version"}));
  if (known && type != "DELETED" && version == seen->second)
    complaints_.push_back(fmt::format("a watch tells of {} at {} once more: {}", name, version, type));
  if (type == "ADDED" ? known : type == "DELETED" && !known)
    complaints_.push_back(
        fmt::format("a watch says {} of {}, which {}", type, name, known ? "is there already" : "it has not told of"));
  undo_.try_emplace(name, known ? std::optional(seen->second) : std::nullopt);
  if (type == "DELETED") {
    seen_.erase(name);
  } else {
    seen_[name] = version;
  }
  return {};
}

// To where everything had come: of the last revision's lines some may be missing.
void Witness::go_back() {
  for (const auto& [name, before] : std::exchange(undo_, {})) {
    if (before) {
      seen_[name] = *before;
    } else {
      seen_.erase(name);
    }
  }
  revision_ = resume_;
}

void Witness::complete(store::Revision revision) {
  complete_ = std::max(complete_, revision);
  points_.emplace_back(revision, seen_);
}

void Witness::report() {
  for (const auto& complaint : std::exchange(complaints_, {})) checks_.complain(complaint);
  for (const auto& [revision, seen] : std::exchange(points_, {})) checks_.witnessed(revision, seen);
}

}  // namespace krake::sim
