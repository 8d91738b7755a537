// JSON and what is made of it: text, objects of every kind, patches.
#include <fmt/format.h>

#include "api/registry.h"
#include "base/json.h"
#include "fuzz.h"
#include "manifest/apply.h"
#include "manifest/diff.h"
#include "manifest/json_patch.h"
#include "manifest/validate.h"
#include "meta/kind.h"

namespace krake::fuzz {

namespace {

std::size_t depth_of(const json::Value& value) {
  std::size_t deepest = 0;
  if (const auto* array = value.if_array()) {
    for (const auto& item : *array) deepest = std::max(deepest, depth_of(item));
    return deepest + 1;
  }
  if (const auto* object = value.if_object()) {
    for (const auto& [key, member] : *object) deepest = std::max(deepest, depth_of(member));
    return deepest + 1;
  }
  return 0;
}

json::Value parsed(std::string_view text) {
  auto value = json::parse(text);
  MUST(value.has_value(), text);
  return std::move(*value);
}

// ---- kinds

struct KindAndText {
  const Kind* kind;
  std::string_view text;
};

// Names, not numbers: inputs keep their meaning when kinds are added. What names none is taken for some kind.
KindAndText kind_and_text(std::string_view bytes) {
  const Registry& registry = krake_registry();
  const auto [name, text] = split<2>(bytes, '\n');
  const auto [group, plural] = split<2>(name, '/');
  if (const auto* kind = registry.find(group, plural)) return {kind, text};
  const auto number = bytes.empty() ? 0U : static_cast<unsigned char>(bytes.front());
  return {registry.kinds()[number % registry.kinds().size()].get(), bytes.substr(bytes.empty() ? 0 : 1)};
}

std::string encoded(const Object& object) {
  std::string out;
  object.encode(out);
  return out;
}

std::unique_ptr<Object> stored(const Kind& kind, const json::Value& value) {
  FieldErrors errors;
  auto object = kind.decode(kind, value, Form::stored, errors);
  MUST(object != nullptr, errors.render());
  return object;
}

// What was written is read back as the same, and written as the same bytes again.
void round_trip(const Kind& kind, const Object& object) {
  const auto text = encoded(object);
  const auto again = stored(kind, parsed(text));
  MUST(again->equals(object), text);
  MUST(encoded(*again) == text, text);
  const auto copy = object.clone();
  MUST(copy->equals(object));
  copy->keep_stored(object);
  MUST(encoded(*copy) == text, text);
}

// A newer version's keys survive our writes, where there are structs that keep them.
void unknown_keys_survive(const Kind& kind, const json::Value& document) {
  constexpr std::string_view planted = "of_a_newer_version";
  const json::Value value = json::Array{json::Value(1), json::Object{{"a", nullptr}}};
  for (const std::string_view part : {"", "metadata", "spec", "status"}) {
    json::Value newer = document;
    auto* member = part.empty() ? &newer : newer.if_object()->find(part);
    auto* object = member ? member->if_object() : nullptr;
    // A tagged union has its one variant, and nothing beside it.
    if (!object || (part == "spec" && object->contains("type"))) continue;
    object->set(planted, value);
    const auto written = parsed(encoded(*stored(kind, newer)));
    const auto* kept = part.empty() ? written.at_path({planted}) : written.at_path({part, planted});
    MUST(kept && *kept == value, fmt::format("{} of {}: {}", part, kind.name, json::print(written)));
  }
}

std::vector<json::Object> objects_of(const json::Value& value) {
  std::vector<json::Object> objects;
  if (const auto* array = value.if_array()) {
    for (const auto& item : *array) {
      if (const auto* object = item.if_object()) objects.push_back(*object);
    }
  }
  return objects;
}

}  // namespace

void json(std::string_view bytes) {
  const auto value = json::parse(bytes);
  if (!value) {
    MUST(value.error().code == Code::unsupported_media, value.error().message);
    return;
  }
  MUST(json::valid_utf8(bytes));
  const auto depth = depth_of(*value);
  MUST(depth <= json::kMaxDepth);
  const auto text = json::print(*value);
  // Of what is printed: a value that stands there twice may have been deeper the first time.
  MUST(json::parse(text, std::max<std::size_t>(depth, 1)).has_value());
  if (depth > 1) MUST(!json::parse(text, depth - 1).has_value());
  MUST(parsed(text) == *value, text);
  MUST(json::print(parsed(text)) == text, text);
  MUST(parsed(json::print_pretty(*value)) == *value, text);
}

void codec(std::string_view bytes) {
  const auto [kind, text] = kind_and_text(bytes);
  const auto value = json::parse(text);
  if (!value) return;
  for (const Form form : {Form::create, Form::full, Form::stored}) {
    FieldErrors errors;
    const auto object = kind->decode(*kind, *value, form, errors);
    if (!object) {
      MUST(!errors.flatten().empty(), text);
      MUST(json::valid_utf8(errors.render()), text);
      continue;
    }
    round_trip(*kind, *object);
  }
  FieldErrors errors;
  const auto object = kind->decode(*kind, *value, Form::stored, errors);
  if (object) unknown_keys_survive(*kind, parsed(encoded(*object)));
}

void merge_patch(std::string_view bytes) {
  const auto [target_text, patch_text] = split<2>(bytes, '\n');
  auto target = json::parse(target_text);
  const auto patch = json::parse(patch_text);
  if (!target || !patch) return;
  json::merge_patch(*target, *patch);
  auto again = *target;
  json::merge_patch(again, *patch);
  MUST(again == *target, json::print(*target));
  parsed(json::print(*target));
}

void json_patch(std::string_view bytes) {
  const auto [document_text, operations_text] = split<2>(bytes, '\n');
  const auto document = json::parse(document_text);
  const auto operations = json::parse(operations_text);
  if (!document || !operations || !operations->is_array()) return;
  const auto patched = manifest::json_patch(*document, *operations->if_array());
  if (patched) {
    json::print(*patched);
  } else {
    MUST(patched.error().code == Code::invalid_object || patched.error().code == Code::conflict,
         patched.error().message);
  }
}

void manifests(std::string_view bytes) {
  const auto texts = split<3>(bytes, '\n');
  json::Value values[3];
  for (std::size_t i = 0; i < 3; ++i) {
    auto value = json::parse(texts[i].empty() ? "null" : texts[i], 64);
    if (!value) return;
    values[i] = std::move(*value);
  }
  const auto& [desired, live, entry] = values;
  manifest::describe(manifest::diff(desired, live, entry));
  const auto same = manifest::normalised(desired);
  const auto none = manifest::diff(same, same, nullptr);
  MUST(none.empty(), manifest::describe(none));
  const manifest::Writer writer{.manager = "fuzz", .time = "2026-01-01T00:00:00Z"};
  const auto applied = manifest::apply(live, desired, writer);
  MUST(applied.conflicts.empty() || applied.object == live, json::print(applied.object));
  manifest::ownership_after_update(live, desired, writer);
}

void validators(std::string_view bytes) {
  const auto [first, second] = split<2>(bytes, '\n');
  manifest::check_csar(first);
  const auto a = json::parse(first);
  const auto b = json::parse(second.empty() ? "null" : second);
  if (!a || !b) return;
  manifest::check_tosca_application(*a);
  if (const auto* object = a->if_object()) {
    manifest::check_tosca_cluster(*object);
    manifest::check_kubeconfig(*object);
  }
  const auto manifest = objects_of(*a);
  MUST(manifest::check_manifest(manifest).size() <= manifest::kMostErrors);
  const auto schema = objects_of(*b);
  const auto error = manifest::check_observer_schema(schema, manifest);
  MUST(!error || !error->empty());
}

}  // namespace krake::fuzz
