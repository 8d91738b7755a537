// Small languages: constraints, selectors, datetimes, quantities, URLs, YAML, and the documents written in it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/registry.h"
#include "base/datetime.h"
#include "base/encoding.h"
#include "cli/kubeconfig.h"
#include "cli/yaml.h"
#include "expr/constraint.h"
#include "fuzz.h"
#include "kubesim/selector.h"
#include "main/bootstrap_plan.h"
#include "main/config.h"
#include "manifest/quantity.h"
#include "manifest/validate.h"
#include "net/url.h"
#include "providers/kubernetes/kubeconfig.h"

namespace krake::fuzz {

namespace {

constexpr cli::YamlLimits kYaml{.nodes = 10'000, .depth = 60};

json::Value first_document(std::string_view text) {
  auto documents = cli::parse_yaml(text, "fuzz.yaml", kYaml);
  if (!documents || documents->empty()) return {};
  return std::move(documents->front());
}

template <class T>
void config_round_trip(const json::Value& document) {
  std::vector<std::string> warnings;
  const auto& program = *find_program(std::is_same_v<T, ApiConfig> ? "api" : "scheduler");
  const auto config = decode_config<T>({.document = document, .source = "fuzz.yaml"}, program, warnings);
  if (!config) {
    MUST(!config.error().message.empty());
    return;
  }
  const auto written = to_value(*config);
  const auto again = decode_config<T>({.document = written, .source = "fuzz.yaml"}, program, warnings);
  MUST(again.has_value(), again ? "" : again.error().message);
  MUST(to_value(*again) == written, json::print(written));
}

template <class T>
void config_flags_apply(json::Value document, std::string_view text) {
  std::vector<std::string> args;
  while (!text.empty()) {
    const auto [line, rest] = split<2>(text, '\n');
    args.emplace_back(line);
    text = rest;
  }
  const auto before = args.size();
  ConfigDocument config{.document = std::move(document), .source = "fuzz.yaml"};
  if (!apply_flags(config, config_flags<T>(), args)) return;
  MUST(args.size() <= before);
  config_round_trip<T>(config.document);
}

// Fewer values than the program reads, so that none takes long.
bool small_enough(const std::vector<BootstrapFile>& files) {
  return std::ranges::all_of(files, [](const auto& file) {
    const auto documents = cli::parse_yaml(file.text, file.name, kYaml);
    return documents || documents.error().message.find("aliases counted in full") == std::string::npos;
  });
}

// What was put into a store is there as it is wanted.
void is_put_in_place(const BootstrapObject& object) {
  const BootstrapStamp stamp{.uid = "u", .now = Wall(std::chrono::seconds(1'780'000'000))};
  const auto made = decide(object, nullptr, Present::refuse_any, stamp);
  MUST(made.action == BootstrapStep::Action::create, made.why);
  std::string stored;
  made.object->encode(stored);
  const auto again = decide(object, &stored, Present::refuse_other, stamp);
  MUST(again.action == BootstrapStep::Action::unchanged, again.why + "\n" + stored);
}

// A machine with one file, whatever it is called.
cli::CliIo one_file_io() {
  cli::CliIo io;
  io.read_file = [](const std::string& path) -> Result<std::string> {
    if (path.ends_with("missing")) return fail(Code::not_found, "No such file or directory");
    return "content";
  };
  io.cwd = "/nowhere";
  return io;
}

}  // namespace

void constraints(std::string_view bytes) {
  const std::vector<std::pair<std::string, std::string>> labels{{"location", "DE"}, {"a/b", "c"}};
  if (const auto constraint = expr::parse_label_constraint(bytes)) {
    MUST(constraint->text == bytes);
    const auto text = expr::canonical(*constraint);
    const auto again = expr::parse_label_constraint(text);
    MUST(again && *again == *constraint, text);
    MUST(expr::canonical(*again) == text, text);
    MUST(expr::matches(*again, labels) == expr::matches(*constraint, labels), text);
  }
  if (const auto constraint = expr::parse_metric_constraint(bytes)) {
    const auto text = expr::canonical(*constraint);
    const auto again = expr::parse_metric_constraint(text);
    MUST(again && *again == *constraint, text);
    MUST(expr::canonical(*again) == text, text);
    for (const double value : {0.0, 1.5, -1e300})
      MUST(expr::matches(*again, value) == expr::matches(*constraint, value));
  }
}

void selectors(std::string_view bytes) {
  const json::Value object = json::Object{
      {"metadata", json::Object{{"name", "web"}, {"labels", json::Object{{"app", "web"}, {"tier", "a"}}}}}};
  if (const auto selector = kubesim::Selector::labels(bytes)) selector->matches_labels(object);
  if (const auto selector = kubesim::Selector::fields(bytes)) selector->matches_fields(object);
  if (const auto value = json::parse(bytes)) kubesim::Selector::of_object(&*value).matches_labels(object);
}

void datetime(std::string_view bytes) {
  const auto time = parse_datetime(bytes);
  if (!time) return;
  const auto text = to_string(*time);
  const auto again = parse_datetime(text);
  MUST(again && *again == *time && again->offset_minutes == time->offset_minutes, text);
  MUST(to_string(*again) == text, text);
}

void quantity(std::string_view bytes) {
  const auto [a, b] = split<2>(bytes, '\n');
  const bool same = manifest::same_quantity(a, b);
  MUST(same == manifest::same_quantity(b, a));
  if (same) MUST(manifest::same_quantity(a, a) && manifest::same_quantity(b, b));
}

void url(std::string_view bytes) {
  if (const auto url = parse_url(bytes)) {
    const auto again = parse_url(url->text());
    MUST(again && *again == *url, url->text());
  }
  const auto decoded = percent_decode(percent_encode(bytes));
  MUST(decoded && *decoded == bytes);
  if (const auto plain = percent_decode(bytes)) MUST(percent_decode(percent_encode(*plain)) == plain);
  std::string query;
  for (const auto& [name, value] : parse_query(bytes))
    query += percent_encode(name) + "=" + percent_encode(value) + "&";
  MUST(parse_query(query) == parse_query(bytes) || bytes.find("=&") != std::string_view::npos ||
           bytes.starts_with('=') || bytes.find("&=") != std::string_view::npos,
       query);
  const auto raw = base64_decode(base64_encode(bytes));
  MUST(raw && *raw == bytes);
  base64_decode(bytes);
  is_ip_address(bytes);
}

void yaml(std::string_view bytes) {
  const auto documents = cli::parse_yaml(bytes, "fuzz.yaml", kYaml);
  if (!documents) {
    MUST(documents.error().message.starts_with("fuzz.yaml:"), documents.error().message);
    return;
  }
  for (const auto& document : *documents) {
    const auto text = cli::print_yaml(document);
    const auto again = cli::parse_yaml(text, "printed.yaml", {.nodes = 100'000, .depth = 80});
    MUST(again.has_value(), again ? "" : again.error().message + "\n" + text);
    MUST(again->size() == 1 && again->front() == document, text);
  }
}

void config(std::string_view bytes) {
  constexpr std::string_view mark = "\n---flags\n";
  const auto end = bytes.find(mark);
  auto document = first_document(bytes.substr(0, end));
  if (document.is_null()) document = json::Object();
  config_round_trip<ApiConfig>(document);
  config_round_trip<ControllerConfig>(document);
  if (end == std::string_view::npos) return;
  config_flags_apply<ApiConfig>(document, bytes.substr(end + mark.size()));
  config_flags_apply<ControllerConfig>(document, bytes.substr(end + mark.size()));
}

void bootstrap(std::string_view bytes) {
  constexpr std::string_view mark = "\n---file\n";
  const auto end = bytes.find(mark);
  std::vector<BootstrapFile> files{{"a.yaml", std::string(bytes.substr(0, end))}};
  if (end != std::string_view::npos) files.push_back({"b.yaml", std::string(bytes.substr(end + mark.size()))});
  if (!small_enough(files)) return;
  const auto input = read_bootstrap(files, krake_registry());
  for (const auto& problem : input.problems)
    MUST(!problem.file.empty() && !problem.what.empty() && !problem.error.empty(), problem.error);
  std::set<std::string> keys;
  for (const auto& object : input.objects) {
    MUST(keys.insert(object.key).second, object.key);
    is_put_in_place(object);
  }
  const auto plan = plan_bootstrap(input.objects, {}, {}, Present::refuse_any, Wall(), [] { return "u"; });
  std::size_t writes = 0;
  for (const auto& batch : plan.batches) writes += batch.writes.size();
  MUST(writes == (plan.problems.empty() ? input.objects.size() : 0));
  std::set<std::string> missing;
  for (const auto& named : named_objects(input.objects, krake_registry())) missing.insert(named.key());
  MUST(dangling_references(input.objects, krake_registry(), missing).size() >= missing.size());
}

void kubeconfig(std::string_view bytes) {
  const auto document = first_document(bytes);
  const auto access = kube::parse_kubeconfig(document);
  if (!access) MUST(access.error().code == Code::invalid_argument, access.error().message);
  if (const auto* object = document.if_object()) manifest::check_kubeconfig(*object);
  const auto io = one_file_io();
  const auto picked = cli::pick_context(io, document, "", "/nowhere");
  if (!picked) {
    MUST(!picked.error().message.empty());
    return;
  }
  const auto again = cli::pick_context(io, picked->kubeconfig, "", "/nowhere");
  MUST(again && again->kubeconfig == picked->kubeconfig, json::print(picked->kubeconfig));
}

}  // namespace krake::fuzz
