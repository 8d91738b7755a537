// krake doctor (docs/operations/bootstrap.md): looks at a configuration folder and at the data of its store, and
// changes nothing.
#pragma once

#include "main/arguments.h"

namespace krake {

// The arguments after `krake doctor`; the exit code: 0 nothing is wrong, 1 warnings, 2 errors (and wrong usage).
int run_doctor(Arguments args);

}  // namespace krake
