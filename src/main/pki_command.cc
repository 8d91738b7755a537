#include "main/pki_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <tuple>

#include "base/datetime.h"
#include "cli/table.h"
#include "main/config.h"
#include "main/files.h"
#include "main/pki_renewal.h"
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
       krake pki show [NAME]...                what the certificates in DIR say; never a key
       krake pki renew [NAME]...               new ones in the place of all that the authority signed; with new keys, but for authorities

NAME.pem and NAME-key.pem go to --dest-dir DIR (tmp/pki), signed by --ca-cert FILE and --ca-key FILE (ca.pem and ca-key.pem
in DIR, made when they are missing). What is there is never overwritten, but with --force; with --ignore it is left and
all is well. 127.0.0.1 and localhost are always among the names of a server. A NAME does not end in -key.
)";

// Other than fmt::print() it does not throw when nothing can be written: flush() tells that of the standard output, and
// of the other nobody can be told.
template <class... Args>
void say(std::FILE* file, fmt::format_string<Args...> format, Args&&... args) {
  const auto text = fmt::format(format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), file);
}

// What has been said is not written before this.
Status flush(std::string_view what) {
  const int error = std::fflush(stdout) == 0 ? 0 : errno;
  if (error == 0 && std::ferror(stdout) == 0) return {};
  return fail(Code::unavailable, fmt::format("{} cannot be written to the standard output: {}", what,
                                             error != 0 ? std::strerror(error) : "a part of it is lost"));
}

int usage_error(std::string_view message) {
  say(stderr, "krake pki: {}\n\n{}", message, kUsage);
  return 2;
}

// So much may the clock of whoever made the authority be ahead.
constexpr auto kClocksDiffer = std::chrono::minutes(5);

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
  std::string common_name = {};
  std::vector<std::string> hosts = {};
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
  say(stdout, "{}\n{}\n", cert_path(options, name), key_path(options, name));
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
  ASSIGN_OR_RETURN(const auto info, certificate_info(ca.cert_pem));
  if (info.not_after <= now())
    return fail(Code::invalid_argument, fmt::format("{}: has expired; what it signs would be worth nothing", cert));
  if (info.not_before > now() + kClocksDiffer) {
    return fail(Code::invalid_argument,
                fmt::format("{}: is not valid before {}, and what it signs would be worth nothing until then: wait, or "
                            "see to the clock",
                            cert, to_string(DateTime::from_wall(info.not_before))));
  }
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

Status sign(const Options& options, const CertificateAndKey& ca, const Wanted& wanted) {
  if (wanted.intermediate) {
    ASSIGN_OR_RETURN(const auto made, make_intermediate_ca(ca, wanted.common_name, now()));
    return save(options, wanted.name, made);
  }
  ASSIGN_OR_RETURN(const auto made, issue(ca, wanted.common_name, wanted.hosts, wanted.use, now()));
  return save(options, wanted.name, made);
}

Status make(const Options& options, Wanted wanted) {
  ASSIGN_OR_RETURN(const bool there, is_there(options, wanted.name));
  if (there) return {};
  ASSIGN_OR_RETURN(const auto ca, the_ca(options));
  wanted.common_name = wanted.name;
  if (wanted.use.server) {
    wanted.hosts = {"127.0.0.1", "localhost"};
    wanted.hosts.insert(wanted.hosts.end(), options.hosts.begin(), options.hosts.end());
  }
  return sign(options, ca, wanted);
}

// X-key.pem is the key of X, unless it holds a certificate: then that is called so.
bool is_key_file(const fs::path& path) {
  if (!path.stem().string().ends_with("-key")) return false;
  const auto text = read_file(path.string(), FileKind::regular);
  return !text || !certificate_info(*text);
}

// NAME of each NAME.pem in the folder that is no key, in order.
Result<std::vector<std::string>> names_in(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code ec;
  fs::directory_iterator it(dir, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    if (it->path().extension() == ".pem" && !is_key_file(it->path())) names.push_back(it->path().stem().string());
  }
  if (ec) return fail(Code::unavailable, fmt::format("cannot read the folder '{}': {}", dir, ec.message()));
  std::ranges::sort(names);
  return names;
}

std::string kind_of(const CertificateInfo& info) {
  if (info.authority) return "authority";
  if (info.use.server && info.use.client) return "server, client";
  return info.use.server ? "server" : info.use.client ? "client" : "no use is named";
}

// What a certificate or a file says on one line of the terminal.
std::string one_line(std::string_view text) {
  std::string line = cli::printable(text);
  std::ranges::replace(line, '\n', '?');
  return line;
}

int report(const std::vector<std::string>& problems) {
  for (const auto& problem : problems) say(stderr, "krake pki: {}\n", one_line(problem));
  return problems.empty() ? 0 : 1;
}

std::string_view ends(Wall not_after) {
  if (not_after <= now()) return " (expired)";
  return not_after <= now() + kExpiresSoon ? " (in less than 30 days)" : "";
}

std::string shown(const CertificateInfo& info) {
  const auto time = [](Wall at) { return to_string(DateTime::from_wall(at)); };
  return fmt::format(
      "  subject: {}\n  issuer: {}\n  kind: {}\n  names: {}\n  not before: {}\n  not after: {}{}\n  SHA-256: {}\n",
      one_line(info.subject), one_line(info.issuer), kind_of(info),
      info.hosts.empty() ? "none" : one_line(fmt::format("{}", fmt::join(info.hosts, ", "))), time(info.not_before),
      time(info.not_after), ends(info.not_after), info.fingerprint);
}

// Behind all links; empty when there is none.
std::string real_path(const std::string& path) {
  std::error_code ec;
  const auto real = fs::canonical(path, ec);
  return ec ? "" : real.string();
}

// Why no new private key may be put into this file; empty when it may. A file keeps its owner and its mode.
std::string why_no_new_key(const std::string& key_file, const std::string& cert_file) {
  struct stat key{};
  struct stat cert{};
  if (::stat(key_file.c_str(), &key) != 0) return "";
  const bool as_cert = ::stat(cert_file.c_str(), &cert) == 0 && key.st_uid == cert.st_uid;
  if (key.st_uid != ::geteuid() && !as_cert) {
    return fmt::format(
        "'{0}' is the file of user {1}, who would have the new key, and neither you (user {2}) nor the "
        "owner of '{3}': give it to who is to have the key ('chown {2} {0}')",
        key_file, key.st_uid, ::geteuid(), cert_file);
  }
  if ((key.st_mode & (S_IROTH | S_IWOTH)) == 0) return "";
  return fmt::format(
      "'{0}' has mode {1:04o}, with which everybody may read or write the new key: 'chmod o-rw {0}' first", key_file,
      key.st_mode & 07777);
}

CertificateFiles read_files(std::string cert, std::string key) {
  CertificateFiles files{.cert_path = cert,
                         .key_path = key,
                         .cert_pem = read_file(cert, FileKind::regular),
                         .key_pem = read_file(key, FileKind::regular),
                         .cert_file = real_path(cert),
                         .key_file = real_path(key)};
  std::error_code ec;
  // A loose link is not nothing.
  if (!files.key_pem && files.key_pem.error().code == Code::not_found && fs::exists(fs::symlink_status(key, ec)))
    files.key_pem = fail(Code::invalid_argument, files.key_pem.error().message);
  if (files.cert_pem && files.key_pem && !is_key_of(*files.key_pem, *files.cert_pem).value_or(true)) {
    for (const auto& part : left_parts(key))
      if (auto text = read_file(part, FileKind::regular)) files.left_keys.push_back(std::move(*text));
  }
  files.unfit_key_file = why_no_new_key(files.key_file, files.cert_file);
  files.fixed_cert_file = why_not_replaced(cert);
  files.fixed_key_file = why_not_replaced(key);
  if (fs::is_symlink(fs::symlink_status(cert, ec))) files.target = fs::weakly_canonical(cert, ec).string();
  return files;
}

// Where the key of a certificate is by the name of its file; empty when that is not called NAME.pem.
std::string key_beside(const fs::path& cert) {
  if (cert.extension() != ".pem") return "";
  return (cert.parent_path() / fmt::format("{}-key.pem", cert.stem().string())).string();
}

CertificateFiles files_of(const Options& options, const std::string& name) {
  return read_files(cert_path(options, name), key_path(options, name));
}

Status show_one(const CertificateFiles& files) {
  RETURN_IF_ERROR(files.cert_pem);
  const auto info = certificate_info(*files.cert_pem);
  if (!info) return fail(with_context(info.error(), files.cert_path));
  say(stdout, "{}\n{}", one_line(files.cert_path), shown(*info));
  for (const auto& path : {files.key_path, files.cert_path}) {
    for (const auto& part : left_parts(path)) {
      say(stderr, "{}: a renewal that was interrupted has left it; the next one of {} removes it\n", one_line(part),
          one_line(path));
    }
  }
  // A key that is elsewhere, or whose reading is another's business, is as good.
  if (!files.key_pem || is_key_of(*files.key_pem, *files.cert_pem).value_or(true)) return {};
  const auto* what_to_do = files.left_keys.empty() ? "put that there, or make a new certificate (--force)"
                                                   : "a renewal was interrupted, renew it again";
  return fail(Code::invalid_argument,
              fmt::format("{}: is not the key of {}: {}", files.key_path, files.cert_path, what_to_do));
}

Result<int> show(const Options& options, std::vector<std::string> names) {
  if (names.empty()) {
    ASSIGN_OR_RETURN(names, names_in(options.dir));
  }
  std::vector<std::string> problems;
  for (const auto& name : names) {
    if (const auto done = show_one(files_of(options, name)); !done) problems.push_back(done.error().message);
  }
  if (const auto told = flush("what the certificates say"); !told) problems.push_back(told.error().message);
  return report(problems);
}

// Names that lead to the same file count once, under one that has a key, or else the name of the file itself.
void drop_aliases(const Options& options, std::vector<std::string>& names) {
  std::error_code ec;
  std::ranges::sort(names, {}, [&](const std::string& name) {
    return std::tuple(!fs::exists(key_path(options, name), ec),
                      fs::is_symlink(fs::symlink_status(cert_path(options, name), ec)), name);
  });
  std::set<fs::path> seen;
  std::erase_if(names, [&](const auto& name) {
    const auto target = fs::canonical(cert_path(options, name), ec);
    return !ec && !seen.insert(target).second;
  });
}

struct Found {
  std::vector<CertificateFiles> wanted;
  std::vector<CertificateFiles> beside;  // the others, the pair that signs, and those the links of the wanted lead to
  friend bool operator==(const Found&, const Found&) = default;
};

bool has(const Found& found, const auto& is_it) {
  return std::ranges::any_of(found.wanted, is_it) || std::ranges::any_of(found.beside, is_it);
}

// `names`: all that are there when there are none.
Result<Found> read_all(const Options& options, std::vector<std::string> names) {
  ASSIGN_OR_RETURN(const auto there, names_in(options.dir));
  if (names.empty()) names = there;
  drop_aliases(options, names);
  Found found;
  for (const auto& name : names) found.wanted.push_back(files_of(options, name));
  for (const auto& name : there)
    if (std::ranges::find(names, name) == names.end()) found.beside.push_back(files_of(options, name));
  for (const auto& one : found.wanted) {
    const auto is_it = [&](const CertificateFiles& other) {
      return other.cert_file == one.target && other.target.empty();
    };
    const auto key = key_beside(one.target);
    if (!key.empty() && !has(found, is_it)) found.beside.push_back(read_files(one.target, key));
  }
  // Its key may be in any file.
  auto signing = read_files(options.ca_cert, options.ca_key);
  const auto is_it = [&](const CertificateFiles& other) {
    return other.cert_file == signing.cert_file && other.key_file == signing.key_file;
  };
  if (!has(found, is_it)) found.beside.push_back(std::move(signing));
  return found;
}

// Where nothing is written another process may do what it wants.
Status lock_folders_of(std::span<const NewFile> files, FolderLocks& locks) {
  for (const auto& file : files) {
    const auto real = real_path(file.path);
    if (!real.empty()) RETURN_IF_ERROR(locks.add(fs::path(real).parent_path().string()));
  }
  return {};
}

// What is decided from old files must not be written over new ones: the folders behind links are known, and locked,
// only when it is decided.
Status write_plan(const Options& options, const std::vector<std::string>& names, const Found& found,
                  std::span<const NewFile> files, FolderLocks& locks) {
  RETURN_IF_ERROR(lock_folders_of(files, locks));
  ASSIGN_OR_RETURN(const auto present, read_all(options, names));
  if (present != found) {
    return fail(Code::conflict,
                fmt::format("certificates or keys in '{}', or behind links there, have changed meanwhile, and none is "
                            "replaced: give the command again",
                            options.dir));
  }
  const SignalsBlocked until_they_are_named;
  const auto unknown = replace_files(files);
  if (!unknown)
    return fail(unknown.error().code, fmt::format("{}; mend that and give the command again", unknown.error().message));
  for (const auto& file : files) say(stdout, "{}\n", one_line(file.path));
  const auto told = flush(fmt::format("all {} files are replaced, but their list", files.size()));
  if (unknown->empty()) return told;
  return fail(Code::unavailable, fmt::format("all {} files are replaced, but {}; see to the disk, and 'krake pki show' "
                                             "after the next start of the machine",
                                             files.size(), *unknown));
}

// Reads everything, decides everything, and writes then. Interrupted, it is simply done again.
Result<int> renew(Options options, const std::vector<std::string>& names) {
  if (options.ca_cert.empty() != options.ca_key.empty())
    return fail(Code::invalid_argument, "--ca-cert and --ca-key go together");
  if (options.ca_cert.empty()) options.ca_cert = cert_path(options, "ca"), options.ca_key = key_path(options, "ca");
  FolderLocks locks;
  RETURN_IF_ERROR(locks.add(options.dir));
  SigningAuthority ca{.path = options.ca_cert};
  ASSIGN_OR_RETURN(ca.pem, read_ca(options.ca_cert, options.ca_key));
  ASSIGN_OR_RETURN(const auto found, read_all(options, names));
  const auto plan = plan_renewal(ca, found.wanted, found.beside, !names.empty(), now());
  for (const auto& note : plan.notes) say(stderr, "{}\n", one_line(note));
  if (!plan.problems.empty()) return report(plan.problems);
  RETURN_IF_ERROR(write_plan(options, names, found, plan.files, locks));
  return 0;
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

// What a name becomes part of: a path.
bool is_name(const std::string& name) {
  return !name.empty() && !name.starts_with('.') && !name.starts_with('-') &&
         std::ranges::none_of(name, [](unsigned char c) { return c == '/' || c < 0x20 || c == 0x7f; });
}

// And a new certificate.
Status check_new_name(const std::string& name) {
  if (is_name(name) && name.size() <= 64 && name != "ca" && !name.ends_with("-key")) return {};
  return fail(Code::invalid_argument,
              fmt::format("'{}' is no name for a certificate: want 1 to 64 characters without '/', not 'ca', and no "
                          "'-key' at the end, as its file would be called like the key of another one",
                          name));
}

// Words somebody may take for a verb: a certificate of that name is not what was meant.
Status check_no_verb(const std::string& word) {
  constexpr std::string_view kVerbs[] = {"add",    "create", "delete", "generate", "get",    "help",  "issue",
                                         "list",   "make",   "new",    "revoke",   "rotate", "sign",  "update",
                                         "verify", "view",   "check",  "status",   "export", "import"};
  if (std::ranges::find(kVerbs, word) == std::end(kVerbs)) return {};
  return fail(Code::invalid_argument,
              fmt::format("'{0}' is no command of it: there are init, ca, server, client, intermediate, show and renew "
                          "('krake pki client {0}' makes a certificate of that name)",
                          word));
}

Result<std::vector<Wanted>> what(Arguments args, bool intermediate) {
  const std::string command = args.front();
  if (command == "init" && args.size() == 1) return everybody();
  RETURN_IF_ERROR(check_no_verb(command));
  Wanted wanted{.name = command, .use = {.server = true, .client = true}, .intermediate = intermediate};
  if (command == "server" || command == "client" || command == "intermediate") {
    if (args.size() != 2) return fail(Code::invalid_argument, fmt::format("{}: want one NAME", command));
    wanted = {.name = args[1],
              .use = {.server = command == "server", .client = command == "client"},
              .intermediate = command == "intermediate"};
  } else if (args.size() != 1) {
    return fail(Code::invalid_argument, fmt::format("'{}' is one argument too many", args[1]));
  }
  RETURN_IF_ERROR(check_new_name(wanted.name));
  return std::vector{wanted};
}

// show and renew: they take what there is as it is.
int run_on_existing(const Options& options, Arguments names, bool plain_options) {
  const std::string command = names.front();
  names.erase(names.begin());
  if (!plain_options || (command == "show" && !(options.ca_cert + options.ca_key).empty()))
    return usage_error(
        fmt::format("{}: only --dest-dir{} and names", command, command == "show" ? "" : ", --ca-cert, --ca-key"));
  for (const auto& name : names) {
    if (!is_name(name)) return usage_error(fmt::format("'{}' is no name of a certificate in a folder", name));
  }
  const auto done = command == "show" ? show(options, std::move(names)) : renew(options, names);
  return done ? *done : report({done.error().message});
}

Status run_all(const Options& options, const std::vector<Wanted>& all) {
  RETURN_IF_ERROR(make_dir(options.dir));
  // A renewal wants it alone, and so does who replaces: of two, one's key would stand beside the other's certificate.
  // Where there are no locks there is no renewal.
  FolderLocks locks;
  if (const auto locked = locks.add(options.dir, options.force ? FolderLocks::Kind::alone : FolderLocks::Kind::shared);
      !locked && locked.error().code == Code::conflict)
    return locked;
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
  if (take_switch(args, {"-h", "--help"})) {
    say(stdout, "{}", kUsage);
    return flush("help") ? 0 : 1;
  }
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
  if (args.front() == "show" || args.front() == "renew") {
    const bool plain = options.hosts.empty() && !options.ignore && !options.force && !intermediate;
    return run_on_existing(options, std::move(args), plain);
  }
  std::vector<Wanted> all;
  if (args != Arguments{"ca"}) {
    auto wanted = what(args, intermediate);
    if (!wanted) return usage_error(wanted.error().message);
    all = std::move(*wanted);
  }
  const bool named = std::ranges::any_of(all, [](const auto& w) { return w.use.server; });
  if (!options.hosts.empty() && !named) return usage_error("--host: only what is used by a server is called by a name");
  const Status made = run_all(options, all);
  const Status told = flush("all is made, but the list of the files");
  if (made && told) return 0;
  return report({(made ? told : made).error().message});
}

}  // namespace krake
