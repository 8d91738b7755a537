#include "cli/table.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "base/json.h"

namespace krake::cli {

namespace {

constexpr std::size_t kNarrowest = 8;

// Code points; wide characters count as one.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// The bytes of the first `columns` code points.
std::size_t prefix_bytes(std::string_view text, std::size_t columns) {
  std::size_t at = 0;
  while (at < text.size() && columns > 0) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    --columns;
  }
  return at;
}

std::vector<std::string> lines_of(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  for (;;) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    while (width > 0 && width_of(line) > width) {
      std::size_t cut = prefix_bytes(line, width);
      // At a blank, when there is one in the second half.
      if (const auto blank = line.substr(0, cut + 1).rfind(' '); blank != std::string_view::npos && blank > cut / 2)
        cut = blank;
      lines.emplace_back(line.substr(0, cut));
      line.remove_prefix(cut);
      if (line.starts_with(' ')) line.remove_prefix(1);
    }
    lines.emplace_back(line);
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

using Cells = std::vector<std::string>;

std::vector<std::size_t> column_widths(const std::vector<Cells>& rows, std::size_t limit) {
  std::vector<std::size_t> widths(rows.empty() ? 0 : rows[0].size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      for (const auto& line : lines_of(row[i], 0)) widths[i] = std::max(widths[i], width_of(line));
    }
  }
  const auto total = [&] { return std::accumulate(widths.begin(), widths.end(), widths.size() * 3 + 1); };
  while (limit > 0 && total() > limit) {
    auto widest = std::ranges::max_element(widths);
    if (*widest <= kNarrowest) break;
    const std::size_t excess = total() - limit;
    // Down to the second widest, or as far as needed.
    std::size_t second = kNarrowest;
    for (auto it = widths.begin(); it != widths.end(); ++it) {
      if (it != widest) second = std::max(second, *it);
    }
    const std::size_t step = *widest > second ? std::min(excess, *widest - second) : 1;
    *widest -= step;
  }
  return widths;
}

std::string rule(const std::vector<std::size_t>& widths, char c) {
  std::string out = "+";
  for (const auto width : widths) out += std::string(width + 2, c) + "+";
  return out + "\n";
}

void add_row(const Cells& row, const std::vector<std::size_t>& widths, bool centred, bool fold, std::string& out) {
  std::vector<std::vector<std::string>> columns;
  std::size_t height = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    columns.push_back(lines_of(row[i], fold ? widths[i] : 0));
    height = std::max(height, columns.back().size());
  }
  for (std::size_t y = 0; y < height; ++y) {
    out += '|';
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::string text = y < columns[i].size() ? columns[i][y] : "";
      const std::size_t gap = widths[i] - std::min(widths[i], width_of(text));
      const std::size_t left = centred ? gap / 2 : 0;
      out += ' ' + std::string(left, ' ') + text + std::string(gap - left, ' ') + " |";
    }
    out += '\n';
  }
}

std::string bare_table(const std::vector<Cells>& rows) {
  std::vector<Cells> flat = rows;
  for (auto& row : flat) {
    for (auto& cell : row) {
      std::string one;
      for (const auto& line : lines_of(cell, 0)) one += (one.empty() ? "" : ", ") + line;
      cell = one;
    }
  }
  const auto widths = column_widths(flat, 0);
  std::string out;
  for (const auto& row : flat) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out += std::string(widths[i] - width_of(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

void clean(std::vector<Cells>& rows) {
  for (auto& row : rows) {
    for (auto& cell : row) cell = printable(cell);
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out = json::to_utf8(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    if ((c < 0x20 && c != '\n') || c == 0x7f) out[i] = c == '\t' ? ' ' : '?';
    // U+0080 to U+009f, which terminals obey too.
    if (c == 0xc2 && i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xa0) out.replace(i, 2, "?");
  }
  return out;
}

std::string single_table(const Rows& rows, const TableOptions& options) {
  std::vector<Cells> cells;
  for (const auto& [key, value] : rows) cells.push_back({key, value});
  clean(cells);
  if (options.bare) return bare_table(cells);
  auto widths = column_widths(cells, options.width);
  std::string out = rule(widths, '-');
  for (const auto& row : cells) add_row(row, widths, false, options.width > 0, out);
  return out + rule(widths, '-');
}

std::string list_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                       const TableOptions& options) {
  std::vector<Cells> cells = rows;
  clean(cells);
  if (options.bare) return bare_table(cells);
  cells.insert(cells.begin(), header);
  const auto widths = column_widths(cells, options.width);
  const bool fold = options.width > 0;
  std::string out = rule(widths, '-');
  add_row(header, widths, true, fold, out);
  out += rule(widths, '=');
  for (std::size_t i = 1; i < cells.size(); ++i) add_row(cells[i], widths, false, fold, out);
  return out + rule(widths, '-');
}

}  // namespace krake::cli
