// Whole training steps on the GPU, fused and op by op: the same bits, for every optimizer and activation, in fewer
// launches.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace twingrad {
namespace {

class FusedTrainingTest : public testing::Test {
 protected:
  using Make = std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>&)>;
  using Values = std::vector<std::vector<float>>;

  void SetUp() override {
    if (cuda_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device: this test waits for a GPU";
    }
  }
  void TearDown() override { set_fusion(true); }

  static Tensor loss_of(nn::Mlp& model, std::int64_t step) {
    const Device gpu = Device::cuda(0);
    const Tensor x = random_normal({33, 7}, {1, step}, {.device = gpu});
    const Tensor y = argmax(random_normal({33, 5}, {2, step}, {.device = gpu}), 1);
    eval({x, y});
    return cross_entropy(model(x), y);
  }
  static nn::Mlp model_with(nn::Activation activation, double dropout) {
    nn::Mlp model({7, 24, 16, 5}, {.activation = activation, .dropout = dropout, .seed = 5});
    model.to(Device::cuda(0));
    return model;
  }

  static Values trained(nn::Activation activation, double dropout, const Make& make) {
    nn::Mlp model = model_with(activation, dropout);
    const std::unique_ptr<optim::Optimizer> optimizer = make(model.parameters());
    Values values;
    for (std::int64_t step = 0; step < 3; ++step) {
      const Tensor loss = loss_of(model, step);
      optimizer->step(gradients(loss, model.parameters()));
      values.push_back(loss.to_vector<float>());
    }
    for (const Tensor& parameter : model.parameters()) {
      values.push_back(parameter.to_vector<float>());
    }
    return values;
  }

  static void expect_same_bits(const std::string& what, nn::Activation activation, double dropout, const Make& make) {
    set_fusion(true);
    const Values fused = trained(activation, dropout, make);
    set_fusion(false);
    EXPECT_EQ(fused, trained(activation, dropout, make)) << what;
  }

  template <class Optimizer>
  static Make with(const typename Optimizer::Options& options) {
    return
        [options](const std::vector<Tensor>& parameters) { return std::make_unique<Optimizer>(parameters, options); };
  }
};

TEST_F(FusedTrainingTest, EveryOptimizer) {
  using namespace optim;
  const auto check = [](const std::string& what, const Make& make) {
    expect_same_bits(what, nn::Activation::relu, 0, make);
  };
  check("Adam", with<Adam>({.weight_decay = 0.1, .l1 = 0.01}));
  check("Adam with its largest second moments", with<Adam>({.amsgrad = true}));
  check("AdamW", with<AdamW>({.weight_decay = 0.1}));
  check("SGD", with<SGD>({}));
  check("SGD with decay", with<SGD>({.weight_decay = 0.1}));
  check("SGD with momentum", with<SGD>({.momentum = 0.9}));
  check("Nesterov", with<SGD>({.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}));
  check("RMSprop", with<RMSprop>({}));
  check("RMSprop with momentum", with<RMSprop>({.momentum = 0.9}));
  check("RMSprop centred", with<RMSprop>({.momentum = 0.9, .centred = true, .weight_decay = 0.1}));
  check("Adagrad", with<Adagrad>({}));
}

TEST_F(FusedTrainingTest, EveryActivation) {
  using nn::Activation;
  for (const Activation one : {Activation::tanh, Activation::sigmoid, Activation::gelu, Activation::silu,
                               Activation::leaky_relu, Activation::elu, Activation::softplus}) {
    expect_same_bits("activation " + std::to_string(static_cast<int>(one)), one, 0, with<optim::AdamW>({}));
  }
  expect_same_bits("dropout", Activation::relu, 0.2, with<optim::AdamW>({}));
}

TEST_F(FusedTrainingTest, AnOptimizersStepIsOneLaunch) {
  nn::Mlp model = model_with(nn::Activation::relu, 0);
  optim::AdamW adam(model.parameters());
  CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
    const Tensor loss = cross_entropy(model(x), y);
    adam.step(gradients(loss, model.parameters()));
    return loss;
  });
  const Device gpu = Device::cuda(0);
  const Tensor x = random_normal({33, 7}, {1, 0}, {.device = gpu});
  const Tensor y = zeros({33}, {.dtype = i64, .device = gpu});
  eval({x, y});
  step(x, y).item();
  const std::string text = step.describe();
  // Six parameters of three updates each: one line that begins a launch, 17 that go on with it.
  std::size_t updates = 0;
  std::size_t launches = 0;
  for (std::size_t at = 0; (at = text.find("_update (", at)) != std::string::npos; ++at) {
    const std::size_t line = text.rfind('\n', at) + 1;
    ++updates;
    launches += text.compare(line, 5, "   + ") == 0 ? 0U : 1U;
  }
  EXPECT_EQ(updates, 18U) << text;
  EXPECT_EQ(launches, 1U) << text;
}

}  // namespace
}  // namespace twingrad
