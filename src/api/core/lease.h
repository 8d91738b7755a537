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
  static constexpr FieldLimit kLimits[] = {{.name = "holder", .min = 1, .max = 255},
                                           {.name = "ttl_seconds", .min = 2, .max = 3600}};
  static void check(const LeaseSpec& spec, FieldChecks& checks) {
    if (checks.loaded("holder") && (spec.holder.empty() || spec.holder.size() > 255)) {
      checks.error("holder", "Must have 1 to 255 characters.");
    }
    if (checks.loaded("ttl_seconds") && (spec.ttl_seconds < 2 || spec.ttl_seconds > 3600)) {
      checks.error("ttl_seconds", "Must be from 2 to 3600.");
    }
  }
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
KRAKE_DECLARE_KIND(Lease)

// Body of the PUT: the spec alone, or an object with it, as GET answers it.
struct LeaseRequest : LeaseSpec {
  bool ttl_given = false;  // a renewal that does not speak of the time leaves it as it is
};
namespace codec {
template <>
struct Codec<LeaseRequest> {
  static bool decode(const json::Value& in, LeaseRequest& out, FieldErrors& errors, Form form) {
    const auto* object = in.if_object();
    bool good = true;
    if (object) good = check_fixed(*object, "api", Lease::kApi, errors);
    if (object) good = check_fixed(*object, "kind", Lease::kKindName, errors) && good;
    LeaseSpec& fields = out;
    const auto* spec = object ? object->find("spec") : nullptr;
    auto& errors_of_spec = spec ? errors.at("spec") : errors;
    // The time is a whole number and nothing that could be read as one. Elsewhere numbers may be quoted and fractions
    // are cut off, as upstream does: here that would change the time behind its owner's back.
    const auto* ttl = spec && spec->if_object() ? spec->if_object()->find("ttl_seconds")
                      : object && !spec         ? object->find("ttl_seconds")
                                                : nullptr;
    out.ttl_given = ttl != nullptr;
    if (ttl && !ttl->is_null() && !(ttl->if_number() && ttl->if_number()->is_integer()))
      return errors_of_spec.at("ttl_seconds").add("Not a valid integer."), false;
    if (spec) return decode_present(*spec, fields, errors_of_spec, form) && good;
    return Codec<LeaseSpec>::decode(in, fields, errors, form) && good;
  }
};
}  // namespace codec

}  // namespace krake
