// The CPU as a device of its own, for tests that change one thing about it: a class that derives from this overrides
// that, and all else is the CPU's. It fuses nothing.
//
//   class Counting final : public tests::CpuForwardingBackend {
//     std::string description() const override { return "the CPU, counting"; }
//     void run(const KernelCall& call) override { ++runs; CpuForwardingBackend::run(call); }
//   };
//   const Device device = register_backend(std::make_unique<Counting>());
#pragma once

#include <twingrad/backend.h>

#include <cstddef>
#include <memory>

namespace twingrad::tests {

class CpuForwardingBackend : public Backend {
 public:
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
  void synchronize() override { cpu_->synchronize(); }

 protected:
  std::unique_ptr<Backend> cpu_ = make_cpu_backend();
};

}  // namespace twingrad::tests
