#include "store/etcd/verdict.h"

#include <gtest/gtest.h>

namespace krake::store::etcd {

namespace {

TEST(Verdict, SaysWhetherToAskAgainWhatMayHaveHappenedAndWhatToDo) {
  struct Row {
    int code;
    const char* message;
    Next next;
    bool maybe_applied;
    Code error;
    const char* part;  // of the message
  };
  constexpr Row kRows[] = {
      {8, "etcdserver: mvcc: database space exceeded", Next::give_up, true, Code::unavailable, "alarm disarm"},
      {11, "etcdserver: mvcc: required revision has been compacted", Next::give_up, false, Code::compacted, ""},
      {11, "etcdserver: mvcc: required revision is a future revision", Next::give_up, false, Code::invalid_argument,
       ""},
      {5, "etcdserver: requested lease not found", Next::give_up, false, Code::not_found, ""},
      {3, "etcdserver: request is too large", Next::give_up, false, Code::too_large, "--max-request-bytes"},
      {8, "etcdserver: too many requests", Next::later, false, Code::unavailable, ""},
      {16, "etcdserver: invalid auth token", Next::log_in, false, Code::unavailable, ""},
      {3, "etcdserver: user name is empty", Next::log_in, false, Code::unavailable, "etcd.user"},
      {7, "etcdserver: permission denied", Next::give_up, false, Code::unavailable, "grant-permission"},
      {14, "etcdserver: leader changed", Next::elsewhere, true, Code::unavailable, "leader changed"},
      {14, "etcdserver: request timed out, possibly due to previous leader failure", Next::elsewhere, true,
       Code::unavailable, ""},
      {14, "failed to connect to all addresses; last error: Connection refused", Next::elsewhere, false,
       Code::unavailable, "Connection refused"},
      {14, "Socket closed", Next::elsewhere, true, Code::unavailable, ""},
      {1, "CANCELLED", Next::elsewhere, true, Code::unavailable, "are most of its members up"},
      {4, "Deadline Exceeded", Next::elsewhere, true, Code::unavailable, "are most of its members up"},
      {12, "", Next::give_up, false, Code::unavailable, "is there an etcd"},
      {14, "failed to connect to all addresses; last error: Ssl handshake failed: CERTIFICATE_VERIFY_FAILED",
       Next::elsewhere, false, Code::unavailable, "etcd.tls.ca"},
      {13, "who knows", Next::give_up, true, Code::unavailable, "who knows"},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.message);
    const auto verdict = judge({row.code, row.message, "http://e:2379", "Txn"});
    EXPECT_EQ(verdict.next, row.next);
    EXPECT_EQ(verdict.maybe_applied, row.maybe_applied);
    EXPECT_EQ(verdict.error.code, row.error);
    EXPECT_NE(verdict.error.message.find(row.part), std::string::npos) << verdict.error.message;
    EXPECT_TRUE(verdict.error.message.starts_with("etcd at http://e:2379: Txn: ")) << verdict.error.message;
  }
}

TEST(Verdict, ConnectionsThatEndAtOnceAreAboutTheCertificateWhereThereIsTls) {
  const auto told = [](const char* url, const char* message) {
    return judge({14, message, url, "Range"}).error.message.find("etcd.tls.cert") != std::string::npos;
  };
  for (const char* end : {"Connection reset by peer", "Endpoint read failed", "Socket closed"}) {
    const auto message = fmt::format("failed to connect to all addresses; last error: UNAVAILABLE: {}", end);
    EXPECT_TRUE(told("https://e:2379", message.c_str())) << message;
    EXPECT_FALSE(told("http://e:2379", message.c_str())) << message;
    EXPECT_TRUE(judge({14, message, "http://e:2379", "Range"}).error.message.ends_with("does it want https://?"));
    EXPECT_FALSE(told("https://e:2379", end)) << "a member that dies";
  }
  EXPECT_FALSE(told("https://e:2379", "failed to connect to all addresses; last error: Connection refused"));
}

}  // namespace

}  // namespace krake::store::etcd
