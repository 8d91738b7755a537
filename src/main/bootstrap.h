#pragma once
#include "main/arguments.h"
namespace krake { int run_bootstrap(Arguments args); }
