// krakectl explain, krakectl api-resources: from the document of the API itself, else from what krakectl was built
// with.
#include "api/field_texts.h"
#include "api/registry.h"
#include "cli/commands.h"
#include "cli/schema_view.h"
#include "meta/kind_schema.h"

namespace krake::cli {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// What upstream's API has of the kinds that krakectl knows.
json::Object upstream_schemas() {
  auto all = schema::schemas_of(krake_registry(), field_texts());
  json::Object schemas;
  for (auto& [name, schema] : all) {
    auto* object = schema.if_object();
    auto* about = object ? object->find("x-krake-kind") : nullptr;
    if (about) {
      const auto& kind = krake_registry().get(about->string_at({"group"}), about->string_at({"kind"}));
      if (kind.leased) continue;
      std::erase(about->make_object()["verbs"].make_array(), json::Value("patch"));
    }
    schemas.append(name, std::move(schema));
  }
  return schemas;
}

Awaitable<Outcome<json::Object>> schemas_of(Session& session) {
  auto document = co_await session.call({.target = "/openapi.json"});
  if (!document) {
    if (document.error().http_status != 404) co_return stop(std::move(document).error());
    session.note("The API does not describe itself: this is what krakectl knows of it.");
    co_return upstream_schemas();
  }
  const auto* schemas = document->at_path({"components", "schemas"});
  if (!schemas || !schemas->if_object()) {
    co_return stop(
        fmt::format("GET {}/openapi.json: there are no schemas in the answer", session.config().endpoint.url),
        "is this a Krake API? check api_url");
  }
  co_return *schemas->if_object();
}

// The words by which commands know the kind and its group, beside its names in the API.
struct Words {
  std::vector<std::string> group;
  std::vector<std::string> kind;
};
Words words_of(const KindInfo& kind) {
  Words words{.group = {kind.group}, .kind = {lower(kind.kind), kind.plural}};
  const auto add = [](std::vector<std::string>& to, const Level& level) {
    for (const auto word : level.words) {
      if (std::ranges::find(to, word) == to.end()) to.emplace_back(word);
    }
  };
  for (const auto& command : all_commands()) {
    if (!command.kind || command.kind->group != kind.group || command.kind->name != kind.kind) continue;
    add(words.group, command.syntax.path[0]);
    add(words.kind, command.syntax.path[1]);
  }
  return words;
}

// By "app", or by "kube app".
Outcome<KindInfo> find_kind(const std::vector<KindInfo>& kinds, const std::string& group, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& kind : kinds) {
    const auto words = words_of(kind);
    if (!group.empty() && std::ranges::find(words.group, lower(group)) == words.group.end()) continue;
    if (std::ranges::find(words.kind, lower(name)) != words.kind.end()) return kind;
    known.insert(known.end(), words.kind.begin(), words.kind.end());
  }
  const std::vector<std::string_view> near(known.begin(), known.end());
  return stop(fmt::format("there is no kind '{}'{}{}", name, group.empty() ? "" : fmt::format(" in '{}'", group),
                          suggestion(lower(name), near)),
              "krakectl api-resources shows all kinds");
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const auto dot = text.find('.');
    parts.emplace_back(text.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

Awaitable<Outcome<int>> explain(Session& session) {
  const auto& given = session.args().names;
  if (given.empty()) co_return stop(session.usage("KIND.FIELD", "say what is to be explained, like app.spec"));
  CO_TRY(const auto schemas, co_await schemas_of(session));
  auto path = split(given.back());
  if (path.size() > 1 && path.back().empty()) path.pop_back();  // "app."
  const std::string name = path.front();
  path.erase(path.begin());
  CO_TRY(const auto kind, find_kind(kinds_of(schemas), given.size() > 1 ? given.front() : "", name));
  CO_TRY(const auto explanation, explain_field(schemas, kind, path));
  session.show_text(text_of(explanation, session.io().out_is_terminal ? session.io().width : 0),
                    document_of(explanation));
  co_return 0;
}

Awaitable<Outcome<int>> show_api_resources(Session& session) {
  CO_TRY(const auto schemas, co_await schemas_of(session));
  std::vector<std::vector<std::string>> rows;
  json::Array document;
  for (const auto& kind : kinds_of(schemas)) {
    auto short_names = words_of(kind).kind;
    std::erase(short_names, lower(kind.kind));
    std::erase(short_names, kind.plural);
    std::erase_if(short_names, [&](const auto& word) { return word.size() >= kind.kind.size(); });
    json::Array names, verbs, subresources;
    for (const auto& word : short_names) names.emplace_back(word);
    for (const auto& verb : kind.verbs) verbs.emplace_back(verb);
    for (const auto& sub : kind.subresources) subresources.emplace_back(sub);
    rows.push_back({kind.plural, fmt::format("{}", fmt::join(short_names, ",")), kind.group,
                    kind.namespaced ? "true" : "false", kind.kind, fmt::format("{}", fmt::join(kind.verbs, ","))});
    document.emplace_back(json::Object{{"name", kind.plural},
                                       {"shortNames", std::move(names)},
                                       {"group", kind.group},
                                       {"namespaced", kind.namespaced},
                                       {"kind", kind.kind},
                                       {"verbs", std::move(verbs)},
                                       {"subresources", std::move(subresources)}});
  }
  session.show_table({"NAME", "SHORTNAMES", "APIGROUP", "NAMESPACED", "KIND", "VERBS"}, rows, document);
  co_return 0;
}

}  // namespace krake::cli
