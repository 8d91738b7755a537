#include "meta/kind.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/encoding.h"
#include "base/names.h"

namespace krake {

std::string Kind::storage_prefix() const { return fmt::format("/{}/{}/", group, plural); }

std::string Kind::storage_key(std::string_view ns, std::string_view object_name) const {
  return namespaced ? fmt::format("/{}/{}/{}/{}", group, plural, ns, object_name)
                    : fmt::format("/{}/{}/{}", group, plural, object_name);
}

bool Kind::split_key(std::string_view key, std::string& ns, std::string& object_name) const {
  const auto part = [](std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("._:-").find(c) != std::string_view::npos;
    });
  };
  const auto prefix = storage_prefix();
  if (!key.starts_with(prefix)) return false;
  key.remove_prefix(prefix.size());
  ns.clear();
  if (namespaced) {
    const auto slash = key.find('/');
    if (slash == std::string_view::npos) return false;
    ns = key.substr(0, slash);
    key.remove_prefix(slash + 1);
    if (!part(ns)) return false;
  }
  object_name = key;
  return part(key);
}

std::string Kind::collection_path(std::string_view ns) const {
  return namespaced && !ns.empty() ? fmt::format("/{}/namespaces/{}/{}", group, percent_encode(ns), plural)
                                   : fmt::format("/{}/{}", group, plural);
}

std::string Kind::item_path(std::string_view ns, std::string_view object_name) const {
  return collection_path(ns) + "/" + percent_encode(object_name);
}

ResourceRef Kind::ref(const ObjectMeta& meta) const {
  return {std::string(group), meta.namespace_, std::string(name), meta.name};
}

std::string describe(const Kind& kind, const ObjectMeta& meta) {
  return kind.namespaced ? fmt::format("{} '{}' in namespace '{}'", kind.name, meta.name, meta.namespace_.value_or(""))
                         : fmt::format("{} '{}'", kind.name, meta.name);
}

const Kind& Registry::add(Kind kind) {
  CHECK(!find(kind.group, kind.plural) && !find_by_kind(kind.group, kind.name), "a kind is registered once");
  CHECK(kind.decode != nullptr && kind.schema != nullptr, kind.name);
  kinds_.push_back(std::make_unique<const Kind>(std::move(kind)));
  return *kinds_.back();
}

const Kind* Registry::find(std::string_view group, std::string_view plural) const {
  for (const auto& kind : kinds_) {
    if (kind->group == group && kind->plural == plural) return kind.get();
  }
  return nullptr;
}

const Kind* Registry::find_by_kind(std::string_view group, std::string_view name) const {
  for (const auto& kind : kinds_) {
    if (kind->group == group && kind->name == name) return kind.get();
  }
  return nullptr;
}

const Kind& Registry::get(std::string_view group, std::string_view name) const {
  const auto* kind = find_by_kind(group, name);
  CHECK(kind != nullptr, name);
  return *kind;
}

}  // namespace krake
