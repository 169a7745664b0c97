// A kernel for several ops at once that is wrong is seen in situ, though each op alone is right.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/check/check.h>
#include <twingrad/twingrad.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twingrad::check {
namespace {

/// The CPU, with fused kernels that get the first number of their last result wrong when `wrong`.
class SloppyBackend final : public Backend {
 public:
  std::string description() const override { return "the CPU, fusing without care"; }
  void* allocate(std::size_t bytes) override { return cpu_->allocate(bytes); }
  void deallocate(void* memory, std::size_t bytes) noexcept override { cpu_->deallocate(memory, bytes); }
  void copy_from_host(void* target, const void* source, std::size_t bytes) override {
    cpu_->copy_from_host(target, source, bytes);
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes) override {
    cpu_->copy_to_host(target, source, bytes);
  }
  void copy(void* target, const void* source, std::size_t bytes) override { cpu_->copy(target, source, bytes); }
  void run(const KernelCall& call) override { cpu_->run(call); }
  ErrorModel error_model(const KernelCall& call) const override { return cpu_->error_model(call); }
  void synchronize() override {}

  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override {
    std::unique_ptr<PreparedKernel> kernel = cpu_->fuse(fusion);
    if (kernel == nullptr) {
      return nullptr;
    }
    ++fused;
    return std::make_unique<Sloppy>(*this, std::move(kernel));
  }

  bool wrong = false;
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

  std::unique_ptr<Backend> cpu_ = make_cpu_backend();
};

TEST(FusedStepTest, AWrongFusedKernelIsSeenInSitu) {
  auto owned = std::make_unique<SloppyBackend>();
  SloppyBackend& backend = *owned;
  const Device device = register_backend(std::move(owned));
  const auto train = [](Device on) {
    Tensor w = random_normal({5, 3}, {1, 0}, {.device = on, .requires_grad = true});
    w.label("w");
    const Tensor x = random_normal({7, 5}, {2, 0}, {.device = on});
    const Tensor loss = mean(square(tanh(matmul(x, w)) * 2 - 1));
    optim::Adam adam({w});
    adam.step(gradients(loss, {w}));
    return loss;
  };
  const Report clean = check::step(train, {.devices = {device}});
  EXPECT_TRUE(clean.agrees()) << to_text(clean);
  EXPECT_GT(backend.fused, 0);
  backend.wrong = true;
  const Report report = check::step(train, {.devices = {device}});
  EXPECT_FALSE(report.agrees());
  EXPECT_EQ(report.devices.at(0).verdict, Verdict::in_situ) << to_text(report);
}

}  // namespace
}  // namespace twingrad::check
