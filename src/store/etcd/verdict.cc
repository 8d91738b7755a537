#include "store/etcd/verdict.h"

#include <fmt/format.h>

#include <algorithm>

namespace krake::store::etcd {

namespace {

struct Row {
  std::string_view words;
  Next next;
  bool maybe_applied;
  Code code;
  std::string_view advice;
};

constexpr Row kRows[] = {
    // It may be said after what took the last room was carried out.
    {"database space exceeded", Next::give_up, true, Code::unavailable,
     "its space quota is used up: compact and defragment it, or raise --quota-backend-bytes, then run "
     "`etcdctl alarm disarm`; reads go on"},
    {"revision has been compacted", Next::give_up, false, Code::compacted, ""},
    {"is a future revision", Next::give_up, false, Code::invalid_argument, ""},
    {"requested lease not found", Next::give_up, false, Code::not_found, ""},
    {"request is too large", Next::give_up, false, Code::too_large, "raise etcd's --max-request-bytes"},
    {"too many operations in txn", Next::give_up, false, Code::too_large, "raise etcd's --max-txn-ops to 128"},
    {"too many requests", Next::later, false, Code::unavailable, ""},
    {"invalid auth token", Next::log_in, false, Code::unavailable, ""},
    {"revision of auth store is old", Next::log_in, false, Code::unavailable, ""},
    {"user name is empty", Next::log_in, false, Code::unavailable,
     "this etcd wants a login: set etcd.user and etcd.password"},
    {"authentication failed", Next::give_up, false, Code::unavailable, "check etcd.user and etcd.password"},
    {"permission denied", Next::give_up, false, Code::unavailable,
     "grant the user read and write on all keys Krake uses: `etcdctl role grant-permission ROLE --prefix=true "
     "readwrite /`"},
    {"corrupt", Next::give_up, true, Code::unavailable,
     "etcd says that the data of its members differ: see `etcdctl alarm list`"},
    {"failed to connect", Next::elsewhere, false, Code::unavailable, ""},
    {"DNS resolution failed", Next::elsewhere, false, Code::unavailable, ""},
    {"no leader", Next::elsewhere, true, Code::unavailable, "most of its members are not in reach of each other"},
};

constexpr int kCancelled = 1;
constexpr int kDeadlineExceeded = 4;
constexpr int kUnimplemented = 12;
constexpr int kUnavailable = 14;
constexpr int kUnauthenticated = 16;

Row by_code(int code) {
  switch (code) {
    case kCancelled:  // by us: it was silent to others
    case kDeadlineExceeded:
      return {"", Next::elsewhere, true, Code::unavailable, "are most of its members up and in reach of each other?"};
    case kUnavailable:
      return {"", Next::elsewhere, true, Code::unavailable, ""};
    case kUnauthenticated:
      return {"", Next::log_in, false, Code::unavailable, ""};
    case kUnimplemented:
      return {"", Next::give_up, false, Code::unavailable, "is there an etcd of version 3.4 or newer?"};
    default:
      return {"", Next::give_up, true, Code::unavailable, ""};
  }
}

// A handshake that fails says so deep inside a long text. That our certificate is refused we are not even told: with
// TLS 1.3 the handshake is over for us by then, and the new connection just ends.
std::string_view tls_advice(std::string_view url, std::string_view message) {
  const auto has = [&](std::string_view part) { return message.find(part) != std::string_view::npos; };
  if (has("failed to connect") &&
      (has("Connection reset by peer") || has("Endpoint read failed") || has("Socket closed"))) {
    return url.starts_with("https://")
               ? "it ends new connections at once: does it speak TLS at all, and does it accept etcd.tls.cert?"
               : "it ends new connections at once: does it want https://?";
  }
  if (!has("SSL") && !has("Ssl") && !has("andshak")) return "";
  if (has("CERTIFICATE_VERIFY_FAILED") || has("certificate verify failed")) {
    return "its certificate is not signed by etcd.tls.ca or not made for that host name";
  }
  return "the TLS handshake failed: does it speak TLS, and does it accept etcd.tls.cert?";
}

}  // namespace

Verdict judge(const Refusal& refusal) {
  const auto& message = refusal.message;
  const auto known =
      std::ranges::find_if(kRows, [&](const Row& row) { return message.find(row.words) != std::string_view::npos; });
  const Row row = known != std::end(kRows) ? *known : by_code(refusal.code);
  const auto advice = row.advice.empty() ? tls_advice(refusal.url, message) : row.advice;
  return {row.next, row.maybe_applied,
          Error{row.code, fmt::format("etcd at {}: {}: {}{}{}", refusal.url, refusal.what,
                                      message.empty() ? "no answer" : message, advice.empty() ? "" : "; ", advice)}};
}

}  // namespace krake::store::etcd
