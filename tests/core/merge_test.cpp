// Updates of many small parameters as one launch: only such as do not meet in memory, and with the bits of one by one.
#include <gtest/gtest.h>
#include <twingrad/ops/update.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "tests/cpu_forwarding_backend.h"
#include "tests/parts_one_by_one.h"

namespace twingrad::tests {
namespace {

/// The CPU, merging whatever it is offered and running it from the last to the first, as a device might.
class MergingBackend final : public CpuForwardingBackend {
 public:
  std::string description() const override { return "the CPU, merging"; }

  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override {
    const bool by_element = std::all_of(fusion.parts.begin(), fusion.parts.end(), [](const Fusion::Part& part) {
      return part.call.op->family == Family::elementwise || part.call.op->family == Family::update;
    });
    return by_element ? std::make_unique<PartsOneByOne>(*this, fusion) : nullptr;
  }

  bool merges() const override { return true; }

  std::unique_ptr<PreparedKernel> merge(std::span<const Fusion> fusions) override {
    sizes.push_back(fusions.size());
    return takes ? std::make_unique<Backwards>(*this, fusions) : nullptr;
  }

  bool takes = true;
  std::vector<std::size_t> sizes;  ///< of what was offered

 private:
  class Backwards final : public PreparedKernel {
   public:
    Backwards(Backend& backend, std::span<const Fusion> fusions) {
      for (const Fusion& fusion : fusions) {
        kernels_.push_back(std::make_unique<PartsOneByOne>(backend, fusion));
      }
    }
    void run(std::span<void* const> addresses, const std::source_location& where) override {
      for (auto kernel = kernels_.rbegin(); kernel != kernels_.rend(); ++kernel) {
        (*kernel)->run(addresses.last((*kernel)->addresses()), where);
        addresses = addresses.first(addresses.size() - (*kernel)->addresses());
      }
      EXPECT_TRUE(addresses.empty());
    }

   private:
    std::vector<std::unique_ptr<PartsOneByOne>> kernels_;
  };
};

class MergeTest : public testing::Test {
 protected:
  using Values = std::vector<std::vector<float>>;

  void SetUp() override { clear_plan_cache(); }
  void TearDown() override { set_fusion(true); }

  Values trained(const std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>&)>& make) const {
    nn::Mlp model({6, 20, 20, 4}, {.activation = nn::Activation::relu, .seed = 3});
    model.to(device_);
    const std::unique_ptr<optim::Optimizer> optimizer = make(model.parameters());
    for (std::int64_t i = 0; i < 3; ++i) {
      const Tensor x = random_normal({33, 6}, {7, i}, {.device = device_});
      const Tensor y = random_normal({33, 4}, {8, i}, {.device = device_});
      optimizer->step(gradients(mean(square(model(x) - y)), model.parameters()));
    }
    return values(model.parameters());
  }
  static Values values(const std::vector<Tensor>& tensors) {
    Values result;
    for (const Tensor& tensor : tensors) {
      result.push_back(tensor.to_vector<float>());
    }
    return result;
  }
  Tensor leaf(std::int64_t n, std::int64_t seed) const {
    Tensor x = random_normal({n}, {seed, 0}, {.device = device_});
    x.eval();
    return x;
  }

  /// That `run` offers groups of these sizes, and gives the bits of one kernel after the other.
  void expect_groups(const std::vector<std::size_t>& sizes, const std::function<Values()>& run) {
    const Values fused = run();
    EXPECT_EQ(backend_.sizes, sizes);
    set_fusion(false);
    EXPECT_EQ(fused, run());
  }

  std::unique_ptr<MergingBackend> owned_ = std::make_unique<MergingBackend>();
  MergingBackend& backend_ = *owned_;
  Device device_ = register_backend(std::move(owned_));
};

TEST_F(MergeTest, AnOptimizersStepIsOneLaunchWithTheBitsOfOneByOne) {
  const auto adam = [](const std::vector<Tensor>& p) { return std::make_unique<optim::AdamW>(p); };
  const auto sgd = [](const std::vector<Tensor>& p) { return std::make_unique<optim::SGD>(p); };
  const auto momentum = [](const std::vector<Tensor>& p) {
    return std::make_unique<optim::SGD>(p, optim::SGD::Options{.momentum = 0.9, .weight_decay = 0.1});
  };
  for (const auto& make :
       std::vector<std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>&)>>{adam, sgd, momentum}) {
    backend_.sizes.clear();
    const Values merged = trained(make);
    EXPECT_FALSE(backend_.sizes.empty());
    for (const std::size_t size : backend_.sizes) {
      EXPECT_EQ(size, 6U);
    }
    set_fusion(false);
    EXPECT_EQ(merged, trained(make));
    set_fusion(true);
  }
}

TEST_F(MergeTest, WhatTheDeviceRefusesRunsOneByOne) {
  const auto adam = [](const std::vector<Tensor>& p) { return std::make_unique<optim::AdamW>(p); };
  const Values merged = trained(adam);
  clear_plan_cache();
  backend_.takes = false;
  EXPECT_EQ(merged, trained(adam));
}

TEST_F(MergeTest, ThePlanShowsOneLaunch) {
  const std::vector<Tensor> next = {update<formulas::Sgd>({leaf(8, 1), leaf(8, 2)}, {0.5}),
                                    update<formulas::Sgd>({leaf(9, 3), leaf(9, 4)}, {0.5}),
                                    update<formulas::Sgd>({leaf(1, 5), leaf(1, 6)}, {0.5})};
  EXPECT_NE(describe_plan(next).find("plan: 1 kernels for 3 ops"), std::string::npos) << describe_plan(next);
}

// p's old value is q's gradient. Whichever ran first might write over what the other one reads.
TEST_F(MergeTest, UpdatesThatMeetInMemoryStayApart) {
  expect_groups({}, [&] {
    const Tensor p = leaf(50, 1);
    const Tensor q = leaf(50, 2);
    assign_all({{q, update<formulas::Sgd>({q, p}, {0.5})}, {p, update<formulas::Sgd>({p, leaf(50, 3)}, {0.25})}});
    return values({p, q});
  });
}

// The sum of the weights reads p's new ones, and the other updates come after it: q and r are one group, without p.
TEST_F(MergeTest, AnUpdateWhoseResultIsAwaitedDoesNotWait) {
  expect_groups({2}, [&] {
    const Tensor p = leaf(40, 1);
    const Tensor q = leaf(30, 2);
    const Tensor r = leaf(20, 3);
    const Tensor next = update<formulas::Sgd>({p, leaf(40, 4) * leaf(1, 7)}, {0.5});
    const Tensor total = sum(next);
    assign_all({{p, next},
                {q, update<formulas::Sgd>({q, leaf(30, 5) * total}, {0.5})},
                {r, update<formulas::Sgd>({r, leaf(20, 6) * total}, {0.5})}});
    return values({p, q, r});
  });
}

// Squares of all parameters are needed one after the other; none depends on another, so all are computed first.
TEST_F(MergeTest, WhatIsReadyRunsAtOnceThoughItIsReadLater) {
  expect_groups({6}, [&] {
    Tensor total = leaf(1, 1);
    for (std::int64_t i = 2; i < 8; ++i) {
      total = total + sum(square(leaf(10 + i, i)));
    }
    total.eval();
    return values({total});
  });
}

// The sum of q's old values comes between p's update and q's, which would be merged without it.
TEST_F(MergeTest, ReadersOfOldValuesStayBeforeTheUpdate) {
  expect_groups({}, [&] {
    const Tensor p = leaf(50, 1);
    const Tensor q = leaf(60, 2);
    const Tensor first = update<formulas::Sgd>({p, leaf(50, 3)}, {0.5});
    const Tensor rate = sum(first) + sum(q);
    assign_all({{p, first}, {q, update<formulas::Sgd>({q, leaf(60, 4) + rate}, {0.5})}});
    return values({p, q});
  });
}

TEST_F(MergeTest, LargeParametersHaveLaunchesOfTheirOwn) {
  eval({update<formulas::Sgd>({leaf(70000, 1), leaf(70000, 2)}, {0.5}),
        update<formulas::Sgd>({leaf(70001, 3), leaf(70001, 4)}, {0.5})});
  EXPECT_TRUE(backend_.sizes.empty());
}

TEST_F(MergeTest, ManyParametersAreSeveralLaunches) {
  std::vector<Tensor> next;
  for (std::int64_t i = 0; i < 37; ++i) {
    next.push_back(update<formulas::Sgd>({leaf(3 + i, 2 * i), leaf(3 + i, 2 * i + 1)}, {0.5}));
  }
  const Values merged = [&] {
    eval(next);
    return values(next);
  }();
  EXPECT_EQ(backend_.sizes, (std::vector<std::size_t>{16, 16, 5}));
  for (std::size_t i = 0; i < next.size(); ++i) {
    const auto n = static_cast<std::int64_t>(i);
    const std::vector<float> p = leaf(3 + n, 2 * n).to_vector<float>();
    const std::vector<float> g = leaf(3 + n, 2 * n + 1).to_vector<float>();
    for (std::size_t e = 0; e < p.size(); ++e) {
      ASSERT_EQ(merged[i][e], p[e] - 0.5F * g[e]);
    }
  }
}

}  // namespace
}  // namespace twingrad::tests
