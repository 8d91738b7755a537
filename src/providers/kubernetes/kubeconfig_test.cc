#include "providers/kubernetes/kubeconfig.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace krake::kube {

namespace {

const std::string kPem = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n";

json::Value document(const std::string& cluster, const std::string& user) {
  return json::
      parse(R"({"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":)" + cluster +
            R"(}],"users":[{"name":"u","user":)" + user +
            R"(}],"contexts":[{"name":"x","context":{"cluster":"c","user":"u","namespace":"team"}}],"current-context":"x"})")
          .value();
}

struct Refused {
  std::string name;
  std::string cluster = R"({"server":"https://h"})";
  std::string user = "{}";
  std::string text;  // in the message
};
void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.name; }

class KubeconfigRefuses : public ::testing::TestWithParam<Refused> {};

}  // namespace

TEST(Kubeconfig, TakesInlineDataAndCredentials) {
  const auto access = parse_kubeconfig(
      document(R"({"server":"https://[::1]:6443/prefix/","tls-server-name":"api","certificate-authority-data":")" +
                   base64_encode(kPem) + "\"}",
               R"({"token":"t","username":"n","password":"p","client-certificate-data":")" + base64_encode(kPem) +
                   R"(","client-key-data":")" + base64_encode(kPem) + "\"}"));
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->endpoint.url, "https://[::1]:6443/prefix");
  EXPECT_EQ(access->host, "::1");
  EXPECT_EQ(access->endpoint.ca_pem, kPem);
  EXPECT_EQ(access->endpoint.client_key_pem, kPem);
  EXPECT_EQ(access->endpoint.server_name, "api");
  EXPECT_EQ(access->bearer_token, "t");
  EXPECT_EQ(access->username, "n");
  EXPECT_EQ(access->default_namespace, "team");
  EXPECT_EQ(access->cluster, "c");
}

TEST(Kubeconfig, TakesTheOnlyContextWhenNoneIsCurrent) {
  auto config = document(R"({"server":"http://h:1"})", "{}");
  config.if_object()->erase("current-context");
  EXPECT_TRUE(parse_kubeconfig(config));
  const json::Value second = (*config.if_object()->find("contexts")->if_array())[0];
  config.if_object()->find("contexts")->if_array()->push_back(second);
  EXPECT_FALSE(parse_kubeconfig(config));
}

TEST(Kubeconfig, PrefersDataToFiles) {
  const auto access = parse_kubeconfig(
      document(R"({"server":"https://h","certificate-authority":"ca.crt","certificate-authority-data":")" +
                   base64_encode(kPem) + "\"}",
               "{}"));
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->endpoint.ca_pem, kPem);
}

TEST(Kubeconfig, NamesDanglingReferences) {
  auto config = document(R"({"server":"https://h"})", "{}");
  config.if_object()->set("current-context", "other");
  const auto access = parse_kubeconfig(config);
  ASSERT_FALSE(access);
  EXPECT_NE(access.error().message.find("'other' in `contexts`"), std::string::npos) << access.error().message;
  EXPECT_FALSE(parse_kubeconfig(json::Value()));
  EXPECT_FALSE(parse_kubeconfig(json::Value(json::Object{})));
}

TEST_P(KubeconfigRefuses, WithTheReason) {
  const auto access = parse_kubeconfig(document(GetParam().cluster, GetParam().user));
  ASSERT_FALSE(access);
  EXPECT_EQ(access.error().code, Code::invalid_argument);
  EXPECT_NE(access.error().message.find(GetParam().text), std::string::npos) << access.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, KubeconfigRefuses,
    ::testing::Values(
        Refused{.name = "NoServer", .cluster = "{}", .text = "server is missing"},
        Refused{.name = "BadUrl", .cluster = R"({"server":"ftp://h"})", .text = "cluster 'c'.server"},
        Refused{.name = "ServerType", .cluster = R"({"server":5})", .text = "must be a string"},
        Refused{.name = "CaFile",
                .cluster = R"({"server":"https://h","certificate-authority":"ca.crt"})",
                .text = "names a file"},
        Refused{.name = "CaNotBase64",
                .cluster = R"({"server":"https://h","certificate-authority-data":"!"})",
                .text = "not base64"},
        Refused{.name = "CaNotPem",
                .cluster = R"({"server":"https://h","certificate-authority-data":"YWJj"})",
                .text = "PEM"},
        Refused{.name = "SkipType",
                .cluster = R"({"server":"https://h","insecure-skip-tls-verify":"yes"})",
                .text = "true or false"},
        Refused{.name = "Proxy", .cluster = R"({"server":"https://h","proxy-url":"http://p"})", .text = "proxies"},
        Refused{.name = "Exec", .user = R"({"exec":{"command":"aws"}})", .text = "create serviceaccount"},
        Refused{.name = "AuthProvider", .user = R"({"auth-provider":{}})", .text = "not supported"},
        Refused{.name = "Impersonation", .user = R"({"as":"root"})", .text = "impersonation"},
        Refused{.name = "TokenFile", .user = R"({"tokenFile":"/t"})", .text = "tokenFile names a file"},
        Refused{.name = "TokenLines", .user = R"({"token":"a\nb"})", .text = "line break"},
        Refused{.name = "CertificateAlone",
                .user = R"({"client-certificate-data":"LS0tLS1CRUdJTiBY"})",
                .text = "go together"}),
    [](const auto& info) { return info.param.name; });

}  // namespace krake::kube
