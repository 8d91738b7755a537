#include "manifest/json_patch.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace krake::manifest {
namespace {

using Steps = std::vector<std::string>;

Error bad(std::string_view what, std::string_view path) {
  return {Code::invalid_object, fmt::format("JSON patch: {}: '{}'", what, path)};
}

Result<Steps> split(std::string_view pointer) {
  Steps steps;
  if (pointer.empty()) return steps;
  if (pointer.front() != '/') return fail(bad("a path begins with a slash", pointer));
  for (std::size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      steps.emplace_back();
    } else if (pointer[i] != '~') {
      steps.back() += pointer[i];
    } else if (++i < pointer.size() && (pointer[i] == '0' || pointer[i] == '1')) {
      steps.back() += pointer[i] == '0' ? '~' : '/';
    } else {
      return fail(bad("unknown escape in path", pointer));
    }
  }
  return steps;
}

std::optional<std::size_t> index_of(std::string_view step, std::size_t limit) {
  std::size_t index = 0;
  const auto [end, ec] = std::from_chars(step.data(), step.data() + step.size(), index);
  const bool digits = ec == std::errc() && end == step.data() + step.size() && (step == "0" || step[0] != '0');
  return digits && index < limit ? std::optional(index) : std::nullopt;
}

json::Value* child(json::Value& value, std::string_view step) {
  if (json::Object* object = value.if_object()) return object->find(step);
  json::Array* array = value.if_array();
  const auto index = array ? index_of(step, array->size()) : std::nullopt;
  return index ? &(*array)[*index] : nullptr;
}

json::Value* resolve(json::Value& document, std::span<const std::string> steps) {
  json::Value* value = &document;
  for (const std::string& step : steps) {
    if (value) value = child(*value, step);
  }
  return value;
}

Status add(json::Value& document, const Steps& steps, std::string_view path, json::Value value) {
  if (steps.empty()) {
    document = std::move(value);
    return {};
  }
  json::Value* parent = resolve(document, std::span(steps).first(steps.size() - 1));
  if (parent && parent->is_object()) {
    parent->if_object()->set(steps.back(), std::move(value));
    return {};
  }
  json::Array* array = parent ? parent->if_array() : nullptr;
  if (!array) return fail(bad("no such place to add to", path));
  const auto index = steps.back() == "-" ? std::optional(array->size()) : index_of(steps.back(), array->size() + 1);
  if (!index) return fail(bad("no such index to add at", path));
  array->insert(array->begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return {};
}

Result<json::Value> remove(json::Value& document, const Steps& steps, std::string_view path) {
  json::Value* value = resolve(document, steps);
  if (!value || steps.empty()) return fail(bad("nothing to remove at", path));
  json::Value removed = std::move(*value);
  json::Value* parent = resolve(document, std::span(steps).first(steps.size() - 1));
  if (json::Object* object = parent->if_object()) {
    object->erase(steps.back());
  } else {
    json::Array& array = *parent->if_array();
    array.erase(array.begin() + static_cast<std::ptrdiff_t>(*index_of(steps.back(), array.size())));
  }
  return removed;
}

Status take_from(json::Value& document, const json::Object& operation, bool move, const Steps& steps,
                 std::string_view path) {
  const json::Value* from = operation.find("from");
  if (!from || !from->is_string()) return fail(bad("`from` is missing for", path));
  const std::string source = *from->if_string();
  ASSIGN_OR_RETURN(const Steps source_steps, split(source));
  if (move) {
    ASSIGN_OR_RETURN(json::Value value, remove(document, source_steps, source));
    return add(document, steps, path, std::move(value));
  }
  const json::Value* value = resolve(document, source_steps);
  if (!value) return fail(bad("nothing to copy at", source));
  json::Value copy = *value;
  return add(document, steps, path, std::move(copy));
}

Status run(json::Value& document, const json::Value& operation) {
  const std::string_view op = operation.string_at({"op"});
  const json::Value* path_value = operation.at_path({"path"});
  if (!path_value || !path_value->is_string()) return fail(bad("`path` is missing in operation", op));
  const std::string& path = *path_value->if_string();
  ASSIGN_OR_RETURN(const Steps steps, split(path));
  if (op == "move" || op == "copy") return take_from(document, *operation.if_object(), op == "move", steps, path);
  if (op == "remove") {
    RETURN_IF_ERROR(remove(document, steps, path));
    return {};
  }
  const json::Value* value = operation.at_path({"value"});
  if (op != "add" && op != "replace" && op != "test") return fail(bad("unknown operation", op));
  if (!value) return fail(bad("`value` is missing for", path));
  if (op == "add") return add(document, steps, path, *value);
  json::Value* target = resolve(document, steps);
  if (!target) return fail(bad("nothing at", path));
  if (op == "replace") {
    *target = *value;
  } else if (!equal(*target, *value)) {
    return fail(Code::conflict, fmt::format("JSON patch: the value at '{}' is not the expected one", path));
  }
  return {};
}

}  // namespace

Result<json::Value> json_patch(json::Value document, const json::Array& operations) {
  for (const json::Value& operation : operations) RETURN_IF_ERROR(run(document, operation));
  return document;
}

}  // namespace krake::manifest
