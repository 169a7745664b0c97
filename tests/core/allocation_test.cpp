// A replayed step asks heap and device for nothing, compiled or in the plain loop.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/twingrad.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/counting_heap.h"
#include "tests/optim/every_optimizer.h"
#include "tests/recording_cpu.h"

namespace twingrad {
namespace {

using tests::allocations_of;

class AllocationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!tests::heap_is_counted()) {
      GTEST_SKIP() << "a sanitizer's heap is not counted";
    }
  }
};

TEST_F(AllocationTest, TheCounterCounts) {
  const Tensor x = exp(ones({3}));
  EXPECT_GE(allocations_of([&] { EXPECT_FALSE(describe_plan({x}).empty()); }), 1);
}

TEST_F(AllocationTest, AReplayedRecordingAsksTheHeapForNothing) {
  const Device device = register_backend(std::make_unique<tests::RecordingCpu>());
  nn::Mlp model({6, 9, 3}, {.dropout = 0.5, .seed = 1});
  model.to(device);
  optim::Adam adam(model.parameters());
  CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
    Tensor loss = mean(square(model(x) - y));
    adam.step(gradients(loss, model.parameters()));
    return loss;
  });
  const Tensor x = random_normal({10, 6}, {1, 0}, {.device = device});
  const Tensor y = random_normal({10, 3}, {2, 0}, {.device = device});
  eval({x, y});
  for (int i = 0; i < 4; ++i) {
    step(x, y);
  }
  const std::uint64_t replayed = capture_stats().replayed;
  const std::uint64_t device_allocations = memory_stats(device).allocations;
  EXPECT_EQ(allocations_of([&] {
              for (int i = 0; i < 20; ++i) {
                step(x, y);
              }
            }),
            0);
  EXPECT_EQ(capture_stats().replayed, replayed + 20);
  EXPECT_EQ(memory_stats(device).allocations, device_allocations);
}

TEST_F(AllocationTest, ACompiledStepAsksTheHeapForNothing) {
  for (const double dropout : {0.0, 0.5}) {
    nn::Mlp model({20, 33, 17, 5}, {.dropout = dropout, .seed = 1});
    optim::AdamW adam(model.parameters());
    CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
      Tensor loss = cross_entropy(model(x), y);
      adam.step(gradients(loss, model.parameters()));
      return loss;
    });
    const Tensor x = random_normal({40, 20}, {1, 0});
    const Tensor y = cast(random_uniform({40}, {2, 0}) * 5, i64);
    eval({x, y});
    Tensor loss = step(x, y);
    loss = step(x, y);
    const PlanCacheStats before = plan_cache_stats();
    EXPECT_EQ(allocations_of([&] {
                for (int i = 0; i < 20; ++i) {
                  loss = Tensor();
                  loss = step(x, y);
                }
              }),
              0)
        << "dropout " << dropout;
    EXPECT_EQ(plan_cache_stats().misses, before.misses);
  }
}

TEST_F(AllocationTest, ThePlainLoopAsksTheHeapForNothing) {
  for (const auto& [name, make] : tests::every_optimizer()) {
    for (const auto normalization : {nn::Normalization::none, nn::Normalization::batch, nn::Normalization::layer}) {
      nn::Mlp model({20, 33, 17, 5}, {.dropout = 0.5, .normalization = normalization, .seed = 1});
      const auto optimizer = make(model.parameters());
      const Tensor x = random_normal({40, 20}, {1, 0});
      const Tensor y = cast(random_uniform({40}, {2, 0}) * 5, i64);
      eval({x, y});
      Tensor loss;
      double sum = 0;
      const auto step = [&] {
        loss = cross_entropy(model(x), y);
        optimizer->step(gradients(loss, model.parameters()));
        sum += loss.item();
      };
      // The first has no handle to an old loss, the second is the first of its structure, the third is recorded.
      for (int i = 0; i < 4; ++i) {
        step();
      }
      const PlanCacheStats plans = plan_cache_stats();
      const std::uint64_t device = memory_stats(Device::cpu()).allocations;
      EXPECT_EQ(allocations_of([&] {
                  for (int i = 0; i < 20; ++i) {
                    optimizer->set_learning_rate(1e-3 * i);
                    step();
                  }
                }),
                0)
          << name << ", normalization " << static_cast<int>(normalization);
      EXPECT_EQ(plan_cache_stats().misses, plans.misses);
      // The step's, and the rest of the loss.
      EXPECT_EQ(plan_cache_stats().hits, plans.hits + 40);
      EXPECT_EQ(memory_stats(Device::cpu()).allocations, device);
      EXPECT_EQ(optimizer->steps(), 24);
    }
  }
}

}  // namespace
}  // namespace twingrad
