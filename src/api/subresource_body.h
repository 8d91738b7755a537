// What the sub-resources of all groups do with their bodies.
#pragma once

#include "meta/kind.h"

namespace krake {

// As Subresource::validate wants it.
template <class Body>
bool validate_body(const json::Value& in, FieldErrors& errors) {
  Body body{};
  return codec::decode(in, body, errors, Form::full);
}
// As Subresource::rewrite wants it.
template <class Body>
void rewrite_body(const json::Value& in, std::string& out) {
  Body body{};
  FieldErrors errors;
  codec::decode(in, body, errors, Form::full);
  codec::encode(body, out);
}
// Of a body that validate_body() has passed.
template <class Body>
Body read_body(const SubresourceCall& call) {
  Body body{};
  FieldErrors errors;
  codec::decode(*call.body, body, errors, Form::full);
  return body;
}

// As the last one, unless it is there already.
inline void add_owner(ObjectMeta& meta, const ResourceRef& owner) {
  if (std::ranges::find(meta.owners, owner) == meta.owners.end()) meta.owners.push_back(owner);
}

}  // namespace krake
