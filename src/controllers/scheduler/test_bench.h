// For the tests of the scheduler: one over the real API server, and metrics providers that are simulated.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "api/core/metric.h"
#include "api/kubernetes/application.h"
#include "api/kubernetes/cluster.h"
#include "controllers/scheduler/controller.h"
#include "controllers/test_bench.h"

namespace krake::scheduler {

// A Prometheus of which only the metrics are real.
struct FakePrometheus {
  std::map<std::string, double> values;
  bool down = false;
  bool hang = false;
  Duration latency{};
  int requests = 0;
  int dials = 0;
  int open = 0;
  int most_open = 0;
};

class FakeDialer final : public Dialer {
 public:
  explicit FakeDialer(Clock& clock) : clock_(clock) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override {
    ++servers[endpoint.url].dials;
    return std::make_shared<Line>(*this, endpoint.url);
  }
  std::map<std::string, FakePrometheus> servers;

 private:
  class Line final : public Transport {
   public:
    Line(FakeDialer& dialer, std::string url) : dialer_(dialer), url_(std::move(url)) {}
    Awaitable<Result<HttpResponse>> send(HttpRequest request, CallOptions options) override {
      auto& server = dialer_.servers[url_];
      ++server.requests;
      if (server.hang) {
        co_await sleep_for(dialer_.clock_, options.timeout);
        co_return fail(Code::timeout, "no answer within the time");
      }
      server.most_open = std::max(server.most_open, ++server.open);
      if (server.latency > Duration::zero()) co_await sleep_for(dialer_.clock_, server.latency);
      --server.open;
      if (server.down) co_return fail(Code::unavailable, "connection refused");
      const auto name = request.target.substr(request.target.find("query=") + 6);
      json::Array result;
      if (const auto it = server.values.find(name); it != server.values.end()) {
        result.emplace_back(json::Object{{"metric", json::Object{{"__name__", name}}},
                                         {"value", json::Array{1, fmt::format("{}", it->second)}}});
      }
      co_return HttpResponse{.status = 200,
                             .headers = {},
                             .body = json::print(json::Object{{"data", json::Object{{"result", std::move(result)}}}})};
    }
    Awaitable<Result<HttpStream>> open(HttpRequest, CallOptions) override {
      co_return fail(Code::unavailable, "no streams");
    }

   private:
    FakeDialer& dialer_;
    std::string url_;
  };
  Clock& clock_;
};

struct Bench : testing::ControllerBench {
  FakeDialer dialer{api.world.clock};
  SchedulerOptions options;
  std::unique_ptr<Controller> scheduler;

  explicit Bench(SchedulerOptions given = {}) : ControllerBench("scheduler"), options(given) { start(); }
  ~Bench() { stop(); }
  void start() {
    scheduler = make_scheduler({api.world.env, client, dialer}, options);
    scheduler->start();
    wait([&] { return scheduler->ready(); }, std::chrono::seconds(5));
  }
  void stop() {
    if (!scheduler) return;
    run(scheduler->stop());
    scheduler.reset();
  }

  static ObjectKey key(const std::string& name) { return {"demo", name}; }
  // `metrics` as in the API: "[{'name':'load','weight':1}]".
  void cluster(const std::string& name, const std::string& labels = "{}", const std::string& metrics = "[]",
               const std::string& state = "ONLINE", const std::string& ns = "demo") {
    make<Cluster>(ns, "{'metadata':{'name':'" + name + "','labels':" + labels +
                          "},'spec':{'kubeconfig':" + testing::kubeconfig_for("http://" + name) +
                          ",'constraints':{'cloud':{}},'metrics':" + metrics + "}}");
    if (!state.empty()) patch_status<Cluster>({ns, name}, "{'state':'" + state + "'}");
  }
  void set_state(const std::string& name, const std::string& state) {
    patch_status<Cluster>(key(name), "{'state':'" + state + "'}");
  }
  void app(const std::string& name, const std::string& constraints = "{}", const std::string& more = "",
           bool migration = true) {
    make<Application>("demo", "{'metadata':{'name':'" + name +
                                  "'},'spec':{'manifest':" + std::string(testing::kManifest) +
                                  ",'constraints':{'migration':" + (migration ? "true" : "false") +
                                  ",'cluster':" + constraints + "}" + more + "}}");
  }
  void static_metric(const std::string& name, const std::map<std::string, double>& values) {
    // One provider with a metric per cluster: the value of `load-<cluster>`.
    std::string all;
    for (const auto& [metric, value] : values) all += fmt::format("{}'{}':{}", all.empty() ? "" : ",", metric, value);
    make<GlobalMetricsProvider>(
        "", "{'metadata':{'name':'" + name + "'},'spec':{'type':'static','static':{'metrics':{" + all + "}}}}");
    for (const auto& [metric, value] : values) global_metric(metric, name);
  }
  void global_metric(const std::string& metric, const std::string& provider) {
    make<GlobalMetric>("", "{'metadata':{'name':'" + metric +
                               "'},'spec':{'min':0,'max':1,'allowed_values':[],'provider':{'name':'" + provider +
                               "','metric':'" + metric + "'}}}");
  }
  void set_static(const std::string& provider, const std::string& metric, double value) {
    patch<GlobalMetricsProvider>({"", provider},
                                 fmt::format("{{'spec':{{'static':{{'metrics':{{'{}':{}}}}}}}}}", metric, value));
  }
  static std::string by(const std::string& metric, double weight = 1) {
    return fmt::format("[{{'name':'{}','weight':{}}}]", metric, weight);
  }

  Application now(const std::string& name) { return *get<Application>(key(name)); }
  std::string place(const std::string& name) {
    const auto application = get<Application>(key(name));
    return application && application->status.scheduled_to ? application->status.scheduled_to->name : "";
  }
  std::string show(const std::string& name) { return json::print(to_value(now(name).status)); }
  bool placed(const std::string& name, const std::string& where, Duration limit = std::chrono::seconds(5)) {
    return wait([&] { return place(name) == where; }, limit);
  }
  bool has_state(const std::string& name, ApplicationState state, Duration limit = std::chrono::seconds(5)) {
    return wait([&] { return now(name).status.state == state; }, limit);
  }
  // What the application controller would report.
  void runs(const std::string& name) {
    const auto to = now(name).status.scheduled_to;
    ASSERT_TRUE(to);
    auto done = ControllerBench::run(
        user.patch_status<Application>(key(name), json::Object{{"state", "RUNNING"}, {"running_on", to_value(*to)}}));
    ASSERT_TRUE(done) << done.error().message;
  }
  Wall wall() { return api.world.clock.wall(); }
};

}  // namespace krake::scheduler
