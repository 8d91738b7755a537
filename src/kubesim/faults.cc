#include "kubesim/faults.h"

#include <fmt/format.h>

#include <algorithm>

namespace krake::kubesim {

namespace {

json::Array to_array(const std::vector<std::string>& texts) {
  json::Array array;
  for (const auto& text : texts) array.emplace_back(text);
  return array;
}

bool read_flag(const json::Value& value, bool& to) {
  if (!value.if_bool()) return false;
  to = *value.if_bool();
  return true;
}

bool read_texts(const json::Value& value, std::vector<std::string>& to) {
  if (!value.is_array()) return false;
  for (const json::Value& item : *value.if_array()) {
    if (!item.is_string()) return false;
    to.push_back(*item.if_string());
  }
  return true;
}

bool read_number(const json::Value& value, double low, double high, double& to) {
  if (!value.is_number()) return false;
  to = value.if_number()->as_double();
  return to >= low && to <= high;
}

bool read_conditions(const json::Value& value, std::map<std::string, std::string>& to) {
  if (!value.is_object()) return false;
  for (const auto& [type, status] : *value.if_object()) {
    if (!status.is_string()) return false;
    to[type] = *status.if_string();
  }
  return true;
}

bool read_member(std::string_view key, const json::Value& value, Faults& faults) {
  double number = 0;
  if (key == "latency_ms") {
    if (!read_number(value, 0, 3'600'000, number)) return false;
    faults.latency = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(number));
    return true;
  }
  if (key == "error_rate") return read_number(value, 0, 1, faults.error_rate);
  if (key == "error_status") {
    if (!read_number(value, 400, 599, number)) return false;
    faults.error_status = static_cast<int>(number);
    return true;
  }
  if (key == "refuse") return read_flag(value, faults.refuse);
  if (key == "hang") return read_flag(value, faults.hang);
  if (key == "garbage") return read_flag(value, faults.garbage);
  if (key == "pods_never_ready") return read_flag(value, faults.pods_never_ready);
  if (key == "silent_watches") return read_flag(value, faults.silent_watches);
  if (key == "forbidden") return read_texts(value, faults.forbidden);
  if (key == "unsupported") return read_texts(value, faults.unsupported);
  if (key == "nodes") return read_conditions(value, faults.nodes);
  return false;
}

}  // namespace

json::Object to_json(const Faults& faults) {
  json::Object nodes;
  for (const auto& [type, status] : faults.nodes) nodes.set(type, status);
  return {{"latency_ms", std::chrono::duration_cast<std::chrono::milliseconds>(faults.latency).count()},
          {"error_rate", faults.error_rate},
          {"error_status", faults.error_status},
          {"refuse", faults.refuse},
          {"hang", faults.hang},
          {"garbage", faults.garbage},
          {"pods_never_ready", faults.pods_never_ready},
          {"silent_watches", faults.silent_watches},
          {"forbidden", to_array(faults.forbidden)},
          {"unsupported", to_array(faults.unsupported)},
          {"nodes", std::move(nodes)}};
}

Result<Faults> parse_faults(const json::Value& value) {
  if (!value.is_object()) return fail(Code::invalid_argument, "faults: an object is wanted");
  Faults faults;
  for (const auto& [key, member] : *value.if_object()) {
    if (!read_member(key, member, faults)) {
      return fail(Code::invalid_argument,
                  fmt::format("faults: {}: {} is not a fault, of another type or out of range; GET shows what there is",
                              key, json::print(member).substr(0, 100)));
    }
  }
  return faults;
}

bool is_forbidden(const Faults& faults, std::string_view verb, std::string_view resource, bool all_namespaces) {
  return std::ranges::any_of(faults.forbidden, [&](std::string_view rule) {
    if (rule.ends_with(":all")) {
      if (!all_namespaces) return false;
      rule.remove_suffix(4);
    }
    const auto colon = rule.find(':');
    if (colon != std::string_view::npos) {
      if (rule.substr(0, colon) != verb && rule.substr(0, colon) != "*") return false;
      rule.remove_prefix(colon + 1);
    }
    return rule == resource || rule == "*";
  });
}

}  // namespace krake::kubesim
