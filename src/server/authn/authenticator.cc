#include "server/authn/authenticator.h"

#include <fmt/format.h>
#include <prometheus/counter.h>

#include "base/check.h"

namespace krake::server {

namespace {

constexpr std::size_t kBodyLimit = 1'048'576;  // of an answer; Keystone's carries the catalogue of its site

std::unexpected<Problem> unauthenticated(std::string_view text) { return std::unexpected(plain_problem(401, text)); }

// Nothing was done: the same request may be sent again, also to another server.
std::unexpected<Problem> try_later(int status, std::string detail) {
  Problem problem{.status = status, .detail = std::move(detail)};
  problem.headers.add("Retry-After", "1");
  return std::unexpected(std::move(problem));
}

std::unexpected<Problem> cannot_ask(std::string_view whom) {
  return try_later(503, fmt::format("503: {} cannot be asked about the token now; try again", whom));
}

// As upstream has it. No promise that another try helps.
std::unexpected<Problem> not_understood(std::string_view whom) {
  return std::unexpected(
      Problem{.status = 500, .detail = fmt::format("500: {}'s answer about the token has no usable user name", whom)});
}

std::unexpected<Problem> too_many() { return try_later(429, plain_problem(429).detail); }
std::unexpected<Problem> server_stops() { return try_later(503, "503: the server stops"); }

struct Counted {
  explicit Counted(std::shared_ptr<std::size_t> n) : count(std::move(n)) { ++*count; }
  ~Counted() { --*count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::shared_ptr<std::size_t> count;  // whose it is may be gone before
};

}  // namespace

access::JwtRules own_token_rules() {
  return {.issuer = std::string(kOwnIssuer),
          .audiences = {std::string(kOwnIssuer)},
          .algorithms = {access::kAlgorithms.begin(), access::kAlgorithms.end()},
          .system_users = true};
}

struct Authenticator::Question {
  Question(const boost::asio::any_io_executor& executor, const Token& token)
      : raw(token.raw), bare(token.bare), digest(token.digest), settled(executor) {}
  void settle(Verdict the_verdict) {
    verdict = std::move(the_verdict);
    settled.notify_all();
  }
  std::string raw;
  std::string bare;
  Digest digest;
  std::optional<Verdict> verdict;
  Notifier settled;
};

// A question on its way: settled however that ends.
struct Authenticator::Flight {
  Flight(Authenticator& the_owner, std::shared_ptr<Question> the_question)
      : owner(the_owner), question(std::move(the_question)) {}
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  ~Flight() {
    owner.questions_.erase(question->digest);
    question->settle(std::move(verdict));
  }
  Authenticator& owner;
  std::shared_ptr<Question> question;
  Verdict verdict = server_stops();
};

Authenticator::Authenticator(Env& env, const AuthOptions& options)
    : env_(env),
      options_(options),
      own_rules_(own_token_rules()),
      cache_(options.identity.cache),
      tasks_(env.executor) {
  use_tokens(options.tokens, options.identity.own_keys, options.takes_tokens);
}

void Authenticator::use_tokens(const std::vector<std::pair<std::string, std::string>>& tokens, access::Keys own_keys,
                               bool takes_tokens) {
  Tokens now;
  for (const auto& [token, user] : tokens) now.insert_or_assign(sha256(token), user);
  const auto is_kept = [&](const auto& entry) {
    const auto found = now.find(entry.first);
    return found != now.end() && found->second == entry.second;
  };
  const auto is_key = [&](const access::Key& key) {
    return std::ranges::any_of(own_keys, [&](const auto& other) { return other.id() == key.id(); });
  };
  if (!std::ranges::all_of(tokens_, is_kept) || !std::ranges::all_of(options_.identity.own_keys, is_key)) ++generation_;
  tokens_ = std::move(now);
  options_.identity.own_keys = std::move(own_keys);
  options_.takes_tokens = takes_tokens;
  cache_.clear();
}

bool Authenticator::takes_tokens() const {
  return options_.takes_tokens || !tokens_.empty() || !options_.identity.own_keys.empty() || oidc_ ||
         !services_.empty();
}

Status Authenticator::open() {
  const auto& identity = options_.identity;
  CHECK(identity.dialer || !(identity.keystone || identity.keycloak || identity.oidc));
  const auto add = [&](ServiceKind kind, const std::string& endpoint, std::string realm) -> Status {
    auto transport = identity.dialer->dial({.url = endpoint, .ca_pem = identity.ca_pem});
    if (!transport) return fail(with_context(transport.error(), to_string(kind)));
    services_.push_back({.kind = kind, .realm = std::move(realm), .transport = std::move(*transport)});
    return {};
  };
  if (identity.keystone) RETURN_IF_ERROR(add(ServiceKind::keystone, identity.keystone->endpoint, ""));
  if (identity.keycloak && (services_.empty() || identity.several))
    RETURN_IF_ERROR(add(ServiceKind::keycloak, identity.keycloak->endpoint, identity.keycloak->realm));
  if (identity.oidc) {
    oidc_.emplace(env_, identity, [this] { cache_.clear(); });
    if (auto checked = oidc_->check(); !checked) return fail(with_context(checked.error(), "OpenID"));
  }
  return {};
}

Awaitable<void> Authenticator::stop() {
  stopped_ = true;
  co_await tasks_.stop();
  // Those that had not begun.
  for (const auto& [digest, question] : std::exchange(questions_, {})) question->settle(server_stops());
  if (oidc_) co_await oidc_->stop();
}

std::optional<Authenticator::Token> Authenticator::token_of(const ServerRequest& request) {
  constexpr std::string_view scheme = "Bearer ";
  const auto header = request.headers.get("Authorization");
  if (!header || header->empty()) return std::nullopt;
  std::string_view bare = *header;
  if (iequals(bare.substr(0, scheme.size()), scheme)) {
    bare.remove_prefix(scheme.size());
    bare.remove_prefix(std::min(bare.find_first_not_of(' '), bare.size()));
  }
  return Token{.raw = *header, .bare = bare, .digest = sha256(bare)};
}

std::optional<Authenticator::Verdict> Authenticator::known(const ServerRequest& request) {
  if (options_.static_user && !options_.identity.several) return access::Identity{.user = *options_.static_user};
  const auto token = takes_tokens() ? token_of(request) : std::nullopt;
  if (!token) return without_token(request);
  auto verdict = by_token(*token);
  if (!verdict) return std::nullopt;
  return or_certificate(std::move(*verdict), request);
}

std::optional<Authenticator::Verdict> Authenticator::by_token(const Token& token) {
  // By digests, so that the time it takes says nothing about the tokens there are.
  if (const auto found = tokens_.find(token.digest); found != tokens_.end())
    return access::Identity{.user = found->second, .generation = generation_};
  if (const auto* identity = cache_.find(token.digest, now())) return *identity;
  if (auto verdict = by_signature(token, true)) return verdict;
  if (!services_.empty() || is_oidc(token)) return std::nullopt;
  return unauthenticated("The bearer token is not known.");
}

std::optional<Authenticator::Verdict> Authenticator::by_signature(const Token& token, bool may_ask) {
  const auto& own_keys = options_.identity.own_keys;
  if (own_keys.empty() && !oidc_) return std::nullopt;
  const auto jwt = access::parse_jwt(token.bare);
  if (!jwt) return std::nullopt;
  if (!own_keys.empty() && jwt->issuer() == own_rules_.issuer)
    return take(token, access::verify(*jwt, own_keys, own_rules_, env_.clock.wall()), generation_);
  if (!oidc_ || jwt->issuer() != options_.identity.oidc->rules.issuer) return std::nullopt;
  const auto* keys = oidc_->keys();
  may_ask = may_ask && oidc_->worth_asking();
  // Keys that were taken back must not count because nobody has looked for long.
  if (may_ask && (!keys || oidc_->due())) return std::nullopt;
  if (!keys) return cannot_ask("the OpenID provider");
  auto user = access::verify(*jwt, *keys, options_.identity.oidc->rules, env_.clock.wall());
  if (!user && user.error().code == Code::not_found) {
    if (may_ask) return std::nullopt;
    if (oidc_->failing()) return cannot_ask("the OpenID provider");  // it may have that key
  }
  return take(token, std::move(user));
}

Authenticator::Verdict Authenticator::take(const Token& token, Result<access::TokenUser> user,
                                           std::optional<std::uint64_t> generation) {
  if (!user) return unauthenticated(fmt::format("The token {}.", user.error().message));
  access::Identity identity{.user = std::move(user->name), .until = user->expires, .generation = generation};
  cache_.put(token.digest, identity, now());
  return identity;
}

bool Authenticator::is_oidc(const Token& token) const {
  if (!oidc_) return false;
  const auto jwt = access::parse_jwt(token.bare);
  return jwt && jwt->issuer() == options_.identity.oidc->rules.issuer;
}

std::optional<Authenticator::Verdict> Authenticator::by_certificate(const ServerRequest& request) const {
  const auto& peer = request.peer;
  if (!options_.client_certificates || peer.common_name.empty()) return std::nullopt;
  // It was good when the connection was made.
  if (peer.until && env_.clock.wall() >= *peer.until)
    return unauthenticated("The client certificate has expired; connect again with a newer one.");
  return access::Identity{.user = peer.common_name, .until = peer.until};
}

Authenticator::Verdict Authenticator::without_token(const ServerRequest& request) const {
  if (auto verdict = by_certificate(request)) return std::move(*verdict);
  if (options_.static_user) return access::Identity{.user = *options_.static_user};
  if (options_.allow_anonymous) return access::Identity{.user = std::string(kAnonymous)};
  return unauthenticated("No user has been authenticated.");
}

// With `several`, a certificate counts where no token does. One that could not be looked at might: then it is not for
// us to say who it is.
Authenticator::Verdict Authenticator::or_certificate(Verdict verdict, const ServerRequest& request) const {
  const bool refused = !verdict && verdict.error().status == 401;
  if (!refused || !options_.identity.several) return verdict;
  auto certificate = by_certificate(request);
  return certificate && *certificate ? std::move(*certificate) : std::move(verdict);
}

Awaitable<Authenticator::Verdict> Authenticator::ask(const ServerRequest& request) {
  const auto token = token_of(request);
  if (*waiting_ >= options_.identity.waiting_limit) co_return too_many();
  const Counted waiting(waiting_);
  if (is_oidc(*token)) {
    co_await oidc_->fetch();
    if (auto verdict = by_signature(*token, false)) co_return or_certificate(std::move(*verdict), request);
  }
  auto verdict = co_await ask_services(*token);
  co_return or_certificate(std::move(verdict), request);
}

Awaitable<Authenticator::Verdict> Authenticator::ask_services(Token token) {
  if (stopped_) co_return server_stops();
  std::shared_ptr<Question> question;
  if (const auto found = questions_.find(token.digest); found != questions_.end()) {
    question = found->second;
  } else {
    if (questions_.size() >= options_.identity.waiting_limit) co_return too_many();
    question = std::make_shared<Question>(env_.executor, token);
    questions_.emplace(token.digest, question);
    tasks_.spawn("ask who it is", settle(question));
  }
  while (!question->verdict) co_await question->settled.wait();
  co_return *question->verdict;
}

Awaitable<void> Authenticator::settle(std::shared_ptr<Question> question) {
  Flight flight(*this, question);
  flight.verdict = co_await judged(*question);
}

// When that counts no more which a service has just accepted and which expires then, by the service's clock. What it
// accepts counts for a moment whatever our clock says, or who watches would come back at once, again and again.
std::optional<Wall> Authenticator::end_of(std::optional<Wall> expires) const {
  if (!expires) return std::nullopt;
  constexpr auto moment = std::chrono::seconds(5);
  const auto leeway = std::chrono::duration_cast<std::chrono::microseconds>(own_rules_.leeway);
  return std::max(*expires + leeway, env_.clock.wall() + moment);
}

// The first service that accepts it decides, and the first that refuses it words the refusal.
Awaitable<Authenticator::Verdict> Authenticator::judged(Question& question) {
  std::optional<Problem> refusal;
  std::optional<Problem> outage;
  // Upstream passes on what it gets, whatever stands before it.
  std::vector<std::string> forms{question.bare};
  if (!options_.identity.several && question.raw != question.bare) forms.insert(forms.begin(), question.raw);
  for (std::size_t i = 0; i < services_.size(); ++i) {
    for (const auto& form : forms) {
      auto judgement = co_await ask_service(i, form);
      report(services_[i], judgement);
      if (auto* accepted = std::get_if<Accepted>(&judgement)) {
        access::Identity identity{.user = std::move(accepted->user), .until = end_of(accepted->expires)};
        cache_.put(question.digest, identity, now(), accepted->expires);
        co_return identity;
      }
      if (const auto* refused = std::get_if<Refused>(&judgement)) {
        if (!refusal) refusal = invalid_token(services_[i].kind, *refused);
      } else {
        const auto whom = to_string(services_[i].kind);
        const bool unexpected = std::get<Unusable>(judgement).unexpected;
        if (!outage) outage = (unexpected ? not_understood(whom) : cannot_ask(whom)).error();
        break;
      }
    }
  }
  if (outage) co_return std::unexpected(std::move(*outage));
  if (refusal) co_return std::unexpected(std::move(*refusal));
  co_return unauthenticated("The bearer token is not known.");
}

Awaitable<Judgement> Authenticator::ask_service(std::size_t index, std::string token) {
  const auto kind = services_[index].kind;
  const auto transport = services_[index].transport;
  auto answer = co_await transport->send(question(kind, services_[index].realm, token),
                                         {.timeout = options_.identity.timeout, .body_limit = kBodyLimit});
  if (answer) co_return judge(kind, token, *answer);
  // It cannot be sent at all: nobody has given it to anybody.
  if (answer.error().code == Code::invalid_argument)
    co_return Refused{.status = 400, .reason = std::string(status_phrase(400))};
  co_return Unusable{.why = answer.error().message};
}

void Authenticator::report(Service& service, const Judgement& judgement) {
  constexpr std::array<const char*, 3> outcomes{"accepted", "refused", "unavailable"};
  const std::string name = service.kind == ServiceKind::keystone ? "keystone" : "keycloak";
  env_.metrics
      .counter("krake_authentication_questions_total", "Questions to identity services, by outcome.",
               {{"service", name}, {"outcome", outcomes[judgement.index()]}})
      .Increment();
  const auto* unusable = std::get_if<Unusable>(&judgement);
  const bool before = std::exchange(service.failing, unusable != nullptr);
  if (unusable && !before) {
    env_.log.warning("an identity service cannot be asked or not be understood; its tokens are answered 503 or 500",
                     {{"service", to_string(service.kind)}, {"why", unusable->why}});
  } else if (!unusable && before) {
    env_.log.info("the identity service answers again", {{"service", to_string(service.kind)}});
  }
}

}  // namespace krake::server
