#include "main/security_config.h"

#include <fmt/format.h>

#include "base/line_file.h"

namespace krake {

namespace {

class AuditFile final : public server::AuditSink {
 public:
  explicit AuditFile(std::unique_ptr<LineFile> file) : file_(std::move(file)) {}
  void write(std::string line) override { file_->write(std::move(line)); }
  std::uint64_t dropped() const override { return file_->dropped(); }

 private:
  std::unique_ptr<LineFile> file_;
};

}  // namespace

void apply(const SecurityConfig& security, server::ServerOptions& options) {
  options.auth.access = {.filter_namespaces = security.filter_namespaces,
                         .strict_roles = security.strict_roles,
                         .redact_secrets = security.redact_secrets,
                         .force_needs_right = security.force_needs_right,
                         .one_time_hook_tokens = security.one_time_hook_tokens,
                         .check_uid = security.check_uid,
                         .check_references = security.check_references};
}

Result<server::AuditOptions> open_audit(const AuditConfig& config) {
  if (config.file.empty()) return server::AuditOptions();
  auto file = LineFile::open({.path = config.file,
                              .max_bytes = static_cast<std::uint64_t>(static_cast<std::int64_t>(config.max_bytes)),
                              .max_files = static_cast<unsigned>(static_cast<std::int64_t>(config.max_files)),
                              .on_dropped = server::dropped_line});
  if (!file) return fail(with_context(file.error(), "audit.file"));
  return server::AuditOptions{.sink = std::make_shared<AuditFile>(std::move(*file)), .reads = config.reads};
}

}  // namespace krake
