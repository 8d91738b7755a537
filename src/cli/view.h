// What tables show of the objects of each kind: upstream's rows and column names. Pure.
#pragma once

#include "base/json.h"
#include "cli/table.h"
#include "meta/kind.h"

namespace krake::cli {

enum class View : std::uint8_t {
  list,    // the columns of a list
  wide,    // more of them
  single,  // the rows after create, update, delete
  full,    // the rows of get
};

// The keys are the same for every object of the kind, also for null; but for providers in View::single. Secrets are
// masked.
Rows rows_of(const Kind& kind, const json::Value& object, View view, Wall now);

}  // namespace krake::cli
