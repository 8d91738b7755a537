// What an epoch on a cluster means. The rest is in providers/conformance.
#include "providers/kubernetes/fence.h"

#include <gtest/gtest.h>

namespace krake::kube {
namespace {

TEST(Fence, JudgesByTheOrderOfTermsInOneStore) {
  using V = FenceVerdict;
  const struct {
    const char* what;
    std::optional<std::string_view> found;
    V leader;
    V repairer;
  } rows[] = {
      {"nobody has been there", std::nullopt, V::raise, V::pass},
      {"we have", "s-10", V::pass, V::pass},
      {"an earlier term", "s-9", V::raise, V::pass},
      {"the order is that of numbers", "s-8", V::raise, V::pass},
      {"a later term", "s-11", V::outrun, V::outrun},
      {"much later", "s-100", V::outrun, V::outrun},
      {"another store, lower", "t-1", V::raise, V::outrun},
      {"another store, higher", "t-99", V::raise, V::outrun},
      {"not an epoch", "hello", V::raise, V::outrun},
      {"emptied", "", V::raise, V::outrun},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(judge(row.found, "s-10", true), row.leader) << row.what;
    EXPECT_EQ(judge(row.found, "s-10", false), row.repairer) << row.what;
  }
}

}  // namespace
}  // namespace krake::kube
