#include "sim/scenario.h"

#include <algorithm>
#include <charconv>

namespace krake::sim {

namespace {

using std::chrono::milliseconds;
using Words = std::vector<std::string_view>;

struct Form {
  Fault::Verb verb;
  std::string_view name;
  bool who;
  bool what;
  bool lasts;
};
using enum Fault::Verb;
constexpr Form kForms[] = {
    {crash, "crash", true, false, true},
    {stop, "stop", true, false, true},
    {pause, "pause", true, false, true},
    {storeless, "storeless", true, false, true},
    {compact, "compact", false, false, false},
    {partition, "partition", true, true, true},
    {cut, "cut", true, true, true},
    {cluster, "cluster", true, true, true},
    {forget, "forget", true, false, false},
    {watches, "watches", true, false, false},
    {jump, "jump", true, true, true},
};
static_assert(std::size(kForms) == static_cast<std::size_t>(jump) + 1);

// What comes before its time.
std::string_view link_of(Fault::Verb verb) { return verb == jump ? "by" : "for"; }

Words split(std::string_view line) {
  Words words;
  std::size_t begin = 0;
  while ((begin = line.find_first_not_of(" \t\r", begin)) != std::string_view::npos) {
    const auto end = std::min(line.find_first_of(" \t\r", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || value < T{}) return std::nullopt;
  return value;
}

// "1500ms", "20s"
std::optional<Duration> duration(std::string_view text) {
  const bool ms = text.ends_with("ms");
  if (!ms && !text.ends_with('s')) return std::nullopt;
  const auto count = number<std::int64_t>(text.substr(0, text.size() - (ms ? 2 : 1)));
  if (!count || *count > 3'600'000) return std::nullopt;
  return ms ? Duration(milliseconds(*count)) : Duration(std::chrono::seconds(*count));
}
std::string text_of(Duration time) {
  return fmt::format("{}ms", std::chrono::duration_cast<milliseconds>(time).count());
}

std::unexpected<Error> wrong(std::string message) { return fail(Code::invalid_argument, std::move(message)); }

double* rate_of(Scenario& scenario, std::string_view name) {
  const std::pair<std::string_view, double*> rates[] = {
      {"krakectl", &scenario.krakectl},
      {"krakectl.killed", &scenario.killed},
      {"delay", &scenario.net.delay},
      {"lose", &scenario.net.lose},
      {"lose-answer", &scenario.net.lose_answer},
      {"cut-stream", &scenario.net.cut_stream},
      {"half-open", &scenario.net.half_open},
      {"duplicate", &scenario.net.duplicate},
      {"garble", &scenario.net.garble},
      {"repeat", &scenario.net.repeat},
      {"linger", &scenario.net.linger},
      {"store.conflict", &scenario.store.conflict},
      {"store.unavailable", &scenario.store.unavailable},
      {"store.lost-answer", &scenario.store.lost_answer},
      {"store.read-unavailable", &scenario.store.read_unavailable},
      {"store.delay", &scenario.store.delay},
      {"store.watch-cut", &scenario.store.watch_cut},
      {"store.watch-lag", &scenario.store.watch_lag},
      {"store.early-compaction", &scenario.store.early_compaction},
  };
  const auto* const it = std::ranges::find(rates, name, &std::pair<std::string_view, double*>::first);
  return it == std::end(rates) ? nullptr : it->second;
}

int* count_of(Scenario& scenario, std::string_view name) {
  const std::pair<std::string_view, int*> counts[] = {
      {"servers", &scenario.topology.servers},   {"replicas", &scenario.topology.replicas},
      {"clusters", &scenario.topology.clusters}, {"steps", &scenario.steps},
      {"applications", &scenario.applications},
  };
  const auto* const it = std::ranges::find(counts, name, &std::pair<std::string_view, int*>::first);
  return it == std::end(counts) ? nullptr : it->second;
}

Status set_faults(Scenario& scenario, std::string_view how) {
  if (how != "random" && how != "script" && how != "none")
    return wrong(fmt::format("faults are random, script or none, not '{}'", how));
  scenario.random_faults = how == "random";
  if (how == "none") {
    scenario.net = {};
    scenario.store = {};
    scenario.killed = 0;
  }
  return {};
}

Status read_line(Scenario& scenario, std::string_view line) {
  const Words words = split(line.substr(0, line.find('#')));
  if (words.empty()) return {};
  const auto is = [&](std::string_view name, std::size_t size) { return words[0] == name && words.size() == size; };
  if (words[0] == "at" && words.size() > 2) {
    const auto when = duration(words[1]);
    if (!when) return wrong(fmt::format("'{}' is no time; write 20s or 1500ms", words[1]));
    auto fault = parse_fault(std::string_view(words[2].begin(), words.back().end()));
    if (!fault) return fail(fault.error());
    scenario.script.emplace_back(*when, std::move(*fault));
    return {};
  }
  if (is("faults", 2)) return set_faults(scenario, words[1]);
  if (is("skewed", 2) && words[1] == "yes") {
    scenario.topology.skewed = true;
    return {};
  }
  if (is("rate", 3)) {
    auto* rate = rate_of(scenario, words[1]);
    const auto chance = number<double>(words[2]);
    if (!rate || !chance || *chance > 1) return wrong(fmt::format("'{}' is no rate, or not from 0 to 1", line));
    *rate = *chance;
    return {};
  }
  if (is("work", 3)) {
    const auto* const deed = std::ranges::find(kDeeds, words[1]);
    const auto weight = number<int>(words[2]);
    if (deed == std::end(kDeeds) || !weight || *weight > 1000)
      return wrong(fmt::format("'{}' is no work, or its weight not from 0 to 1000", line));
    scenario.work.at(static_cast<std::size_t>(deed - std::begin(kDeeds))) = *weight;
    return {};
  }
  if (words.size() == 2) {
    auto* count = count_of(scenario, words[0]);
    const auto value = number<int>(words[1]);
    if (count && value && *value > 0 && *value <= 1000) {
      *count = *value;
      return {};
    }
  }
  return wrong(fmt::format("'{}' says nothing known; see src/sim/scenario.h", line));
}

}  // namespace

std::string to_string(const Fault& fault) {
  const auto& form = kForms[static_cast<std::size_t>(fault.verb)];
  std::string text(form.name);
  if (form.who) text += " " + fault.who;
  if (form.what) text += " " + fault.what;
  if (fault.handlers > 0) text += fmt::format(" after {}", fault.handlers);
  if (fault.silently) text += " silently";
  if (form.lasts) text += fmt::format(" {} {}", link_of(fault.verb), text_of(fault.lasting));
  return text;
}

Result<Fault> parse_fault(std::string_view text) {
  const Words words = split(text);
  const auto* const form = words.empty() ? std::end(kForms) : std::ranges::find(kForms, words[0], &Form::name);
  if (form == std::end(kForms)) return wrong(fmt::format("'{}' is no fault; see src/sim/scenario.h", text));
  Fault fault{.verb = form->verb};
  std::size_t next = 1;
  const auto take = [&] { return next < words.size() ? words[next++] : std::string_view(); };
  const auto follows = [&](std::string_view word) { return next < words.size() && words[next] == word && ++next > 0; };
  if (form->who) fault.who = take();
  if (form->what) fault.what = take();
  if (fault.verb == crash && follows("after")) fault.handlers = number<std::uint64_t>(take()).value_or(0);
  if (fault.verb == partition || fault.verb == cut) fault.silently = follows("silently");
  std::optional<Duration> lasting;
  if (form->lasts && follows(link_of(form->verb))) lasting = duration(take());
  const bool complete = (!form->who || !fault.who.empty()) && (!form->what || !fault.what.empty());
  if (!complete || form->lasts != lasting.has_value() || next != words.size())
    return wrong(fmt::format("'{}' is not how {} is said; see src/sim/scenario.h", text, form->name));
  if (fault.verb == cluster && std::ranges::find(kClusterFaults, fault.what) == std::end(kClusterFaults))
    return wrong(fmt::format("'{}' is nothing a cluster can suffer from; see kClusterFaults", fault.what));
  if (fault.verb == jump && fault.what != "ahead" && fault.what != "back")
    return wrong(fmt::format("a clock is set ahead or back, not '{}'", fault.what));
  fault.lasting = lasting.value_or(Duration{});
  return fault;
}

NetFaults ordinary_net_faults() {
  return {.delay = 0.1,
          .max_delay = milliseconds(800),
          .lose = 0.01,
          .lose_answer = 0.01,
          .cut_stream = 0.01,
          .half_open = 0.003,
          .duplicate = 0.01};
}

store::FaultRates ordinary_store_faults() {
  store::FaultRates rates;
  rates.conflict = 0.02;
  rates.unavailable = 0.01;
  rates.lost_answer = 0.01;
  rates.read_unavailable = 0.005;
  rates.delay = 0.05;
  rates.watch_cut = 0.005;
  rates.watch_lag = 0.02;
  rates.max_lag = milliseconds(500);
  rates.early_compaction = 0.002;
  return rates;
}

namespace {

Scenario with_ordinary_faults() {
  Scenario scenario;
  scenario.net = ordinary_net_faults();
  scenario.store = ordinary_store_faults();
  scenario.killed = 0.1;
  return scenario;
}

}  // namespace

Scenario draw_scenario(Random random) {
  Scenario scenario = with_ordinary_faults();
  constexpr int kServers[] = {1, 1, 2, 2, 3};
  constexpr int kClusters[] = {1, 2, 3, 3, 3, 3, 3, 5};
  scenario.topology.servers = kServers[random.below(std::size(kServers))];
  scenario.topology.clusters = kClusters[random.below(std::size(kClusters))];
  scenario.topology.replicas = random.chance(0.4) ? 2 : 1;
  scenario.topology.skewed = random.chance(0.5);
  if (random.chance(0.3)) scenario.net.garble = 0.005;
  if (random.chance(0.3)) scenario.net.repeat = 0.02;
  if (random.chance(0.3)) scenario.net.linger = 0.01;
  return scenario;
}

Result<Scenario> parse_scenario(std::string_view text) {
  Scenario scenario = with_ordinary_faults();
  std::size_t begin = 0;
  for (int line = 1; begin < text.size(); ++line) {
    const auto end = std::min(text.find('\n', begin), text.size());
    if (auto read = read_line(scenario, text.substr(begin, end - begin)); !read)
      return fail(with_context(std::move(read).error(), fmt::format("line {}", line)));
    begin = end + 1;
  }
  return scenario;
}

}  // namespace krake::sim
