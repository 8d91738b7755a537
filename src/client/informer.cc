#include "client/informer.h"

namespace krake {

InformerBase::InformerBase(Env& env, Client& client, const Kind& kind, InformerOptions options)
    : env_(env),
      client_(client),
      kind_(kind),
      options_(std::move(options)),
      random_(env.random.fork(std::string("informer ") + std::string(kind.plural))),
      progress_(env.executor),
      tasks_(env.executor) {}

Awaitable<void> InformerBase::wait_synced() {
  while (!synced_) co_await progress_.wait();
}

Awaitable<void> InformerBase::wait_for(std::int64_t revision, Duration limit) {
  const Mono deadline = env_.clock.now() + limit;
  while (revision_ < revision && env_.clock.now() < deadline) co_await progress_.wait_until(env_.clock, deadline);
}

Awaitable<void> InformerBase::run() {
  const Backoff backoff{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(30)};
  int failures = 0;
  int expired = 0;  // lists in a row that were out of date before they could be followed
  bool need_list = true;
  Mono next_list{};
  for (;;) {
    Status status;
    if (need_list || env_.clock.now() >= next_list) {
      status = co_await list();
      if (status) {
        need_list = !resumable_;
        next_list =
            env_.clock.now() + std::chrono::duration_cast<Duration>(options_.resync * (0.8 + 0.4 * random_.unit()));
      }
    }
    if (status) {
      const Mono begin = env_.clock.now();
      status = co_await follow(next_list);
      if (status || env_.clock.now() - begin > std::chrono::seconds(2)) failures = expired = 0;
    }
    if (status) continue;  // the period is over: compare again
    if (status.error().code == Code::compacted) {
      need_list = true;
      if (expired++ > 0) co_await sleep_for(env_.clock, backoff.delay(expired, random_));
      continue;
    }
    env_.log.info("watch broken; resuming",
                  {{"kind", kind_.plural}, {"revision", revision_}, {"why", status.error().message}});
    co_await sleep_for(env_.clock, backoff.delay(failures++, random_));
  }
}

Awaitable<Status> InformerBase::list() {
  auto answer = co_await client_.call_json("GET", kind_.collection_path(options_.ns));
  if (!answer) co_return fail(answer.error());
  const auto* items = answer->at_path({"items"});
  if (!items || !items->is_array())
    co_return fail(Code::unavailable, fmt::format("list of {}: no items in the answer", kind_.plural));
  ++relists_;
  const auto text = answer->string_at({"metadata", "resource_version"});
  std::int64_t revision = 0;
  resumable_ = !text.empty();
  std::from_chars(text.data(), text.data() + text.size(), revision);
  std::set<ObjectKey> listed;
  for (const auto& item : *items->if_array()) {
    listed.insert(
        {std::string(item.string_at({"metadata", "namespace"})), std::string(item.string_at({"metadata", "name"}))});
    std::int64_t ignored = 0;
    put(item, ignored, Source::list);
  }
  for (const auto& key : keys()) {
    if (!listed.contains(key)) erase(key);
  }
  revision_ = revision;
  synced_ = true;
  progress_.notify_all();
  co_return Status{};
}

Awaitable<Status> InformerBase::follow(Mono until) {
  std::string target = fmt::format("{}?watch&heartbeat={}", kind_.collection_path(options_.ns),
                                   std::chrono::duration_cast<std::chrono::seconds>(options_.heartbeat).count());
  if (resumable_) target += fmt::format("&since={}&bookmarks=true", revision_);
  auto stream = co_await client_.open_watch(std::move(target));
  if (!stream) co_return fail(stream.error());
  // Without revisions what happened between list and watch is only found by listing once more.
  if (!resumable_) CO_RETURN_IF_ERROR(co_await list());
  std::string buffer;
  while (env_.clock.now() < until) {
    auto piece =
        co_await with_timeout(env_.clock, options_.silence, "the next line of the watch", stream->body->read());
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) co_return fail(Code::unavailable, "the server ended the watch");
    buffer += *piece;
    std::size_t begin = 0;
    for (std::size_t end; (end = buffer.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (end == begin) continue;  // heartbeat
      CO_RETURN_IF_ERROR(handle_line(std::string_view(buffer).substr(begin, end - begin)));
    }
    buffer.erase(0, begin);
    progress_.notify_all();
  }
  co_return Status{};
}

Status InformerBase::handle_line(std::string_view line) {
  auto event = json::parse(line);
  if (!event) return fail(Code::unavailable, "a line of the watch is " + event.error().message);
  const auto type = event->string_at({"type"});
  const auto* object = event->at_path({"object"});
  if (type.empty() || !object) return fail(Code::unavailable, "a line of the watch is no event");
  std::int64_t revision = 0;
  const auto text = event->string_at({"revision"});
  std::from_chars(text.data(), text.data() + text.size(), revision);
  if (type == "ADDED" || type == "MODIFIED") {
    std::int64_t of_object = 0;
    put(*object, of_object, Source::event);
  } else if (type == "DELETED") {
    erase({std::string(object->string_at({"metadata", "namespace"})),
           std::string(object->string_at({"metadata", "name"}))});
  }
  revision_ = std::max(revision_, revision);
  return {};
}

}  // namespace krake
