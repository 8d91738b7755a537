#include "cli/view.h"

#include <fmt/format.h>

#include "api/core/metric.h"
#include "base/datetime.h"
#include "base/encoding.h"

namespace krake::cli {

namespace {

constexpr std::string_view kNone = "None";

std::string cell(const json::Value* value);

std::string text_of(const json::Value& value) {
  if (const auto* text = value.if_string())
    return text->starts_with("http://") || text->starts_with("https://") ? presentable_url(*text) : *text;
  if (const auto* number = value.if_number()) return number->text;
  if (const auto* boolean = value.if_bool()) return *boolean ? "True" : "False";
  if (value.is_null()) return std::string(kNone);
  return json::print(value);
}

std::string lines(const json::Object& object) {
  std::string out;
  for (const auto& [key, value] : object) out += fmt::format("{}{}: {}", out.empty() ? "" : "\n", key, text_of(value));
  return out.empty() ? std::string(kNone) : out;
}

std::string list(const json::Array& array) {
  std::string out;
  for (const auto& item : array) out += (out.empty() ? "" : ", ") + text_of(item);
  return out.empty() ? std::string(kNone) : out;
}

std::string cell(const json::Value* value) {
  if (!value) return std::string(kNone);
  if (const auto* object = value->if_object()) return lines(*object);
  if (const auto* array = value->if_array()) return list(*array);
  return text_of(*value);
}

// The empty text is the wildcard of roles.
std::string any_or_list(const json::Value* value) {
  const auto* array = value ? value->if_array() : nullptr;
  const auto is_any = [](const json::Value& item) { return item.is_string() && item.if_string()->empty(); };
  return array && std::ranges::any_of(*array, is_any) ? "any" : cell(value);
}

std::string time(const json::Value* value) {
  std::string text = cell(value);
  if (!value || !value->is_string()) return text;
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  return text.substr(0, 19);
}

// "Cluster demo/edge-1"
std::string reference(const json::Value* value) {
  if (!value || !value->is_object()) return std::string(kNone);
  const auto ns = value->string_at({"namespace"});
  return fmt::format("{} {}{}{}", value->string_at({"kind"}), ns, ns.empty() ? "" : "/", value->string_at({"name"}));
}

std::string metric_refs(const json::Value* value) {
  const auto* array = value ? value->if_array() : nullptr;
  std::string out;
  if (array) {
    for (const auto& item : *array) {
      const auto* namespaced = item.at_path({"namespaced"});
      const bool* flag = namespaced ? namespaced->if_bool() : nullptr;
      out += fmt::format("{}{} ×{} ({})", out.empty() ? "" : "\n", item.string_at({"name"}),
                         cell(item.at_path({"weight"})), flag && *flag ? "namespaced" : "global");
    }
  }
  return out.empty() ? std::string(kNone) : out;
}

std::string failing_metrics(const json::Value* value) {
  const auto* object = value ? value->if_object() : nullptr;
  std::string out;
  if (object) {
    for (const auto& [name, reason] : *object) {
      out += fmt::format("{}{}: {} {}", out.empty() ? "" : "\n", name, reason.string_at({"code"}),
                         reason.string_at({"message"}));
    }
  }
  return out.empty() ? std::string(kNone) : out;
}

std::string health(const json::Value* value) {
  if (!value || !value->is_object()) return std::string(kNone);
  const auto count = [&](std::string_view key) -> std::string { return cell(value->at_path({key})); };
  if (count("desired_pods") == kNone) return std::string(kNone);
  const std::string active = count("running_pods");
  if (count("completed_pods") == kNone) return fmt::format("{} active / {} desired", active, count("desired_pods"));
  return fmt::format("{} active / {} failed / {} succeeded / {} desired", active, count("failed_pods"),
                     count("completed_pods"), count("desired_pods"));
}

// How many nodes have the condition, of all: "2/3".
std::string nodes_with(const json::Value& object, std::string_view condition) {
  const auto* nodes = object.at_path({"status", "nodes"});
  const auto* array = nodes ? nodes->if_array() : nullptr;
  if (!array || array->empty()) return std::string(kNone);
  std::size_t count = 0;
  for (const auto& node : *array) {
    const auto* conditions = node.at_path({"status", "conditions"});
    if (!conditions || !conditions->is_array()) continue;
    for (const auto& item : *conditions->if_array()) {
      const auto status = item.string_at({"status"});
      if (item.string_at({"type"}) == condition && (status == "True" || status == "true")) ++count;
    }
  }
  return fmt::format("{}/{}", count, array->size());
}

std::string age(const json::Value& object, Wall now) {
  const auto created = parse_datetime(object.string_at({"metadata", "created"}));
  if (!created) return std::string(kNone);
  const auto seconds =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(now - created->wall()).count());
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m", seconds / 60);
  if (seconds < 172'800) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86'400);
}

struct RowMaker {
  const json::Value& object;
  View view;
  Rows rows;

  bool is_list() const { return view == View::list || view == View::wide; }
  const json::Value* at(std::initializer_list<std::string_view> path) const { return object.at_path(path); }
  void add(std::string_view key, std::string value) { rows.emplace_back(key, std::move(value)); }
  void field(std::string_view key, std::initializer_list<std::string_view> path) { add(key, cell(at(path))); }

  void base() {
    field("name", {"metadata", "name"});
    field("namespace", {"metadata", "namespace"});
    field("labels", {"metadata", "labels"});
    for (const auto key : {"created", "modified", "deleted"}) add(key, time(at({"metadata", key})));
  }
  void scheduling() {
    add("scheduled_to", reference(at({"status", "scheduled_to"})));
    add("scheduled", time(at({"status", "scheduled"})));
    add("running_on", reference(at({"status", "running_on"})));
  }
  void backoff() {
    for (const auto key : {"backoff", "backoff_delay", "backoff_limit"}) field(key, {"spec", key});
  }

  void application() {
    field("state", {"status", "state"});
    if (view == View::wide) {
      add("container_health", health(at({"status", "container_health"})));
      field("services", {"status", "services"});
      add("running_on", reference(at({"status", "running_on"})));
    }
    if (is_list()) return;
    field("reason", {"status", "reason"});
    add("container_health", health(at({"status", "container_health"})));
    field("services", {"status", "services"});
    field("allow migration", {"spec", "constraints", "migration"});
    field("label constraints", {"spec", "constraints", "cluster", "labels"});
    field("resources constraints", {"spec", "constraints", "cluster", "custom_resources"});
    field("metric constraints", {"spec", "constraints", "cluster", "metrics"});
    field("hooks", {"spec", "hooks"});
    scheduling();
    backoff();
  }
  void cluster() {
    field("state", {"status", "state"});
    if (view == View::wide) {
      add("metrics", metric_refs(at({"spec", "metrics"})));
      add("nodes", nodes_with(object, "Ready"));
      add("running_on", reference(at({"status", "running_on"})));
    }
    if (is_list()) return;
    field("reason", {"status", "reason"});
    field("custom_resources", {"spec", "custom_resources"});
    add("metrics", metric_refs(at({"spec", "metrics"})));
    add("failing_metrics", failing_metrics(at({"status", "metrics_reasons"})));
    field("label constraints", {"spec", "constraints", "cloud", "labels"});
    field("metric constraints", {"spec", "constraints", "cloud", "metrics"});
    scheduling();
    if (view != View::full) return;
    add("nodes", nodes_with(object, "Ready"));
    add("nodes_pid_pressure", nodes_with(object, "PIDPressure"));
    add("nodes_memory_pressure", nodes_with(object, "MemoryPressure"));
    add("nodes_disk_pressure", nodes_with(object, "DiskPressure"));
    backoff();
  }
  template <class Provider>
  void provider_fields(const json::Value& spec) {
    if (spec.string_at({"type"}) != Provider::kTag) return;
    codec::for_each_member<Provider>(
        [&](std::string_view name, auto) { add(name, cell(spec.at_path({Provider::kTag, name}))); });
  }
  void provider() {
    field(is_list() ? "mp_type" : "type", {"spec", "type"});
    if (is_list()) return;
    const auto* given = at({"spec"});
    const auto spec = masked<MetricsProviderSpec>(given ? *given : json::Value());
    provider_fields<PrometheusProvider>(spec);
    provider_fields<InfluxProvider>(spec);
    provider_fields<KafkaProvider>(spec);
    provider_fields<StaticProvider>(spec);
  }
  void metric() {
    const auto* provider = at({"spec", "provider"});
    add("provider", provider
                        ? fmt::format("{} (metric {})", provider->string_at({"name"}), provider->string_at({"metric"}))
                        : std::string(kNone));
    for (const auto key : {"min", "max", "allowed_values"}) field(key, {"spec", key});
  }
  void role() {
    std::string out;
    const auto* rules = at({"rules"});
    if (rules && rules->is_array()) {
      for (const auto& rule : *rules->if_array()) {
        out += fmt::format("{}{}: {} in {}: {}", out.empty() ? "" : "\n",
                           rule.string_at({"api"}).empty() ? "any" : rule.string_at({"api"}),
                           any_or_list(rule.at_path({"resources"})), any_or_list(rule.at_path({"namespaces"})),
                           cell(rule.at_path({"verbs"})));
      }
    }
    add("rules", out.empty() ? std::string(kNone) : out);
  }
};

}  // namespace

Rows rows_of(const Kind& kind, const json::Value& object, View view, Wall now) {
  RowMaker maker{object, view, {}};
  maker.base();
  if (kind.name == "Application") maker.application();
  if (kind.name == "Cluster") maker.cluster();
  if (kind.name == "MetricsProvider" || kind.name == "GlobalMetricsProvider") maker.provider();
  if (kind.name == "Metric" || kind.name == "GlobalMetric") maker.metric();
  if (kind.name == "Role") maker.role();
  if (kind.name == "RoleBinding") {
    maker.field("users", {"users"});
    maker.field("roles", {"roles"});
  }
  if (kind.name == "Lease") {
    maker.field("holder", {"spec", "holder"});
    maker.field("epoch", {"epoch"});
    maker.add("age", age(object, now));
    maker.field("ttl_seconds", {"spec", "ttl_seconds"});
    return std::move(maker.rows);
  }
  if (view == View::wide) maker.add("age", age(object, now));
  return std::move(maker.rows);
}

}  // namespace krake::cli
