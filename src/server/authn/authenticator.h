// Who asks (api-contract 7.2). What the server knows itself - the static user, a token file, signatures, certificates,
// what was asked a moment ago - is answered at once; for other tokens an identity service is asked, once for all
// requests that bring the same token. A token nobody accepts is 401, whoever else might have vouched for the request;
// one that nobody could look at is 503. Thread: the loop.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "access/token_cache.h"
#include "access/users.h"
#include "base/env.h"
#include "base/task_group.h"
#include "server/auth.h"
#include "server/authn/identity_service.h"
#include "server/authn/key_source.h"
#include "server/problem.h"

namespace krake::server {

class Authenticator {
 public:
  using Verdict = std::expected<access::Identity, Problem>;

  // `env` and the dialer outlive it.
  Authenticator(Env& env, const AuthOptions& options);
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // Before anything else. Errors: invalid_argument (an address, a CA).
  Status open();
  // Whoever waits is told 503.
  Awaitable<void> stop();

  // Other tokens (token, user) and other keys of Krake's own tokens count from now on. `takes_tokens`: see AuthOptions.
  void use_tokens(const std::vector<std::pair<std::string, std::string>>& tokens, access::Keys own_keys,
                  bool takes_tokens);
  // Grows when a token or a key was taken away; see access::Identity.
  std::uint64_t generation() const { return generation_; }

  // Nothing: somebody must be asked.
  std::optional<Verdict> known(const ServerRequest& request);
  // After known() gave nothing; asks.
  Awaitable<Verdict> ask(const ServerRequest& request);

 private:
  struct Service {
    ServiceKind kind;
    std::string realm;
    std::shared_ptr<Transport> transport;
    bool failing = false;
  };
  // About one token, asked once. Settled when `verdict` is there.
  struct Question;
  struct Flight;
  struct Token {
    std::string_view raw;   // as it came
    std::string_view bare;  // without "Bearer "
    Digest digest;          // of the bare one
  };

  bool takes_tokens() const;
  static std::optional<Token> token_of(const ServerRequest& request);
  std::optional<Verdict> by_token(const Token& token);
  // By signature; nothing when it is none of a known issuer, or newer keys are needed.
  std::optional<Verdict> by_signature(const Token& token, bool may_ask);
  // `generation`: when it is by a key of ours.
  Verdict take(const Token& token, Result<access::TokenUser> user, std::optional<std::uint64_t> generation = {});
  // Nothing: there is none that counts here.
  std::optional<Verdict> by_certificate(const ServerRequest& request) const;
  Verdict without_token(const ServerRequest& request) const;
  Verdict or_certificate(Verdict verdict, const ServerRequest& request) const;
  bool is_oidc(const Token& token) const;
  Awaitable<Verdict> ask_services(Token token);
  Awaitable<void> settle(std::shared_ptr<Question> question);
  Awaitable<Verdict> judged(Question& question);
  std::optional<Wall> end_of(std::optional<Wall> expires) const;
  Awaitable<Judgement> ask_service(std::size_t index, std::string token);
  void report(Service& service, const Judgement& judgement);
  access::TokenCache::Now now() const { return {env_.clock.now(), env_.clock.wall()}; }

  Env& env_;
  AuthOptions options_;
  access::JwtRules own_rules_;
  using Tokens = std::unordered_map<Digest, std::string, DigestHash>;
  Tokens tokens_;  // of the file
  std::uint64_t generation_ = 0;
  access::TokenCache cache_;
  std::optional<KeySource> oidc_;
  std::vector<Service> services_;
  std::unordered_map<Digest, std::shared_ptr<Question>, DigestHash> questions_;
  std::shared_ptr<std::size_t> waiting_ = std::make_shared<std::size_t>(0);
  bool stopped_ = false;
  TaskGroup tasks_;
};

}  // namespace krake::server
