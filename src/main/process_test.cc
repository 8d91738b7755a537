#include "main/process.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace krake {
namespace {

TEST(Process, AHangupThatComesTooEarlyIsMadeUpFor) {
  Process process((Log()));
  int heard = 0;
  const auto hear = [&] { ++heard; };
  process.hang_up();
  process.hang_up();
  process.on_hangup(nullptr);
  process.on_hangup(hear);
  EXPECT_EQ(heard, 1) << "once: whoever reads anew reads the newest";
  process.hang_up();
  EXPECT_EQ(heard, 2);
  process.on_hangup(hear);
  EXPECT_EQ(heard, 2);
}

TEST(Process, GoesOnWhenAHangupCannotBeHandled) {
  Process process((Log()));
  int heard = 0;
  process.on_hangup([&] {
    ++heard;
    throw std::runtime_error("the disk is broken");
  });
  process.hang_up();
  process.hang_up();
  EXPECT_EQ(heard, 2);
}

}  // namespace
}  // namespace krake
