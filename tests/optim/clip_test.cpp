// Clipping by global norm and by value.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class ClipTest : public tests::DeviceTest {
 protected:
  Tensor doubles(const std::vector<double>& values) const { return tensor(values, {.dtype = f64, .device = device()}); }
};
INSTANTIATE_ON_DEVICES(ClipTest);

TEST_P(ClipTest, TheGlobalNormGoesOverAllGradients) {
  EXPECT_EQ(optim::global_norm({doubles({3}), Tensor(), doubles({0, 4})}).item(), 5.0);
  EXPECT_EQ(optim::global_norm({doubles({-7})}).item(), 7.0);
  EXPECT_EQ(optim::global_norm({}).item(), 0.0);
  const Tensor half = tensor(std::vector<double>{300, 400}, {.dtype = f16, .device = device()});
  EXPECT_EQ(optim::global_norm({half}).dtype(), f32);
  EXPECT_EQ(optim::global_norm({half}).item(), 500.0);  // 300^2 is beyond float16
  EXPECT_EQ(optim::global_norm({tensor(std::vector<float>{3}, {.device = device()}), doubles({4})}).dtype(), f64);
}

TEST_P(ClipTest, ByNormScalesAllByOneFactor) {
  const auto clipped = optim::clip_norm({doubles({3}), doubles({0, 4}), Tensor()}, 1.0);
  const double factor = 1.0 / (5.0 + 1e-6);
  EXPECT_EQ(clipped[0].to_vector<double>(), (std::vector<double>{3 * factor}));
  EXPECT_EQ(clipped[1].to_vector<double>(), (std::vector<double>{0, 4 * factor}));
  EXPECT_FALSE(clipped[2].defined());
}

TEST_P(ClipTest, ByNormLeavesSmallOnesAlone) {
  const auto kept = optim::clip_norm({doubles({3}), doubles({0, 4})}, 5.1);
  EXPECT_EQ(kept[0].to_vector<double>(), (std::vector<double>{3}));
  EXPECT_EQ(kept[1].to_vector<double>(), (std::vector<double>{0, 4}));
  EXPECT_EQ(optim::clip_norm({doubles({0, 0})}, 1.0)[0].to_vector<double>(), (std::vector<double>{0, 0}));
}

TEST_P(ClipTest, ByNormKeepsEachGradientsDtype) {
  const Tensor half = tensor(std::vector<double>{3}, {.dtype = bf16, .device = device()});
  const auto clipped = optim::clip_norm({half, doubles({4})}, 0.5);
  EXPECT_EQ(clipped[0].dtype(), bf16);
  EXPECT_EQ(clipped[1].dtype(), f64);
}

TEST_P(ClipTest, NaNSpreadsToAll) {
  const auto clipped = optim::clip_norm({doubles({std::numeric_limits<double>::quiet_NaN()}), doubles({1})}, 1.0);
  EXPECT_TRUE(std::isnan(clipped[0].item()));
  EXPECT_TRUE(std::isnan(clipped[1].item()));
}

TEST_P(ClipTest, ByValueClampsEachElement) {
  const auto clipped = optim::clip_value({doubles({-3, 0.5, 2}), Tensor()}, 1.0);
  EXPECT_EQ(clipped[0].to_vector<double>(), (std::vector<double>{-1, 0.5, 1}));
  EXPECT_FALSE(clipped[1].defined());
}

TEST_P(ClipTest, AsksForNoValue) {
  const Tensor gradient = doubles({3, 4}) * 2.0;
  const auto clipped = optim::clip_norm({gradient}, 1.0);
  EXPECT_FALSE(gradient.evaluated());
  EXPECT_FALSE(clipped[0].evaluated());
}

TEST_P(ClipTest, WorksOnWhatBackwardLeft) {
  Tensor p = doubles({3, 4});
  p.requires_grad(true);
  optim::SGD sgd({p}, {.lr = 1.0});
  (0.5 * sum(square(p))).backward();
  sgd.step(optim::clip_value(optim::grads(sgd.parameters()), 0.5));
  EXPECT_EQ(p.to_vector<double>(), (std::vector<double>{2.5, 3.5}));
}

TEST(ClipOptionsTest, BadLimitsThrow) {
  EXPECT_THROW(optim::clip_norm({ones({1})}, 0.0), ArgumentError);
  EXPECT_THROW(optim::clip_norm({ones({1})}, -1.0), ArgumentError);
  EXPECT_THROW(optim::clip_value({ones({1})}, std::numeric_limits<double>::quiet_NaN()), ArgumentError);
}

}  // namespace
}  // namespace twingrad
