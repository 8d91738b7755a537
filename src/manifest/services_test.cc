#include "manifest/services.h"

#include "manifest/testing.h"

namespace krake::manifest {
namespace {

TEST(ServiceEndpoint, FollowsTheTypeOfTheService) {
  const std::vector<std::pair<std::string_view, std::optional<std::string>>> rows{
      {"{'kind':'Service','spec':{'type':'NodePort','ports':[{'port':80,'nodePort':30080}]}}", "h:30080"},
      {"{'kind':'Service','spec':{'type':'ClusterIP','ports':[{'port':80}]}}", std::nullopt},
      {"{'kind':'Service','spec':{'ports':[]}}", std::nullopt},
      {"{'kind':'Service','spec':null}", std::nullopt},
      {"{'kind':'Pod','spec':{'ports':[{'nodePort':3}]}}", std::nullopt},
      {"{'kind':'Service','spec':{'type':'LoadBalancer','ports':[{'port':80,'nodePort':30080}]},"
       "'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.4'}]}}}",
       "1.2.3.4:80"},
      {"{'kind':'Service','spec':{'type':'LoadBalancer','ports':[{'port':80}]},"
       "'status':{'loadBalancer':{'ingress':[{'hostname':'lb.example'}]}}}",
       "lb.example:80"},
      {"{'kind':'Service','spec':{'type':'LoadBalancer','ports':[{'port':80}]},"
       "'status':{'loadBalancer':{'ingress':[{'ip':'::1'}]}}}",
       "[::1]:80"},
      {"{'kind':'Service','spec':{'type':'LoadBalancer','ports':[{'port':80}]},'status':{'loadBalancer':{}}}",
       "<pending>:80"},
      {"{'kind':'Service','spec':{'type':'LoadBalancer'}}", "<pending>:<pending>"},
  };
  for (const auto& [live, expected] : rows) EXPECT_EQ(service_endpoint(value_of(live), "h"), expected) << live;
}

}  // namespace
}  // namespace krake::manifest
