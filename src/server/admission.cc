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

std::optional<Pool::Share> Pool::take(Priority priority, std::size_t amount) {
  if (used() + amount > share_of(limit_, priority)) {
    ++refused_[static_cast<std::size_t>(priority)];
    return std::nullopt;
  }
  return Share(used_, priority, static_cast<std::int64_t>(amount));
}

}  // namespace krake::server
