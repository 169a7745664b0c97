// Runs the same kernel call on the CPU backend and on the GPU and compares the bytes. The inputs are chosen so that
// every step is exact or rounded the same way on both: then there is no tolerance to choose, and an element read from
// the wrong place shows. How far inexact kernels may differ is the business of the tests that run on every device.
#pragma once

#include "tests/cpu/kernel_fixture.h"

namespace twingrad {

/// An operand that can be copied: the copy's view looks at the copy's memory.
struct TwinInput : KernelOperand {
  TwinInput(KernelOperand&& x) : KernelOperand(std::move(x)) {}
  TwinInput(const KernelOperand& x) : KernelOperand(x) {
    view.data = memory.data() + (x.view.as<const std::byte>() - x.memory.data());
  }
  TwinInput(const TwinInput& x) : TwinInput(static_cast<const KernelOperand&>(x)) {}
  TwinInput(TwinInput&&) = default;
  TwinInput& operator=(const TwinInput&) = delete;
};

class CudaTwinTest : public KernelTest {
 protected:
  void SetUp() override {
    if (cuda_backend_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device: this test waits for a GPU";
    }
    gpu_ = make_cuda_backend(0);
  }
  void TearDown() override {
    for (const auto& [memory, bytes] : allocations_) {
      gpu_->deallocate(memory, bytes);
    }
  }

  void* allocate(std::size_t bytes) {
    void* memory = gpu_->allocate(std::max<std::size_t>(bytes, 1));
    EXPECT_NE(memory, nullptr);
    allocations_.emplace_back(memory, bytes);
    return memory;
  }
  void* upload(const std::vector<std::byte>& bytes) {
    void* memory = allocate(bytes.size());
    gpu_->copy_from_host(memory, bytes.data(), bytes.size());
    return memory;
  }
  /// The operand's view on a copy of its memory on the GPU.
  TensorView on_gpu(const KernelOperand& x) {
    TensorView view = x.view;
    view.data = static_cast<std::byte*>(upload(x.memory)) + (x.view.as<std::byte>() - x.memory.data());
    return view;
  }

  /// Random whole numbers in [low, high].
  KernelOperand whole(Dtype dtype, const Shape& shape, Layout layout, int low, int high) {
    std::uniform_int_distribution<int> draw(low, high);
    std::vector<double> values(static_cast<std::size_t>(numel(shape)));
    for (double& value : values) {
      value = draw(generator_);
    }
    return operand(dtype, shape, layout, values);
  }

  /// The call on the GPU, into memory full of NaN with a guard behind the output.
  Result run_on_gpu(const Op& row, const std::vector<TensorView>& inputs, Dtype dtype, const Shape& shape,
                    const Attributes& attributes) {
    constexpr std::size_t guard_bytes = 64;
    Result result;
    const std::size_t bytes = static_cast<std::size_t>(numel(shape)) * size_of(dtype);
    result.memory.assign(bytes + guard_bytes, std::byte{0xff});
    KernelCall call;
    call.op = &row;
    call.attributes = attributes;
    call.inputs = inputs;
    call.output = {upload(result.memory), dtype, shape, contiguous_strides(shape)};
    gpu_->run(call);
    gpu_->copy_to_host(result.memory.data(), call.output.data, result.memory.size());
    for (std::size_t i = bytes; i < bytes + guard_bytes; ++i) {
      EXPECT_EQ(result.memory[i], std::byte{0xff}) << "written beyond the output";
    }
    for (std::int64_t i = 0; i < numel(shape); ++i) {
      result.values.push_back(load(result.memory.data(), dtype, i));
    }
    return result;
  }

  /// Runs on both and expects the same values, NaN being equal to NaN.
  void expect_twins(const Op& row, const std::vector<TwinInput>& inputs, Dtype dtype, const Shape& shape,
                    const Attributes& attributes, const std::string& what) {
    std::vector<TensorView> host;
    std::vector<TensorView> device;
    for (const TwinInput& input : inputs) {
      host.push_back(input.view);
      device.push_back(on_gpu(input));
    }
    const Result expected = run(row, host, dtype, shape, attributes);
    const Result found = run_on_gpu(row, device, dtype, shape, attributes);
    for (std::size_t i = 0; i < expected.values.size(); ++i) {
      ASSERT_TRUE(same(expected.values[i], found.values[i]))
          << what << ", " << name(dtype) << " " << to_string(shape) << ", element " << i << ": the CPU has "
          << expected.values[i] << ", the GPU " << found.values[i];
    }
  }

  std::unique_ptr<Backend> gpu_;

 private:
  std::vector<std::pair<void*, std::size_t>> allocations_;
};

}  // namespace twingrad
