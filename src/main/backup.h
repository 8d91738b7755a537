// krake backup, krake restore (docs/design/006-one-backup-file.md, docs/operations/backup.md).
#pragma once

#include <optional>
#include <string>

#include "main/config.h"
#include "main/process.h"

namespace krake {

struct BackupOptions {
  std::string file;                     // to write
  std::optional<ApiConfig> api;         // of the store to read in place. None: ask the API server
  std::optional<std::string> krakectl;  // the krakectl.yaml that says where the API server is and who asks
};
Awaitable<int> run_backup(Process& process, BackupOptions options);

struct RestoreCommand {
  std::string file;  // to read
  ApiConfig api;     // of the store to fill; no API server has it
  bool replace = false;
};
Awaitable<int> run_restore(Process& process, RestoreCommand command);

// Reads FILE and says what is in it.
int check_backup(const std::string& file);

}  // namespace krake
