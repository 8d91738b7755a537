// Conditional requests (RFC 9110 13.1): what their headers say. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"
#include "store/store.h"

namespace krake::server {

// Which revisions an If-Match header allows. ETags of objects are "<revision>".
struct IfMatch {
  bool any = true;  // no header, or "*"
  std::vector<store::Revision> revisions;

  bool holds(store::Revision revision) const;
  std::string text() const;  // "revision 7", for messages
};
// Compared strongly: a weak tag matches nothing, nor does one that this server never gave. Nothing: it is no list of
// entity tags; a revision without quotes is taken for one.
std::optional<IfMatch> parse_if_match(std::string_view header);
// The lines of that name as one (RFC 9110 5.3); nothing when there is none.
std::optional<std::string> joined(const Headers& headers, std::string_view name);

// Whether an If-None-Match header names `wanted`, itself a strong tag with quotes: weak or not, or by "*".
bool names_tag(std::string_view header, std::string_view wanted);

}  // namespace krake::server
