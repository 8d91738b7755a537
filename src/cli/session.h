// One run of krakectl: its options, its configuration, the API, and how results and errors are shown. Thread: the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/args.h"
#include "cli/config.h"
#include "cli/failure.h"
#include "cli/view.h"
#include "meta/kind.h"

namespace krake::cli {

// What a request is about, for the sentence of an error.
struct Subject {
  const Kind* kind = nullptr;
  std::string ns;
  std::string name;
};

struct Request {
  std::string method = "GET";
  std::string target;
  std::optional<json::Value> body = std::nullopt;
  Subject subject = {};
  std::string if_match = {};  // a resource_version; empty: none
};

class Session {
 public:
  Session(CliIo io, const Syntax& syntax, const Kind* kind, Parsed args, Config config,
          std::shared_ptr<Transport> transport);

  const Parsed& args() const { return args_; }
  const CliIo& io() const { return io_; }
  const Kind& kind() const { return *kind_; }
  const Config& config() const { return config_; }
  const std::string& name() const { return args_.names.front(); }
  std::string ns() const;  // empty for kinds without namespace
  bool structured() const { return output_ == "json" || output_ == "yaml"; }
  Subject subject() const { return {kind_, ns(), args_.names.empty() ? std::string() : args_.names.front()}; }
  std::string collection() const { return kind_->collection_path(ns()); }
  std::string item() const { return kind_->item_path(ns(), name()); }

  // The answer's document; null for an empty one.
  Awaitable<Outcome<json::Value>> call(Request request);
  // Its headers too.
  Awaitable<Outcome<HttpResponse>> exchange(Request request);
  static Outcome<json::Value> document_of(const Request& request, const HttpResponse& response);
  // Lines of a watch.
  Awaitable<Outcome<std::unique_ptr<ByteStream>>> watch(std::string target, Subject subject);

  // A file option, "-" for standard input; a usage error when it cannot be read.
  Outcome<std::string> file(std::string_view option) const;
  Outcome<std::vector<json::Value>> yaml_file(std::string_view option) const;

  void show(const json::Value& object, View view = View::single) const;
  void show_list(const json::Value& items) const;
  void show_document(const json::Value& document) const;  // of no kind
  // Of things that are no objects: -o name shows the first column, -o json and yaml show `document`.
  void show_table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows,
                  const json::Value& document) const;
  // As it is; -o json and yaml show `document`.
  void show_text(std::string_view text, const json::Value& document) const;
  // What upstream says too. Scripts merge both streams and parse them: everything else is a remark, for humans alone.
  void warn(std::string_view text) const;
  void remark(std::string_view text) const;
  void progress(std::string_view text) const;
  void note(std::string_view text) const;  // for humans: on standard error, tables only
  Failure usage(std::string_view option, std::string_view what) const;
  Failure usage(std::string_view what) const;  // of no option
  TableOptions table_options() const;

 private:
  Headers headers(const Request& request) const;
  Failure failure(const Request& request, const HttpResponse& response) const;
  Failure unreachable(const Error& error, bool write) const;

  CliIo io_;
  const Syntax& syntax_;
  const Kind* kind_;
  Parsed args_;
  Config config_;
  std::shared_ptr<Transport> transport_;
  std::string output_;
};

using Run = Awaitable<Outcome<int>> (*)(Session& session);

// The problem document with json and yaml, else two lines.
void show_failure(const CliIo& io, const Failure& failure, bool structured);

// GET, change, PUT of the whole document; again from the start when somebody else was faster. Gives the new object.
using Edit = std::function<Outcome<bool>(json::Value& object)>;
Awaitable<Outcome<json::Value>> update_object(Session& session, std::string query, Edit edit);

}  // namespace krake::cli
