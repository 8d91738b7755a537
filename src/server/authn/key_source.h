// The keys an OpenID provider signs its tokens with: fetched when they are needed, kept, and looked for again when they
// are old or a token names one that is not among them. However many requests want them, one question is under way.
// Thread: the loop.
#pragma once

#include <memory>
#include <optional>

#include "base/env.h"
#include "base/task_group.h"
#include "server/authn/options.h"

namespace krake::server {

class KeySource {
 public:
  // `env` and options.dialer outlive it. `on_change`: other keys count from now on.
  KeySource(Env& env, const IdentityOptions& options, std::function<void()> on_change);
  KeySource(const KeySource&) = delete;
  KeySource& operator=(const KeySource&) = delete;

  // Errors: invalid_argument (an address).
  Status check() const;
  Awaitable<void> stop();

  // Null when there are none, or none that may still count. Valid until the next suspension. Begins to fetch newer ones
  // when these are old.
  const access::Keys* keys();
  // These are old, and the last question was answered: what fetch() brings counts before them.
  bool due() const;
  // The last question was not answered.
  bool failing() const { return failures_ > 0; }
  // Whether fetch() might bring something new, by what was tried lately.
  bool worth_asking() const;
  // Returns when a question that is under way, or one begun now, has been answered. Why it failed is in the log.
  Awaitable<void> fetch();

 private:
  struct Flight;
  void begin();
  Awaitable<void> run();
  Awaitable<Result<access::Keys>> ask() const;
  Awaitable<Result<HttpResponse>> get(std::string url) const;
  Awaitable<Result<std::string>> discover() const;
  void take(Result<access::Keys> answer);
  bool old() const;
  // Between two questions.
  Duration pause() const;

  Env& env_;
  OidcOptions options_;
  Dialer& dialer_;
  std::string ca_pem_;
  Duration timeout_;
  std::function<void()> on_change_;
  std::optional<access::Keys> keys_;
  std::string fingerprint_;  // of the ids, to see that they are others
  Mono fetched_;             // keys_
  std::optional<Mono> tried_;
  int failures_ = 0;  // since the last success
  bool in_flight_ = false;
  bool stopped_ = false;
  Notifier landed_;
  TaskGroup tasks_;
};

// "https://host/a/b?c" -> "https://host", "/a/b?c". Errors: invalid_argument.
Result<std::pair<std::string, std::string>> split_target(const std::string& url);

}  // namespace krake::server
