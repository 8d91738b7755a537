// A sentence or two for every field of every kind: what the OpenAPI document, the reference pages and `krakectl
// explain` say. One table for each group, by the name of the struct, so that a struct used in several kinds is
// described once; a test wants every field told and nothing told of what is not there. "/NAME" is the sub-resource of a
// kind.
#pragma once

#include "meta/schema.h"

namespace krake {

std::span<const FieldText> common_texts();
std::span<const FieldText> core_texts();
std::span<const FieldText> kubernetes_texts();
std::span<const FieldText> infrastructure_texts();
std::span<const FieldText> openstack_texts();

// All of the above.
const FieldTexts& field_texts();

}  // namespace krake
