#include "store/sealed_store.h"

#include <algorithm>

namespace krake::store {

namespace {

// `at`: an Entry or a Change.
template <class At>
Status open_value(const SealingKeys& keys, Unopened unopened, At& at) {
  if (!at.value || !SealingKeys::is_sealed(*at.value)) return {};
  auto plain = keys.open(*at.value, at.key);
  if (plain) {
    at.value = std::make_shared<const std::string>(std::move(*plain));
    return {};
  }
  // A key of the same name and other bytes opens it no more than none: it is not known to be damaged.
  if (unopened == Unopened::refuse && plain.error().code != Code::internal) return fail(plain.error());
  if (unopened == Unopened::isolate) at.sealed_with = SealingKeys::key_id(*at.value);
  return {};
}

class OpeningWatch final : public Watch {
 public:
  OpeningWatch(std::unique_ptr<Watch> inner, std::shared_ptr<const SealingKeys> keys, Unopened unopened)
      : inner_(std::move(inner)), keys_(std::move(keys)), unopened_(unopened) {}
  Awaitable<Result<std::vector<CommitEvent>>> next() override {
    auto events = co_await inner_->next();
    if (!events) co_return events;
    for (auto& event : *events) {
      for (auto& change : event.changes) CO_RETURN_IF_ERROR(open_value(*keys_, unopened_, change));
    }
    co_return events;
  }

 private:
  std::unique_ptr<Watch> inner_;
  std::shared_ptr<const SealingKeys> keys_;
  Unopened unopened_;
};

}  // namespace

SealedStore::SealedStore(std::unique_ptr<Store> inner, SealingKeys keys, std::vector<std::string> prefixes,
                         Unopened unopened)
    : inner_(std::move(inner)),
      keys_(std::make_shared<const SealingKeys>(std::move(keys))),
      unopened_(unopened),
      prefixes_(std::move(prefixes)) {}

Awaitable<Result<std::optional<Entry>>> SealedStore::get(std::string key) {
  auto entry = co_await inner_->get(std::move(key));
  if (entry && *entry) CO_RETURN_IF_ERROR(open_value(*keys_, unopened_, **entry));
  co_return entry;
}

Awaitable<Result<Listing>> SealedStore::list(std::string prefix, ListOptions options) {
  Status opened;
  const auto open = [&](std::vector<Entry>& entries) {
    for (auto& entry : entries) {
      if (opened) opened = open_value(*keys_, unopened_, entry);
    }
  };
  if (options.each_page) {
    options.each_page = [&opened, &open, next = std::move(options.each_page)](std::vector<Entry> page, bool anew) {
      if (anew) opened = {};
      open(page);
      if (opened) next(std::move(page), anew);
    };
  }
  auto listing = co_await inner_->list(std::move(prefix), std::move(options));
  if (!listing) co_return listing;
  open(listing->entries);
  CO_RETURN_IF_ERROR(std::move(opened));
  co_return listing;
}

Awaitable<Result<CommitResult>> SealedStore::commit(Txn txn) {
  for (auto& put : txn.puts) {
    const bool secret =
        keys_->seals() && std::ranges::any_of(prefixes_, [&](const auto& p) { return put.key.starts_with(p); });
    if (secret) put.value = std::make_shared<const std::string>(keys_->seal(*put.value, put.key));
  }
  auto result = co_await inner_->commit(std::move(txn));
  if (!result) co_return result;
  if (auto* conflict = std::get_if<Conflict>(&*result); conflict && conflict->current)
    CO_RETURN_IF_ERROR(open_value(*keys_, unopened_, *conflict->current));
  co_return result;
}

Awaitable<Result<std::unique_ptr<Watch>>> SealedStore::watch(std::string prefix, Revision after) {
  auto inner = co_await inner_->watch(std::move(prefix), after);
  if (!inner) co_return fail(inner.error());
  co_return std::make_unique<OpeningWatch>(std::move(*inner), keys_, unopened_);
}

}  // namespace krake::store
