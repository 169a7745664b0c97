// What a device runs as one kernel has the bits of the ops one by one, and leaves no trace in memory.
#include <gtest/gtest.h>
#include <twingrad/ops/rows.h>
#include <twingrad/twingrad.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/devices.h"

namespace twingrad::tests {
namespace {

class FusionTest : public DeviceTest {
 protected:
  void TearDown() override { set_fusion(true); }

  /// The bits of what `build` gives, with and without fusion.
  template <class Build>
  void expect_same_bits(const Build& build) const {
    set_fusion(false);
    std::vector<Tensor> apart = build();
    eval(apart);
    set_fusion(true);
    std::vector<Tensor> fused = build();
    eval(fused);
    ASSERT_EQ(apart.size(), fused.size());
    for (std::size_t i = 0; i < apart.size(); ++i) {
      EXPECT_EQ(apart[i].to_vector<double>(), fused[i].to_vector<double>()) << "result " << i;
    }
  }
};

TEST_P(FusionTest, ChainsOfAnyLength) {
  for (const std::int64_t n : {1, 5, 63, 64, 1000, 5000}) {
    expect_same_bits([&] {
      Tensor x = random_normal({n}, {1, 0}, {.device = device()});
      for (int i = 0; i < 40; ++i) {
        x = i % 3 == 0 ? tanh(x) : (i % 3 == 1 ? x * 1.5 + 0.25 : relu(x) - 0.5);
      }
      return std::vector<Tensor>{x};
    });
  }
}

TEST_P(FusionTest, BroadcastsStridesAndSingleValues) {
  expect_same_bits([&] {
    const Tensor x = random_normal({37, 65}, {1, 0}, {.device = device()});
    const Tensor row = random_normal({65}, {2, 0}, {.device = device()});
    const Tensor column = random_normal({37, 1}, {3, 0}, {.device = device()});
    const Tensor turned = transpose(random_normal({65, 37}, {4, 0}, {.device = device()}));
    const Tensor one = random_normal({}, {5, 0}, {.device = device()});
    eval({x, row, column, turned, one});
    const Tensor y = (x + row) * column - turned / (square(one) + 1);
    const Tensor picked = where(greater(y, row), y, one);
    return std::vector<Tensor>{picked, sum(picked, {.axes = {0}}), maximum(one, one) + picked};
  });
}

TEST_P(FusionTest, IntermediateResultsThatAreHeldOrReadTwice) {
  expect_same_bits([&] {
    const Tensor x = random_normal({300}, {1, 0}, {.device = device()});
    const Tensor a = exp(x);
    const Tensor b = a * x;
    const Tensor c = b - a;
    return std::vector<Tensor>{b, c * b, sum(c), mean(a * c)};
  });
}

TEST_P(FusionTest, ProductsWithReluForwardAndBackward) {
  for (const std::int64_t n : {1, 16, 33, 100}) {
    expect_same_bits([&] {
      const Tensor x = random_normal({n, 20}, {1, 0}, {.device = device()});
      const Tensor w = random_normal({20, 20}, {2, 0}, {.device = device()});
      const Tensor v = random_normal({20, 3}, {3, 0}, {.device = device()});
      const Tensor y = matmul(relu(matmul(relu(matmul(x, w)), w)), v);
      std::vector<Tensor> results = gradients(mean(square(y)), {w, v});
      results.push_back(y);
      return results;
    });
  }
}

TEST_P(FusionTest, AMaskThatTheProductReadsIsNotWrittenOver) {
  // The product's left operand is what relu saved, of the same size as the result, and nothing reads it afterwards.
  expect_same_bits([&] {
    const Tensor x = random_normal({200, 200}, {1, 0}, {.device = device()});
    const Tensor saved = relu(matmul(x, x));
    return std::vector<Tensor>{relu_grad(saved, matmul(saved, x))};
  });
}

TEST_P(FusionTest, OtherTypes) {
  expect_same_bits([&] {
    const Tensor x = random_normal({257}, {1, 0}, {.dtype = f64, .device = device()});
    const Tensor whole = cast(x * 100, i64);
    const Tensor half = cast(x, bf16);
    return std::vector<Tensor>{whole * 3 + 1, logical_and(greater(x, 0), less(x, 1)), tanh(half * 2) + half,
                               where(greater(whole, 5), whole, whole * -1)};
  });
}

/// Random expressions over a handful of tensors of broadcasting shapes.
TEST_P(FusionTest, RandomGraphs) {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_same_bits([&] {
      std::mt19937 random(seed);
      const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
      const std::vector<Shape> shapes = {{9, 7}, {9, 7}, {7}, {9, 1}, {}};
      std::vector<Tensor> pool;
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        pool.push_back(random_normal(shapes[i], {static_cast<std::int64_t>(seed), static_cast<std::int64_t>(i)},
                                     {.device = device()}));
      }
      eval(pool);
      for (int i = 0; i < 25; ++i) {
        const Tensor a = pool[below(pool.size())];
        const Tensor b = pool[below(pool.size())];
        switch (below(7)) {
          case 0:
            pool.push_back(a + b);
            break;
          case 1:
            pool.push_back(a * b);
            break;
          case 2:
            pool.push_back(maximum(a, b));
            break;
          case 3:
            pool.push_back(tanh(a));
            break;
          case 4:
            pool.push_back(where(less(a, b), a, b));
            break;
          case 5:
            pool.push_back(sum(a));
            break;
          default:
            pool.push_back(a.rank() == 2 && a.size(0) == 9 && a.size(1) == 7 ? transpose(transpose(a) * 0.5) : -a);
        }
      }
      std::vector<Tensor> wanted;
      for (int i = 0; i < 4; ++i) {
        wanted.push_back(pool[pool.size() - 1 - below(12)]);
      }
      return wanted;
    });
  }
}

TEST_P(FusionTest, SumsOfWhatAChainMakes) {
  const std::vector<Shape> shapes = {{1, 1}, {1, 7},   {7, 1},    {100, 16}, {33, 7},   {64, 128},
                                     {0, 5}, {512, 3}, {1025, 3}, {2, 4097}, {300, 300}};
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    expect_same_bits([&] {
      const Tensor x = random_normal(shape, {1, 0}, {.device = device()});
      const Tensor y = random_normal(shape, {2, 0}, {.device = device()});
      const Tensor row = random_normal({shape[1]}, {3, 0}, {.device = device()});
      eval({x, y, row});
      const Tensor masked = relu_grad(x, y * row);
      std::vector<Tensor> results = {sum(masked, {.axes = {0}}), masked, sum(square(masked - x)),
                                     sum(masked * 2.0, {.axes = {1}})};
      if (shape[0] > 0) {
        results.push_back(mean(exp(x) * y, {.axes = {0}}));
        results.push_back(mean(masked + 1.0));
        results.push_back(amax(masked * 3.0));
      }
      return results;
    });
  }
}

/// A sum that an update reads, which may lie where the sum's operand was.
TEST_P(FusionTest, BiasesOfATrainedLayer) {
  const auto train = [&](bool fuse) {
    set_fusion(fuse);
    nn::Mlp model({3, 16, 16, 1}, {.seed = 5});
    model.to(device());
    optim::SGD sgd(model.parameters(), {.lr = 0.1, .momentum = 0.5});
    const Tensor x = random_normal({100, 3}, {7, 0}, {.device = device()});
    const Tensor y = random_bernoulli({100, 1}, 0.5, {8, 0}, {.device = device()}).to(f32);
    CompiledStep step = compile([&](const Tensor& in, const Tensor& out) {
      const Tensor loss = binary_cross_entropy_with_logits(model(in), out);
      sgd.step(gradients(loss, model.parameters()));
      return loss;
    });
    std::vector<float> values;
    for (int i = 0; i < 12; ++i) {
      values.push_back(step(x, y).to_vector<float>()[0]);
    }
    for (const Tensor& p : model.parameters()) {
      const std::vector<float> all = p.to_vector<float>();
      values.insert(values.end(), all.begin(), all.end());
    }
    return values;
  };
  EXPECT_EQ(train(true), train(false));
}

TEST_P(FusionTest, ThePlanShowsSumsThatTheGpuTakesAlong) {
  const Tensor x = ones({64, 16}, {.device = device()});
  const Tensor y = random_normal({64, 16}, {1, 0}, {.device = device()});
  eval({x, y});
  const Tensor masked = relu_grad(x, y * 2.0);
  const std::string text = describe_plan({masked, sum(masked, {.axes = {0}})});
  const bool along = device().kind() == DeviceKind::cuda;
  EXPECT_EQ(text.find("   + sum (16)") != std::string::npos, along) << text;
  EXPECT_NE(text.find(along ? "1 kernels for 3 ops" : "2 kernels for 3 ops"), std::string::npos) << text;
  // What it does not take has a kernel of its own and keeps nothing else from being taken.
  const std::string more = describe_plan({masked, amax(masked, {.axes = {0}}), sum(masked, {.axes = {0}})});
  EXPECT_EQ(more.find("   + sum (16)") != std::string::npos, along) << more;
  EXPECT_EQ(more.find("   + amax"), std::string::npos) << more;
}

TEST_P(FusionTest, TrainingSteps) {
  const auto train = [&](bool fuse) {
    set_fusion(fuse);
    nn::Mlp model({6, 20, 20, 4},
                  {.activation = nn::Activation::gelu, .normalization = nn::Normalization::layer, .seed = 3});
    model.to(device());
    optim::AdamW adam(model.parameters(), {.lr = 0.01, .l1 = 0.001});
    for (std::int64_t i = 0; i < 5; ++i) {
      const Tensor x = random_normal({33, 6}, {7, i}, {.device = device()});
      const Tensor y = random_normal({33, 4}, {8, i}, {.device = device()});
      adam.step(gradients(mean(square(model(x) - y)), model.parameters()));
    }
    std::vector<std::vector<float>> values;
    for (const Tensor& p : model.parameters()) {
      values.push_back(p.to_vector<float>());
    }
    return values;
  };
  EXPECT_EQ(train(true), train(false));
}

TEST(FusionOnCpuTest, ThePlanShowsWhatIsFused) {
  const Tensor x = ones({100});
  x.eval();
  const Tensor y = relu(x * 2 + 1);
  const std::string text = describe_plan({y});
  EXPECT_NE(text.find("1 kernels for 3 ops"), std::string::npos) << text;
  EXPECT_NE(text.find("-> fused"), std::string::npos) << text;
  EXPECT_NE(text.find("   + relu"), std::string::npos) << text;
  set_fusion(false);
  const std::string apart = describe_plan({y});
  set_fusion(true);
  EXPECT_NE(apart.find("plan: 3 kernels,"), std::string::npos) << apart;
}

TEST(FusionOnCpuTest, ResultsInsideAFusedKernelNeedNoMemory) {
  const Tensor x = ones({1 << 16});
  x.eval();
  reset_peak_memory(Device::cpu());
  const std::uint64_t before = memory_stats(Device::cpu()).peak;
  const Tensor y = sum(tanh(x * 2) * tanh(x * 3) + x);
  y.eval();
  // One array for what is summed, and a little for the sum itself.
  EXPECT_LE(memory_stats(Device::cpu()).peak - before, (1U << 16) * 4U + 4096U);
}

INSTANTIATE_ON_DEVICES(FusionTest);

}  // namespace
}  // namespace twingrad::tests
