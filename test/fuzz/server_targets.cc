// What the server makes of what a request holds: lines of the audit log, places in a list.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "api/registry.h"
#include "base/encoding.h"
#include "base/names.h"
#include "fuzz.h"
#include "server/audit.h"
#include "server/testing.h"

namespace krake::fuzz {

namespace {

constexpr int kRoles = 3;

// A place in a list of so many, as text.
bool is_a_place(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return false;
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
  return text.empty() || (text.size() == 1 && text.front() <= '0' + kRoles);
}

std::string names_of(const json::Value& list) {
  std::string names;
  const auto* items = list.at_path({"items"});
  MUST(items && items->if_array());
  for (const auto& item : *items->if_array()) names += std::string(item.string_at({"metadata", "name"})) + " ";
  return names;
}

}  // namespace

// Whatever is in a request: one line, which is JSON to everybody, and not longer than is promised.
void audit(std::string_view bytes) {
  const auto [user, text] = split<2>(bytes, '\n');
  const std::string any(text);
  const ServerRequest request{
      .method = any, .target = "/", .headers = {{"X-Request-Id", any}}, .peer = {.common_name = {}, .address = any}};
  Random random(1);
  server::Answered answered{.kind = &krake_registry().get("core", "Role"),
                            .operation = server::Operation::update,
                            .verb = "update",
                            .user = std::string(user),
                            .status = 403,
                            .request_id = server::request_id(request.headers, random),
                            .ns = any,
                            .name = any,
                            .revision = INT64_MAX,
                            .forced = true};
  MUST(valid_resource_name(answered.request_id) || answered.request_id == text, answered.request_id);
  const bool stranger = server::is_a_strangers(answered);
  const auto now = Wall(std::chrono::seconds(1'780'000'000));
  const auto line = server::counted_line(server::audit_line(now, request, answered), UINT64_MAX);
  MUST(line.size() <= (stranger ? server::kMaxStrangersLine : server::kMaxAuditLine), line);
  MUST(json::valid_utf8(line), line);
  MUST(std::ranges::none_of(line, [](unsigned char c) { return c < 0x20 || c == 0x7f; }), line);
  const auto record = json::parse(line);
  MUST(record && record->is_object(), line);
  MUST(json::print(*record) == line, line);
  const bool whole = record->string_at({"name"}) == text && record->string_at({"namespace"}) == text;
  MUST(whole || stranger || !valid_resource_name(text), line);
}

// Only what was given out, for the question it was given out for, is a place in a list. "{token}" stands for it.
void list_token(std::string_view bytes) {
  testing::TestServer server;
  for (int i = 0; i < kRoles; ++i)
    server.call("POST", "/core/roles", fmt::format(R"({{"metadata":{{"name":"r{}"}},"rules":[]}})", i));
  const auto first = server.get("/core/roles?limit=1");
  const std::string given(first.string_at({"metadata", "continue"}));
  MUST(names_of(first) == "r0 " && given.ends_with(".1"), given);
  const auto token = given.substr(0, given.size() - 2);

  constexpr std::string_view mark = "{token}";
  std::string text(bytes);
  if (const auto at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), token);
  const auto query = fmt::format("?limit=1&continue={}", percent_encode(text));
  const bool good = text.starts_with(token + ".") && is_a_place(std::string_view(text).substr(token.size() + 1));
  MUST(server.call("GET", "/core/rolebindings" + query).status == 410);
  const auto answer = server.call("GET", "/core/roles" + query);
  MUST(answer.status == (good ? 200 : 410), fmt::format("{}: {}", answer.status, answer.body));
  if (good) {
    const int at = text.back() - '0';
    MUST(names_of(server.body_of(answer)) == (at < kRoles ? fmt::format("r{} ", at) : ""), answer.body);
  } else {
    MUST(names_of(server.get("/core/roles?limit=1&continue=" + given)) == "r1 ");
  }
}

}  // namespace krake::fuzz
