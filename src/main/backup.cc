#include "main/backup.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "api/registry.h"
#include "backup/export.h"
#include "backup/restore.h"
#include "cli/config.h"
#include "main/stores.h"
#include "net/failover.h"

namespace krake {

namespace {

constexpr Duration kAnswerLimit = std::chrono::minutes(1);
constexpr std::size_t kProblemLimit = std::size_t{64} << 10;
constexpr std::size_t kReadBytes = std::size_t{256} << 10;

int failed(std::string_view command, const Error& error) {
  fmt::print(stderr, "krake {}: {}\n", command, error.message);
  return 1;
}

Error file_error(const std::string& path, std::string_view what) {
  return {Code::unavailable, fmt::format("cannot {} '{}': {}", what, path, std::strerror(errno))};
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { (void)close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  bool close() { return fd_ < 0 || ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

Error not_ours(const std::string& path, std::string_view what) {
  return {Code::forbidden,
          fmt::format("'{}' is {} of another user: a backup has every secret, and might be led to where "
                      "he wants it; name another file, or take it away",
                      path, what)};
}
bool is_ours(const struct stat& status) { return status.st_uid == ::geteuid() || status.st_uid == 0; }

// The open descriptor that a name like /dev/stdout stands for.
std::optional<int> descriptor_named(std::string_view path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    int fd = -1;
    const auto [end, ec] = std::from_chars(path.data() + folder.size(), path.data() + path.size(), fd);
    if (ec == std::errc() && end == path.data() + path.size() && fd >= 0) return fd;
  }
  return std::nullopt;
}

// Where links lead, up to an open descriptor, and also when nothing is there yet: a link that is replaced leaves what
// it names as it was.
Result<std::string> target_of(std::string path) {
  constexpr int kMaxLinks = 40;
  for (int links = 0;; ++links) {
    struct stat status{};
    if (descriptor_named(path) || ::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
    if (!is_ours(status)) return fail(not_ours(path, "a link"));
    std::error_code ec;
    const auto link = std::filesystem::read_symlink(path, ec);
    if (ec || links == kMaxLinks)
      return fail(Code::unavailable,
                  fmt::format("cannot write '{}': {}", path, ec ? ec.message() : "its links lead in a circle"));
    path = (std::filesystem::path(path).parent_path() / link).string();
  }
}

// A file that is there whole or not at all. Readable by its owner only: a backup has every secret. Of two at once each
// writes a part of its own; the later one to be complete is the file. The part of one that was killed stays. Into a
// pipe or a device goes what comes.
class PrivateFile {
 public:
  static Result<std::unique_ptr<PrivateFile>> create(const std::string& path) {
    ASSIGN_OR_RETURN(auto target, target_of(path));
    if (const auto named = descriptor_named(target)) {
      const int fd = ::fcntl(*named, F_DUPFD_CLOEXEC, 0);
      if (fd < 0) return fail(file_error(path, "write"));
      return std::unique_ptr<PrivateFile>(new PrivateFile(path, "", fd));
    }
    struct stat there{};
    if (::lstat(target.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) return open_stream(target);
    constexpr std::string_view suffix = ".part";
    std::string part = fmt::format("{}.XXXXXX{}", target, suffix);
    const int fd = ::mkostemps(part.data(), static_cast<int>(suffix.size()), O_CLOEXEC);
    if (fd < 0) return fail(file_error(part, "write"));
    return std::unique_ptr<PrivateFile>(new PrivateFile(std::move(target), std::move(part), fd));
  }
  ~PrivateFile() {
    if (!is_stream() && !kept_) ::unlink(part_.c_str());
  }
  PrivateFile(const PrivateFile&) = delete;
  PrivateFile& operator=(const PrivateFile&) = delete;

  bool is_stream() const { return part_.empty(); }
  Status write(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::write(file_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(file_error(is_stream() ? path_ : part_, "write"));
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }
  // On disk under its own name, or an error and nothing.
  Status keep() {
    if (is_stream()) return file_.close() ? Status{} : fail(file_error(path_, "write"));
    if (::fsync(file_.get()) != 0 || !file_.close()) return fail(file_error(part_, "write"));
    if (::rename(part_.c_str(), path_.c_str()) != 0) return fail(file_error(path_, "write"));
    kept_ = true;
    auto folder = std::filesystem::path(path_).parent_path();
    if (folder.empty()) folder = ".";
    const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.get()) != 0) return fail(file_error(folder, "sync the folder"));
    return {};
  }

 private:
  PrivateFile(std::string path, std::string part, int fd) : path_(std::move(path)), part_(std::move(part)), file_(fd) {}
  // A pipe nobody reads from is an error, and not waited for.
  static Result<std::unique_ptr<PrivateFile>> open_stream(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return fail(file_error(path, "write"));
    std::unique_ptr<PrivateFile> file(new PrivateFile(path, "", fd));
    struct stat status{};
    if (::fstat(fd, &status) != 0 || ::fcntl(fd, F_SETFL, 0) != 0) return fail(file_error(path, "write"));
    if (S_ISREG(status.st_mode)) return fail(Code::conflict, fmt::format("'{}' changes; try again", path));
    if (S_ISFIFO(status.st_mode) && !is_ours(status)) return fail(not_ours(path, "a pipe"));
    return file;
  }

  std::string path_;
  std::string part_;  // empty: a stream
  Descriptor file_;
  bool kept_ = false;
};

Result<backup::Backup> read_backup(const std::string& path, backup::Reader::Keep keep) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail(file_error(path, "read"));
  backup::Reader reader(keep);
  std::string buffer(kReadBytes, '\0');
  for (;;) {
    const auto n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(file_error(path, "read"));
    if (n == 0) break;
    if (auto taken = reader.add(std::string_view(buffer).substr(0, static_cast<std::size_t>(n))); !taken)
      return fail(with_context(taken.error(), path));
  }
  auto made = reader.finish();
  if (!made) return fail(with_context(made.error(), path));
  return made;
}

std::string described(const backup::Backup& backup) {
  return fmt::format("{} keys at revision {} of store {}, taken {}", backup.values.size(), backup.revision,
                     backup.header.store_id, backup.header.time);
}

// Where the lines of the file come from.
class Lines {
 public:
  virtual ~Lines() = default;
  virtual Awaitable<Result<std::string>> next() = 0;  // empty: the end
};

class StoreLines final : public Lines {
 public:
  StoreLines(Clock& clock, std::unique_ptr<store::Store> store)
      : store_(std::move(store)), source_(*store_, clock, backup::key_prefixes(krake_registry())) {}
  Awaitable<Result<std::string>> next() override {
    std::string lines;
    CO_RETURN_IF_ERROR(co_await source_.next(lines));
    co_return lines;
  }

 private:
  std::unique_ptr<store::Store> store_;
  backup::Export source_;
};

class ApiLines final : public Lines {
 public:
  ApiLines(Clock& clock, std::shared_ptr<Transport> transport, HttpStream stream)
      : clock_(clock), transport_(std::move(transport)), stream_(std::move(stream)) {}
  Awaitable<Result<std::string>> next() override {
    return with_timeout(clock_, kAnswerLimit, "the next part of the backup", stream_.body->read());
  }

 private:
  Clock& clock_;
  std::shared_ptr<Transport> transport_;
  HttpStream stream_;
};

// What an API server that refuses says.
Awaitable<Error> refusal(std::string url, HttpStream stream) {
  std::string body;
  while (body.size() < kProblemLimit) {
    auto piece = co_await stream.body->read();
    if (!piece || piece->empty()) break;
    body += *piece;
  }
  const auto problem = json::parse(body);
  std::string detail(problem ? problem->string_at({"detail"}) : std::string_view());
  if (detail.empty()) detail = fmt::format("{}: {}", stream.status, status_phrase(stream.status));
  std::string_view hint;
  if (stream.status == 401 || stream.status == 403)
    hint = "; a backup has every secret, so it takes the right to 'create' the resource 'backup' of 'core'";
  if (stream.status == 404) hint = "; is that a Krake API server, and no older one?";
  co_return Error{code_of_http_status(stream.status), fmt::format("{}: {}{}", url, detail, hint)};
}

Awaitable<Result<std::unique_ptr<Lines>>> open_api(Env& env, std::optional<std::string> config_path) {
  auto io = cli::process_io(env.executor, env.clock);
  const auto config = cli::load_config(io, config_path);
  if (!config) co_return fail(Code::invalid_argument, config.error().message);
  ASSIGN_OR_CO_RETURN(const auto transport, dial_all(*io.dialer, env.clock, config->endpoint));
  HttpRequest request{.method = "POST", .target = "/backup", .headers = {}, .body = {}};
  if (!config->token.empty()) request.headers.add("Authorization", "Bearer " + config->token);
  ASSIGN_OR_CO_RETURN(auto stream, co_await transport->open(std::move(request), {.timeout = kAnswerLimit}));
  if (stream.status != 200) co_return fail(co_await refusal(config->endpoint.url, std::move(stream)));
  co_return std::make_unique<ApiLines>(env.clock, transport, std::move(stream));
}

// What a program of its own can do nothing with.
Status check_store(const ApiConfig& config) {
  if (config.store && config.store->type == "memory")
    return fail(Code::invalid_argument, "store.type: a memory store lives and ends with its API server");
  return {};
}

Awaitable<Result<std::unique_ptr<Lines>>> open_lines(Env& env, BackupOptions options) {
  if (!options.api) co_return co_await open_api(env, options.krakectl);
  CO_RETURN_IF_ERROR(check_store(*options.api));
  if (const auto& store = options.api->store;
      store && store->type == "sqlite" && !std::filesystem::exists(store->path)) {
    co_return fail(Code::not_found, fmt::format("store.path: there is no file '{}'", store->path));
  }
  ASSIGN_OR_CO_RETURN(auto store, co_await open_store(env, *options.api, {.keep_layout = true}));
  CO_RETURN_IF_ERROR(co_await backup::check_whole(*store));
  co_return std::make_unique<StoreLines>(env.clock, std::move(store));
}

// What is written is checked as a restore would.
Awaitable<Result<int>> save(Env& env, BackupOptions options) {
  ASSIGN_OR_CO_RETURN(const auto lines, co_await open_lines(env, options));
  ASSIGN_OR_CO_RETURN(const auto file, PrivateFile::create(options.file));
  backup::Reader reader(backup::Reader::Keep::keys);
  for (;;) {
    ASSIGN_OR_CO_RETURN(const auto piece, co_await lines->next());
    if (piece.empty()) break;
    CO_RETURN_IF_ERROR(reader.add(piece));
    CO_RETURN_IF_ERROR(file->write(piece));
  }
  ASSIGN_OR_CO_RETURN(const auto made, reader.finish());
  CO_RETURN_IF_ERROR(file->keep());
  fmt::print(file->is_stream() ? stderr : stdout, "{}: {}\n", options.file, described(made));
  co_return 0;
}

Awaitable<Result<int>> fill(Env& env, RestoreCommand command) {
  CO_RETURN_IF_ERROR(check_store(command.api));
  auto read = read_backup(command.file, backup::Reader::Keep::values);
  if (!read) co_return fail(read.error());
  const auto backup = std::make_shared<const backup::Backup>(std::move(*read));
  const auto attempt = env.random.fork("restore").uuid4();
  backup::RestorePlan done;
  {
    ASSIGN_OR_CO_RETURN(const auto store, co_await open_store(env, command.api, {}));
    backup::RestoreOptions options{
        .prefixes = backup::key_prefixes(krake_registry()), .replace = command.replace, .attempt = attempt};
    ASSIGN_OR_CO_RETURN(done, co_await backup::restore(*store, backup, std::move(options)));
  }
  ASSIGN_OR_CO_RETURN(const auto renewed, co_await open_store(env, command.api, {.renew_id = true}));
  CO_RETURN_IF_ERROR(co_await backup::finish(*renewed, attempt));
  fmt::print("{}: {}\nrestored as store {}: {} keys written, {} removed, {} left as they were\n", command.file,
             described(*backup), renewed->id(), done.written, done.removed, done.unchanged);
  co_return 0;
}

// `work`, or 1 when the process is told to stop first.
Awaitable<int> until_stopped(Process& process, std::string command, Awaitable<Result<int>> work) {
  using namespace boost::asio::experimental::awaitable_operators;
  const auto ended = co_await (caught(std::move(work)) || process.wait_stop());
  if (ended.index() == 1) co_return failed(command, {Code::cancelled, "interrupted"});
  const auto& result = std::get<0>(ended);
  co_return result ? *result : failed(command, result.error());
}

}  // namespace

Awaitable<int> run_backup(Process& process, BackupOptions options) {
  return until_stopped(process, "backup", save(process.env(), std::move(options)));
}

Awaitable<int> run_restore(Process& process, RestoreCommand command) {
  return until_stopped(process, "restore", fill(process.env(), std::move(command)));
}

int check_backup(const std::string& file) {
  const auto made = read_backup(file, backup::Reader::Keep::keys);
  if (!made) return failed("restore", made.error());
  fmt::print("{}: {}\n", file, described(*made));
  return 0;
}

}  // namespace krake
