// What an object says of others: owners, and what it is bound to (W33). Nothing here is wrong enough to be refused by
// upstream; it is told in a header, or refused where the server is told to. Pure.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "meta/object.h"

namespace krake::server {

// The owners of an object, valid as long as nothing changes; null when there is no such object.
using OwnersOf = std::function<const std::vector<ResourceRef>*(const ResourceRef&)>;

// What of `wanted` is not in `stored`: each once, in its order.
std::vector<ResourceRef> added_owners(std::span<const ResourceRef> wanted, std::span<const ResourceRef> stored);

// What is doubtful about the owners `self` is given, each of them once: those that do not exist, and those that lead
// back to it, which the garbage collector could never take apart. A sentence each, for the first ten. From all of
// `added` together at most some thousand objects and owners are looked at: a circle beyond them is not seen.
std::vector<std::string> doubtful_owners(const ResourceRef& self, std::span<const ResourceRef> added,
                                         const OwnersOf& owners_of);

// Of the references a body consists of: those that do not exist, or are of none of `kinds` (empty: of any). The first
// ten.
std::vector<std::string> doubtful_targets(const json::Value& body, std::span<const std::string_view> kinds,
                                          const OwnersOf& owners_of);

// The values of the Warning headers of one answer. RFC 9111 5.5: 299 krake "TEXT", in printable ASCII, and not too long
// for a header. The first ten, then how many more there are: clients give up on answers with a hundred headers.
std::vector<std::string> warning_headers(std::span<const std::string> warnings);

}  // namespace krake::server
