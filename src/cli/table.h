// Text tables, the layouts of upstream's krakectl: a framed grid with a header line for lists, a framed key/value grid
// for one object. Cells may have several lines. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace krake::cli {

// Key and value, in the order shown.
using Rows = std::vector<std::pair<std::string, std::string>>;

struct TableOptions {
  std::size_t width = 0;  // fold cells to fit; 0: never
  bool bare = false;      // no frame and no header: columns with two blanks in between
};

std::string single_table(const Rows& rows, const TableOptions& options);
std::string list_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                       const TableOptions& options);

// Control characters but newline become '?': what an object says must not steer the terminal.
std::string printable(std::string_view text);

}  // namespace krake::cli
