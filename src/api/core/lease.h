// core/Lease: leadership as a resource (additive). PUT /core/leases/NAME with {holder, ttl_seconds} says "I want to
// hold it"; the object lives on a store lease, so it vanishes, with an ordinary DELETED event, when it is not renewed.
#pragma once

#include "meta/kind.h"

namespace krake {

struct LeaseSpec {
  std::string holder;
  Integer ttl_seconds = 6;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"holder", kRequired}};
  friend bool operator==(const LeaseSpec&, const LeaseSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(LeaseSpec, (), (holder, ttl_seconds))

struct Lease {
  static constexpr std::string_view kApi = "core", kKindName = "Lease", kPlural = "leases";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  LeaseSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  friend bool operator==(const Lease&, const Lease&) = default;
};
BOOST_DESCRIBE_STRUCT(Lease, (), (metadata, spec))

// Body of the PUT.
struct LeaseRequest {
  std::string holder;
  Integer ttl_seconds = 6;

  static constexpr FieldMark kMarks[] = {{"holder", kRequired}};
  static void check(const LeaseRequest& request, FieldChecks& checks) {
    if (checks.loaded("holder") && (request.holder.empty() || request.holder.size() > 255)) {
      checks.error("holder", "Must have 1 to 255 characters.");
    }
    if (checks.loaded("ttl_seconds") && (request.ttl_seconds < 2 || request.ttl_seconds > 3600)) {
      checks.error("ttl_seconds", "Must be from 2 to 3600.");
    }
  }
};
BOOST_DESCRIBE_STRUCT(LeaseRequest, (), (holder, ttl_seconds))

}  // namespace krake
