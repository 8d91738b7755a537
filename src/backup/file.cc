#include "backup/file.h"

#include <fmt/format.h>

#include <optional>

#include "base/json.h"

namespace krake::backup {

namespace {

constexpr std::string_view kFormat = "krake-backup";

// "NAME":"text", or "NAME_base64":"..." when the bytes are no text.
void bytes_member(std::string_view name, std::string_view bytes, std::string& out) {
  if (json::valid_utf8(bytes)) {
    out += fmt::format("\"{}\":", name);
    json::print_string_to(bytes, out);
  } else {
    out += fmt::format("\"{}_base64\":\"{}\"", name, base64_encode(bytes));
  }
}

std::optional<std::string> bytes_of(const json::Object& record, std::string_view name) {
  if (const auto* text = record.find(name); text && text->if_string()) return *text->if_string();
  const auto* coded = record.find(fmt::format("{}_base64", name));
  if (!coded || !coded->if_string()) return std::nullopt;
  return base64_decode(*coded->if_string());
}

bool is_true(const json::Object& record, std::string_view name) {
  const auto* value = record.find(name);
  return value && value->if_bool() && *value->if_bool();
}

}  // namespace

void Writer::line(std::string_view text, std::string& out) {
  sum_.add(text);
  sum_.add("\n");
  out += text;
  out += '\n';
}

void Writer::begin(const Header& header, std::string& out) {
  line(json::print(json::Object{
           {"format", kFormat}, {"version", kFormatVersion}, {"store_id", header.store_id}, {"time", header.time}}),
       out);
}

void Writer::put(std::string_view key, std::string_view value, std::string& out) {
  std::string text = "{";
  bytes_member("key", key, text);
  text += ',';
  bytes_member("value", value, text);
  text += '}';
  ++records_;
  line(text, out);
}

void Writer::remove(std::string_view key, std::string& out) {
  std::string text = "{";
  bytes_member("key", key, text);
  text += R"(,"removed":true})";
  ++records_;
  line(text, out);
}

void Writer::end(store::Revision revision, std::string& out) {
  line(fmt::format(R"({{"end":true,"revision":{},"records":{}}})", revision, records_), out);
  out += fmt::format("{{\"sha256\":\"{}\"}}\n", sum_.hex());
}

std::unexpected<Error> Reader::damaged(std::string_view what) const {
  return fail(Code::invalid_argument,
              fmt::format("line {}: {}: the file is damaged or no backup; take another one", line_, what));
}

Status Reader::add(std::string_view piece) {
  while (!piece.empty()) {
    const auto end = piece.find('\n');
    if (rest_.size() + std::min(end, piece.size()) > kMaxLine) {
      ++line_;
      return damaged(fmt::format("is longer than {} bytes", kMaxLine));
    }
    if (end == std::string_view::npos) {
      rest_ += piece;
      return {};
    }
    ++line_;
    if (rest_.empty()) {
      RETURN_IF_ERROR(line(piece.substr(0, end)));
    } else {
      rest_ += piece.substr(0, end);
      RETURN_IF_ERROR(line(rest_));
      rest_.clear();
    }
    piece.remove_prefix(end + 1);
  }
  return {};
}

Result<Backup> Reader::finish() {
  if (wanted_ == Wanted::nothing && rest_.empty()) return std::move(backup_);
  return fail(Code::invalid_argument,
              fmt::format("ends after {} lines without its checksum: it is not complete; take another one", line_));
}

Status Reader::line(std::string_view text) {
  if (wanted_ == Wanted::nothing) return damaged("something follows the checksum");
  if (wanted_ == Wanted::checksum) return checksum(text);
  sum_.add(text);
  sum_.add("\n");
  return wanted_ == Wanted::header ? header(text) : record(text);
}

Status Reader::header(std::string_view text) {
  const auto value = json::parse(text);
  if (!value || value->string_at({"format"}) != kFormat) return damaged("is not the header of a backup");
  const auto version = value->int_at({"version"});
  if (version != kFormatVersion) {
    return damaged(
        fmt::format("has format version {}, this program knows {}; if the program that wrote it is newer, "
                    "use that one",
                    version ? std::to_string(*version) : "?", kFormatVersion));
  }
  backup_.header = {std::string(value->string_at({"store_id"})), std::string(value->string_at({"time"}))};
  wanted_ = Wanted::record;
  return {};
}

Status Reader::record(std::string_view text) {
  const auto value = json::parse(text);
  const auto* record = value ? value->if_object() : nullptr;
  if (!record) return damaged("is not a record");
  if (is_true(*record, "end")) {
    const auto revision = value->int_at({"revision"});
    if (!revision || value->int_at({"records"}) != records_)
      return damaged(fmt::format("does not fit the {} records before it", records_));
    backup_.revision = *revision;
    wanted_ = Wanted::checksum;
    return {};
  }
  ++records_;
  auto key = bytes_of(*record, "key");
  if (!key || key->empty()) return damaged("has no key");
  if (is_true(*record, "removed")) {
    backup_.values.erase(*key);
    return {};
  }
  auto bytes = bytes_of(*record, "value");
  if (!bytes) return damaged(fmt::format("the key '{}' has no value", *key));
  backup_.values.insert_or_assign(
      std::move(*key), keep_ == Keep::values ? std::make_shared<const std::string>(std::move(*bytes)) : store::Bytes());
  return {};
}

Status Reader::checksum(std::string_view text) {
  backup_.checksum = sum_.hex();
  if (text != fmt::format(R"({{"sha256":"{}"}})", backup_.checksum))
    return damaged("the checksum is not that of the lines before");
  wanted_ = Wanted::nothing;
  return {};
}

}  // namespace krake::backup
