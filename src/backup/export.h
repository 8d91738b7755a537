// Reads a store while others write to it, and makes a backup file of one revision: pages of different revisions, and
// between them, from one watch, what has changed since in the keys that are written already. Memory: one page and what
// is committed meanwhile. Keys that live on a lease are left out: who holds them must win them anew. Thread: the loop.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backup/file.h"
#include "base/clock.h"
#include "store/store.h"

namespace krake {
class Registry;
}

namespace krake::backup {

// Below which keys a store is Krake's: "/core/", "/kubernetes/", ... In byte order. With those of API groups this
// program does not serve but upstream does: what is there is kept, byte for byte.
std::vector<std::string> key_prefixes(const Registry& registry);
bool is_below(std::string_view key, const std::vector<std::string>& prefixes);

class Export {
 public:
  // `store` and `clock` outlive it. `prefixes` in byte order, none below another.
  Export(store::Store& store, Clock& clock, std::vector<std::string> prefixes);

  // Appends the next lines of the file to `out`, at least one; false: it is complete, there was nothing more. Errors:
  // those of the store, compacted (whoever takes the lines is too slow), timeout, unavailable (the store is being
  // restored, or was meanwhile). After one the file is void: begin again.
  Awaitable<Result<bool>> next(std::string& out);

 private:
  Awaitable<Status> page(std::string& out);
  Awaitable<Status> catch_up(store::Revision revision, std::string& out);
  Awaitable<Result<std::vector<store::CommitEvent>>> delivered();
  Awaitable<void> nudge();
  Status record(const store::CommitEvent& event, std::string& out);

  store::Store& store_;
  Clock& clock_;
  std::vector<std::string> prefixes_;
  Writer writer_;
  std::unique_ptr<store::Watch> watch_;
  std::deque<store::CommitEvent> later_;  // newer than the last page
  store::Revision covered_ = 0;           // up to here the watch has delivered
  std::size_t prefix_ = 0;                // being listed
  std::size_t page_ = 10;                 // entries of the next page
  std::string after_;                     // the last key of it that was listed
  std::string bound_;                     // every smaller key is written
};

}  // namespace krake::backup
