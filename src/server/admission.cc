#include "server/admission.h"

#include "access/rbac.h"

namespace krake::server {

std::string_view to_string(Priority priority) {
  switch (priority) {
    case Priority::lease:
      return "lease";
    case Priority::component:
      return "component";
    case Priority::user:
      return "user";
    case Priority::bulk:
      return "bulk";
  }
  return "";
}

Priority priority_of(const Route* route, std::string_view user, bool is_watch) {
  constexpr std::string_view kOwn = "system:";
  constexpr std::string_view kAdministrator = "system:admin";  // a person, however important
  if (!route || user.empty()) return Priority::user;
  if (route->kind && route->kind->leased && route->on_object() && route->operation != Operation::read)
    return Priority::lease;
  if (user.starts_with(kOwn) && user != kAnonymous && user != kAdministrator) return Priority::component;
  return route->operation == Operation::list && !is_watch ? Priority::bulk : Priority::user;
}

std::size_t share_of(std::size_t limit, Priority priority) {
  switch (priority) {
    case Priority::lease:
      return limit;
    case Priority::component:
      return limit - limit / 20;
    case Priority::user:
      return limit - limit / 10;
    case Priority::bulk:
      return limit - limit / 10 * 4;
  }
  return 0;
}

bool Pool::Share::Used::has_room(Priority priority, std::size_t amount) {
  if (static_cast<std::size_t>(all) + amount <= share_of(limit, priority)) return true;
  ++refused[static_cast<std::size_t>(priority)];
  return false;
}

bool Pool::Share::try_resume() {
  if (!used_->has_room(priority_, static_cast<std::size_t>(amount_))) return false;
  resume();
  return true;
}

std::optional<Pool::Share> Pool::take(Priority priority, std::size_t amount) {
  if (!used_->has_room(priority, amount)) return std::nullopt;
  return Share(used_, priority, static_cast<std::int64_t>(amount));
}

}  // namespace krake::server
