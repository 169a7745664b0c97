// The CPU backend: host memory, and kernels that are done when run() returns. So queued work is never left, and an
// index out of range is reported by run() itself.
#include <omp.h>
#include <twingrad/backend.h>
#include <twingrad/op.h>

#include <cstddef>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "cpu/families.h"
#include "cpu/fused.h"
#include "cpu/matmul.h"
#include "cpu/sums.h"

namespace twingrad {
namespace cpu {

void refuse_dtype(const KernelCall& call, Dtype dtype) {
  throw DtypeError(std::string(call.op->name) + " at " + to_string(call.where) + ": the CPU has no kernel for " +
                   std::string(name(dtype)) + "; cast the input first");
}

namespace {

constexpr std::align_val_t alignment{256};

/// The processor's name as the system reports it, or "CPU".
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "CPU";
}

/// What this file, and so every kernel, was compiled for.
std::string instruction_set() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__SSE2__)
  return "SSE2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "scalar";
#endif
}

/// The kernels read the host's memory, so what is written for them is there, and every reader is done when run()
/// returns.
class DirectTransfer final : public Transfer {
 public:
  void begin() override {}
  void finish() override {}
  void wait() override {}
  std::byte* host(void* target) override { return static_cast<std::byte*>(target); }
  void copy(void* /*target*/, std::size_t /*bytes*/) override {}
};

class CpuBackend final : public Backend {
 public:
  std::string description() const override {
    const int threads = omp_get_max_threads();
    return processor() + ", " + std::to_string(threads) + (threads == 1 ? " thread, " : " threads, ") +
           instruction_set() + " kernels, " + Matmul::library();
  }

  void* allocate(std::size_t bytes) override { return ::operator new(bytes, alignment, std::nothrow); }
  void deallocate(void* memory, std::size_t) noexcept override { ::operator delete(memory, alignment); }

  void copy_from_host(void* target, const void* source, std::size_t bytes) override { copy(target, source, bytes); }
  void copy_to_host(void* target, const void* source, std::size_t bytes) override { copy(target, source, bytes); }
  void copy(void* target, const void* source, std::size_t bytes) override {
    if (bytes > 0) {
      std::memmove(target, source, bytes);
    }
  }

  std::unique_ptr<Transfer> make_transfer(std::size_t /*bytes*/) override { return std::make_unique<DirectTransfer>(); }

  void run(const KernelCall& call) override {
    switch (call.op->family) {
      case Family::view:
        throw ArgumentError(std::string(call.op->name) + " is a view: it has no kernel to run");
      case Family::elementwise:
        return cpu::elementwise(call);
      case Family::update:
        return cpu::update(call);
      case Family::reduce:
        return cpu::reduce(call);
      case Family::arg_reduce:
        return cpu::arg_reduce(call);
      case Family::scan:
        return cpu::scan(call);
      case Family::matmul:
        return matmul_.run(call);
      case Family::rows:
        return cpu::rows(call);
      case Family::index:
        return cpu::index(call);
      case Family::random:
        return cpu::random(call);
      case Family::copy:
        return cpu::copy(call);
      case Family::custom:
        return custom(call);
    }
  }

  std::unique_ptr<PreparedKernel> prepare(const KernelCall& call) override {
    std::unique_ptr<PreparedKernel> kernel = specialised(call);
    return kernel != nullptr ? std::move(kernel) : Backend::prepare(call);
  }

  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override {
    return fusion.parts.front().call.op->family == Family::matmul ? matmul_.fuse(fusion) : fuse_elementwise(fusion);
  }

  ErrorModel error_model(const KernelCall& call) const override { return cpu::error_model(call); }

  void synchronize() override {}

 private:
  /// A kernel made for this very call, with the bits of run(); nullptr: there is none.
  std::unique_ptr<PreparedKernel> specialised(const KernelCall& call) {
    switch (call.op->family) {
      case Family::matmul:
        return matmul_.prepare(call);
      case Family::elementwise:
      case Family::update: {
        const std::vector<int> from_memory(call.inputs.size(), -1);
        return fuse_elementwise({.parts = {{.call = call, .from = from_memory, .stored = true}}});
      }
      case Family::reduce:
        return prepare_sum(call);
      default:
        return nullptr;
    }
  }

  static void custom(const KernelCall& call) {
    if (call.op->custom_cpu == nullptr) {
      throw DeviceError(std::string(call.op->name) + " has no CPU kernel: give its row custom_cpu");
    }
    call.op->custom_cpu(call);
  }

  Matmul matmul_;
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<cpu::CpuBackend>();
}

}  // namespace twingrad
