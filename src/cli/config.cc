#include "cli/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/args.h"
#include "cli/yaml.h"
#include "net/failover.h"
#include "net/url.h"

namespace krake::cli {

namespace fs = std::filesystem;

namespace {

std::string env_or(const CliIo& io, const std::string& name, std::string otherwise = {}) {
  auto value = io.env(name);
  return value && !value->empty() ? *value : std::move(otherwise);
}

// A file that just lies where we happen to be may be anybody's: it can neither run commands nor name who gets the token
// of the environment.
enum class Trust : std::uint8_t { named, found };

struct Location {
  std::string path;
  Trust trust = Trust::named;
};

// Where the file is looked for, in order.
std::vector<Location> places(const CliIo& io) {
  std::vector<Location> out{{absolute_path(io, "krakectl.yaml"), Trust::found}};
  if (auto xdg = env_or(io, "XDG_CONFIG_HOME"); !xdg.empty()) {
    out.push_back({xdg + "/krakectl.yaml"});
  } else if (auto home = env_or(io, "HOME"); !home.empty()) {
    out.push_back({home + "/.config/krakectl.yaml"});
  }
  out.push_back({io.system_config});
  return out;
}

constexpr const char* kUrlVariable = "KRAKE_API_URL";

// Where the address of the API is to be mended.
std::string url_key(const Config& config) {
  return config.url_from == kUrlVariable ? config.url_from : fmt::format("{}: api_url", config.url_from);
}

// Reads the keys of one document (the file, or one of its contexts).
class Reader {
 public:
  Reader(const CliIo& io, const json::Value& document, const Location& source)
      : io_(io), document_(document), source_(source.path), trust_(source.trust) {}

  Outcome<Config> read() {
    Config config;
    config.source = source_;
    TRY(config.endpoint.url, required({"api_url"}));
    TRY(config.user, required({"user"}));
    if (auto from_environment = apply_environment(config); !from_environment)
      return stop(std::move(from_environment).error());
    if (config.token.empty()) {
      TRY(config.token, text({"token"}));
    }
    TRY(config.endpoint.insecure_skip_verify, boolean("insecure_skip_verify"));
    if (const auto* timeout = document_.at_path({"timeout"}); timeout && !timeout->is_null()) {
      const auto* number = timeout->if_number();
      if (!number || !(number->as_double() > 0 && number->as_double() <= 86'400))
        return bad("timeout", "want seconds, more than 0, at most 86400");
      config.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(number->as_double() * 1000));
    }
    TRY(const std::string command, text({"token_command"}));
    if (!command.empty() && config.token.empty()) {
      if (trust_ == Trust::found) {
        return stop(fmt::format("{}: token_command: not run from a file found in the working directory", source_),
                    "name the file with --config or KRAKECTL_CONFIG if it is yours");
      }
      if (!io_.run_command) return bad("token_command", "commands cannot be run here");
      auto token = io_.run_command(command);
      if (!token) return stop(fmt::format("{}: token_command: {}", source_, token.error().message));
      config.token = *std::move(token);
      while (!config.token.empty() && std::isspace(static_cast<unsigned char>(config.token.back())))
        config.token.pop_back();
      if (config.token.empty()) return bad("token_command", "the command printed no token");
    }
    if (auto tls = read_tls(config); !tls) return stop(std::move(tls).error());
    return config;
  }

 private:
  Outcome<bool> apply_environment(Config& config) const {
    const auto url = env_or(io_, kUrlVariable);
    config.url_from = url.empty() ? source_ : kUrlVariable;
    if (!url.empty()) config.endpoint.url = url;
    if (auto ns = env_or(io_, "KRAKE_NAMESPACE"); !ns.empty()) config.user = ns;
    auto token = env_or(io_, "KRAKE_TOKEN");
    if (!token.empty() && url.empty() && trust_ == Trust::found) {
      return stop(fmt::format("KRAKE_TOKEN is not sent to {}, which {} names", config.endpoint.url, source_),
                  "set KRAKE_API_URL too, or name the file with --config or KRAKECTL_CONFIG if it is yours");
    }
    config.token = std::move(token);
    return true;
  }
  std::unexpected<Failure> bad(std::string_view key, std::string_view what) const {
    return stop(fmt::format("{}: {}: {}", source_, key, what),
                key == "api_url" || key == "user"
                    ? "krakectl.yaml needs at least api_url and user; see the user guide"
                    : "the user guide has the keys of krakectl.yaml, under Configuration of krakectl");
  }
  static std::string join(std::initializer_list<std::string_view> path) {
    std::string out;
    for (const auto step : path) out += (out.empty() ? "" : ".") + std::string(step);
    return out;
  }
  Outcome<std::string> text(std::initializer_list<std::string_view> path) const {
    const auto* value = document_.at_path(path);
    if (!value || value->is_null()) return std::string();
    if (!value->is_string()) return bad(join(path), "want a text");
    return *value->if_string();
  }
  Outcome<std::string> required(std::initializer_list<std::string_view> path) const {
    TRY(std::string value, text(path));
    if (value.empty()) return bad(join(path), "missing");
    return value;
  }
  Outcome<bool> boolean(std::string_view key) const {
    const auto* value = document_.at_path({key});
    if (!value || value->is_null()) return false;
    if (!value->is_bool()) return bad(key, "want true or false");
    return *value->if_bool();
  }
  Outcome<std::string> pem(std::string_view key, bool needed) const {
    TRY(const std::string path, text({"tls", key}));
    if (path.empty()) {
      if (needed) {
        return stop(fmt::format("{}: tls.{}: missing", source_, key),
                    "tls.client_cert and tls.client_key say who you are, unless a token does (token, token_command, "
                    "KRAKE_TOKEN); set tls.enabled to false for an API without TLS");
      }
      return std::string();
    }
    auto content = read_input(io_, absolute_path(io_, path));
    if (!content) return bad(fmt::format("tls.{}", key), fmt::format("'{}': {}", path, content.error().message));
    return *std::move(content);
  }
  Outcome<bool> read_tls(Config& config) {
    const auto* tls = document_.at_path({"tls"});
    if (!tls || tls->is_null()) return false;  // as the URL says
    if (!tls->is_object()) return bad("tls", "want a mapping");
    const auto* enabled = tls->at_path({"enabled"});
    if (!enabled || !enabled->is_bool()) return bad("tls.enabled", enabled ? "want true or false" : "missing");
    const bool on = *enabled->if_bool();
    const std::string_view scheme = on ? "https" : "http";
    const auto urls = split_urls(config.endpoint.url);
    if (!urls) return stop(fmt::format("{}: {}", url_key(config), urls.error().message));
    std::string joined;
    for (const auto& url : *urls) {
      const auto end = url.find("://");
      if (url.substr(0, end) != scheme) {
        config.warnings.push_back(
            fmt::format("api_url {} has the wrong scheme for tls.enabled: {}; using {}", url, on, scheme));
      }
      joined += (joined.empty() ? "" : ",") + std::string(scheme) + url.substr(end);
    }
    config.endpoint.url = std::move(joined);
    if (!on) return true;
    // A token may stand in for the certificate.
    const bool needed = config.token.empty();
    TRY(config.endpoint.client_cert_pem, pem("client_cert", needed));
    TRY(config.endpoint.client_key_pem, pem("client_key", needed));
    TRY(config.endpoint.ca_pem, pem("client_ca", false));
    return true;
  }

  const CliIo& io_;
  const json::Value& document_;
  std::string source_;
  Trust trust_;
};

void remark_unknown(const YamlDocument& document, const std::string& source, const json::Value& part,
                    const std::string& path, const std::vector<std::string_view>& known,
                    std::vector<std::string>& remarks) {
  if (!part.is_object()) return;
  for (const auto& [key, value] : *part.if_object()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    const std::string whole = path.empty() ? key : fmt::format("{}.{}", path, key);
    const int line = document.lines.of(whole);
    remarks.push_back(fmt::format("{}{}: the key '{}' is not known and ignored{}", source,
                                  line > 0 ? fmt::format(":{}", line) : "", whole, suggestion(key, known)));
  }
}

// Keys nobody reads: most are mistyped.
std::vector<std::string> unknown_keys(const YamlDocument& document, const std::string& source) {
  std::vector<std::string> remarks;
  const auto look = [&](const json::Value& part, const std::string& path, bool context) {
    std::vector<std::string_view> known{"api_url", "user", "token", "token_command", "timeout", "insecure_skip_verify",
                                        "tls"};
    if (context) known.emplace_back("name");
    if (!context) known.insert(known.end(), {"contexts", "current-context", "current_context"});
    remark_unknown(document, source, part, path, known, remarks);
    if (const auto* tls = part.at_path({"tls"})) {
      remark_unknown(document, source, *tls, path.empty() ? "tls" : path + ".tls",
                     {"enabled", "client_cert", "client_key", "client_ca"}, remarks);
    }
  };
  look(document.value, "", false);
  const auto* contexts = document.value.at_path({"contexts"});
  if (const auto* list = contexts ? contexts->if_array() : nullptr) {
    for (std::size_t i = 0; i < list->size(); ++i) look((*list)[i], fmt::format("contexts.{}", i), true);
  } else if (const auto* map = contexts ? contexts->if_object() : nullptr) {
    for (const auto& [name, context] : *map) look(context, "contexts." + name, true);
  }
  return remarks;
}

// What a context says stands in place of what stands beside the contexts, each with its lines. `path`: its own.
void put_over(const json::Object& context, const std::string& path, YamlDocument& document) {
  for (const auto& [key, value] : context) {
    document.value.if_object()->set(key, value);
    document.lines.forget(key);
  }
  const std::string above = path + ".";
  YamlLines own = document.lines.renamed(
      [&](const std::string& line) { return line.starts_with(above) ? line.substr(above.size()) : line; });
  document.lines = std::move(own);
}

// The document to read: the file itself, or what its current context names.
Outcome<YamlDocument> choose_context(const CliIo& io, YamlDocument read, const std::string& source) {
  const auto& document = read.value;
  const auto* contexts = document.at_path({"contexts"});
  std::string name = env_or(io, "KRAKE_CONTEXT", std::string(document.string_at({"current-context"})));
  if (name.empty()) name = document.string_at({"current_context"});
  if (name.empty()) return read;
  std::string path = "contexts." + name;
  const json::Value* chosen = contexts ? contexts->at_path({name}) : nullptr;
  if (const auto* list = contexts ? contexts->if_array() : nullptr) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      if ((*list)[i].string_at({"name"}) != name) continue;
      chosen = &(*list)[i];
      path = fmt::format("contexts.{}", i);
    }
  }
  if (!chosen || !chosen->is_object())
    return stop(fmt::format("{}: there is no context '{}' under contexts", source, name));
  const json::Value context = *chosen;
  put_over(*context.if_object(), path, read);
  return read;
}

Outcome<Config> read_document(const CliIo& io, const Location& place, const Result<std::string>& text) {
  const std::string& path = place.path;
  if (!text) return stop(fmt::format("{}: {}", path, text.error().message));
  auto documents = parse_yaml_with_lines(*text, path, {}, RepeatedKey::last_counts);
  if (!documents) return stop(documents.error().message, "the configuration must be a YAML mapping");
  if (documents->size() != 1 || !documents->front().value.is_object())
    return stop(fmt::format("{}: want one mapping of keys to values", path));
  auto remarks = unknown_keys(documents->front(), path);
  TRY(auto chosen, choose_context(io, std::move(documents->front()), path));
  TRY(auto config, Reader(io, chosen.value, place).read());
  config.remarks = std::move(remarks);
  std::ranges::move(chosen.warnings, std::back_inserter(config.remarks));
  config.document = std::move(chosen.value);
  config.lines = std::move(chosen.lines);
  return config;
}

Outcome<Config> find_and_read(const CliIo& io, const std::optional<std::string>& explicit_path) {
  std::string path = explicit_path.value_or(env_or(io, "KRAKECTL_CONFIG"));
  if (!path.empty()) {
    path = absolute_path(io, path);
    const auto text = io.read_file(path);
    if (!text && text.error().code == Code::not_found) {
      return stop(fmt::format("the configuration file '{}' does not exist", path),
                  explicit_path ? "check --config" : "check KRAKECTL_CONFIG");
    }
    return read_document(io, {path}, text);
  }
  for (const auto& place : places(io)) {
    const auto text = io.read_file(place.path);
    if (text || (text.error().code != Code::not_found && text.error().code != Code::invalid_argument))
      return read_document(io, place, text);
  }
  Config config;
  if (auto url = env_or(io, kUrlVariable); !url.empty()) {
    config.endpoint.url = url;
    config.url_from = kUrlVariable;
  }
  if (auto ns = env_or(io, "KRAKE_NAMESPACE"); !ns.empty()) config.user = ns;
  config.token = env_or(io, "KRAKE_TOKEN");
  return config;
}

}  // namespace

std::string absolute_path(const CliIo& io, const std::string& path) {
  return path == "-" || fs::path(path).is_absolute() ? path : (fs::path(io.cwd) / path).lexically_normal().string();
}

Result<std::string> read_input(const CliIo& io, const std::string& path) {
  if (path == "-") return io.read_stdin();
  return io.read_file(absolute_path(io, path));
}

Outcome<Config> load_config(const CliIo& io, const std::optional<std::string>& explicit_path) {
  TRY(Config config, find_and_read(io, explicit_path));
  if (const auto at = std::ranges::find_if(config.token, [](unsigned char c) { return c < ' ' || c == 0x7f; });
      at != config.token.end()) {
    const bool of_environment = config.source.empty() || env_or(io, "KRAKE_TOKEN") == config.token;
    return stop(fmt::format("{}: byte {} of the token is a control character, which no header can carry",
                            of_environment ? "KRAKE_TOKEN" : config.source, at - config.token.begin() + 1),
                "a token is one line without line breaks; was it cut, or quoted wrongly?");
  }
  const auto urls = split_urls(config.endpoint.url);
  if (!urls) return stop(fmt::format("{}: {}", url_key(config), urls.error().message));
  for (const auto& text : *urls) {
    const auto url = parse_url(text);
    const bool here = url->host == "localhost" || url->host == "::1" || url->host.starts_with("127.");
    if (!config.token.empty() && !url->tls && !here)
      config.remarks.push_back(fmt::format("the token goes to {} unencrypted", text));
  }
  return config;
}

}  // namespace krake::cli
