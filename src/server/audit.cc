#include "server/audit.h"

#include "base/datetime.h"
#include "base/json.h"

namespace krake::server {

namespace {

constexpr std::size_t kMaxText = 255;  // of a name; paths may hold longer ones, which exist nowhere

std::string shortened(std::string_view text) {
  return std::string(text.size() <= kMaxText ? text : text.substr(0, kMaxText));
}

// Or asks in vain for another's, as who stands by does each second.
bool renews_lease(const Answered& answered) {
  if (answered.operation != Operation::lease_acquire || answered.revision != 0 || answered.may_be_done) return false;
  return answered.status == 200 || answered.status == 409 || answered.status == 0;
}

}  // namespace

bool is_audited(const AuditOptions& options, const Answered& answered) {
  if (!options.sink) return false;
  if (options.reads) return true;
  if (answered.status == 401 || answered.status == 403) return true;
  const bool writes = answered.verb == "create" || answered.verb == "update" || answered.verb == "delete";
  return writes && answered.status != 429 && !renews_lease(answered);
}

std::string_view outcome_of(const Answered& answered) {
  const int status = answered.status;
  if (status == 401 || status == 403) return "refused";
  if (status >= 400 && status < 500) return "rejected";
  if (answered.revision != 0 || (status != 0 && status < 400)) return "done";
  if (answered.may_be_done) return "unknown";
  return status == 0 ? "abandoned" : "failed";
}

std::string audit_line(Wall now, const ServerRequest& request, const Answered& answered) {
  json::Object line{{"time", to_string(DateTime::from_wall(now))},
                    {"id", answered.request_id},
                    {"user", shortened(answered.user)},
                    {"address", request.peer.address},
                    {"method", shortened(request.method)},
                    {"verb", answered.verb},
                    {"api", answered.kind ? answered.kind->group : ""},
                    {"resource", resource_of(answered)},
                    {"namespace", shortened(answered.ns)},
                    {"name", shortened(answered.name)}};
  if (answered.forced) line.set("forced", true);
  line.set("outcome", outcome_of(answered));
  line.set("status", answered.status);
  if (answered.revision != 0) line.set("revision", std::to_string(answered.revision));
  return json::print(std::move(line));
}

std::string dropped_line(std::uint64_t dropped) { return fmt::format(R"({{"dropped":{}}})", dropped); }

std::string request_id(const Headers& headers, Random& random) {
  constexpr std::size_t longest = 64;
  if (const auto given = headers.get("X-Request-Id"); given && !given->empty() && given->size() <= longest) {
    const bool plain = std::ranges::all_of(*given, [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == ':';
    });
    if (plain) return std::string(*given);
  }
  return random.uuid4();
}

}  // namespace krake::server
