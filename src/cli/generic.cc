// The verbs that are the same for all kinds.
#include "cli/commands.h"

namespace krake::cli {

Awaitable<Outcome<int>> list_objects(Session& session) {
  const std::string target = session.args().has("--all") ? session.kind().collection_path("") : session.collection();
  auto answer = co_await session.call(
      {.target = target, .subject = {&session.kind(), session.args().has("--all") ? "" : session.ns(), ""}});
  if (!answer) co_return stop(std::move(answer).error());
  session.show_list(*answer);
  co_return 0;
}

Awaitable<Outcome<int>> get_object(Session& session) {
  auto object = co_await session.call({.target = session.item(), .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  session.show(*object, View::full);
  co_return 0;
}

Awaitable<Outcome<int>> delete_object(Session& session) {
  auto object = co_await session.call({.method = "DELETE", .target = session.item(), .subject = session.subject()});
  if (!object) co_return stop(std::move(object).error());
  session.show(*object);
  co_return 0;
}

// The version of krakectl is known without a server.
Awaitable<Outcome<int>> show_version(Session& session) {
  json::Value document = json::Object{{"krakectl", KRAKE_VERSION}};
  auto answer = co_await session.call({.target = "/"});
  if (answer) {
    document.if_object()->set("api", answer->string_at({"version"}));
    document.if_object()->set("api_url", session.config().endpoint.url);
  }
  session.show_document(document);
  if (!answer) co_return stop(std::move(answer).error());
  co_return 0;
}

Awaitable<Outcome<int>> show_whoami(Session& session) {
  auto answer = co_await session.call({.target = "/me"});
  if (!answer) co_return stop(std::move(answer).error());
  session.show_document(*answer);
  co_return 0;
}

}  // namespace krake::cli
