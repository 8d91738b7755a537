#include "controllers/scheduler/provider_protocols.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace krake::scheduler {
namespace {

using ::testing::HasSubstr;

MetricsProviderSpec prometheus() { return {PrometheusProvider{"http://prom"}}; }
MetricsProviderSpec kafka() {
  return {KafkaProvider{.comparison_column = "name", .value_column = "val", .table = "t", .url = "http://ksql"}};
}
MetricsProviderSpec influx() {
  return {InfluxProvider{.url = "http://influx", .token = "secret", .org = "my org", .bucket = "b\"1"}};
}

TEST(ProviderProtocols, AskAsTheProvidersWantIt) {
  const auto query = request_for(prometheus(), "heat demand");
  EXPECT_EQ(query.method, "GET");
  EXPECT_EQ(query.target, "/api/v1/query?query=heat%20demand");
  const auto ksql = request_for(kafka(), "it's");
  EXPECT_EQ(ksql.method + " " + ksql.target, "POST /query");
  EXPECT_EQ(ksql.body, R"({"ksql":"SELECT val FROM t WHERE name = 'it''s';","streamsProperties":{}})");
  const auto flux = request_for(influx(), "m\\\"");
  EXPECT_EQ(flux.target, "/api/v2/query?org=my%20org");
  EXPECT_EQ(flux.headers.get("Authorization"), "Token secret");
  EXPECT_EQ(flux.body,
            R"(from(bucket: "b\"1") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "m\\\"") |> last())");
}

TEST(ProviderProtocols, ReadTheAnswers) {
  struct Case {
    const char* what;
    MetricsProviderSpec provider;
    int status;
    std::string body;
    std::optional<double> value;
    Code code = Code::internal;
    const char* message = "";
  };
  const std::string two =
      R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"9"]},{"metric":{"__name__":"x"},"value":[1,"8"]},{"metric":{"__name__":"m"},"value":[1.5,"0.25"]}]}})";
  const Case cases[] = {
      {"prometheus", prometheus(), 200, two, 0.25},
      {"prometheus, not there",
       prometheus(),
       200,
       R"({"data":{"result":[]}})",
       {},
       Code::not_found,
       "not in the Prometheus answer"},
      {"prometheus, not a number",
       prometheus(),
       200,
       R"({"data":{"result":[{"metric":{"__name__":"m"},"value":[1,"x"]}]}})",
       {},
       Code::invalid_object,
       "not a number"},
      {"prometheus, no value",
       prometheus(),
       200,
       R"({"data":{"result":[{"metric":{"__name__":"m"},"value":[1]}]}})",
       {},
       Code::not_found,
       "not in"},
      {"prometheus, no result", prometheus(), 200, R"({"data":{}})", {}, Code::unavailable, "data.result"},
      {"garbage", prometheus(), 200, "<html>", {}, Code::unavailable, "Prometheus answer"},
      {"error", prometheus(), 503, two, {}, Code::unavailable, "503"},
      {"kafka", kafka(), 200, R"([{"header":{}},{"row":{"columns":[3.5]}}])", 3.5},
      {"kafka, text", kafka(), 200, R"([{},{"row":{"columns":["4"]}}])", 4},
      {"kafka, no row", kafka(), 200, R"([{"header":{}}])", {}, Code::not_found, "KSQL"},
      {"kafka, no column", kafka(), 200, R"([{},{"row":{"columns":[]}}])", {}, Code::not_found, "KSQL"},
      {"kafka, no list", kafka(), 200, R"({})", {}, Code::not_found, "KSQL"},
      {"kafka, error", kafka(), 400, R"([])", {}, Code::unavailable, "400"},
      {"influx", influx(), 200,
       "#datatype,string,long\r\n,result,table,_value,_field\r\n,_result,0,0.75,v\r\n,_result,1,9,v\r\n\r\n", 0.75},
      {"influx, quoted", influx(), 200, ",result,\"a,\"\"b\",_value\n,x,\"1,2\",5\n", 5},
      {"influx, empty", influx(), 200, "\r\n", {}, Code::not_found, "InfluxDB"},
      {"influx, no table", influx(), 200, "a,b\n1,2\n", {}, Code::unavailable, "_value"},
      {"influx, short row", influx(), 200, ",result,_value\n,x\n", {}, Code::invalid_object, "not a number"},
      {"influx, error", influx(), 401, "", {}, Code::unavailable, "401"},
  };
  for (const auto& c : cases) {
    const auto value = value_in(c.provider, "m", {.status = c.status, .headers = {}, .body = c.body});
    if (c.value) {
      ASSERT_TRUE(value) << c.what << ": " << value.error().message;
      EXPECT_EQ(*value, *c.value) << c.what;
    } else {
      ASSERT_FALSE(value) << c.what;
      EXPECT_EQ(value.error().code, c.code) << c.what;
      EXPECT_THAT(value.error().message, HasSubstr(c.message)) << c.what;
      EXPECT_THAT(value.error().message, ::testing::Not(HasSubstr("secret")));
    }
  }
}

TEST(ProviderProtocols, StaticProvidersAnswerThemselves) {
  StaticProvider provider;
  provider.metrics.set("m", 0.5);
  EXPECT_EQ(static_value(provider, "m"), 0.5);
  EXPECT_EQ(static_value(provider, "x").error().code, Code::invalid_object);
}

}  // namespace
}  // namespace krake::scheduler
