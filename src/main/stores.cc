#include "main/stores.h"

#include <fmt/format.h>

#include "api/registry.h"
#include "base/encoding.h"
#include "store/etcd/etcd_store.h"
#include "store/memory/memory_store.h"
#include "store/sealed_store.h"
#include "store/sqlite/sqlite_store.h"

namespace krake {

namespace {

using StoreResult = Result<std::unique_ptr<store::Store>>;

bool has_tls(const EtcdConfig& config) {
  return !config.tls.ca.empty() || !config.tls.cert.empty() || !config.tls.key.empty();
}

Status check_endpoint(const EtcdConfig& config, const std::string& endpoint) {
  // It is told wherever the member is spoken of.
  if (endpoint.find('@') != std::string::npos) {
    return fail(Code::invalid_argument,
                fmt::format("{} carries a user or password: put them into etcd.user and etcd.password",
                            presentable_url(endpoint)));
  }
  if (has_tls(config) && !endpoint.starts_with("https://"))
    return fail(Code::invalid_argument,
                fmt::format("etcd.tls is set, but '{}' does not begin with https://", endpoint));
  return store::check_endpoint(endpoint);
}

Result<store::EtcdOptions> etcd_options(const EtcdConfig& config, ConfigProblems& problems) {
  const auto before = problems.size();
  check_endpoints(config, problems);
  store::EtcdOptions options{
      .endpoints = config.endpoints, .prefix = config.prefix, .user = config.user, .password = config.password};
  const bool tls = has_tls(config);
  if (options.endpoints.empty()) {
    const bool ipv6 = config.host.find(':') != std::string::npos;
    options.endpoints.push_back(fmt::format("{}://{}{}{}:{}", tls ? "https" : "http", ipv6 ? "[" : "", config.host,
                                            ipv6 ? "]" : "", static_cast<std::int64_t>(config.port)));
  }
  const auto read = [&](const char* key, const std::string& path) {
    return path.empty() ? std::string() : value_or_problem(key, read_file(path), problems);
  };
  options.tls = {.ca_pem = read("etcd.tls.ca", config.tls.ca),
                 .cert_pem = read("etcd.tls.cert", config.tls.cert),
                 .key_pem = read("etcd.tls.key", config.tls.key)};
  if (!config.password_file.empty()) {
    options.password = read("etcd.password_file", config.password_file);
    options.password.resize(std::min(options.password.size(), options.password.find_first_of("\r\n")));
  }
  if (problems.size() > before) return options;  // what follows would speak of the same
  if (options.tls.cert_pem.empty() != options.tls.key_pem.empty()) {
    return fail(Code::invalid_argument, "etcd.tls: cert and key go together");
  }
  if (options.user.empty() != options.password.empty()) {
    return fail(Code::invalid_argument, "etcd: user and password (or password_file) go together");
  }
  RETURN_IF_ERROR(store::check(options));
  return options;
}

Result<SealingKeys> sealing_keys(const std::string& path) {
  if (path.empty()) return SealingKeys();
  auto text = read_file(path);
  if (!text) return fail(with_context(text.error(), "security.encryption_key_file"));
  return SealingKeys::parse(*text, path);
}

std::vector<std::string> prefixes_with_secrets() {
  std::vector<std::string> prefixes;
  for (const auto& kind : krake_registry().kinds()) {
    if (kind->mask) prefixes.push_back(kind->storage_prefix());
  }
  return prefixes;
}

}  // namespace

std::optional<Duration> compact_after(const ApiConfig& config) {
  if (config.store && config.store->type != "etcd") return std::nullopt;
  const auto etcd = config.etcd.value_or(EtcdConfig());
  if (!etcd.prefix.empty() || etcd.compact_after <= 0) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(etcd.compact_after));
}

void check_endpoints(const EtcdConfig& config, ConfigProblems& problems) {
  for (const auto& endpoint : config.endpoints) {
    if (auto good = check_endpoint(config, endpoint); !good)
      problems.push_back({"etcd.endpoints", good.error().message});
  }
}

StorePlan plan_store(const ApiConfig& config, ConfigProblems& problems) {
  StorePlan plan{.type = config.store ? config.store->type : "etcd", .path = config.store ? config.store->path : ""};
  plan.keys =
      value_or_problem("security.encryption_key_file", sealing_keys(config.security.encryption_key_file), problems);
  if (plan.type == "etcd") {
    plan.etcd = value_or_problem("etcd", etcd_options(config.etcd.value_or(EtcdConfig()), problems), problems);
  } else if (plan.type == "sqlite") {
    if (plan.path.empty()) problems.push_back({"store.path", "name the database file of the sqlite store"});
  } else if (plan.type != "memory") {
    problems.push_back({"store.type", fmt::format("'{}': known are sqlite, etcd and memory", plan.type)});
  }
  return plan;
}

namespace {
Awaitable<StoreResult> open_plain(Env& env, StorePlan plan, StoreUse use) {
  if (plan.type == "memory")
    co_return store::make_memory_store(env.executor, env.clock, env.random.fork("store id").uuid4());
  if (plan.type == "sqlite") {
    auto opened = co_await store::open_sqlite_store(
        env.executor, env.clock, env.random.fork("sqlite"),
        {.path = plan.path, .renew_id = use.renew_id, .keep_layout = use.keep_layout, .metrics = &env.metrics});
    if (!opened) co_return fail(opened.error());
    co_return std::unique_ptr<store::Store>(std::move(*opened));
  }
  plan.etcd.leave_no_mark = use.leave_no_mark;
  auto opened = store::open_etcd_store(env.executor, env.clock, env.random.fork("etcd"), env.log.named("etcd"),
                                       std::move(plan.etcd));
  if (!opened) co_return fail(opened.error());
  if (use.renew_id) CO_RETURN_IF_ERROR(co_await (*opened)->renew_id());
  co_return std::unique_ptr<store::Store>(std::move(*opened));
}
}  // namespace

// Also without keys: what was sealed must not be taken for damaged.
Awaitable<StoreResult> open_store(Env& env, StorePlan plan, StoreUse use) {
  auto keys = std::move(plan.keys);
  const auto unopened = use.unopened;
  auto plain = co_await open_plain(env, std::move(plan), use);
  if (!plain) co_return fail(plain.error());
  co_return std::make_unique<store::SealedStore>(std::move(*plain), std::move(keys), prefixes_with_secrets(), unopened);
}

Awaitable<StoreResult> open_store(Env& env, ApiConfig config, StoreUse use) {
  ConfigProblems problems;
  auto plan = plan_store(config, problems);
  if (!problems.empty()) co_return fail(Code::invalid_argument, describe({}, problems.front()));
  co_return co_await open_store(env, std::move(plan), use);
}

}  // namespace krake
