// Makes a store what a backup says. Nothing serves the store meanwhile: a marker, there from before the first change to
// after the last, keeps API servers out; what one still writes before it has seen the marker is undone. Any step may be
// the last one before a crash: the same call again goes on, for it looks at what is there and changes what differs.
//   restore()   marker, transactions
//   the caller  renews the store's id, so that no revision, epoch or token from before is taken for a new one
//   finish()    removes the marker
// Thread: the loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backup/file.h"
#include "base/clock.h"
#include "store/store.h"

namespace krake::backup {

// Not below a prefix of any backup. {"checksum": of the file, "attempt": of the one at work}
inline constexpr std::string_view kMarkerKey = "/krake/restore";

struct RestoreOptions {
  std::vector<std::string> prefixes;  // see key_prefixes(): what is below them is replaced, everything else stays
  bool replace = false;               // also a store that has something
  std::string attempt;                // unique: of two at once, the later one wins and the other fails
};

struct RestorePlan {
  std::vector<store::Txn> transactions;  // each with room for a guard on the marker
  std::size_t written = 0;
  std::size_t removed = 0;
  std::size_t unchanged = 0;
};
// What makes `present` what `wanted` says. Pure. too_large names a value no transaction can hold.
Result<RestorePlan> plan_restore(const Values& wanted, const std::vector<store::Entry>& present);

// What was done, without its transactions. Errors: already_exists (the store has something, and `replace` is not set),
// invalid_argument and too_large (the backup has what this store cannot take), all before anything is changed; conflict
// (another restore took over); unavailable (somebody goes on writing); those of the store: call again. `backup` is not
// null.
Awaitable<Result<RestorePlan>> restore(store::Store& store, std::shared_ptr<const Backup> backup,
                                       RestoreOptions options);
// Of the attempt that restore() has completed.
Awaitable<Status> finish(store::Store& store, std::string attempt);

// unavailable when a restore has begun and not finished: what is there is neither the old nor the new.
Awaitable<Status> check_whole(store::Store& store);

// Returns when a restore of the store has begun: on a store that other processes open too nothing else keeps one from
// it. Waits while the store is away. Both outlive it.
Awaitable<void> begun(store::Store& store, Clock& clock);

}  // namespace krake::backup
