#include "server/authn/key_source.h"

#include <fmt/format.h>
#include <prometheus/counter.h>

#include <algorithm>

#include "base/json.h"
#include "net/url.h"

namespace krake::server {

namespace {
constexpr std::size_t kBodyLimit = 262'144;
constexpr Duration kFailurePause = std::chrono::seconds(1);  // the first; it doubles up to unknown_key_pause

bool is_https(std::string_view url) { return url.starts_with("https://"); }

std::string ids_of(const access::Keys& keys) {
  std::string ids;
  for (const auto& key : keys) ids += key.id() + "\n";
  return ids;
}
}  // namespace

Result<std::pair<std::string, std::string>> split_target(const std::string& url) {
  const auto authority = url.find("://");
  const auto slash = authority == std::string::npos ? authority : url.find('/', authority + 3);
  auto origin = url.substr(0, slash);
  RETURN_IF_ERROR(parse_url(origin));
  auto target = slash == std::string::npos ? std::string("/") : url.substr(slash);
  if (target.find_first_of("# \t\r\n") != std::string::npos)
    return fail(Code::invalid_argument, fmt::format("'{}': no fragment or blank may be in it", url));
  return std::pair(std::move(origin), std::move(target));
}

// Under way until it is destroyed, however that comes.
struct KeySource::Flight {
  explicit Flight(KeySource& the_owner) : owner(the_owner) {}
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  ~Flight() {
    owner.in_flight_ = false;
    owner.landed_.notify_all();
  }
  KeySource& owner;
};

KeySource::KeySource(Env& env, const IdentityOptions& options, std::function<void()> on_change)
    : env_(env),
      options_(*options.oidc),
      dialer_(*options.dialer),
      ca_pem_(options.ca_pem),
      timeout_(options.timeout),
      on_change_(std::move(on_change)),
      landed_(env.executor),
      tasks_(env.executor) {}

Status KeySource::check() const {
  const auto& address = options_.jwks_uri.empty() ? options_.rules.issuer : options_.jwks_uri;
  ASSIGN_OR_RETURN(const auto parts, split_target(address));
  RETURN_IF_ERROR(dialer_.dial({.url = parts.first, .ca_pem = ca_pem_}));
  return {};
}

const access::Keys* KeySource::keys() {
  if (!keys_) return nullptr;
  if (old() && worth_asking()) begin();
  return env_.clock.now() - fetched_ < options_.stale_limit ? &*keys_ : nullptr;
}

bool KeySource::old() const { return keys_ && env_.clock.now() - fetched_ >= options_.refresh; }

// While the provider fails nobody waits for it.
bool KeySource::due() const { return old() && !failing(); }

Duration KeySource::pause() const {
  if (failures_ == 0) return options_.unknown_key_pause;
  Duration pause = kFailurePause;
  for (int i = 1; i < failures_ && pause < options_.unknown_key_pause; ++i) pause *= 2;
  return std::min(pause, options_.unknown_key_pause);
}

bool KeySource::worth_asking() const {
  if (in_flight_ || !tried_) return true;
  return env_.clock.now() - *tried_ >= pause();
}

Awaitable<void> KeySource::stop() {
  stopped_ = true;
  co_await tasks_.stop();
  in_flight_ = false;  // also when it had not begun
  landed_.notify_all();
}

void KeySource::begin() {
  if (in_flight_ || stopped_) return;
  in_flight_ = true;
  tried_ = env_.clock.now();
  tasks_.spawn("fetch signing keys", run());
}

Awaitable<void> KeySource::fetch() {
  begin();
  while (in_flight_) co_await landed_.wait();
}

Awaitable<void> KeySource::run() {
  const Flight flight(*this);
  auto answer = co_await ask();
  tried_ = env_.clock.now();
  take(std::move(answer));
}

void KeySource::take(Result<access::Keys> answer) {
  if (answer && answer->empty()) answer = fail(Code::unavailable, "there is no key for signatures among them");
  env_.metrics
      .counter("krake_authentication_questions_total", "Questions to identity services, by outcome.",
               {{"service", "oidc"}, {"outcome", answer ? "accepted" : "unavailable"}})
      .Increment();
  const bool failed_before = failures_ > 0;
  failures_ = answer ? 0 : failures_ + 1;
  if (!answer) {
    if (!failed_before) {
      env_.log.warning("the signing keys of the OpenID provider cannot be fetched",
                       {{"issuer", options_.rules.issuer}, {"why", answer.error().message}});
    }
    return;
  }
  if (failed_before) env_.log.info("the signing keys can be fetched again", {{"issuer", options_.rules.issuer}});
  auto fingerprint = ids_of(*answer);
  const bool changed = keys_ && fingerprint != fingerprint_;
  fingerprint_ = std::move(fingerprint);
  keys_ = std::move(*answer);
  fetched_ = env_.clock.now();
  if (changed) on_change_();
}

Awaitable<Result<access::Keys>> KeySource::ask() const {
  std::string address = options_.jwks_uri;
  if (address.empty()) {
    ASSIGN_OR_CO_RETURN(address, co_await discover());
  }
  ASSIGN_OR_CO_RETURN(const auto answer, co_await get(std::move(address)));
  co_return access::parse_jwks(answer.body);
}

Awaitable<Result<HttpResponse>> KeySource::get(std::string url) const {
  ASSIGN_OR_CO_RETURN(auto parts, split_target(url));
  ASSIGN_OR_CO_RETURN(const auto transport, dialer_.dial({.url = std::move(parts.first), .ca_pem = ca_pem_}));
  HttpRequest request{.target = std::move(parts.second), .headers = {{"Accept", "application/json"}}};
  auto answer = co_await transport->send(std::move(request), {.timeout = timeout_, .body_limit = kBodyLimit});
  if (answer && answer->status != 200)
    co_return fail(Code::unavailable, fmt::format("{} answers HTTP {}", url, answer->status));
  co_return answer;
}

Awaitable<Result<std::string>> KeySource::discover() const {
  std::string issuer = options_.rules.issuer;
  while (issuer.ends_with('/')) issuer.pop_back();
  ASSIGN_OR_CO_RETURN(const auto answer, co_await get(issuer + "/.well-known/openid-configuration"));
  const auto document = json::parse(answer.body);
  if (!document) co_return fail(Code::unavailable, "the discovery document is not JSON");
  if (document->string_at({"issuer"}) != options_.rules.issuer) {
    co_return fail(Code::unavailable, fmt::format("the discovery document is of the issuer '{}', not of '{}'",
                                                  document->string_at({"issuer"}), options_.rules.issuer));
  }
  std::string address(document->string_at({"jwks_uri"}));
  if (is_https(options_.rules.issuer) && !is_https(address))
    co_return fail(Code::unavailable, fmt::format("the discovery document wants keys from '{}', without TLS", address));
  co_return address;
}

}  // namespace krake::server
