// auth: who one is, and what one may do.
#include "cli/commands.h"

namespace krake::cli {

namespace {

std::string shown(const json::Value& list) {
  std::string text;
  if (const auto* array = list.if_array()) {
    for (const auto& item : *array) {
      const auto* word = item.if_string();
      text += (text.empty() ? "" : ", ") + (!word || word->empty() ? std::string("(all)") : *word);
    }
  }
  return text;
}

Awaitable<Outcome<int>> list_rules(Session& session) {
  auto answer = co_await session.call({.target = "/me/rules"});
  if (!answer) co_return stop(std::move(answer).error());
  if (session.structured()) {
    session.show_document(*answer);
    co_return 0;
  }
  std::vector<std::vector<std::string>> rows;
  if (const auto* rules = answer->at_path({"rules"}); rules && rules->is_array()) {
    for (const auto& rule : *rules->if_array()) {
      const auto part = [&](std::string_view name) {
        const auto* found = rule.at_path({name});
        return found ? shown(*found) : std::string();
      };
      const auto api = rule.string_at({"api"});
      rows.push_back({api.empty() ? "(all)" : std::string(api), part("resources"), part("namespaces"), part("verbs")});
    }
  }
  session.io().out(list_table({"api", "resources", "namespaces", "verbs"}, rows, session.table_options()));
  co_return 0;
}

}  // namespace

Awaitable<Outcome<int>> show_whoami(Session& session) {
  auto answer = co_await session.call({.target = "/me"});
  if (!answer) co_return stop(std::move(answer).error());
  session.show_document(*answer);
  co_return 0;
}

// yes and 0, or no and 1.
Awaitable<Outcome<int>> can_i(Session& session) {
  const auto& args = session.args();
  if (args.has("--list")) co_return co_await list_rules(session);
  if (args.names.size() < 2) co_return stop(session.usage("give a verb and a resource, or --list"));
  json::Object question{{"verb", args.names[0]}, {"resource", args.names[1]}};
  // kubernetes/applications/status: the group may stand before.
  const auto parts = args.names[1].find('/');
  for (const std::string_view group : {"core", "kubernetes", "infrastructure", "openstack"}) {
    if (parts == std::string::npos || args.names[1].substr(0, parts) != group) continue;
    question.set("api", group);
    question.set("resource", args.names[1].substr(parts + 1));
  }
  if (args.names.size() > 2) question.set("name", args.names[2]);
  if (!args.has("--all")) question.set("namespace", args.one_or("--namespace", session.config().user));
  auto answer = co_await session.call({.method = "POST", .target = "/me/access", .body = std::move(question)});
  if (!answer) co_return stop(std::move(answer).error());
  const auto* allowed = answer->at_path({"allowed"});
  const bool yes = allowed && allowed->if_bool() && *allowed->if_bool();
  if (session.structured()) {
    session.show_document(*answer);
  } else {
    session.io().out(yes ? "yes\n" : "no\n");
  }
  co_return yes ? 0 : 1;
}

}  // namespace krake::cli
