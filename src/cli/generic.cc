// The verbs that are the same for all kinds.
#include <fmt/format.h>

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

namespace {

// A lease with its epoch, which is not part of the object but of the answer.
Awaitable<Outcome<json::Value>> lease_named(Session& session, std::string name) {
  const Request request{.target = session.kind().item_path("", name), .subject = {&session.kind(), "", name}};
  auto response = co_await session.exchange(request);
  if (!response) co_return stop(std::move(response).error());
  auto lease = Session::document_of(request, *response);
  if (lease && !lease->is_object())
    co_return stop(fmt::format("GET {}: the answer is no object", request.target),
                   "is this a Krake API? check api_url");
  const auto epoch = response->headers.get("Krake-Epoch");
  if (lease && epoch) lease->if_object()->set("epoch", *epoch);
  co_return lease;
}

}  // namespace

// There are as many as there are controllers: each is asked for.
Awaitable<Outcome<int>> list_leases(Session& session) {
  auto answer = co_await session.call({.target = session.collection(), .subject = {&session.kind(), "", ""}});
  if (!answer) co_return stop(std::move(answer).error());
  auto* items = answer->is_object() ? answer->if_object()->find("items") : nullptr;
  if (items && items->is_array()) {
    for (auto& item : *items->if_array()) {
      auto lease = co_await lease_named(session, std::string(item.string_at({"metadata", "name"})));
      if (lease) item = std::move(*lease);  // else it has run out since, or nobody knows: it is shown as it was
    }
  }
  session.show_list(*answer);
  co_return 0;
}

Awaitable<Outcome<int>> get_lease(Session& session) {
  auto lease = co_await lease_named(session, session.name());
  if (!lease) co_return stop(std::move(lease).error());
  session.show(*lease, View::full);
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

}  // namespace krake::cli
