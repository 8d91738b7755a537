#include "cli/cli.h"

#include <fmt/format.h>

#include "cli/commands.h"
#include "net/failover.h"

namespace krake::cli {

namespace {

const std::vector<Syntax>& syntaxes() {
  static const std::vector<Syntax> all = [] {
    std::vector<Syntax> out;
    for (const auto& command : all_commands()) out.push_back(command.syntax);
    return out;
  }();
  return all;
}

int end_with(const CliIo& io, const Failure& failure, bool structured) {
  show_failure(io, failure, structured);
  return failure.exit;
}

Awaitable<int> run_command(CliIo io, const Command& command, Parsed parsed) {
  const bool structured = parsed.one_or("--output", "") == "json" || parsed.one_or("--output", "") == "yaml";
  auto config = load_config(io, parsed.one("--config"));
  if (!config) co_return end_with(io, config.error(), structured);
  auto transport = dial_all(*io.dialer, *io.clock, config->endpoint);
  if (!transport) {
    co_return end_with(io, {.message = transport.error().message, .hint = "check api_url and tls in the configuration"},
                       structured);
  }
  Session session(io, command.syntax, command.kind, std::move(parsed), *std::move(config), *std::move(transport));
  for (const auto& warning : session.config().warnings) session.warn(warning);
  for (const auto& remark : session.config().remarks) session.remark(remark);
  auto outcome = co_await command.run(session);
  if (!outcome) co_return end_with(io, outcome.error(), structured);
  co_return *outcome;
}

}  // namespace

Awaitable<int> run_krakectl(std::vector<std::string> args, CliIo io) {
  auto outcome = parse_args(syntaxes(), args, absent_commands());
  if (const auto* help = std::get_if<HelpWanted>(&outcome)) {
    io.out(help->text);
    co_return 0;
  }
  if (const auto* completion = std::get_if<CompletionWanted>(&outcome)) {
    io.out(completion_script(syntaxes(), completion->shell));
    co_return 0;
  }
  if (const auto* error = std::get_if<UsageError>(&outcome)) {
    io.err(error->text);
    co_return 2;
  }
  auto& matched = std::get<Matched>(outcome);
  co_return co_await run_command(std::move(io), all_commands()[matched.command], std::move(matched.parsed));
}

}  // namespace krake::cli
