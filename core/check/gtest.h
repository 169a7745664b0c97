// The cross-check as an assertion of GoogleTest, for your own tests. The only header that includes gtest.
//
//   TEST(MyModel, AgreesOnEveryDevice) {
//     EXPECT_TRUE(tg::check::agrees(train_step, {.devices = {tg::Device::cpu(), tg::Device::cuda(0)}}));
//   }
//
// A failure prints the report: the op, the verdict and the line of your file.
#pragma once

#include <gtest/gtest.h>
#include <twingrad/check/check.h>

#include <functional>

namespace twingrad::check {

inline testing::AssertionResult agrees(const Report& report) {
  if (report.agrees()) {
    return testing::AssertionSuccess() << to_text(report);
  }
  return testing::AssertionFailure() << '\n' << to_text(report);
}

/// Checks one training step (see step()).
inline testing::AssertionResult agrees(const std::function<Tensor(Device)>& train_step, const Options& options = {}) {
  return agrees(step(train_step, options));
}

}  // namespace twingrad::check
