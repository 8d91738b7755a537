#include "manifest/health.h"

#include "manifest/testing.h"

namespace krake::manifest {
namespace {

std::string container(std::string_view state) { return fmt::format("{{'state':{{{}}}}}", state); }
std::string pod(std::string_view policy, std::string_view containers) {
  return fmt::format("{{'kind':'Pod','spec':{{'restartPolicy':'{}'}},'status':{{'containerStatuses':[{}]}}}}", policy,
                     containers);
}
const std::string kRunning = container("'running':{}");
const std::string kDone = container("'terminated':{'exitCode':0}");
const std::string kCrash = container("'waiting':{'reason':'CrashLoopBackOff'}");
const std::string kWaiting = container("'waiting':{'reason':'ContainerCreating'}");

TEST(Health, OfEveryKind) {
  struct Row {
    std::string live;
    Observed expected;
  };
  const std::vector<Row> rows{
      {pod("Always", kRunning), {{1, 1, 0, 0}, State::running}},
      {pod("Never", kDone), {{1, 0, 0, 0}, State::completed}},
      {pod("Always", kDone), {{1, 0, 0, 0}, State::restarting}},
      {pod("Always", kCrash), {{1, 0, 0, 0}, State::degraded}},
      {pod("Always", kWaiting), {{1, 0, 0, 0}, State::unknown}},
      {pod("Always", kRunning + "," + kCrash), {{1, 0, 0, 0}, State::degraded}},
      {pod("Always", kRunning + "," + kWaiting), {{1, 0, 0, 0}, State::unknown}},
      {pod("Never", kRunning + "," + kDone), {{1, 1, 0, 0}, State::running}},
      {"{'kind':'Pod'}", {{1, 0, 0, 0}, State::unknown}},
      {"{'kind':'Deployment','spec':{'replicas':3},'status':{'replicas':3,'readyReplicas':3}}",
       {{3, 3, 0, 0}, State::running}},
      {"{'kind':'StatefulSet','spec':{'replicas':3},'status':{'replicas':3,'readyReplicas':2}}",
       {{3, 2, 0, 0}, State::degraded}},
      {"{'kind':'ReplicaSet','status':{'replicas':1,'readyReplicas':null}}", {{1, 0, 0, 0}, State::degraded}},
      {"{'kind':'Deployment','spec':{'replicas':0},'status':{}}", {{0, 0, 0, 0}, State::running}},
      {"{'kind':'Deployment','spec':{'replicas':2}}", {{2, 0, 0, 0}, State::degraded}},
      {"{'kind':'DaemonSet','status':{'desiredNumberScheduled':2,'currentNumberScheduled':1,'numberReady':2}}",
       {{2, 2, 0, 0}, State::running}},
      {"{'kind':'DaemonSet','status':{'desiredNumberScheduled':2,'numberReady':1}}", {{2, 1, 0, 0}, State::degraded}},
      {"{'kind':'DaemonSet'}", {{0, 0, 0, 0}, State::unknown}},
      {"{'kind':'Job','spec':{'completions':2},'status':{'active':1,'succeeded':1,'failed':3}}",
       {{2, 1, 1, 3}, State::unknown}},
      {"{'kind':'Job','status':{'succeeded':1}}", {{1, 0, 1, 0}, State::completed}},
      {"{'kind':'Job','status':{'failed':1,'conditions':[{'type':'Failed','status':'True'}]}}",
       {{1, 0, 0, 1}, State::degraded}},
      {"{'kind':'ConfigMap'}", {}},
      {"null", {}},
  };
  for (const Row& row : rows) {
    const Observed seen = health_of(value_of(row.live));
    EXPECT_EQ(to_string(seen.state), to_string(row.expected.state)) << row.live;
    EXPECT_EQ(seen.health, row.expected.health) << row.live;
  }
}

TEST(Health, TheWorstObjectDecidesWhateverTheOrder) {
  const json::Value good =
      value_of("{'kind':'Deployment','spec':{'replicas':2},'status':{'replicas':2,'readyReplicas':2}}");
  const json::Value bad = value_of("{'kind':'Deployment','spec':{'replicas':1},'status':{'replicas':1}}");
  const json::Value done = value_of("{'kind':'Job','status':{'succeeded':1}}");
  const json::Value map = value_of("{'kind':'ConfigMap'}");
  EXPECT_EQ(health_of_all({good, bad, map}), health_of_all({map, bad, good}));
  EXPECT_EQ(health_of_all({good, bad, done}), (Observed{{4, 2, 1, 0}, State::degraded}));
  EXPECT_EQ(health_of_all({good, done, map}).state, State::running);
  EXPECT_EQ(health_of_all({done, map}).state, State::completed);
  EXPECT_EQ(health_of_all({map}).state, State::unknown);
  EXPECT_EQ(health_of_all({}), Observed{});
}

TEST(Health, AStatusOfAnEarlierSpecSaysNothingOfThePresentOne) {
  struct Row {
    const char* object;
    bool up_to_date;
  };
  for (const Row& row : std::vector<Row>{
           {"{'kind':'Deployment','metadata':{'generation':1}}", false},
           {"{'kind':'DaemonSet','metadata':{'generation':2},'status':{'observedGeneration':1}}", false},
           {"{'kind':'StatefulSet','metadata':{'generation':2},'status':{'observedGeneration':2}}", true},
           {"{'kind':'Deployment','metadata':{}}", true},  // a cluster that keeps no generations
           {"{'kind':'Pod','metadata':{'generation':2}}", true},
       }) {
    EXPECT_EQ(up_to_date(value_of(row.object)), row.up_to_date) << row.object;
  }
}

}  // namespace
}  // namespace krake::manifest
