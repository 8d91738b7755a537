// Simulated clusters on real ports: TLS, kubeconfig files, and how the client tells what is wrong with a connection.
#include "kubesim/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/task_group.h"
#include "net/beast/client.h"
#include "net/pki.h"
#include "providers/conformance/conformance.h"
#include "providers/kubernetes/client.h"

namespace krake::kubesim {

namespace {

struct Site {
  Site() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kubesim-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  ~Site() { std::filesystem::remove_all(folder); }

  static Awaitable<void> mark(Awaitable<void> task, bool& done) {
    co_await std::move(task);
    done = true;
  }
  void run(Awaitable<void> task) {
    bool done = false;
    TaskGroup tasks(io.get_executor());
    tasks.spawn("test", mark(std::move(task), done));
    for (const Mono end = clock.now() + std::chrono::seconds(60); !done && clock.now() < end;) {
      io.run_for(std::chrono::milliseconds(10));
      io.restart();
    }
    ASSERT_TRUE(done) << "the test hangs";
  }
  json::Value kubeconfig(const std::string& name) const {
    std::ifstream in(folder + "/" + name + ".kubeconfig");
    std::stringstream text;
    text << in.rdbuf();
    return json::parse(text.str()).value();
  }

  boost::asio::io_context io;
  RealClock clock{io.get_executor()};
  Metrics metrics;
  Env env{io.get_executor(), clock, Random(7), Log(), metrics};
  BeastDialer dialer{io.get_executor(), clock};
  std::string folder;
};

Awaitable<void> tell_connection_faults_apart(Site& site) {
  Service service(site.env, {.state_dir = site.folder, .names = {"one", "two"}});
  const auto started = co_await service.start();
  EXPECT_TRUE(started) << started.error().message;
  if (!started) co_return;
  const auto good = kube::parse_kubeconfig(site.kubeconfig("one")).value();
  {
    kube::KubeClient client(site.env, site.dialer, good);
    EXPECT_TRUE(co_await client.ready());
    kube::KubeClient second(site.env, site.dialer, kube::parse_kubeconfig(site.kubeconfig("two")).value());
    const auto one = co_await client.kube_system_uid();
    const auto two = co_await second.kube_system_uid();
    EXPECT_TRUE(one && two && *one != *two);
  }
  {
    auto wrong = good;
    wrong.endpoint.ca_pem = make_ca("other", site.clock.wall())->cert_pem;
    kube::KubeClient client(site.env, site.dialer, wrong);
    const auto status = co_await client.ready();
    EXPECT_EQ(status.error().code, Code::unavailable);
    EXPECT_THAT(status.error().message, ::testing::HasSubstr("certificate"));
  }
  {
    auto two = kube::parse_kubeconfig(site.kubeconfig("two")).value();
    two.bearer_token = good.bearer_token;
    kube::KubeClient client(site.env, site.dialer, two);
    EXPECT_EQ((co_await client.ready()).error().code, Code::unauthenticated);
  }
  co_await service.stop();
  {
    kube::KubeClient client(site.env, site.dialer, good);
    const auto status = co_await client.ready();
    EXPECT_EQ(status.error().code, Code::unavailable);
    EXPECT_THAT(status.error().message, ::testing::HasSubstr("refused"));
  }
}

Awaitable<void> run_all_cases(Site& site) {
  Service service(site.env, {.state_dir = site.folder, .names = {"one"}});
  EXPECT_TRUE(co_await service.start());
  for (const auto& which : kube::conformance::all_cases()) {
    const auto status = co_await kube::conformance::run_case(site.env, site.dialer, site.kubeconfig("one"), which, "t");
    EXPECT_TRUE(status) << which.name << ": " << status.error().message;
  }
  co_await service.stop();
}

}  // namespace

TEST(Service, LetsClientsTellConnectionFaultsApart) {
  Site site;
  site.run(tell_connection_faults_apart(site));
}

TEST(Service, PassesTheConformanceCasesOverTls) {
  Site site;
  site.run(run_all_cases(site));
}

TEST(Service, KeepsItsKubeconfigsPrivate) {
  Site site;
  Service service(site.env, {.state_dir = site.folder + "/deep/er", .names = {"one"}});
  bool done = false;
  site.run([](Service& s, bool& d) -> Awaitable<void> {
    EXPECT_TRUE(co_await s.start());
    co_await s.stop();
    d = true;
  }(service, done));
  struct stat info{};
  ASSERT_EQ(::stat((site.folder + "/deep/er/one.kubeconfig").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

}  // namespace krake::kubesim
