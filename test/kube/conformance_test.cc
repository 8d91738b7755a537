// The provider's conformance cases against a real kube-apiserver over TLS. KRAKE_TEST_KUBECONFIG names the kubeconfig
// (JSON) of one that is running already; else one is started for the run.
#include "providers/conformance/conformance.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/task_group.h"
#include "net/beast/client.h"

namespace krake::kube::conformance {

namespace {

class Server : public ::testing::Environment {
 public:
  void SetUp() override {
    if (const char* path = std::getenv("KRAKE_TEST_KUBECONFIG")) {
      read(path);
      return;
    }
    std::string folder = (std::filesystem::temp_directory_path() / "krake-kube-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    state_ = folder;
    ASSERT_EQ(std::system(command("up", " real").c_str()), 0) << "the API server does not start";
    read(folder + "/real.kubeconfig");
  }
  void TearDown() override {
    if (state_.empty()) return;
    EXPECT_EQ(std::system(command("down", "").c_str()), 0);
    std::error_code ignored;
    std::filesystem::remove_all(state_, ignored);
  }
  static json::Value kubeconfig;

 private:
  std::string command(std::string_view verb, std::string_view names) const {
    return fmt::format("python3 {}/test/kube/clusters.py {} --state {}{}", KRAKE_SOURCE_DIR, verb, state_, names);
  }
  static void read(const std::string& path) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    auto value = json::parse(text.str());
    ASSERT_TRUE(value) << path << ": " << value.error().message;
    kubeconfig = std::move(*value);
  }
  std::string state_;
};
json::Value Server::kubeconfig;
const auto* const kServer = ::testing::AddGlobalTestEnvironment(new Server);

Awaitable<void> keep(Awaitable<Status> task, std::optional<Status>& result) { result = co_await std::move(task); }

class KubeConformance : public ::testing::TestWithParam<Case> {};

}  // namespace

TEST_P(KubeConformance, Holds) {
  ASSERT_FALSE(Server::kubeconfig.is_null());
  boost::asio::io_context io;
  RealClock clock(io.get_executor());
  Metrics metrics;
  Env env{io.get_executor(), clock, Random(os_seed()), Log(), metrics};
  BeastDialer dialer(io.get_executor(), clock);
  TaskGroup tasks(io.get_executor());
  std::optional<Status> status;
  const std::string unique = env.random.uuid4().substr(0, 8);
  tasks.spawn("case", keep(run_case(env, dialer, Server::kubeconfig, GetParam(), unique), status));
  for (const Mono end = clock.now() + std::chrono::seconds(60); !status && clock.now() < end;) {
    io.run_for(std::chrono::milliseconds(20));
    io.restart();
  }
  ASSERT_TRUE(status) << "the case does not end";
  EXPECT_TRUE(*status) << status->error().message;
}

INSTANTIATE_TEST_SUITE_P(All, KubeConformance, ::testing::ValuesIn(all_cases()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace krake::kube::conformance
