// A replay that leaves something out is seen in situ, though every kernel is right.
#include <gtest/gtest.h>
#include <twingrad/check/check.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/recording_cpu.h"

namespace twingrad::check {
namespace {

Report check_on(Device device) {
  const auto train = [](Device on) {
    Tensor w = random_normal({5, 3}, {1, 0}, {.device = on, .requires_grad = true});
    const Tensor x = random_normal({7, 5}, {2, 0}, {.device = on});
    const Tensor loss = mean(square(tanh(matmul(x, w)) - 1));
    optim::SGD sgd({w});
    sgd.step(gradients(loss, {w}));
    return loss;
  };
  return check::step(train, {.devices = {device}});
}

TEST(ReplayedStepTest, AReplayThatForgetsAKernelIsSeenInSitu) {
  auto owned = std::make_unique<tests::RecordingCpu>();
  tests::RecordingCpu& backend = *owned;
  const Device device = register_backend(std::move(owned));
  const std::uint64_t before = capture_stats().replayed;
  const Report clean = check_on(device);
  EXPECT_TRUE(clean.agrees()) << to_text(clean);
  EXPECT_GT(capture_stats().replayed, before);

  backend.forgetful = true;
  const Report report = check_on(device);
  EXPECT_EQ(report.devices.at(0).verdict, Verdict::in_situ) << to_text(report);
  const std::vector<NodeResult>& nodes = report.devices.at(0).nodes;
  EXPECT_EQ(std::count_if(nodes.begin(), nodes.end(),
                          [](const NodeResult& node) { return node.note.find("replayed") != std::string::npos; }),
            1);
}

}  // namespace
}  // namespace twingrad::check
