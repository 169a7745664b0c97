// The chains that are compiled with the library are those that training steps make: such a step needs no compiler. No
// GPU is needed to tell.
#include "cuda/fused_patterns.h"

#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cuda/fused_plan.h"
#include "tests/cpu_forwarding_backend.h"
#include "tests/parts_one_by_one.h"

namespace twingrad::cuda {
namespace {

/// The CPU, fusing as the CUDA backend would, and noting what that would have to compile.
class Noting final : public tests::CpuForwardingBackend {
 public:
  std::string description() const override { return "the CPU, noting chains"; }

  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override {
    const std::optional<FusedPlan> plan = plan_fusion(fusion);
    if (!plan) {
      return nullptr;
    }
    note(plan->text);
    return std::make_unique<tests::PartsOneByOne>(*this, fusion);
  }

  bool merges() const override { return true; }

  std::unique_ptr<PreparedKernel> merge(std::span<const Fusion> fusions) override {
    const FusedPlan plan = *plan_fusion(fusions.front());
    for (const Fusion& fusion : fusions) {
      EXPECT_EQ(plan_fusion(fusion)->text, plan.text) << "kernels of different types are offered as one";
    }
    note(fused_text::merged(plan.text, most_merged(plan)));
    return nullptr;
  }

  int chains = 0;
  std::set<std::string> missing;

 private:
  void note(const std::string& text) {
    ++chains;
    if (find_fused_pattern(text) == nullptr) {
      missing.insert(text);
    }
  }
};

class FusedPatternsTest : public testing::Test {
 protected:
  void SetUp() override { clear_plan_cache(); }

  using Make = std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>&)>;
  using Targets = std::function<Tensor(const Shape&)>;
  using Value = std::function<Tensor(nn::Mlp&, const Tensor& x, const Tensor& y)>;
  struct Loss {
    Targets targets;  ///< for outputs of a shape
    Value value;
  };

  struct Work {
    std::vector<std::int64_t> sizes;
    nn::Activation activation = nn::Activation::relu;
    double dropout = 0;
    std::int64_t batch = 32;
  };

  void expect_no_compiler(const std::string& what, const Work& work, const Make& make, const Loss& loss) {
    backend_.chains = 0;
    backend_.missing.clear();
    clear_plan_cache();
    nn::Mlp model(work.sizes, {.activation = work.activation, .dropout = work.dropout});
    model.to(device_);
    const std::unique_ptr<optim::Optimizer> optimizer = make(model.parameters());
    const Tensor x = random_normal({work.batch, work.sizes.front()}, {1, 0}, {.device = device_});
    const Tensor y = loss.targets({work.batch, work.sizes.back()});
    eval({x, y});
    const Tensor plain = loss.value(model, x, y);
    optimizer->step(gradients(plain, model.parameters()));
    (void)plain.item();
    CompiledStep step = compile([&](const Tensor& in, const Tensor& out) {
      const Tensor one = loss.value(model, in, out);
      optimizer->step(gradients(one, model.parameters()));
      return one;
    });
    step(x, y).eval();
    EXPECT_GT(backend_.chains, 0) << what;
    for (const std::string& text : backend_.missing) {
      ADD_FAILURE() << what << " needs a compiler for\n" << text;
    }
  }

  Loss classification() const {
    return {[this](const Shape& shape) { return zeros({shape[0]}, {.dtype = i64, .device = device_}); },
            [](nn::Mlp& model, const Tensor& x, const Tensor& y) { return cross_entropy(model(x), y); }};
  }
  Loss two_classes() const {
    return {
        [this](const Shape& shape) { return ones(shape, {.device = device_}); },
        [](nn::Mlp& model, const Tensor& x, const Tensor& y) { return binary_cross_entropy_with_logits(model(x), y); }};
  }
  Loss regression() const {
    return {[this](const Shape& shape) {
              return random_normal(shape, {2, 0}, {.device = device_});
            },
            [](nn::Mlp& model, const Tensor& x, const Tensor& y) { return mse_loss(model(x), y); }};
  }
  /// With labels of -1 and 1 and the parameters' squares, as in the moons example.
  Loss hinge() const {
    return {[this](const Shape& shape) {
              return sign(random_normal(shape, {2, 0}, {.device = device_}));
            },
            [](nn::Mlp& model, const Tensor& x, const Tensor& y) {
              Tensor loss = hinge_loss(model(x), y);
              for (const Tensor& parameter : model.parameters()) {
                loss = loss + sum(square(parameter)) * 1e-4;
              }
              return loss;
            }};
  }

  static std::unique_ptr<optim::Optimizer> adamw(const std::vector<Tensor>& parameters) {
    return std::make_unique<optim::AdamW>(parameters);
  }

  std::unique_ptr<Noting> owned_ = std::make_unique<Noting>();
  Noting& backend_ = *owned_;
  Device device_ = register_backend(std::move(owned_));
};

TEST_F(FusedPatternsTest, TheExamplesSteps) {
  expect_no_compiler("mlp", {{20, 16, 16, 10}}, adamw, classification());
  expect_no_compiler("mlp, rows of 12", {{20, 16, 16, 12}, nn::Activation::relu, 0, 33}, adamw, classification());
  expect_no_compiler("mlp with dropout", {{20, 16, 16, 10}, nn::Activation::relu, 0.1}, adamw, classification());
  expect_no_compiler("regression", {{20, 16, 1}}, adamw, regression());
  expect_no_compiler(
      "moons", {{2, 16, 16, 1}, nn::Activation::relu, 0, 100},
      [](const std::vector<Tensor>& p) { return std::make_unique<optim::SGD>(p); }, hinge());
  expect_no_compiler("two classes of one output", {{2, 16, 16, 1}}, adamw, two_classes());
  expect_no_compiler("quickstart", {{2, 32, 32, 2}, nn::Activation::tanh}, adamw, classification());
}

TEST_F(FusedPatternsTest, Activations) {
  using nn::Activation;
  for (const Activation one :
       {Activation::tanh, Activation::sigmoid, Activation::softplus, Activation::silu, Activation::gelu}) {
    expect_no_compiler("activation " + std::to_string(static_cast<int>(one)), {{20, 16, 3}, one}, adamw, regression());
  }
}

TEST_F(FusedPatternsTest, Optimizers) {
  using namespace optim;
  const auto check = [&](const std::string& what, const Make& make) {
    expect_no_compiler(what, {{20, 16, 3}}, make, regression());
  };
  const auto with = []<class Optimizer>(Type<Optimizer>, const typename Optimizer::Options& options) -> Make {
    return [options](const std::vector<Tensor>& p) { return std::make_unique<Optimizer>(p, options); };
  };
  check("Adam", with(Type<Adam>(), {}));
  check("Adam with decay", with(Type<Adam>(), {.weight_decay = 0.1}));
  check("AdamW with l1", with(Type<AdamW>(), {.l1 = 0.1}));
  check("SGD", with(Type<SGD>(), {}));
  check("SGD with decay", with(Type<SGD>(), {.weight_decay = 0.1}));
  check("SGD with momentum", with(Type<SGD>(), {.momentum = 0.9}));
  check("SGD with momentum and decay", with(Type<SGD>(), {.momentum = 0.9, .weight_decay = 0.1}));
  check("Nesterov", with(Type<SGD>(), {.momentum = 0.9, .nesterov = true}));
  check("Nesterov with decay", with(Type<SGD>(), {.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}));
  check("RMSprop", with(Type<RMSprop>(), {}));
  check("RMSprop with decay", with(Type<RMSprop>(), {.weight_decay = 0.1}));
  check("RMSprop with momentum", with(Type<RMSprop>(), {.momentum = 0.9}));
  check("RMSprop centred", with(Type<RMSprop>(), {.momentum = 0.9, .centred = true}));
  check("Adagrad", with(Type<Adagrad>(), {}));
}

}  // namespace
}  // namespace twingrad::cuda
