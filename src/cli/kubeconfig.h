// What `register` makes of a kubeconfig file: one context, self-contained. Upstream's rules, with paths looked for
// beside the file first.
#pragma once

#include "cli/cli.h"
#include "cli/failure.h"

namespace krake::cli {

struct PickedKubeconfig {
  json::Value kubeconfig;
  std::string cluster;  // the name of its cluster entry
};

// `directory`: where the file is. `context` empty: its current-context.
Outcome<PickedKubeconfig> pick_context(const CliIo& io, const json::Value& document, std::string_view context,
                                       const std::string& directory);

}  // namespace krake::cli
