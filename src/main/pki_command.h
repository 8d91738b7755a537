// krake pki: certificates in files, named as upstream's (docs/operations/certificates.md).
#pragma once

#include "main/arguments.h"

namespace krake {

// The arguments after `krake pki`; the exit code.
int run_pki(Arguments args);

}  // namespace krake
