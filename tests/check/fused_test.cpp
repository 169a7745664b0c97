// A kernel for several ops at once that is wrong is seen in situ, though each op alone is right.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/check/check.h>
#include <twingrad/op.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/cpu_forwarding_backend.h"

namespace twingrad::check {
namespace {

/// The CPU, with fused kernels that get the first number of their last result wrong when `wrong`, and kernels of the op
/// `racing` that give other bits each time.
class SloppyBackend final : public tests::CpuForwardingBackend {
 public:
  std::string description() const override { return "the CPU, fusing without care"; }
  void run(const KernelCall& call) override {
    CpuForwardingBackend::run(call);
    if (call.op->name == racing) {
      // One unit in the last place in other elements each time, which is within their bounds.
      auto* elements = static_cast<float*>(call.output.data);
      for (std::int64_t i = 0; i < call.output.numel(); ++i) {
        elements[i] = (runs_ >> i) % 2 == 1 ? std::nextafter(elements[i], 1.0F) : elements[i];
      }
      ++runs_;
    }
  }

  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override {
    std::unique_ptr<PreparedKernel> kernel = cpu_->fuse(fusion);
    if (kernel == nullptr) {
      return nullptr;
    }
    ++fused;
    return std::make_unique<Sloppy>(*this, std::move(kernel));
  }

  bool wrong = false;
  std::string_view racing;
  int fused = 0;

 private:
  class Sloppy final : public PreparedKernel {
   public:
    Sloppy(const SloppyBackend& backend, std::unique_ptr<PreparedKernel> kernel)
        : backend_(backend), kernel_(std::move(kernel)) {}
    void run(std::span<void* const> addresses, const std::source_location& where) override {
      kernel_->run(addresses, where);
      if (backend_.wrong) {
        *static_cast<float*>(addresses.back()) += 1;
      }
    }

   private:
    const SloppyBackend& backend_;
    std::unique_ptr<PreparedKernel> kernel_;
  };

  int runs_ = 0;
};

class FusedStepTest : public testing::Test {
 protected:
  Report check_step() const {
    const auto train = [](Device on) {
      Tensor w = random_normal({5, 3}, {1, 0}, {.device = on, .requires_grad = true});
      w.label("w");
      const Tensor x = random_normal({7, 5}, {2, 0}, {.device = on});
      const Tensor h = tanh(matmul(x, w)) * 2 - 1;
      const Tensor loss = mean(square(h - mean(h, {.axes = {0}})));
      optim::Adam adam({w});
      adam.step(gradients(loss, {w}));
      return loss;
    };
    return check::step(train, {.devices = {device_}});
  }
  static std::vector<const NodeResult*> nodes_with(const Report& report, Verdict verdict) {
    std::vector<const NodeResult*> found;
    for (const NodeResult& node : report.devices.at(0).nodes) {
      if (node.verdict == verdict) {
        found.push_back(&node);
      }
    }
    return found;
  }
  static std::int64_t nodes_blamed_on_fusion(const Report& report) {
    const std::vector<NodeResult>& nodes = report.devices.at(0).nodes;
    return std::count_if(nodes.begin(), nodes.end(),
                         [](const NodeResult& node) { return node.note.find("several ops") != std::string::npos; });
  }

  std::unique_ptr<SloppyBackend> owned_ = std::make_unique<SloppyBackend>();
  SloppyBackend& backend_ = *owned_;
  Device device_ = register_backend(std::move(owned_));
};

TEST_F(FusedStepTest, AWrongFusedKernelIsSeenInSituAndNamedOnce) {
  const Report clean = check_step();
  EXPECT_TRUE(clean.agrees()) << to_text(clean);
  EXPECT_GT(backend_.fused, 0);
  backend_.wrong = true;
  const Report report = check_step();
  EXPECT_FALSE(report.agrees());
  EXPECT_EQ(report.devices.at(0).verdict, Verdict::in_situ) << to_text(report);
  const std::vector<const NodeResult*> blamed = nodes_with(report, Verdict::in_situ);
  ASSERT_EQ(blamed.size(), 1U) << to_text(report);
  EXPECT_EQ(blamed.front()->note, "a kernel for several ops at once gives other bits than the ops one by one");
  EXPECT_EQ(nodes_blamed_on_fusion(report), 1);
}

// What a fused kernel does with other inputs is not its fault.
TEST_F(FusedStepTest, ARacingKernelBesideFusedOnesIsARace) {
  backend_.racing = "mean";
  const Report report = check_step();
  EXPECT_GT(backend_.fused, 0);
  EXPECT_FALSE(nodes_with(report, Verdict::race).empty()) << to_text(report);
  EXPECT_TRUE(nodes_with(report, Verdict::in_situ).empty()) << to_text(report);
  EXPECT_EQ(nodes_blamed_on_fusion(report), 0) << to_text(report);
}

}  // namespace
}  // namespace twingrad::check
