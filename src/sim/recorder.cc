#include "sim/recorder.h"

#include <charconv>

#include "api/registry.h"
#include "base/json.h"
#include "server/route.h"

namespace krake::sim {

using store::Revision;

namespace {

std::optional<Revision> number(std::string_view text) {
  Revision value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}
// "42" with its quotes.
std::optional<Revision> etag_of(const ServerReply& reply) {
  const auto tag = reply.headers.get("ETag");
  if (!tag || tag->size() < 3) return std::nullopt;
  return number(tag->substr(1, tag->size() - 2));
}

constexpr std::string_view kLeases = "/core/leases/";

// The key of what is to be force-deleted; empty: nothing.
std::string force_deleted(const ServerRequest& request) {
  const std::string_view target = request.target;
  const auto force = target.find("force=");
  if (request.method != "DELETE" || force == std::string_view::npos ||
      target.substr(force + 6).find_first_of("Tt1") != 0) {
    return {};
  }
  const auto routed = server::route(krake_registry(), "DELETE", target.substr(0, target.find('?')));
  if (!routed.route || !routed.route->kind || !routed.route->on_object() || !routed.route->names_valid) return {};
  return routed.route->kind->storage_key(routed.route->ns, routed.route->name);
}

// Only how it looks: its readers read it whole.
bool looks_like_json(const ServerReply& reply) {
  const auto type = reply.headers.get("Content-Type");
  if (!type || !type->contains("json") || !reply.body.front()->starts_with('{')) return false;
  for (auto piece = reply.body.rbegin(); piece != reply.body.rend(); ++piece) {
    const auto last = (*piece)->find_last_not_of(" \n");
    if (last != std::string_view::npos) return (**piece)[last] == '}';
  }
  return false;
}

Result<json::Value> body_of(const ServerReply& reply) {
  std::string bytes;
  for (const auto& piece : reply.body) bytes += *piece;
  return json::parse(bytes);
}

}  // namespace

// Something is to be taken away at once: from then until it is known what came of it. Destroyed before, the server
// crashed.
class Recorder::Removal {
 public:
  // `key` empty: nothing of the kind.
  Removal(Removals& removals, const std::string& key, Revision newest) : removals_(removals) {
    if (!key.empty()) id_ = removals.asked(key, newest);
  }
  ~Removal() {
    if (id_) removals_.abandoned(*id_);
  }
  Removal(const Removal&) = delete;
  Removal& operator=(const Removal&) = delete;

  bool under_way() const { return id_.has_value(); }
  void carried_out(Revision at) { removals_.carried_out(*std::exchange(id_, std::nullopt), at); }
  void refused() { removals_.refused(*std::exchange(id_, std::nullopt)); }
  void unanswered(Revision newest) { removals_.unanswered(*std::exchange(id_, std::nullopt), newest); }

 private:
  Removals& removals_;
  std::optional<Removals::Id> id_;
};

// ---- the side of the store

class RecordingWatch final : public store::Watch {
 public:
  RecordingWatch(Recorder& recorder, std::unique_ptr<store::Watch> inner, std::string server, std::string prefix,
                 Revision after)
      : recorder_(recorder),
        inner_(std::move(inner)),
        server_(std::move(server)),
        prefix_(std::move(prefix)),
        last_(std::make_shared<Revision>(after)) {}
  Awaitable<Result<std::vector<store::CommitEvent>>> next() override {
    return judged(recorder_, inner_, server_, prefix_, last_);
  }

 private:
  static Awaitable<Result<std::vector<store::CommitEvent>>> judged(Recorder& recorder,
                                                                   std::shared_ptr<store::Watch> inner,
                                                                   std::string server, std::string prefix,
                                                                   std::shared_ptr<Revision> last) {
    auto events = co_await inner->next();
    if (!events) co_return events;
    recorder.advance_();
    for (const auto& event : *events) {
      recorder.judge(server, recorder.history_.next(prefix, *last, event.revision));
      *last = event.revision;
      recorder.history_.known(event.revision);
    }
    co_return events;
  }

  Recorder& recorder_;
  std::shared_ptr<store::Watch> inner_;
  std::string server_;
  std::string prefix_;
  std::shared_ptr<Revision> last_;
};

class RecordingStore final : public store::Store {
 public:
  RecordingStore(Recorder& recorder, store::Store& inner, std::string server)
      : recorder_(recorder), inner_(inner), server_(std::move(server)) {}

  Awaitable<Result<std::optional<store::Entry>>> get(std::string key) override {
    const auto asked = recorder_.ask();
    auto entry = co_await inner_.get(key);
    if (!entry) co_return entry;
    recorder_.advance_();
    told(*entry ? (**entry).modified : 0, history().read(key, asked.floor, *entry ? (**entry).modified : 0));
    co_return entry;
  }
  Awaitable<Result<store::Listing>> list(std::string prefix, store::ListOptions options) override {
    const auto asked = recorder_.ask();
    const bool from_the_start = options.after.empty();
    std::map<std::string, Revision> entries;
    const auto note = [&entries](const std::vector<store::Entry>& page) {
      for (const auto& entry : page) entries[entry.key] = entry.modified;
    };
    if (options.each_page) {
      options.each_page = [&entries, &note, next = std::move(options.each_page)](std::vector<store::Entry> page,
                                                                                 bool anew) {
        if (anew) entries.clear();
        note(page);
        next(std::move(page), anew);
      };
    }
    auto listing = co_await inner_.list(prefix, std::move(options));
    if (!listing || !from_the_start) co_return listing;
    note(listing->entries);
    recorder_.advance_();
    told(listing->revision, history().listed(prefix, asked.floor, listing->revision, entries, listing->more));
    co_return listing;
  }
  Awaitable<Result<store::CommitResult>> commit(store::Txn txn) override {
    const auto asked = recorder_.ask();
    const auto guards = txn.guards;
    const auto puts = txn.puts;
    Recorder::Removal release(recorder_.removals_, lease_in(txn.removes), asked.newest);
    auto result = co_await inner_.commit(std::move(txn));
    recorder_.advance_();
    if (release.under_way()) released(release, result);
    if (!result) {
      if (result.error().code == Code::timeout) recorder_.reached_.mark("the outcome of a commit was unknown");
      co_return result;
    }
    if (const auto* conflict = std::get_if<store::Conflict>(&*result)) {
      const Revision seen = conflict->current ? conflict->current->modified : 0;
      told(seen, history().read(guards.at(conflict->guard).key, asked.floor, seen));
      co_return result;
    }
    const Revision revision = std::get<store::Committed>(*result).revision;
    told(revision, history().current(asked.floor, revision));
    for (const auto& put : puts) recorder_.judge(server_, history().wrote(put.key, revision));
    co_return result;
  }
  Awaitable<Result<std::unique_ptr<store::Watch>>> watch(std::string prefix, Revision after) override {
    auto watch = co_await inner_.watch(prefix, after);
    if (!watch) co_return watch;
    co_return std::make_unique<RecordingWatch>(recorder_, std::move(*watch), server_, std::move(prefix), after);
  }
  Awaitable<Result<Revision>> current() override {
    const auto asked = recorder_.ask();
    auto revision = co_await inner_.current();
    if (!revision) co_return revision;
    recorder_.advance_();
    told(*revision, history().current(asked.floor, *revision));
    co_return revision;
  }
  Awaitable<Status> compact(Revision revision) override { return inner_.compact(revision); }
  Awaitable<Result<store::LeaseId>> grant(Duration ttl) override { return inner_.grant(ttl); }
  Awaitable<Status> keep_alive(store::LeaseId lease) override { return inner_.keep_alive(lease); }
  Awaitable<Status> revoke(store::LeaseId lease) override { return inner_.revoke(lease); }
  Awaitable<Status> writable() override { return inner_.writable(); }
  const std::string& id() const override { return inner_.id(); }

 private:
  static std::string lease_in(const std::vector<store::Remove>& removes) {
    const auto it = std::ranges::find_if(removes, [](const auto& remove) { return remove.key.starts_with(kLeases); });
    return it == removes.end() ? std::string() : it->key;
  }
  void released(Recorder::Removal& release, const Result<store::CommitResult>& result) {
    if (!result) return release.unanswered(history().newest());
    const auto* done = std::get_if<store::Committed>(&*result);
    if (!done) return release.refused();
    release.carried_out(done->revision);
    recorder_.reached_.mark("a lease was given back");
  }
  History& history() { return recorder_.history_; }
  void told(Revision revision, const Complaint& complaint) {
    recorder_.judge(server_, complaint);
    history().known(revision);
  }
  Recorder& recorder_;
  store::Store& inner_;
  std::string server_;
};

std::unique_ptr<store::Store> Recorder::record(store::Store& inner, std::string server) {
  return std::make_unique<RecordingStore>(*this, inner, std::move(server));
}

// ---- the side of the clients

Handler Recorder::record(Handler inner, std::string server) {
  return [this, inner = std::move(inner), server = std::move(server)](ServerRequest& request) {
    return pass(*this, inner, server, request);
  };
}

Awaitable<ServerReply> Recorder::pass(Recorder& recorder, Handler inner, std::string server, ServerRequest& request) {
  const auto asked = recorder.ask();
  const auto key = force_deleted(request);
  Removal removal(recorder.removals_, key, asked.newest);
  auto reply = co_await inner(request);
  recorder.advance_();
  if (removal.under_way()) recorder.force_deletion_answered(removal, key, reply, asked);
  recorder.answered(server, request, reply, asked);
  co_return reply;
}

void Recorder::force_deletion_answered(Removal& removal, const std::string& key, const ServerReply& reply,
                                       Asked asked) {
  const auto removed = history_.removed_after(key, asked.newest);
  // Refused because it was gone: by the first attempt of this one, whose outcome the server never learnt, or by
  // another.
  if (reply.status >= 500 || (reply.status >= 300 && removed)) return removal.unanswered(history_.newest());
  if (!removed) return removal.refused();
  removal.carried_out(*removed);
  if (key.starts_with(krake_registry().of<Application>().storage_prefix()))
    reached_.mark("an application was force-deleted");
}

void Recorder::answered(const std::string& server, const ServerRequest& request, const ServerReply& reply,
                        Asked asked) {
  const std::string_view target = request.target;
  const auto routed = server::route(krake_registry(), request.method, target.substr(0, target.find('?')));
  if (!routed.route || !routed.route->kind || reply.source) return;
  const auto& route = *routed.route;
  if (!reply.body.empty() && !looks_like_json(reply))
    judge(server, fmt::format("{} {}: the answer {} is not JSON", request.method, target, reply.status));
  const bool cached = target.find("consistency=cached") != std::string_view::npos;
  if (cached) asked.floor = 0;
  // As for a lost precondition the status is 412; only the words tell.
  if (reply.status == 412 && !reply.body.empty() &&
      reply.body.front()->find("leadership lost") != std::string_view::npos)
    reached_.mark("a write under a leadership that was over was refused");
  if (route.operation == server::Operation::list) {
    const bool whole = target.find("continue=") == std::string_view::npos &&
                       target.find("labels=") == std::string_view::npos &&
                       target.find("fields=") == std::string_view::npos;
    if (whole && reply.status == 200)
      list_answered(server, route.kind->storage_prefix() + (route.ns.empty() ? "" : route.ns + "/"), reply, asked);
    return;
  }
  if (route.operation == server::Operation::create && reply.status < 300) {
    const auto made = body_of(reply);
    if (!made) return judge(server, fmt::format("POST {}: {}", target, made.error().message));
    const std::string name(made->string_at({"metadata", "name"}));
    return item_answered(server, route.kind->storage_key(route.ns, name), request, reply, asked);
  }
  if (route.on_object() && route.names_valid)
    item_answered(server, route.kind->storage_key(route.ns, route.name), request, reply, asked);
}

void Recorder::item_answered(const std::string& server, const std::string& key, const ServerRequest& request,
                             const ServerReply& reply, Asked asked) {
  const auto revision = etag_of(reply);
  if (request.method == "GET") {
    if (reply.status == 404) judge(server, history_.read(key, asked.floor, 0));
    if (reply.status != 200 || !revision) return;
    judge(server, history_.read(key, asked.floor, *revision));
    return history_.known(*revision);
  }
  if (reply.status >= 300) return;
  // What is removed has no tag any more. Should there be several removals since it was asked: a term that was there
  // then and is at a later one was at each before.
  if (!revision) {
    if (const auto removed = history_.removed_after(key, asked.newest)) accepted(server, key, request, *removed, asked);
    return;
  }
  judge(server, history_.wrote(key, *revision));
  history_.known(*revision);
  accepted(server, key, request, *revision, asked);
}

// The term a write was made in was the present one when it was committed.
void Recorder::accepted(const std::string& server, const std::string& key, const ServerRequest& request,
                        Revision revision, Asked asked) {
  const auto leader = request.headers.get("Krake-Leader");
  if (!leader || revision <= asked.newest) return;
  const auto slash = leader->rfind('/');
  const auto dash = leader->rfind('-');
  if (slash == std::string_view::npos || dash == std::string_view::npos) return;
  const auto epoch = number(leader->substr(dash + 1));
  const auto* lease = history_.at("/core/leases/" + std::string(leader->substr(0, slash)), revision);
  if (!lease || lease->created != epoch)
    judge(server, fmt::format("{} {} by {} was accepted at {} under {}, when the term was {}", request.method,
                              request.target, request.peer.address, revision, *leader, lease ? lease->created : 0));
  if (!history_.at(key, revision)) reached_.mark("something was removed under a leadership");
  const auto [it, first] = writers_.try_emplace(std::string(*leader), request.peer.address);
  if (!first && it->second != request.peer.address)
    judge(server, fmt::format("{} and {} both wrote under {}", it->second, request.peer.address, *leader));
}

void Recorder::list_answered(const std::string& server, const std::string& prefix, const ServerReply& reply,
                             Asked asked) {
  const auto value = body_of(reply);
  if (!value) return judge(server, fmt::format("list of {}: {}", prefix, value.error().message));
  const auto revision = number(value->string_at({"metadata", "resource_version"}));
  const auto* items = value->at_path({"items"});
  if (!revision || !items || !items->if_array()) return;
  std::map<std::string, Revision> entries;
  for (const auto& item : *items->if_array()) {
    const std::string name(item.string_at({"metadata", "name"}));
    const std::string ns(item.string_at({"metadata", "namespace"}));
    // The prefix of one namespace ends with it.
    const bool with_namespace = !ns.empty() && !prefix.ends_with("/" + ns + "/");
    entries[prefix + (with_namespace ? ns + "/" : "") + name] =
        number(item.string_at({"metadata", "resource_version"})).value_or(0);
  }
  const bool cut = !value->string_at({"metadata", "continue"}).empty();
  judge(server, history_.listed(prefix, asked.floor, *revision, entries, cut));
  history_.known(*revision);
}

}  // namespace krake::sim
