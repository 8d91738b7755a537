#include "server/audit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/datetime.h"
#include "base/json.h"
#include "base/names.h"
#include "meta/object.h"

namespace krake::server {

namespace {

// Bytes of the line.
constexpr std::size_t kMaxName = 255;  // what a name may have
constexpr std::size_t kMaxText = 64;   // of what is no name, and is nowhere
constexpr std::size_t kMaxMethod = 32;

// The UTF-8 sequence that begins so, and what it takes of a line at the most.
std::pair<std::size_t, std::size_t> sizes_of(unsigned char first) {
  if (first == '"' || first == '\\') return {1, 2};
  if (first < 0x20 || first == 0x7f) return {1, 6};
  const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return {length, length};
}

// What takes `most` bytes of the line at the most. What was cut ends in dots, as no object's name does.
std::string shortened(std::string_view text, std::size_t most) {
  constexpr std::string_view dots = "...";
  std::string whole = json::to_utf8(text.substr(0, most + 1));
  std::size_t kept = 0;
  std::size_t printed = 0;
  for (std::size_t i = 0; i < whole.size();) {
    const auto [length, size] = sizes_of(static_cast<unsigned char>(whole[i]));
    i += length;
    printed += size;
    if (printed + dots.size() <= most) kept = i;
    if (printed > most) return whole.replace(kept, std::string::npos, dots);
  }
  return whole;
}

std::string shown_name(const Answered& answered, std::string_view name) {
  return shortened(name, valid_resource_name(name) && !is_a_strangers(answered) ? kMaxName : kMaxText);
}

// Or asks in vain for another's, as who stands by does each second.
bool renews_lease(const Answered& answered) {
  if (answered.operation != Operation::lease_acquire || answered.revision != 0 || answered.may_be_done) return false;
  return answered.status == 200 || answered.status == 409 || answered.status == 0;
}

}  // namespace

bool is_audited(const AuditOptions& options, const ServerRequest& request, const Answered& answered) {
  if (!options.sink || request.method == "OPTIONS") return false;
  if (options.reads) return true;
  if (answered.status == 401 || answered.status == 403) return true;
  const bool writes = answered.verb == "create" || answered.verb == "update" || answered.verb == "delete";
  return writes && answered.status != 429 && !renews_lease(answered);
}

bool is_a_strangers(const Answered& answered) {
  if (answered.user.empty()) return true;
  const bool done = answered.revision != 0 || (answered.status >= 200 && answered.status < 400) || answered.may_be_done;
  return answered.user == kAnonymous && (answered.verb.empty() || !done);
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
  json::Object line{
      {"time", to_string(DateTime::from_wall(now))},      {"id", shortened(answered.request_id, kMaxText)},
      {"user", shortened(answered.user, kMaxName)},       {"address", shortened(request.peer.address, kMaxText)},
      {"method", shortened(request.method, kMaxMethod)},  {"verb", answered.verb},
      {"api", answered.kind ? answered.kind->group : ""}, {"resource", resource_of(answered)},
      {"namespace", shown_name(answered, answered.ns)},   {"name", shown_name(answered, answered.name)}};
  if (answered.forced) line.set("forced", true);
  line.set("outcome", outcome_of(answered));
  line.set("status", answered.status);
  if (answered.revision != 0) line.set("revision", std::to_string(answered.revision));
  return json::print(std::move(line));
}

std::string counted_line(std::string line, std::uint64_t count) {
  if (count == 1) return line;
  line.pop_back();
  return line + fmt::format(R"(,"count":{}}})", count);
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

Audit::~Audit() { tell_counted(); }

void Audit::record(const ServerRequest& request, const Answered& answered) {
  if (!is_audited(options_, request, answered)) return;
  if (pausing_ && is_a_strangers(answered)) {
    if (++counted_ == 1) example_ = audit_line(clock_.wall(), request, answered);
    return;
  }
  options_.sink->write(audit_line(clock_.wall(), request, answered));
  if (is_a_strangers(answered)) begin_pause();
}

void Audit::tell_counted() {
  if (counted_ > 0) options_.sink->write(counted_line(std::move(example_), counted_));
  counted_ = 0;
}

void Audit::begin_pause() {
  pausing_ = true;
  pause_ = clock_.at(clock_.now() + kStrangersPause, [this] {
    pausing_ = false;
    if (counted_ == 0) return;
    tell_counted();
    begin_pause();
  });
}

}  // namespace krake::server
