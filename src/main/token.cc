#include "main/token.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "access/jwt.h"
#include "access/users.h"
#include "main/config.h"
#include "server/authn/options.h"

namespace krake {

namespace {

constexpr std::chrono::seconds kMaxTtl = std::chrono::hours(24 * 365);

int failed(const Error& error) { return fmt::print(stderr, "krake token: {}\n", error.message), 1; }
int misused(std::string_view message) {
  fmt::print(stderr,
             "krake token: {}\n\nusage: krake token key FILE\n       krake token create --key FILE --user NAME "
             "[--ttl 90s|30m|12h|30d]\n",
             message);
  return 2;
}

// A file that is there already is somebody's key.
Status write_secret(const std::string& path, const std::string& text) {
  const auto bad = [&] {
    return fail(Code::unavailable, fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
  };
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return bad();
  const bool written =
      ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  const auto result = written ? Status{} : Status(bad());
  ::close(file);
  return result;
}

Result<std::chrono::seconds> parse_ttl(std::string_view text) {
  const auto bad = [&] {
    return fail(Code::invalid_argument,
                fmt::format("--ttl '{}': want a number with s, m, h or d behind it, at most 365d", text));
  };
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, text.data() + text.size());
  const std::int64_t factor = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit == "d" ? 86400 : 0;
  if (error != std::errc() || factor == 0 || number < 1 || number > kMaxTtl.count() / factor) return bad();
  return std::chrono::seconds(number * factor);
}

Result<std::string> create(const std::string& key_file, const std::string& user, std::string_view ttl) {
  if (!access::usable_user_name(user))
    return fail(Code::invalid_argument, "--user: want a name without control characters");
  ASSIGN_OR_RETURN(const auto lifetime, parse_ttl(ttl));
  ASSIGN_OR_RETURN(const auto pem, read_file(key_file));
  auto keys = access::parse_pem_keys(pem);
  if (!keys) return fail(with_context(keys.error(), key_file));
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const json::Object claims{{"iss", server::kOwnIssuer},
                            {"aud", server::kOwnIssuer},
                            {"sub", user},
                            {"iat", now},
                            {"exp", now + lifetime.count()}};
  auto token = access::sign_jwt(keys->front(), claims);
  if (!token) return fail(with_context(token.error(), key_file));
  return token;
}

int create_key(const std::vector<std::string>& args) {
  if (args.size() != 2 || args[1].starts_with('-')) return misused("key: want one FILE");
  const auto pem = access::make_signing_key();
  if (!pem) return failed(pem.error());
  if (const auto written = write_secret(args[1], *pem); !written) return failed(written.error());
  return 0;
}

int create_token(const std::vector<std::string>& args) {
  std::map<std::string, std::string> given{{"--ttl", "30d"}};
  for (std::size_t i = 1; i < args.size(); ++i) {
    const auto eq = args[i].find('=');
    const std::string name = args[i].substr(0, eq);
    if (name != "--key" && name != "--user" && name != "--ttl")
      return misused(fmt::format("create: unknown option '{}'", name));
    if (eq == std::string::npos && i + 1 == args.size()) return misused(fmt::format("{}: a value is missing", name));
    given[name] = eq == std::string::npos ? args[++i] : args[i].substr(eq + 1);
  }
  if (!given.contains("--key") || !given.contains("--user")) return misused("create: --key and --user are needed");
  const auto token = create(given["--key"], given["--user"], given["--ttl"]);
  if (!token) return failed(token.error());
  fmt::print("{}\n", *token);
  return 0;
}

}  // namespace

int run_token(std::vector<std::string> args) {
  if (!args.empty() && args[0] == "key") return create_key(args);
  if (!args.empty() && args[0] == "create") return create_token(args);
  return misused(args.empty() ? "what? key or create" : fmt::format("there is no '{}'", args[0]));
}

}  // namespace krake
