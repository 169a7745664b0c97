// Loss scaling: exact, skipping what overflows, growing again, and going on from a saved state.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

using Values = std::vector<double>;

class LossScalerTest : public tests::DeviceTest {
 protected:
  Tensor floats(const Values& values, const Shape& shape) const {
    return tensor(values, shape, {.dtype = f32, .device = device()});
  }
};
INSTANTIATE_ON_DEVICES(LossScalerTest);

// y = w x in float16 with one weight and x = 1: the gradient that comes back is the scale itself.
struct OneWeight {
  nn::Linear layer{1, 1, {.bias = false, .init = nn::WeightInit::zeros}};
  std::unique_ptr<optim::Adam> adam;
  Tensor x;
  OneWeight(Device device, double value) : x(tensor(Values{value}, {1, 1}, {.dtype = f32, .device = device})) {
    layer.to(device);
    layer.set_precision(Precision::mixed_fp16);
    adam = std::make_unique<optim::Adam>(layer.parameters(), optim::AdamOptions{.lr = 0.125});
  }
  bool step(optim::LossScaler& scaler) {
    return scaler.step(*adam, gradients(scaler.scale(sum(layer(x))), layer.parameters()));
  }
  Values state() const {
    Values all = layer.weight.to_vector<double>();
    for (const auto& [name, value] : adam->state()) {
      const auto values = value.to_vector<double>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
};

TEST_P(LossScalerTest, UnscalingIsExact) {
  const optim::LossScaler scaler({.initial_scale = 0x1p13});
  Tensor w = random_normal({7, 5}, {.key = 3, .stream = 1}, {.device = device()});
  w.eval();
  w = w.detach().requires_grad(true);
  const auto loss = [&] { return sum(square(w) * 0.37); };
  const Values plain = gradients(loss(), {w})[0].to_vector<double>();
  const std::vector<Tensor> unscaled = scaler.unscale({gradients(scaler.scale(loss()), {w})[0], Tensor()});
  EXPECT_EQ(unscaled[0].to_vector<double>(), plain);
  EXPECT_FALSE(unscaled[1].defined());
}

TEST_P(LossScalerTest, SkipsAnOverflowAndRecovers) {
  OneWeight net(device(), 1.0);
  optim::LossScaler scaler({.initial_scale = 65536.0});  // beyond float16's 65504
  const Values before = net.state();
  EXPECT_FALSE(net.step(scaler));
  EXPECT_EQ(net.state(), before);
  EXPECT_EQ(net.adam->steps(), 0);
  EXPECT_EQ(scaler.current_scale(), 32768.0);
  EXPECT_EQ(scaler.skipped_steps(), 1);
  EXPECT_TRUE(net.step(scaler));
  EXPECT_EQ(scaler.current_scale(), 32768.0);
  EXPECT_EQ(net.adam->steps(), 1);
  // The first step of Adam is the learning rate, whatever the scale was.
  EXPECT_NEAR(net.layer.weight.item(), -0.125, 0.125 * 0x1p-22);
}

TEST_P(LossScalerTest, GrowsAfterGoodStepsInARowUpToItsLimit) {
  OneWeight net(device(), 1.0);
  optim::LossScaler scaler({.initial_scale = 8192.0, .growth_interval = 2, .largest_scale = 65536.0});
  Values scales;
  for (int step = 0; step < 9; ++step) {
    net.step(scaler);
    scales.push_back(scaler.current_scale());
  }
  // 65536 overflows each time, and an overflow starts the count anew.
  EXPECT_EQ(scales, (Values{8192, 16384, 16384, 32768, 32768, 65536, 32768, 32768, 65536}));
  EXPECT_EQ(scaler.skipped_steps(), 1);
  optim::LossScaler capped({.initial_scale = 4.0, .growth_interval = 1, .largest_scale = 8.0});
  OneWeight other(device(), 1.0);
  other.step(capped);
  other.step(capped);
  EXPECT_EQ(capped.current_scale(), 8.0);
}

TEST_P(LossScalerTest, CountsGoodStepsFromTheLastOverflowAlsoWhenResumed) {
  OneWeight net(device(), 1.0);
  const Tensor good = net.x;
  const Tensor bad = floats({std::numeric_limits<double>::infinity()}, {1, 1});
  optim::LossScaler scaler({.initial_scale = 1024.0, .growth_interval = 2});
  EXPECT_TRUE(net.step(scaler));
  net.x = bad;
  EXPECT_FALSE(net.step(scaler));
  net.x = good;
  EXPECT_TRUE(net.step(scaler));
  EXPECT_EQ(scaler.current_scale(), 512.0);  // one good step since
  optim::LossScaler resumed({.initial_scale = 1024.0, .growth_interval = 2});
  resumed.load_state(scaler.state());
  EXPECT_TRUE(net.step(resumed));
  EXPECT_EQ(resumed.current_scale(), 1024.0);
}

TEST_P(LossScalerTest, KeepsGradientsThatFloat16Loses) {
  // The gradient of the weight is 2^-30 in all, of which float16 keeps nothing.
  const auto gradient = [&](const optim::LossScaler& scaler) {
    OneWeight net(device(), 0x1p-10);
    const Tensor loss = sum(net.layer(net.x)) * 0x1p-20;
    return scaler.unscale(gradients(scaler.scale(loss), net.layer.parameters()))[0].item();
  };
  EXPECT_EQ(gradient(optim::LossScaler({.initial_scale = 1.0})), 0.0);
  EXPECT_EQ(gradient(optim::LossScaler({.initial_scale = 65536.0})), 0x1p-30);
}

TEST_P(LossScalerTest, TransformsWhatIsUnscaled) {
  OneWeight net(device(), 1.0);
  optim::SGD sgd(net.layer.parameters(), {.lr = 1.0});
  optim::LossScaler scaler({.initial_scale = 1024.0});
  scaler.step(sgd, gradients(scaler.scale(sum(net.layer(net.x))), net.layer.parameters()),
              [](std::vector<Tensor> all) { return optim::clip_value(std::move(all), 0.5); });
  EXPECT_EQ(net.layer.weight.item(), -0.5);
}

TEST_P(LossScalerTest, NaNAtTheSmallestScaleIsAnError) {
  OneWeight net(device(), std::numeric_limits<double>::quiet_NaN());
  optim::LossScaler scaler({.initial_scale = 2.0, .smallest_scale = 1.0});
  EXPECT_FALSE(net.step(scaler));
  EXPECT_EQ(scaler.current_scale(), 1.0);
  const Values before = net.state();
  try {
    net.step(scaler);
    FAIL();
  } catch (const NumericError& error) {
    EXPECT_NE(std::string(error.what()).find("the scale is not the cause"), std::string::npos) << error.what();
  }
  EXPECT_EQ(net.state(), before);
}

TEST_P(LossScalerTest, OneInfinityAmongManyIsSeen) {
  for (const double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    Tensor p = zeros({1000}, {.device = device()});
    p.eval();
    p = p.detach().requires_grad(true);
    Tensor q = zeros({3}, {.device = device()});
    q.eval();
    q = q.detach().requires_grad(true);
    optim::SGD sgd({p, q}, {.lr = 1.0});
    Values values(1000, 1.0);
    values[777] = bad;
    optim::LossScaler scaler;
    EXPECT_FALSE(scaler.step(sgd, {floats(values, {1000}), Tensor()}));
    EXPECT_FALSE(scaler.step(sgd, {floats(values, {1000}), floats({1, 1, 1}, {3})}));
    EXPECT_EQ(p.to_vector<double>(), Values(1000, 0.0));
    // The largest number is none.
    EXPECT_TRUE(scaler.step(sgd, {floats(Values(1000, 3.4028234663852886e38), {1000}), Tensor()}));
  }
}

TEST_P(LossScalerTest, ASavedRunGoesOnBitForBit) {
  struct Run {
    nn::Mlp model{{4, 8, 3}, {.seed = 9}};
    std::unique_ptr<optim::AdamW> adam;
    optim::LossScaler scaler{{.initial_scale = 0x1p24, .growth_interval = 3}};
    explicit Run(Device device) {
      model.to(device);
      model.set_precision(Precision::mixed_fp16);
      adam = std::make_unique<optim::AdamW>(model.parameters(), optim::AdamWOptions{.lr = 1e-2});
    }
    void steps(const Tensor& x, const Tensor& labels, int count) {
      for (int i = 0; i < count; ++i) {
        scaler.step(*adam, gradients(scaler.scale(cross_entropy(model(x), labels)), model.parameters()));
      }
    }
  };
  const Tensor x = random_normal({9, 4}, {.key = 4, .stream = 1}, {.device = device()});
  x.eval();
  const Tensor labels = tensor(std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}, {.device = device()});
  Run whole(device());
  whole.steps(x, labels, 20);
  EXPECT_GT(whole.scaler.skipped_steps(), 0);
  EXPECT_GT(whole.adam->steps(), 0);
  Run resumed(device());
  resumed.model.load_state(whole.model.state());
  resumed.adam->load_state(whole.adam->state());
  resumed.scaler.load_state(whole.scaler.state());
  EXPECT_EQ(resumed.scaler.current_scale(), whole.scaler.current_scale());
  EXPECT_EQ(resumed.scaler.skipped_steps(), whole.scaler.skipped_steps());
  whole.steps(x, labels, 10);
  resumed.steps(x, labels, 10);
  EXPECT_EQ(resumed.scaler.current_scale(), whole.scaler.current_scale());
  for (std::size_t i = 0; i < whole.model.parameters().size(); ++i) {
    EXPECT_EQ(resumed.model.parameters()[i].to_vector<double>(), whole.model.parameters()[i].to_vector<double>());
  }
}

TEST(LossScalerOptionsTest, RefusesWhatIsNoPowerOfTwoOrOutOfOrder) {
  EXPECT_THROW(optim::LossScaler({.initial_scale = 1000.0}), ArgumentError);
  EXPECT_THROW(optim::LossScaler({.initial_scale = 0.0}), ArgumentError);
  EXPECT_THROW(optim::LossScaler({.growth_factor = 3.0}), ArgumentError);
  EXPECT_THROW(optim::LossScaler({.growth_factor = 0.5}), ArgumentError);
  EXPECT_THROW(optim::LossScaler({.backoff_factor = 1.0}), ArgumentError);
  EXPECT_THROW(optim::LossScaler({.growth_interval = 0}), ArgumentError);
  EXPECT_THROW(optim::LossScaler({.largest_scale = 1024.0}), ArgumentError);
  optim::LossScaler scaler;
  NamedTensors state = scaler.state();
  state[0].second = tensor(3.0, {.dtype = f64});
  EXPECT_THROW(scaler.load_state(state), ArgumentError);
  state.pop_back();
  EXPECT_THROW(scaler.load_state(state), ArgumentError);
  EXPECT_EQ(scaler.current_scale(), 65536.0);
}

}  // namespace
}  // namespace twingrad
