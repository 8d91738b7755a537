// POST /backup: all of the store as one file, made while it is sent. Whoever may have it has every secret.
#include "backup/export.h"
#include "server/api_server.h"

namespace krake::server {

namespace {

constexpr Duration kBackupLimit = std::chrono::hours(1);

class BackupSource final : public ReplySource {
 public:
  // `may_go_on`: who asked may still have it.
  BackupSource(Env& env, store::Store& store, const Registry& registry, std::shared_ptr<std::size_t> count,
               std::move_only_function<Status()> may_go_on)
      : clock_(env.clock),
        log_(env.log),
        end_(env.clock.now() + kBackupLimit),
        source_(store, env.clock, backup::key_prefixes(registry)),
        count_(std::move(count)),
        may_go_on_(std::move(may_go_on)) {
    ++*count_;
  }
  ~BackupSource() override { --*count_; }

  // What comes first is read before there is an answer: a store that is away is told by its status.
  Awaitable<Status> begin() {
    ASSIGN_OR_CO_RETURN(more_, co_await read(first_));
    co_return Status{};
  }

  Awaitable<Result<bool>> next(std::vector<SharedBytes>& batch) override {
    if (more_) {
      batch = std::exchange(first_, {});
      co_return *std::exchange(more_, std::nullopt);
    }
    co_return co_await read(batch);
  }

 private:
  Awaitable<Result<bool>> read(std::vector<SharedBytes>& batch) {
    if (clock_.now() > end_) co_return fail(Code::timeout, "the reader of the backup is too slow");
    std::string lines;
    auto more = co_await source_.next(lines);
    if (const auto status = may_go_on_(); !status) more = fail(status.error());
    if (!more) {
      log_.error("a backup failed", {{"why", more.error().message}});
      co_return fail(more.error());
    }
    if (*more) {
      batch.push_back(share_bytes(std::move(lines)));
      co_await yield();
    }
    co_return *more;
  }

  Clock& clock_;
  Log log_;
  Mono end_;
  backup::Export source_;
  std::vector<SharedBytes> first_;
  std::optional<bool> more_;  // after the first
  std::shared_ptr<std::size_t> count_;
  std::move_only_function<Status()> may_go_on_;
};

}  // namespace

Awaitable<Answer> ApiServer::backup(const Request& request) {
  if (*backups_ >= options_.backups_limit) {
    co_return refuse(Error{Code::too_many_requests,
                           fmt::format("{} backups are under way, more are not made at once; try again", *backups_)});
  }
  // Soon, and also when the cache cannot follow.
  if (const auto newest = co_await store_.current(); !newest) co_return refuse(newest.error());
  auto source = std::make_unique<BackupSource>(
      env_, store_, registry_, backups_, [this, standing = standing_of(request)]() mutable {
        if (cache_.cut_off()) return Status(fail(Code::unavailable, "this server is cut off from the store"));
        return standing.check(env_.clock, authenticator_, authorizer_);
      });
  if (auto begun = co_await source->begin(); !begun) co_return refuse(begun.error());
  ServerReply reply;
  reply.headers.add("Content-Type", "application/x-ndjson");
  reply.headers.add("Cache-Control", "no-store");
  reply.source = std::move(source);
  co_return reply;
}

}  // namespace krake::server
