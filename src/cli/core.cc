// core metricsprovider, globalmetricsprovider, metric and globalmetric: create and update.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/fields.h"

namespace krake::cli {

namespace {

struct ProviderOption {
  std::string_view option;
  std::string_view key;
};
constexpr ProviderOption kUrl{"--url", "url"}, kMetrics{"--metric", "metrics"}, kTable{"--table", "table"},
    kComparison{"--comparison-column", "comparison_column"}, kValue{"--value-column", "value_column"},
    kToken{"--token", "token"}, kOrg{"--org", "org"}, kBucket{"--bucket", "bucket"};

struct ProviderType {
  std::string_view name;
  std::vector<ProviderOption> options;
  bool update_needs_all;
};
const std::vector<ProviderType>& provider_types() {
  static const std::vector<ProviderType> types = {
      {"prometheus", {kUrl}, true},
      {"static", {kMetrics}, true},
      {"kafka", {kUrl, kComparison, kValue, kTable}, false},
      {"influx", {kUrl, kToken, kOrg, kBucket}, true},
  };
  return types;
}

Outcome<const ProviderType*> type_named(std::string_view name) {
  for (const auto& type : provider_types()) {
    if (type.name == name) return &type;
  }
  return stop(fmt::format("metrics provider type '{}' is not known", name), "use prometheus, static, kafka or influx");
}

Outcome<bool> check_complete(const ProviderType& type, const Parsed& args) {
  std::vector<std::string_view> missing;
  for (const auto& option : type.options) {
    if (!args.has(option.option)) missing.push_back(option.option);
  }
  if (missing.empty()) return true;
  return stop(fmt::format("a metrics provider of type {} needs {}", type.name, fmt::join(missing, ", ")));
}

void set_options(json::Value& part, const ProviderType& type, const Parsed& args) {
  for (const auto& [option, key] : type.options) {
    if (!args.has(option)) continue;
    if (key != "metrics") {
      child(part, {key}) = args.one_or(option, "");
      continue;
    }
    json::Object metrics;  // the whole map is replaced
    for (const auto& pair : args.all(option)) metrics.set(pair[0], number_of(pair[1]));
    child(part, {key}) = std::move(metrics);
  }
}

// Writes the object back. A body without a change is told, and is no failure for these kinds.
Awaitable<Outcome<int>> update(Session& session, Edit edit) {
  auto object = co_await update_object(session, "", std::move(edit));
  if (!object) {
    Failure failure = std::move(object).error();
    const bool unchanged = failure.http_status == 400 && failure.problem &&
                           failure.problem->string_at({"title"}) == "UPDATE_ERROR" &&
                           failure.problem->string_at({"detail"}).contains("no update");
    if (unchanged) failure.exit = 0;
    co_return stop(std::move(failure));
  }
  session.show(*object);
  co_return 0;
}

json::Object resource(const Session& session, json::Value spec) {
  return {{"api", "core"},
          {"kind", session.kind().name},
          {"metadata", json::Object{{"name", session.name()}}},
          {"spec", std::move(spec)}};
}

json::Array allowed_values(const Parsed& args) {
  std::vector<std::int64_t> values;
  for (const auto& text : args.list("--allowed-values")) values.push_back(std::stoll(text));
  std::ranges::sort(values);
  return {values.begin(), values.end()};
}

// Namespaced metrics say --mp-name, global ones --gmp-name.
std::string_view provider_option(const Session& session) {
  return session.kind().namespaced ? "--mp-name" : "--gmp-name";
}

}  // namespace

Awaitable<Outcome<int>> create_provider(Session& session) {
  const auto& args = session.args();
  CO_TRY(const auto* type, type_named(args.one_or("--type", "")));
  CO_TRY([[maybe_unused]] const bool complete, check_complete(*type, args));
  json::Value part = json::Object();
  set_options(part, *type, args);
  json::Object spec{{"type", type->name}, {std::string(type->name), std::move(part)}};
  auto object = co_await session.call({.method = "POST",
                                       .target = session.collection(),
                                       .body = resource(session, std::move(spec)),
                                       .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  session.show(*object);
  co_return 0;
}

Awaitable<Outcome<int>> update_provider(Session& session) {
  const auto& args = session.args();
  Edit edit = [&](json::Value& object) -> Outcome<bool> {
    TRY(const auto* type, type_named(object.string_at({"spec", "type"})));
    for (const auto& other : {kUrl, kMetrics, kTable, kComparison, kValue, kToken, kOrg, kBucket}) {
      const bool own = std::ranges::any_of(type->options, [&](const auto& o) { return o.key == other.key; });
      if (!own && args.has(other.option)) {
        return stop(fmt::format("a metrics provider of type {} has no {}", type->name, other.option),
                    "see the get verb");
      }
    }
    if (type->update_needs_all) {
      TRY([[maybe_unused]] const bool complete, check_complete(*type, args));
    }
    set_options(child(object, {"spec", type->name}), *type, args);
    return true;
  };
  co_return co_await update(session, std::move(edit));
}

Awaitable<Outcome<int>> create_metric(Session& session) {
  const auto& args = session.args();
  json::Object spec{{"min", number_of(args.one_or("--min", ""))},
                    {"max", number_of(args.one_or("--max", ""))},
                    {"allowed_values", allowed_values(args)},
                    {"provider", json::Object{{"name", args.one_or(provider_option(session), "")},
                                              {"metric", args.one_or("--metric-name", session.name())}}}};
  auto object = co_await session.call({.method = "POST",
                                       .target = session.collection(),
                                       .body = resource(session, std::move(spec)),
                                       .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  session.show(*object);
  co_return 0;
}

Awaitable<Outcome<int>> update_metric(Session& session) {
  const auto& args = session.args();
  const auto provider = provider_option(session);
  if (!args.has("--min") && !args.has("--max") && !args.has("--allowed-values") && !args.has("--metric-name") &&
      !args.has(provider)) {
    co_return stop("nothing to update",
                   fmt::format("give one of --min, --max, --allowed-values, --metric-name, {}", provider));
  }
  Edit edit = [&](json::Value& object) -> Outcome<bool> {
    auto& spec = child(object, {"spec"});
    if (const auto text = args.one("--min")) child(spec, {"min"}) = number_of(*text);
    if (const auto text = args.one("--max")) child(spec, {"max"}) = number_of(*text);
    if (args.has("--allowed-values")) child(spec, {"allowed_values"}) = allowed_values(args);
    if (const auto text = args.one(provider)) child(spec, {"provider", "name"}) = *text;
    if (const auto text = args.one("--metric-name")) child(spec, {"provider", "metric"}) = *text;
    return true;
  };
  co_return co_await update(session, std::move(edit));
}

}  // namespace krake::cli
