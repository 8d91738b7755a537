#include "sim/removals.h"

namespace krake::sim {

Removals::Id Removals::asked(const std::string& key, Revision newest) {
  auto& asks = asks_[key];
  asks.push_back({.after = newest});
  return {key, asks.size() - 1};
}

void Removals::carried_out(const Id& id, Revision at) {
  ask(id).until = at;
  ask(id).certain = true;
}

void Removals::refused(const Id& id) { ask(id).until = ask(id).after; }

void Removals::unanswered(const Id& id, Revision newest) { ask(id).until = newest; }

void Removals::abandoned(const Id& id) { abandoned_.push_back(id); }

void Removals::seen(Revision newest) {
  for (const auto& id : std::exchange(abandoned_, {})) unanswered(id, newest);
}

Known Removals::of(const std::string& key, Revision revision) const {
  const auto it = asks_.find(key);
  if (it == asks_.end()) return Known::no;
  Known answer = Known::no;
  for (const auto& ask : it->second) {
    if (ask.certain && ask.until == revision) return Known::yes;
    if (!ask.certain && ask.after < revision && (!ask.until || revision <= *ask.until)) answer = Known::maybe;
  }
  return answer;
}

}  // namespace krake::sim
