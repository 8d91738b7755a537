#include "cli/cli.h"

int main(int argc, char** argv) { return krake::cli::krakectl_main(argc, argv); }
