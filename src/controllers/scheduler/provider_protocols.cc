#include "controllers/scheduler/provider_protocols.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/encoding.h"
#include "base/json.h"

namespace krake::scheduler {

namespace {

std::optional<double> parse_number(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '+')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> number_of(const json::Value& value) {
  if (const auto* number = value.if_number()) return number->as_double();
  if (const auto* text = value.if_string()) return parse_number(*text);
  return std::nullopt;
}

std::unexpected<Error> no_value(std::string_view metric, std::string_view where) {
  return fail(Code::not_found, fmt::format("metric '{}' is not in the {} answer", metric, where));
}
std::unexpected<Error> no_number(std::string_view metric, std::string_view where) {
  return fail(Code::invalid_object, fmt::format("metric '{}' in the {} answer is not a number", metric, where));
}

// `quote` inside a text between quotes: doubled in SQL, with a backslash in Flux.
std::string escaped(std::string_view text, char quote, char escape) {
  std::string out;
  for (const char c : text) {
    if (c == quote || (c == escape && escape == '\\')) out += escape;
    out += c;
  }
  return out;
}

Result<json::Value> body_of(const HttpResponse& response, std::string_view where) {
  auto value = json::parse(response.body);
  if (!value) return fail(Code::unavailable, fmt::format("the {} answer is {}", where, value.error().message));
  return std::move(*value);
}

Result<double> prometheus_value(std::string_view metric, const HttpResponse& response) {
  ASSIGN_OR_RETURN(const auto body, body_of(response, "Prometheus"));
  const auto* results = body.at_path({"data", "result"});
  if (!results || !results->is_array()) return fail(Code::unavailable, "the Prometheus answer has no data.result");
  for (const auto& result : *results->if_array()) {
    if (result.string_at({"metric", "__name__"}) != metric) continue;
    const auto* pair = result.at_path({"value"});
    if (!pair || !pair->is_array() || pair->if_array()->size() < 2) return no_value(metric, "Prometheus");
    const auto value = number_of((*pair->if_array())[1]);
    if (!value) return no_number(metric, "Prometheus");
    return *value;
  }
  return no_value(metric, "Prometheus");
}

// [header, {"row": {"columns": [value]}}, ...]
Result<double> kafka_value(std::string_view metric, const HttpResponse& response) {
  ASSIGN_OR_RETURN(const auto body, body_of(response, "KSQL"));
  const auto* rows = body.if_array();
  if (!rows || rows->size() < 2) return no_value(metric, "KSQL");
  const auto* columns = (*rows)[1].at_path({"row", "columns"});
  if (!columns || !columns->is_array() || columns->if_array()->empty()) return no_value(metric, "KSQL");
  const auto value = number_of(columns->if_array()->front());
  if (!value) return no_number(metric, "KSQL");
  return *value;
}

std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

// Annotated CSV: lines with '#' are annotations, then a header, then the rows of the first table.
Result<double> influx_value(std::string_view metric, const HttpResponse& response) {
  std::optional<std::size_t> column;
  std::string_view rest = response.body;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const auto fields = csv_fields(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (fields.front().starts_with('#') || (fields.size() == 1 && fields.front().empty())) continue;
    if (!column) {
      const auto it = std::ranges::find(fields, "_value");
      if (it == fields.end()) return fail(Code::unavailable, "the InfluxDB answer is no table with a column _value");
      column = static_cast<std::size_t>(it - fields.begin());
      continue;
    }
    const auto value = *column < fields.size() ? parse_number(fields[*column]) : std::nullopt;
    if (!value) return no_number(metric, "InfluxDB");
    return *value;
  }
  return no_value(metric, "InfluxDB");
}

HttpRequest post(std::string target, std::string type, std::string body) {
  HttpRequest request{.method = "POST", .target = std::move(target), .headers = {}, .body = std::move(body)};
  request.headers.add("Content-Type", std::move(type));
  return request;
}

}  // namespace

std::string_view url_of(const MetricsProviderSpec& provider) {
  if (const auto* prometheus = provider.as<PrometheusProvider>()) return prometheus->url;
  if (const auto* kafka = provider.as<KafkaProvider>()) return kafka->url;
  if (const auto* influx = provider.as<InfluxProvider>()) return influx->url;
  return {};
}

HttpRequest request_for(const MetricsProviderSpec& provider, std::string_view metric) {
  if (const auto* kafka = provider.as<KafkaProvider>()) {
    const auto ksql = fmt::format("SELECT {} FROM {} WHERE {} = '{}';", kafka->value_column, kafka->table,
                                  kafka->comparison_column, escaped(metric, '\'', '\''));
    return post("/query", "application/json",
                json::print(json::Object{{"ksql", ksql}, {"streamsProperties", json::Object{}}}));
  }
  if (const auto* influx = provider.as<InfluxProvider>()) {
    const auto flux =
        fmt::format(R"(from(bucket: "{}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "{}") |> last())",
                    escaped(influx->bucket, '"', '\\'), escaped(metric, '"', '\\'));
    auto request = post("/api/v2/query?org=" + percent_encode(influx->org), "application/vnd.flux", flux);
    request.headers.add("Authorization", "Token " + influx->token);
    request.headers.add("Accept", "application/csv");
    return request;
  }
  HttpRequest request{
      .method = "GET", .target = "/api/v1/query?query=" + percent_encode(metric), .headers = {}, .body = {}};
  request.headers.add("Accept", "application/json");
  return request;
}

Result<double> value_in(const MetricsProviderSpec& provider, std::string_view metric, const HttpResponse& response) {
  if (response.status < 200 || response.status > 299) {
    return fail(Code::unavailable, fmt::format("it answered {} {}", response.status, status_phrase(response.status)));
  }
  if (provider.as<KafkaProvider>()) return kafka_value(metric, response);
  if (provider.as<InfluxProvider>()) return influx_value(metric, response);
  return prometheus_value(metric, response);
}

Result<double> static_value(const StaticProvider& provider, std::string_view metric) {
  if (const auto* value = provider.metrics.find(metric)) return *value;
  return fail(Code::invalid_object, fmt::format("the static provider has no metric '{}'", metric));
}

}  // namespace krake::scheduler
