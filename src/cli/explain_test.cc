#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/schema_view.h"
#include "cli/testing.h"
#include "net/inproc/inproc.h"

namespace krake::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ran;
using testing::TestCli;

TEST(Explain, ShowsAFieldAndWhatIsInIt) {
  TestCli cli;
  const std::string wanted =
      "GROUP:      kubernetes\nKIND:       Application\n\n"
      "FIELD: constraints <Constraints> -required-\n\n"
      "DESCRIPTION:\n    Which clusters it may run on, and whether it may be moved.\n\n"
      "FIELDS:\n  cluster <ClusterConstraints> -required-\n    What the cluster must be like.\n\n"
      "  migration <boolean>  default: true\n    Whether it may be moved once it runs.\n";
  for (const auto* line : {"explain kube app.spec.constraints", "explain app.spec.constraints",
                           "explain Application.spec.constraints.", "explain kubernetes apps.spec.constraints"}) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, 0) << line << ran.err;
    EXPECT_EQ(ran.out, wanted) << line;
    EXPECT_EQ(ran.calls(), "GET /openapi.json\n") << line;
  }
}

TEST(Explain, GoesThroughReferencesListsMapsAndVariants) {
  TestCli cli;
  const std::pair<const char*, const char*> cases[] = {
      {"explain app", "\nDESCRIPTION:\n    Kubernetes objects that Krake places on one of its clusters"},
      {"explain app", "  spec <ApplicationSpec> -required-\n"},
      {"explain app", "  status <ApplicationStatus> -sub-resource-\n"},
      {"explain app.metadata.uid", "FIELD: uid <string> -read-only-\n"},
      {"explain app.metadata.name", "FIELD: name <string> -required- -immutable-\n"},
      {"explain app.metadata", "  owners <[]ResourceRef>  default: []\n"},
      {"explain app.metadata.owners.kind", "FIELD: kind <string> -required-\n"},
      {"explain app.status.state", "    one of: PENDING, CREATING, RUNNING"},
      {"explain app.status.scheduled", "FIELD: scheduled <time>  default: null\n"},
      {"explain app.status.running_on.name", "FIELD: name <string> -required-\n"},
      {"explain app.status.complete_key", "FIELD: complete_key <string> -secret-  default: null\n"},
      {"explain app.status.cleanup.left", "FIELD: left <time> -additive-\n"},
      {"explain app.spec.tosca", "FIELD: tosca <object or string>"},
      {"explain app.spec.manifest", "FIELD: manifest <[]Object> -required-\n"},
      {"explain cluster.status.metrics_reasons", "FIELD: metrics_reasons <map[Reason]>"},
      {"explain cluster.status.metrics_reasons.code", "    one of: INTERNAL_ERROR, "},
      {"explain gmp.spec", "  type <string> -required-\n    one of: prometheus, influx, kafka, static\n"},
      {"explain core mp.spec.influx.token", "FIELD: token <string> -required- -secret-\n"},
      {"explain lease.metadata.epoch", "FIELD: epoch <string> -read-only- -additive-\n"},
  };
  for (const auto& [line, wanted] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, 0) << line << ran.err;
    EXPECT_THAT(ran.out, HasSubstr(wanted)) << line;
  }
  EXPECT_THAT(cli.run("explain app.status.complete_key").out, Not(HasSubstr("FIELDS:")));
}

TEST(Explain, AnswersProgramsToo) {
  TestCli cli;
  const auto document = cli.run("explain app.spec.backoff -o json").document();
  EXPECT_EQ(document, *json::parse(R"({"group":"kubernetes","kind":"Application","name":"backoff","type":"integer",
      "description":"Factor between the delays of retries.","marks":["default: 1"],"fields":[]})"))
      << json::print(document);
}

TEST(Explain, SaysWhatIsSpeltNearlyLikeIt) {
  TestCli cli;
  const std::pair<const char*, const char*> cases[] = {
      {"explain app.spec.contraints", "Application.spec has no field 'contraints'; did you mean 'constraints'?"},
      {"explain app.spec.backoff.x", "Application.spec.backoff has no field 'x'"},
      {"explain aplication", "there is no kind 'aplication'; did you mean 'application'?"},
      {"explain core app", "there is no kind 'app' in 'core'"},
      {"explain zzzzzz", "there is no kind 'zzzzzz'"},
  };
  for (const auto& [line, wanted] : cases) {
    const auto ran = cli.run(line);
    EXPECT_EQ(ran.exit, 1) << line;
    EXPECT_THAT(ran.err, HasSubstr(wanted)) << line;
    EXPECT_EQ(ran.out, "") << line;
  }
  EXPECT_EQ(cli.run("explain").exit, 2);
  EXPECT_EQ(cli.run("explain a b c").exit, 2);
}

std::string row_of(const Ran& ran, std::string_view name) {
  std::string_view text = ran.out;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    if (line.contains(fmt::format(" {} ", name))) return std::string(line);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return "no row of " + std::string(name);
}

TEST(ApiResources, AreThoseOfTheApi) {
  TestCli cli;
  const auto ran = cli.run("api-resources");
  EXPECT_EQ(ran.exit, 0) << ran.err;
  for (const auto* head : {"NAME", "SHORTNAMES", "APIGROUP", "NAMESPACED", "KIND", "VERBS"})
    EXPECT_THAT(ran.out, HasSubstr(head));
  EXPECT_THAT(row_of(ran, "applications"), ::testing::ContainsRegex("app,apps +. kubernetes +. true +. Application +. "
                                                                    "create,delete,get,list,patch,update,watch"));
  EXPECT_THAT(row_of(ran, "globalmetricsproviders"),
              ::testing::ContainsRegex("gmp +. core +. false +. GlobalMetricsProvider"));
  EXPECT_THAT(row_of(ran, "leases"), HasSubstr("delete,get,list,update,watch"));
  for (const auto& kind : krake_registry().kinds()) EXPECT_THAT(ran.out, HasSubstr(kind->name));
  EXPECT_THAT(cli.run("api-resources -o name").out, HasSubstr("\napplications\n"));
  const auto document = cli.run("api-resources -o json").document();
  ASSERT_TRUE(document.is_array());
  EXPECT_EQ(document.if_array()->size(), krake_registry().kinds().size());
}

// Upstream's server does not know the document, nor leases or PATCH.
TEST(ApiResources, OfUpstreamAreWhatKrakectlKnows) {
  TestCli cli;
  const auto nothing = [](ServerRequest&) -> Awaitable<ServerReply> {
    co_return server::problem_reply(server::plain_problem(404), "");
  };
  cli.dialer = std::make_shared<testing::FakeDialer>(
      make_inproc_transport(nothing, Peer{.common_name = "alice"}, cli.server.world.clock));
  const auto ran = cli.run("api-resources");
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(row_of(ran, "applications"), HasSubstr("create,delete,get,list,update,watch"));
  EXPECT_THAT(ran.out, Not(HasSubstr("leases")));
  EXPECT_THAT(ran.err, HasSubstr("The API does not describe itself"));
  EXPECT_EQ(cli.run("explain app.spec.hooks").exit, 0);
  EXPECT_EQ(cli.run("explain lease").exit, 1);
}

// A document may be anybody's: no reference leads round in circles for ever.
TEST(SchemaView, EndsWhereReferencesDoNot) {
  const auto document = json::parse(R"({"A":{"$ref":"#/components/schemas/B"},"B":{"$ref":"#/components/schemas/A"},
      "K":{"type":"object","x-krake-kind":{"group":"g","kind":"K","plural":"ks"},
           "properties":{"a":{"$ref":"#/components/schemas/A"},"l":{"type":"array","items":{"$ref":"#/components/schemas/L"}}}},
      "L":{"type":"array","items":{"$ref":"#/components/schemas/L"}}})");
  ASSERT_TRUE(document);
  const auto& schemas = *document->if_object();
  const auto kinds = kinds_of(schemas);
  ASSERT_EQ(kinds.size(), 1u);
  const auto all = explain_field(schemas, kinds[0], {});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->fields.size(), 2u);
  EXPECT_FALSE(explain_field(schemas, kinds[0], {"l", "x"}));
}

}  // namespace
}  // namespace krake::cli
