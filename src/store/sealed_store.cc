#include "store/sealed_store.h"

#include <algorithm>

namespace krake::store {

namespace {

Status open_value(const SealingKeys& keys, const std::string& key, Bytes& value) {
  if (!value || !SealingKeys::is_sealed(*value)) return {};
  auto plain = keys.open(*value, key);
  if (!plain && plain.error().code == Code::internal) return {};
  if (!plain) return fail(plain.error());
  value = std::make_shared<const std::string>(std::move(*plain));
  return {};
}

class OpeningWatch final : public Watch {
 public:
  OpeningWatch(std::unique_ptr<Watch> inner, std::shared_ptr<const SealingKeys> keys)
      : inner_(std::move(inner)), keys_(std::move(keys)) {}
  Awaitable<Result<std::vector<CommitEvent>>> next() override {
    auto events = co_await inner_->next();
    if (!events) co_return events;
    for (auto& event : *events) {
      for (auto& change : event.changes) CO_RETURN_IF_ERROR(open_value(*keys_, change.key, change.value));
    }
    co_return events;
  }

 private:
  std::unique_ptr<Watch> inner_;
  std::shared_ptr<const SealingKeys> keys_;
};

}  // namespace

SealedStore::SealedStore(std::unique_ptr<Store> inner, SealingKeys keys, std::vector<std::string> prefixes)
    : inner_(std::move(inner)),
      keys_(std::make_shared<const SealingKeys>(std::move(keys))),
      prefixes_(std::move(prefixes)) {}

Awaitable<Result<std::optional<Entry>>> SealedStore::get(std::string key) {
  auto entry = co_await inner_->get(std::move(key));
  if (entry && *entry) CO_RETURN_IF_ERROR(open_value(*keys_, (*entry)->key, (*entry)->value));
  co_return entry;
}

Awaitable<Result<Listing>> SealedStore::list(std::string prefix, ListOptions options) {
  auto listing = co_await inner_->list(std::move(prefix), std::move(options));
  if (!listing) co_return listing;
  for (auto& entry : listing->entries) CO_RETURN_IF_ERROR(open_value(*keys_, entry.key, entry.value));
  co_return listing;
}

Awaitable<Result<CommitResult>> SealedStore::commit(Txn txn) {
  for (auto& put : txn.puts) {
    const bool secret =
        !keys_->empty() && std::ranges::any_of(prefixes_, [&](const auto& p) { return put.key.starts_with(p); });
    if (secret) put.value = std::make_shared<const std::string>(keys_->seal(*put.value, put.key));
  }
  auto result = co_await inner_->commit(std::move(txn));
  if (!result) co_return result;
  if (auto* conflict = std::get_if<Conflict>(&*result); conflict && conflict->current)
    CO_RETURN_IF_ERROR(open_value(*keys_, conflict->current->key, conflict->current->value));
  co_return result;
}

Awaitable<Result<std::unique_ptr<Watch>>> SealedStore::watch(std::string prefix, Revision after) {
  auto inner = co_await inner_->watch(std::move(prefix), after);
  if (!inner) co_return fail(inner.error());
  co_return std::make_unique<OpeningWatch>(std::move(*inner), keys_);
}

}  // namespace krake::store
