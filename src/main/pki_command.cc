#include "main/pki_command.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <filesystem>

#include "main/config.h"
#include "main/files.h"
#include "net/pki.h"

namespace krake {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUsage =
    R"(usage: krake pki init [--host H]...           the authority and a certificate for each component and for system:admin
       krake pki ca                            the authority alone
       krake pki server NAME [--host H]...     a certificate for a server that is called by the names H
       krake pki client NAME                   one for a client; NAME is the user
       krake pki intermediate NAME             an authority below the authority
       krake pki NAME [--host H]... [--intermediate-ca]     for both uses, as upstream's helper makes it

NAME.pem and NAME-key.pem go to --dest-dir DIR (tmp/pki), signed by --ca-cert FILE and --ca-key FILE (ca.pem and ca-key.pem
in DIR, made when they are missing). What is there is never overwritten, but with --force; with --ignore it is left and
all is well. 127.0.0.1 and localhost are always among the names of a server.
)";

int usage_error(std::string_view message) {
  fmt::print(stderr, "krake pki: {}\n\n{}", message, kUsage);
  return 2;
}

struct Options {
  std::string dir = "tmp/pki";
  std::string ca_cert;  // empty: in dir
  std::string ca_key;
  std::vector<std::string> hosts;
  bool ignore = false;
  bool force = false;
};

struct Wanted {
  std::string name;
  CertificateUse use;
  bool intermediate = false;
};

Wall now() { return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()); }

std::string cert_path(const Options& options, const std::string& name) {
  return fmt::format("{}/{}.pem", options.dir, name);
}
std::string key_path(const Options& options, const std::string& name) {
  return fmt::format("{}/{}-key.pem", options.dir, name);
}

// True: there is nothing to do, it is there.
Result<bool> is_there(const Options& options, const std::string& name) {
  for (const auto& path : {key_path(options, name), cert_path(options, name)}) {
    std::error_code ec;
    if (!fs::exists(fs::symlink_status(path, ec))) continue;
    if (options.ignore) return true;
    if (options.force) return false;
    return fail(Code::already_exists,
                fmt::format("'{}' is there already; --force makes a new one, --ignore leaves it", path));
  }
  return false;
}

// The key first: a certificate that is there has its key.
Status save(const Options& options, const std::string& name, const CertificateAndKey& made) {
  RETURN_IF_ERROR(write_whole_file(key_path(options, name), made.key_pem, 0600, options.force));
  RETURN_IF_ERROR(write_whole_file(cert_path(options, name), made.cert_pem, 0644, options.force));
  fmt::print("{}\n{}\n", cert_path(options, name), key_path(options, name));
  return {};
}

Status make_dir(const std::string& dir) {
  std::error_code ec;
  const bool made = fs::create_directories(dir, ec);
  if (made) fs::permissions(dir, fs::perms::owner_all, ec);
  if (ec) return fail(Code::unavailable, fmt::format("cannot make the folder '{}': {}", dir, ec.message()));
  return {};
}

Result<CertificateAndKey> new_ca(const Options& options) {
  // Upstream's hooks need an authority in between.
  ASSIGN_OR_RETURN(auto ca, make_ca("krake-ca", now(), kCaLifetime, 2));
  RETURN_IF_ERROR(save(options, "ca", ca));
  return ca;
}

Result<CertificateAndKey> read_ca(const std::string& cert, const std::string& key) {
  CertificateAndKey ca;
  ASSIGN_OR_RETURN(ca.cert_pem, read_file(cert));
  ASSIGN_OR_RETURN(ca.key_pem, read_file(key));
  if (auto good = check_ca(ca); !good) return fail(with_context(good.error(), fmt::format("{}, {}", cert, key)));
  ASSIGN_OR_RETURN(const auto until, certificate_expiry(ca.cert_pem));
  if (until <= now())
    return fail(Code::invalid_argument, fmt::format("{}: has expired; what it signs would be worth nothing", cert));
  return ca;
}

// The authority that signs; made when it is missing and no other one was named.
Result<CertificateAndKey> the_ca(const Options& options) {
  if (options.ca_cert.empty() != options.ca_key.empty())
    return fail(Code::invalid_argument, "--ca-cert and --ca-key go together");
  if (!options.ca_cert.empty()) return read_ca(options.ca_cert, options.ca_key);
  std::error_code ec;
  if (fs::exists(cert_path(options, "ca"), ec) || fs::exists(key_path(options, "ca"), ec))
    return read_ca(cert_path(options, "ca"), key_path(options, "ca"));
  Options own = options;
  own.force = false;
  return new_ca(own);
}

Status make(const Options& options, const Wanted& wanted) {
  ASSIGN_OR_RETURN(const bool there, is_there(options, wanted.name));
  if (there) return {};
  ASSIGN_OR_RETURN(const auto ca, the_ca(options));
  if (wanted.intermediate) {
    ASSIGN_OR_RETURN(const auto made, make_intermediate_ca(ca, wanted.name, now()));
    return save(options, wanted.name, made);
  }
  std::vector<std::string> hosts;
  if (wanted.use.server) {
    hosts = {"127.0.0.1", "localhost"};
    hosts.insert(hosts.end(), options.hosts.begin(), options.hosts.end());
  }
  ASSIGN_OR_RETURN(const auto made, issue(ca, wanted.name, hosts, wanted.use, now()));
  return save(options, wanted.name, made);
}

std::vector<Wanted> everybody() {
  constexpr CertificateUse client{.client = true};
  return {
      {.name = "system:api-server", .use = {.server = true, .client = true}},
      {.name = "system:scheduler", .use = client},
      {.name = "system:gc", .use = client},
      {.name = "system:kubernetes-application", .use = client},
      {.name = "system:kubernetes-cluster", .use = client},
      {.name = "system:infrastructure", .use = client},
      {.name = "system:magnum", .use = client},
      {.name = "system:admin", .use = client},
      {.name = "system:complete-signing", .use = {}, .intermediate = true},
      {.name = "system:shutdown-signing", .use = {}, .intermediate = true},
  };
}

// What a name becomes part of: a path and a certificate.
Status check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 64 && !name.starts_with('.') && !name.starts_with('-') &&
                    std::ranges::none_of(name, [](unsigned char c) { return c == '/' || c < 0x20 || c == 0x7f; });
  if (good && name != "ca") return {};
  return fail(
      Code::invalid_argument,
      fmt::format("'{}' is no name for a certificate: want 1 to 64 characters without '/', and not 'ca'", name));
}

Result<std::vector<Wanted>> what(Arguments args, bool intermediate) {
  const std::string command = args.front();
  if (command == "init" && args.size() == 1) return everybody();
  Wanted wanted{.name = command, .use = {.server = true, .client = true}, .intermediate = intermediate};
  if (command == "server" || command == "client" || command == "intermediate") {
    if (args.size() != 2) return fail(Code::invalid_argument, fmt::format("{}: want one NAME", command));
    wanted = {.name = args[1],
              .use = {.server = command == "server", .client = command == "client"},
              .intermediate = command == "intermediate"};
  } else if (args.size() != 1) {
    return fail(Code::invalid_argument, fmt::format("'{}' is one argument too many", args[1]));
  }
  RETURN_IF_ERROR(check_name(wanted.name));
  return std::vector{wanted};
}

Status run_all(const Options& options, const std::vector<Wanted>& all) {
  RETURN_IF_ERROR(make_dir(options.dir));
  if (all.empty()) {
    ASSIGN_OR_RETURN(const bool there, is_there(options, "ca"));
    if (!there) RETURN_IF_ERROR(new_ca(options));
    return {};
  }
  for (const auto& wanted : all) RETURN_IF_ERROR(make(options, wanted));
  return {};
}

}  // namespace

int run_pki(Arguments args) {
  if (take_switch(args, {"-h", "--help"})) return fmt::print("{}", kUsage), 0;
  Options options;
  options.dir = take_option(args, {"--dest-dir"}).value_or(options.dir);
  options.ca_cert = take_option(args, {"--ca-cert"}).value_or("");
  options.ca_key = take_option(args, {"--ca-key"}).value_or("");
  options.hosts = take_options(args, {"--host"});
  options.ignore = take_switch(args, {"--ignore"});
  options.force = take_switch(args, {"--force"});
  const bool intermediate = take_switch(args, {"--intermediate-ca"});
  if (auto good = only_positional("pki", args); !good) return usage_error(good.error().message);
  if (args.empty()) return usage_error("what for?");
  if (options.ignore && options.force) return usage_error("--ignore or --force?");
  std::vector<Wanted> all;
  if (args != Arguments{"ca"}) {
    auto wanted = what(args, intermediate);
    if (!wanted) return usage_error(wanted.error().message);
    all = std::move(*wanted);
  }
  const bool named = std::ranges::any_of(all, [](const auto& w) { return w.use.server; });
  if (!options.hosts.empty() && !named) return usage_error("--host: only what is used by a server is called by a name");
  if (auto done = run_all(options, all); !done) {
    fmt::print(stderr, "krake pki: {}\n", done.error().message);
    return 1;
  }
  return 0;
}

}  // namespace krake
