#include "main/bootstrap_plan.h"

#include <fmt/format.h>

#include <set>

#include "cli/yaml.h"
#include "main/references.h"
#include "server/roles.h"

namespace krake {

namespace {

// A document of a file, for messages.
struct Source {
  const std::string& file;
  std::size_t number;
  const cli::YamlDocument& document;

  std::string place(std::string_view path = {}) const {
    const int line = path.empty() ? document.line : document.lines.of(path);
    return line > 0 ? fmt::format("{}:{}, document {}", file, line, number)
                    : fmt::format("{}, document {}", file, number);
  }
};

std::string described(const FieldErrors& errors, const Source& source) {
  std::string out;
  for (const auto& [path, text] : errors.flatten())
    out += fmt::format("{}{}: {} ({})", out.empty() ? "" : "; ", path, text, source.place(path));
  return out;
}

std::string named(std::string_view text) { return text.empty() ? "None" : std::string(text); }

bool has(const json::Value& value, std::initializer_list<std::string_view> path) {
  return value.at_path(path) != nullptr;
}

class FileReader {
 public:
  FileReader(const Registry& registry, BootstrapInput& out) : registry_(registry), out_(out) {}

  void read(const BootstrapFile& file) {
    const auto documents = cli::parse_yaml_with_lines(file.text, file.name, {}, cli::RepeatedKey::last_counts);
    if (!documents) return problem(file.name, "the file", documents.error().message);
    for (std::size_t i = 0; i < documents->size(); ++i) {
      const auto& document = (*documents)[i];
      std::ranges::copy(document.warnings, std::back_inserter(out_.warnings));
      if (document.value.is_null() && documents->size() > 1) continue;  // between two lines "---"
      read(Source{file.name, i + 1, document});
    }
    if (documents->empty()) problem(file.name, "the file", "there is no document in it");
  }

 private:
  void problem(const std::string& file, std::string what, std::string error) {
    out_.problems.push_back({file, std::move(what), std::move(error)});
  }

  const Kind* kind_of(const Source& source, const std::string& what) {
    const auto& value = source.document.value;
    const auto api = value.string_at({"api"});
    const auto kind = value.string_at({"kind"});
    const auto known_api = [&] {
      return std::ranges::any_of(registry_.kinds(), [&](const auto& k) { return k->group == api; });
    };
    if (!value.is_object() || api.empty() || kind.empty()) {
      problem(source.file, what,
              fmt::format("a document needs 'api', 'kind' and 'metadata.name' ({})", source.place()));
    } else if (!known_api()) {
      problem(source.file, what, fmt::format("The api '{}' could not be found. ({})", api, source.place("api")));
    } else if (const auto* found = registry_.find_by_kind(api, kind); !found || found->leased) {
      problem(source.file, what, fmt::format("The kind '{}' could not be found. ({})", kind, source.place("kind")));
    } else {
      return found;
    }
    return nullptr;
  }

  void read(const Source& source) {
    const auto& value = source.document.value;
    const std::string what = fmt::format(
        "{}(api='{}', namespace='{}', name='{}')", named(value.string_at({"kind"})), named(value.string_at({"api"})),
        named(value.string_at({"metadata", "namespace"})), named(value.string_at({"metadata", "name"})));
    const auto* kind = kind_of(source, what);
    if (!kind) return;
    FieldErrors errors;
    auto object = kind->decode(*kind, value, Form::create, errors);
    if (!object) return problem(source.file, what, described(errors, source));
    auto& meta = object->meta();
    if (kind->namespaced && meta.namespace_.value_or("").empty()) {
      return problem(
          source.file, what,
          fmt::format("metadata.namespace: Missing data for required field. ({})", source.place("metadata")));
    }
    if (!kind->namespaced) meta.namespace_.reset();
    meta.deleted.reset();
    object->reset_status();
    const auto key = kind->storage_key(meta.namespace_.value_or(""), meta.name);
    if (const auto [first, fresh] = places_.emplace(key, source.place()); !fresh)
      return problem(source.file, what, fmt::format("it is given twice: {} and {}", first->second, source.place()));
    out_.objects.push_back({.kind = kind,
                            .object = std::move(object),
                            .key = key,
                            .file = source.file,
                            .place = source.place(),
                            .finalizers = has(value, {"metadata", "finalizers"}),
                            .owners = has(value, {"metadata", "owners"})});
  }

  const Registry& registry_;
  BootstrapInput& out_;
  std::map<std::string, std::string> places_;  // by key
};

DateTime later_than(Wall now, const DateTime& stored) {
  return DateTime::from_wall(std::max(now, stored.wall() + std::chrono::microseconds(1)));
}

BootstrapStep made(const BootstrapObject& wanted, const BootstrapStamp& stamp, BootstrapStep::Action action) {
  auto object = wanted.object->clone();
  object->meta().uid = stamp.uid;
  object->meta().created = object->meta().modified = DateTime::from_wall(stamp.now);
  return {.action = action, .object = std::move(object)};
}

BootstrapStep refuse(std::string why) { return {.action = BootstrapStep::Action::refuse, .why = std::move(why)}; }

json::Value document_of(const Object& object) {
  std::string text;
  object.encode(text);
  return json::parse(text).value_or(json::Value());
}

// A role or binding that a server made on an empty store, and nobody has touched since: nobody's decision is in it. One
// that an administrator wrote is his, also when it is the same.
bool is_as_shipped(const Kind& kind, const Object& stored) {
  const auto& meta = stored.meta();
  if (!is_shipped_uid(meta.uid, kind.name, meta.name) || meta.created != meta.modified) return false;
  const auto shipped = shipped_roles();
  for (const auto* documents : {&shipped.roles, &shipped.bindings}) {
    if (kind.group != "core" || kind.name != (documents == &shipped.roles ? "Role" : "RoleBinding")) continue;
    for (const auto& document : *documents) {
      if (document.string_at({"metadata", "name"}) != meta.name) continue;
      FieldErrors errors;
      const auto fresh = kind.decode(kind, document, Form::create, errors);
      if (!fresh) return false;
      fresh->keep_stored(stored);
      return fresh->equals(stored);
    }
  }
  return false;
}

std::vector<Reference> references(const BootstrapObject& object) {
  return references_of(object.kind->name, object.object->meta().namespace_.value_or(""), document_of(*object.object));
}

// Fills transactions up to the store's limits.
class Batches {
 public:
  explicit Batches(std::vector<BootstrapBatch>& out) : out_(out) {}
  void add(BootstrapWrite write, store::Guard guard, store::Put put) {
    const std::size_t bytes = guard.key.size() + put.key.size() + put.value->size();
    if (out_.empty() || operations_ + 2 > store::kMaxTxnOperations || bytes_ + bytes > store::kMaxTxnBytes) {
      out_.emplace_back();
      operations_ = bytes_ = 0;
    }
    operations_ += 2;
    bytes_ += bytes;
    out_.back().txn.guards.push_back(std::move(guard));
    out_.back().txn.puts.push_back(std::move(put));
    out_.back().writes.push_back(write);
  }

 private:
  std::vector<BootstrapBatch>& out_;
  std::size_t operations_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

std::string identify(const Kind& kind, const ObjectMeta& meta) {
  return fmt::format("{}(api='{}', namespace='{}', name='{}')", kind.name, kind.group,
                     named(meta.namespace_.value_or("")), meta.name);
}

BootstrapInput read_bootstrap(const std::vector<BootstrapFile>& files, const Registry& registry) {
  BootstrapInput out;
  FileReader reader(registry, out);
  for (const auto& file : files) reader.read(file);
  return out;
}

BootstrapStep decide(const BootstrapObject& wanted, const std::string* stored, Present present,
                     const BootstrapStamp& stamp) {
  using Action = BootstrapStep::Action;
  if (!stored) return made(wanted, stamp, Action::create);
  FieldErrors errors;
  const auto value = json::parse(*stored);
  const auto before = value ? wanted.kind->decode(*wanted.kind, *value, Form::stored, errors) : nullptr;
  const bool takes_over = present == Present::replace || (before && is_as_shipped(*wanted.kind, *before));
  if (present == Present::refuse_any && !takes_over) return refuse("Resource already present in database");
  if (!before) {
    if (takes_over) return made(wanted, stamp, Action::replace);
    return refuse("Resource already present in database, with a value that cannot be read; --force replaces it");
  }
  auto merged = wanted.object->clone();
  merged->keep_stored(*before);
  if (!wanted.finalizers) merged->meta().finalizers = before->meta().finalizers;
  if (!wanted.owners) merged->meta().owners = before->meta().owners;
  if (merged->equals(*before)) return {.action = Action::unchanged};
  if (!takes_over) return refuse("Resource already present in database, and different; --force replaces it in place");
  merged->meta().modified = later_than(stamp.now, before->meta().modified);
  return {.action = Action::replace, .object = std::move(merged)};
}

BootstrapPlan plan_bootstrap(const std::vector<BootstrapObject>& objects,
                             const std::map<std::string, store::Entry>& stored, const std::vector<std::size_t>& done,
                             Present present, Wall now, const std::function<std::string()>& uid) {
  BootstrapPlan plan;
  Batches batches(plan.batches);
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (std::ranges::find(done, i) != done.end()) continue;
    const auto& wanted = objects[i];
    const auto it = stored.find(wanted.key);
    const auto* entry = it == stored.end() ? nullptr : &it->second;
    const auto step = decide(wanted, entry ? entry->value.get() : nullptr, present, {uid(), now});
    if (step.action == BootstrapStep::Action::unchanged) {
      plan.unchanged.push_back(i);
      continue;
    }
    const auto problem = [&](std::string why) {
      plan.problems.push_back(
          {wanted.file, identify(*wanted.kind, wanted.object->meta()), fmt::format("{} ({})", why, wanted.place)});
    };
    if (step.action == BootstrapStep::Action::refuse) {
      problem(step.why);
      continue;
    }
    auto bytes = std::make_shared<std::string>();
    step.object->encode(*bytes);
    if (2 * wanted.key.size() + bytes->size() > store::kMaxTxnBytes) {
      problem(fmt::format("it has {} bytes, a store takes {} at most", bytes->size(), store::kMaxTxnBytes));
      continue;
    }
    batches.add({i, entry != nullptr},
                entry ? store::Guard::modified_at(wanted.key, entry->modified) : store::Guard::absent(wanted.key),
                {wanted.key, std::move(bytes)});
  }
  if (!plan.problems.empty()) plan.batches.clear();
  return plan;
}

std::vector<NamedObject> named_objects(const std::vector<BootstrapObject>& objects, const Registry& registry) {
  std::map<std::string, NamedObject> found;
  for (const auto& object : objects) {
    for (auto& reference : references(object)) {
      const auto* kind = registry.find_by_kind(reference.api, reference.kind);
      if (!kind || reference.name.empty()) continue;
      NamedObject named{kind, std::move(reference.ns), std::move(reference.name)};
      found.emplace(named.key(), named);
    }
  }
  for (const auto& object : objects) found.erase(object.key);
  std::vector<NamedObject> all;
  for (auto& [key, named] : found) all.push_back(std::move(named));
  return all;
}

std::vector<std::string> dangling_references(const std::vector<BootstrapObject>& objects, const Registry& registry,
                                             const std::set<std::string>& missing) {
  std::vector<std::string> warnings;
  for (const auto& object : objects) {
    for (const auto& reference : references(object)) {
      const auto* kind = registry.find_by_kind(reference.api, reference.kind);
      if (!kind || !missing.contains(kind->storage_key(reference.ns, reference.name))) continue;
      warnings.push_back(fmt::format("{}: {} names {}, which is not there ({})", reference.path,
                                     identify(*object.kind, object.object->meta()), to_string(reference),
                                     object.place));
    }
  }
  return warnings;
}

}  // namespace krake
