#include "main/doctor_findings.h"

#include <fmt/format.h>

#include <filesystem>

#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "net/pki.h"

namespace krake {

namespace {

using Severity = Finding::Severity;

constexpr std::size_t kFirst = 3;  // of many objects those that are named

// What upstream does for such an object and no controller here yet: {which} of its kind, and what that means.
struct Want {
  std::string_view which;
  std::string_view meaning;
};
constexpr Want kHooks{" with spec.hooks",
                      "no controller acts on hooks yet; what upstream has put into a running application stays there"};
constexpr Want kTemplate{" of TOSCA or CSAR", "no controller translates them yet; what runs stays as it is"};
constexpr Want kTosca{" with spec.tosca", "no controller makes, changes or removes clusters of templates yet"};
constexpr Want kController{"", "no controller looks after them yet"};

std::vector<Want> unattended(const Object& object) {
  const Kind& kind = object.kind();
  if (kind.group == "openstack" || kind.name == "Cloud" || kind.name == "GlobalCloud") return {kController};
  std::vector<Want> wants;
  if (kind.name == Application::kKindName) {
    const auto& spec = object.as<Application>().spec;
    if (!spec.hooks.empty()) wants.push_back(kHooks);
    if (spec.manifest.empty()) wants.push_back(kTemplate);
  } else if (kind.name == Cluster::kKindName && !object.as<Cluster>().spec.tosca.empty()) {
    wants.push_back(kTosca);
  }
  return wants;
}

json::Value document_of(const Object& object) {
  std::string text;
  object.encode(text);
  return json::parse(text).value_or(json::Value());
}

std::string joined(const FieldErrors& errors) {
  std::string out;
  for (const auto& [path, text] : errors.flatten()) out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", path, text);
  return out;
}

void look_for_surplus(const json::Value& document, const json::Value& known, const std::string& above,
                      std::vector<std::string>& out) {
  const auto below = [&](const std::string& step) { return above.empty() ? step : above + "." + step; };
  if (const auto* object = document.if_object()) {
    const json::Object nothing;
    const json::Finder other(known.is_object() ? *known.if_object() : nothing);
    for (const auto& [key, member] : *object) {
      const auto* match = other.find(key);
      if (!match) {
        out.push_back(below(key));
      } else {
        look_for_surplus(member, match->second, below(key), out);
      }
    }
  } else if (const auto* array = document.if_array(); array && known.if_array()) {
    for (std::size_t i = 0; i < std::min(array->size(), known.if_array()->size()); ++i)
      look_for_surplus((*array)[i], (*known.if_array())[i], below(std::to_string(i)), out);
  }
}

std::vector<std::string> twice(const std::vector<std::string>& items) {
  std::set<std::string> seen;
  std::set<std::string> repeated;
  for (const auto& item : items) {
    if (!seen.insert(item).second) repeated.insert(item);
  }
  return {repeated.begin(), repeated.end()};
}

// "/core/roles/x" -> "core/roles"
std::string first_steps(std::string_view key) {
  if (key.starts_with('/')) key.remove_prefix(1);
  const auto first = key.find('/');
  const auto second = first == std::string_view::npos ? first : key.find('/', first + 1);
  return std::string(key.substr(0, second));
}

// ---- files of TLS

enum class Pem { certificate, key };

void check_pem(const std::string& path, const std::string& key, Pem type, Wall now, std::vector<Finding>& out) {
  if (path.empty()) return;
  const auto text = read_file(path);
  if (!text) {
    // The start reads the others, and prepare() has said so.
    if (key.starts_with("hooks."))
      out.push_back({Severity::error, path, fmt::format("{} ({})", text.error().message, key)});
    return;
  }
  if (type == Pem::key) {
    std::error_code ec;
    const auto mode = std::filesystem::status(path, ec).permissions();
    using enum std::filesystem::perms;
    if ((mode & (group_read | group_write | others_read | others_write)) != none)
      out.push_back({Severity::warning, path,
                     fmt::format("others than its owner may read this private key: chmod 600 ({})", key)});
    if (!text->contains("PRIVATE KEY-----"))
      out.push_back({Severity::error, path, fmt::format("there is no PEM private key in it ({})", key)});
    return;
  }
  const auto until = certificate_expiry(*text);
  if (!until) {
    out.push_back({Severity::error, path, fmt::format("{} ({})", until.error().message, key)});
  } else if (*until <= now) {
    out.push_back({Severity::error, path,
                   fmt::format("the certificate expired at {} ({})", to_string(DateTime::from_wall(*until)), key)});
  } else if (*until <= now + kExpiresSoon) {
    out.push_back({Severity::warning, path,
                   fmt::format("the certificate expires at {} ({})", to_string(DateTime::from_wall(*until)), key)});
  }
}

void check_files(const ApiConfig& config, Wall now, std::vector<Finding>& out) {
  if (config.tls.enabled) {
    check_pem(config.tls.cert, "tls.cert", Pem::certificate, now, out);
    check_pem(config.tls.key, "tls.key", Pem::key, now, out);
    check_pem(config.tls.client_ca, "tls.client_ca", Pem::certificate, now, out);
  }
  check_pem(config.authentication.ca, "authentication.ca", Pem::certificate, now, out);
  if (!config.etcd) return;
  check_pem(config.etcd->tls.ca, "etcd.tls.ca", Pem::certificate, now, out);
  check_pem(config.etcd->tls.cert, "etcd.tls.cert", Pem::certificate, now, out);
  check_pem(config.etcd->tls.key, "etcd.tls.key", Pem::key, now, out);
}

void check_files(const ControllerConfig& config, Wall now, std::vector<Finding>& out) {
  if (!config.tls.enabled) return;
  check_pem(config.tls.client_ca, "tls.client_ca", Pem::certificate, now, out);
  check_pem(config.tls.client_cert, "tls.client_cert", Pem::certificate, now, out);
  check_pem(config.tls.client_key, "tls.client_key", Pem::key, now, out);
  const auto& complete = config.hooks.complete;
  const auto& shutdown = config.hooks.shutdown;
  check_pem(complete.intermediate_src, "hooks.complete.intermediate_src", Pem::certificate, now, out);
  check_pem(complete.intermediate_key_src, "hooks.complete.intermediate_key_src", Pem::key, now, out);
  check_pem(shutdown.intermediate_src, "hooks.shutdown.intermediate_src", Pem::certificate, now, out);
  check_pem(shutdown.intermediate_key_src, "hooks.shutdown.intermediate_key_src", Pem::key, now, out);
}

template <class T>
void check_config(ConfigDocument document, const ProgramInfo& program, Wall now, std::vector<Finding>& out) {
  const std::string path = document.source;
  Arguments none;
  std::vector<std::string> warnings;
  const auto configured = configure<T>(std::move(document), program, none, warnings);
  for (const auto& warning : warnings) out.push_back({Severity::warning, path, warning});
  if (!configured) return out.push_back({Severity::error, path, configured.error().message});
  const auto start = prepare(configured->config);
  if (!start) {
    for (const auto& problem : start.error())
      out.push_back({Severity::error, path, describe(configured->document, problem)});
  }
  check_files(configured->config, now, out);
}

}  // namespace

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "error";
}

Severity worst(const std::vector<Finding>& findings) {
  auto out = Severity::note;
  for (const auto& finding : findings) out = std::max(out, finding.severity);
  return out;
}

void sort_findings(std::vector<Finding>& findings) {
  std::ranges::sort(findings, [](const auto& a, const auto& b) {
    return std::tie(b.severity, a.where, a.what) < std::tie(a.severity, b.where, b.what);
  });
}

std::vector<std::string> surplus_keys(const json::Value& document, const json::Value& known) {
  std::vector<std::string> out;
  look_for_surplus(document, known, "", out);
  return out;
}

void DataCheck::found(Severity severity, const std::string& where, std::string what) {
  findings_.push_back({severity, where, std::move(what)});
}

void DataCheck::add(const store::Entry& entry) {
  keys_.insert(entry.key);
  for (const auto& kind : registry_.kinds()) {
    if (!entry.key.starts_with(kind->storage_prefix())) continue;
    ++counts_[fmt::format("{}/{}", kind->group, kind->name)];
    std::string ns;
    std::string name;
    if (kind->split_key(entry.key, ns, name)) return check_object(*kind, entry, ns, name);
    return found(Severity::warning, entry.key, "the key is not that of an object; it is never served");
  }
  const auto steps = first_steps(entry.key);
  if (counts_[steps]++ == 0)
    found(Severity::note, entry.key,
          fmt::format("objects of '{}' are not served by this version; they stay as they are", steps));
}

void DataCheck::check_object(const Kind& kind, const store::Entry& entry, const std::string& ns,
                             const std::string& name) {
  const auto document = json::parse(*entry.value);
  if (!document)
    return found(Severity::error, entry.key, fmt::format("the value cannot be read: {}", document.error().message));
  FieldErrors errors;
  const auto object = kind.decode(kind, *document, Form::stored, errors);
  if (!object) return found(Severity::error, entry.key, fmt::format("the value cannot be read: {}", joined(errors)));
  const auto& meta = object->meta();
  if (meta.name != name || (kind.namespaced && meta.namespace_.value_or("") != ns))
    found(Severity::error, entry.key,
          fmt::format("the value is of {}, not of its key: updates of it go elsewhere", describe(kind, meta)));
  if (!kind.namespaced && meta.namespace_)
    found(Severity::warning, entry.key,
          fmt::format("it has the namespace '{}', and its kind has none", *meta.namespace_));
  FieldErrors refused;
  if (const auto full = kind.decode(kind, *document, Form::full, refused); !full) {
    found(Severity::warning, entry.key,
          fmt::format("it is served, but would be refused if it were written now: {}", joined(refused)));
  } else if (const auto surplus = surplus_keys(*document, document_of(*full)); !surplus.empty()) {
    found(Severity::note, entry.key, fmt::format("keys that are unknown here, and kept: {}", fmt::join(surplus, ", ")));
  }
  if (const auto repeated = twice(meta.finalizers); !repeated.empty())
    found(Severity::warning, entry.key, fmt::format("finalizers that are there twice: {}", fmt::join(repeated, ", ")));
  for (const auto& want : unattended(*object)) {
    auto& all = unattended_[{&kind, want.which}];
    if (++all.count <= kFirst) all.first.push_back(ns.empty() ? name : fmt::format("{}/{}", ns, name));
    all.meaning = want.meaning;
  }
  for (auto& reference : references_of(kind.name, ns, *document)) named_.push_back({entry.key, std::move(reference)});
}

std::vector<Finding> DataCheck::findings() {
  for (const auto& [key, reference] : std::exchange(named_, {})) {
    const auto* kind = registry_.find_by_kind(reference.api, reference.kind);
    if (!kind || keys_.contains(kind->storage_key(reference.ns, reference.name))) continue;
    found(Severity::warning, key, fmt::format("{} names {}, which is not there", reference.path, to_string(reference)));
  }
  for (const auto& [which, all] : std::exchange(unattended_, {})) {
    const auto& [kind, text] = which;
    const auto more = all.count - all.first.size();
    found(Severity::warning, kind->storage_prefix(),
          fmt::format("{}{}: {} ({}{}); {}", kind->plural, text, all.count, fmt::join(all.first, ", "),
                      more == 0 ? "" : fmt::format(" and {} more", more), all.meaning));
  }
  sort_findings(findings_);
  return findings_;
}

namespace {
void check_document(Result<ConfigDocument> document, const std::string& path, const ProgramInfo& program, Wall now,
                    std::vector<Finding>& out) {
  if (!document) {
    out.push_back({Severity::error, path, document.error().message});
  } else if (program.name == "api") {
    check_config<ApiConfig>(std::move(*document), program, now, out);
  } else {
    check_config<ControllerConfig>(std::move(*document), program, now, out);
  }
}
}  // namespace

std::vector<Finding> check_config_file(const std::string& path, const ProgramInfo& program, Wall now) {
  std::vector<Finding> out;
  check_document(load_config_file(path, program, FileKind::regular), path, program, now, out);
  return out;
}

std::vector<Finding> check_combined_file(const std::string& path, Wall now) {
  namespace fs = std::filesystem;
  const auto whole = load_whole_file(path, *find_program("api"), FileKind::regular);
  if (!whole) return {{Severity::error, path, whole.error().message}};
  std::vector<Finding> out;
  const auto programs = programs_in(*whole);
  if (programs.empty()) {
    const auto what = fmt::format("it has no section of a program; known are {}", known_sections());
    out.push_back({Severity::warning, path, what});
  }
  for (const auto& warning : whole->warnings) out.push_back({Severity::warning, path, warning});
  for (const auto* program : programs) {
    auto part = take_section(*whole, section_of(*program));
    if (part) part->warnings.clear();  // of the whole file
    check_document(std::move(part), path, *program, now, out);
    std::error_code ec;
    if (!fs::exists(fs::path(path).parent_path() / program->file, ec)) continue;
    out.push_back({Severity::note, path,
                   fmt::format("its section '{}' counts only where the file is named with -c: '{}' is beside it",
                               section_of(*program), program->file)});
  }
  return out;
}

}  // namespace krake
