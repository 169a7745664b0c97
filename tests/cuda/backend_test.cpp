// The CUDA backend itself: memory, copies, refusals, deferred index errors.
#include <twingrad/kernels.h>

#include <cmath>
#include <numeric>

#include "tests/cuda/twin_fixture.h"

namespace twingrad {
namespace {

TEST(GpuBackend, IsRefusedWhereThereIsNoGpu) {
  EXPECT_THROW(make_cuda_backend(cuda_backend_device_count()), DeviceError);
  EXPECT_THROW(make_cuda_backend(-1), DeviceError);
}

class CudaBackendTest : public CudaTwinTest {};

TEST_F(CudaBackendTest, DescribesTheDevice) {
  const std::string text = gpu_->description();
  EXPECT_NE(text.find("compute capability"), std::string::npos) << text;
  EXPECT_NE(text.find("GiB"), std::string::npos) << text;
}

TEST_F(CudaBackendTest, AlignsMemoryAndRefusesTooMuch) {
  void* memory = allocate(1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 256, 0U);
  EXPECT_EQ(gpu_->allocate(std::size_t{1} << 50), nullptr);
  gpu_->synchronize();  // the refusal leaves no error behind
}

TEST_F(CudaBackendTest, CopiesBothWaysBeyondTheStagingRingWhileTheSourceChanges) {
  for (const std::size_t bytes : {1UL, 3UL, 4096UL, (1UL << 20) - 1, 1UL << 20, (1UL << 20) + 1, (9UL << 20) + 5}) {
    std::vector<std::byte> source(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      source[i] = static_cast<std::byte>(i * 7 + i / 251);
    }
    const std::vector<std::byte> expected = source;
    void* memory = allocate(bytes);
    void* second = allocate(bytes);
    gpu_->copy_from_host(memory, source.data(), bytes);
    std::fill(source.begin(), source.end(), std::byte{0});
    gpu_->copy(second, memory, bytes);
    std::vector<std::byte> back(bytes);
    gpu_->copy_to_host(back.data(), second, bytes);
    EXPECT_EQ(back, expected) << bytes;
  }
}

TEST_F(CudaBackendTest, KeepsManySmallCopiesInOrder) {
  void* memory = allocate(4);
  void* history = allocate(4 * 100000);
  for (std::int32_t i = 0; i < 100000; ++i) {
    gpu_->copy_from_host(memory, &i, 4);
    gpu_->copy(static_cast<std::byte*>(history) + 4 * i, memory, 4);
  }
  std::vector<std::int32_t> back(100000);
  gpu_->copy_to_host(back.data(), history, 4 * back.size());
  std::vector<std::int32_t> expected(100000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(back, expected);
}

TEST_F(CudaBackendTest, MarksTellTheDevicesTimeAndCannotBeRecorded) {
  void* memory = allocate(std::size_t{1} << 20);
  const std::unique_ptr<QueueMark> begin = gpu_->mark();
  gpu_->copy(memory, static_cast<std::byte*>(memory) + (std::size_t{1} << 19), std::size_t{1} << 19);
  const std::unique_ptr<QueueMark> end = gpu_->mark();
  const double seconds = end->seconds_since(*begin);  // waits
  EXPECT_TRUE(std::isfinite(seconds));
  EXPECT_GT(seconds, 0);
  EXPECT_THROW(gpu_->record([&] { (void)gpu_->mark(); }), DeviceError);
  EXPECT_GT(gpu_->mark()->seconds_since(*end), 0);  // the recording that failed left nothing behind
}

TEST_F(CudaBackendTest, RefusesOpsWithoutAKernel) {
  Op row;
  row.name = "user_op";
  row.family = Family::custom;
  KernelCall call;
  call.op = &row;
  try {
    gpu_->run(call);
    FAIL() << "ran an op that has no kernel";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("user_op"), std::string::npos) << error.what();
  }
  row.family = Family::view;
  EXPECT_THROW(gpu_->run(call), DeviceError);
}

TEST_F(CudaBackendTest, HandsTheStreamToCustomKernels) {
  static void* seen = nullptr;
  Op row;
  row.name = "user_op";
  row.family = Family::custom;
  row.custom_cuda = [](const KernelCall&, void* stream) { seen = stream; };
  KernelCall call;
  call.op = &row;
  gpu_->run(call);
  EXPECT_NE(seen, nullptr);
}

TEST_F(CudaBackendTest, ReportsTheFirstIndexOutOfRangeOnce) {
  const Op row = op(Family::index, Index::gather);
  const KernelOperand x = whole(f32, {5, 4}, Layout::contiguous, 0, 9);
  std::vector<double> indices(12, 1.0);
  indices[7] = 5.0;
  indices[10] = -1.0;
  const KernelOperand index = operand(i64, {3, 4}, Layout::contiguous, indices);
  KernelCall call;
  call.op = &row;
  call.attributes.ints = {0};
  call.inputs = {on_gpu(x), on_gpu(index)};
  call.output = {allocate(48), f32, {3, 4}, {4, 1}};
  gpu_->run(call);
  try {
    gpu_->synchronize();
    FAIL() << "index 5 of an axis of length 5 was accepted";
  } catch (const NumericError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("tested_op"), std::string::npos) << text;
    EXPECT_NE(text.find("index 5 at position (1, 3)"), std::string::npos) << text;
    EXPECT_NE(text.find("its length is 5"), std::string::npos) << text;
  }
  gpu_->synchronize();
  std::vector<float> out(12);
  gpu_->run(call);
  EXPECT_THROW(gpu_->copy_to_host(out.data(), call.output.data, 48), NumericError);
  gpu_->copy_to_host(out.data(), call.output.data, 48);
  EXPECT_EQ(out[7], 0.0F);
  EXPECT_EQ(out[0], static_cast<float>(x.values[4]));
}

TEST_F(CudaBackendTest, ReportsBadIndicesOfLongSums) {
  const Op row = op(Family::index, Index::index_add);
  std::vector<double> indices(1000, 2.0);
  indices[999] = 3.0;
  const KernelOperand index = operand(i32, {1000}, Layout::contiguous, indices);
  const KernelOperand source = whole(f32, {1000}, Layout::contiguous, 1, 1);
  KernelCall call;
  call.op = &row;
  call.attributes.ints = {0, 3};
  call.inputs = {on_gpu(index), on_gpu(source)};
  call.output = {allocate(12), f32, {3}, {1}};
  gpu_->run(call);
  EXPECT_THROW(gpu_->synchronize(), NumericError);
  std::vector<float> out(3);
  gpu_->copy_to_host(out.data(), call.output.data, 12);
  EXPECT_EQ(out, (std::vector<float>{0.0F, 0.0F, 999.0F}));
}

}  // namespace
}  // namespace twingrad
