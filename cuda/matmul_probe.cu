#include "cuda/matmul_probe.h"

#include "cuda/element.cuh"
#include "cuda/launch.h"

#include <algorithm>
#include <limits>

namespace twingrad::cuda {
namespace {

/// Numbers in [-1, 1), or of -1, 0 and 1, without a pattern (the mixing steps of SplitMix64; Steele, Lea and Flood,
/// 2014).
template <class T>
__global__ void __launch_bounds__(default_threads)
    fill_kernel(T* out, std::int64_t count, std::uint64_t seed, ProbeMemory::Numbers numbers) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i >= count) {
    return;
  }
  std::uint64_t z = seed + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  z ^= z >> 31;
  float value = static_cast<float>(z >> 40) * (2.0F / 16777216.0F) - 1.0F;
  if (numbers == ProbeMemory::Numbers::whole) {
    value = static_cast<float>((z >> 40) % 3) - 1.0F;
  } else if (numbers == ProbeMemory::Numbers::tiny) {
    value *= 1e-30F;
  }
  out[i] = from_compute<T>(static_cast<compute_t<T>>(value));
}

template <class T>
__global__ void set_kernel(T* out, float value) {
  *out = from_compute<T>(static_cast<compute_t<T>>(value));
}

/// Counts bytes that differ.
__global__ void __launch_bounds__(default_threads)
    compare_kernel(const unsigned char* a, const unsigned char* b, std::int64_t count, unsigned* differing) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i < count && a[i] != b[i]) {
    atomicAdd(differing, 1U);
  }
}

/// Elements from the first to the last one that a view shows; 0 when it is reversed or empty.
std::int64_t extent(const TensorView& view) {
  std::int64_t last = 0;
  for (int axis = 0; axis < view.shape.size(); ++axis) {
    if (view.strides[axis] < 0 || view.shape[axis] == 0) {
      return 0;
    }
    last += (view.shape[axis] - 1) * view.strides[axis];
  }
  return last + 1;
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { (void)cudaEventDestroy(event_); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

ProbeMemory::ProbeMemory(const KernelCall& call, Context& context) : context_(context) {
  for (const TensorView& input : call.inputs) {
    is_there_ = is_there_ && add(input, inputs_);
  }
  is_there_ = is_there_ && add(call.output, outputs_) && add(call.output, outputs_);
}

ProbeMemory::~ProbeMemory() {
  (void)cudaStreamSynchronize(context_.stream);
  for (const std::vector<TensorView>* views : {&inputs_, &outputs_}) {
    for (const TensorView& view : *views) {
      (void)cudaFree(view.data);
    }
  }
}

bool ProbeMemory::add(const TensorView& view, std::vector<TensorView>& views) {
  const auto bytes = static_cast<std::size_t>(extent(view)) * size_of(view.dtype);
  TensorView own = view;
  if (bytes == 0 || cudaMalloc(&own.data, bytes) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  views.push_back(own);
  return true;
}

void ProbeMemory::fill(Numbers numbers) {
  std::uint64_t seed = 1;
  for (const TensorView& view : inputs_) {
    visit(view.dtype, [&]<class T>(Type<T>) {
      if constexpr (std::is_floating_point_v<compute_t<T>>) {
        const std::int64_t count = extent(view);
        launch(context_, "fill", fill_kernel<T>, blocks_for(count), default_threads, view.as<T>(), count, seed,
               numbers);
      }
    });
    seed += std::uint64_t{1} << 40;
  }
}

void ProbeMemory::add_nan() {
  visit(inputs_[0].dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      launch(context_, "set", set_kernel<T>, dim3(1), 1, inputs_[0].as<T>(), std::numeric_limits<float>::quiet_NaN());
    }
  });
}

bool ProbeMemory::outputs_are_equal() const {
  const auto bytes = static_cast<std::int64_t>(size_of(outputs_[0].dtype)) * outputs_[0].numel();
  auto* const counter = reinterpret_cast<unsigned*>(context_.workspace.take(sizeof(unsigned), "compare"));
  check(cudaMemsetAsync(counter, 0, sizeof(unsigned), context_.stream), "cudaMemsetAsync");
  launch(context_, "compare", compare_kernel, blocks_for(bytes), default_threads, outputs_[0].as<unsigned char>(),
         outputs_[1].as<unsigned char>(), bytes, counter);
  unsigned differing = 1;
  check(cudaMemcpyAsync(&differing, counter, sizeof differing, cudaMemcpyDeviceToHost, context_.stream),
        "cudaMemcpyAsync to the host");
  check(cudaStreamSynchronize(context_.stream), "cudaStreamSynchronize");
  return differing == 0;
}

float time_of(const std::function<void()>& run, int repeats, Context& context) {
  const Event begin;
  const Event end;
  check(cudaEventRecord(begin.get(), context.stream), "cudaEventRecord");
  for (int i = 0; i < repeats; ++i) {
    run();
  }
  check(cudaEventRecord(end.get(), context.stream), "cudaEventRecord");
  check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
  return milliseconds;
}

bool epilogue_pays(ProbeMemory& memory, const std::function<bool()>& fused, const std::function<void()>& apart,
                   Context& context) {
  const auto same_bits = [&] {
    apart();
    return fused() && memory.outputs_are_equal();
  };
  memory.fill(ProbeMemory::Numbers::tiny);
  if (!same_bits()) {
    return false;
  }
  memory.fill(ProbeMemory::Numbers::any);
  if (!same_bits()) {
    return false;
  }
  memory.add_nan();  // in a step of its own: it hides the rest of its row
  if (!same_bits()) {
    return false;
  }
  // Both ways are warm. In turns, so that a changing clock favours none; the shortest of each counts.
  constexpr int rounds = 5;
  constexpr int repeats = 4;
  float best_fused = std::numeric_limits<float>::infinity();
  float best_apart = best_fused;
  for (int round = 0; round < rounds; ++round) {
    best_apart = std::min(best_apart, time_of(apart, repeats, context));
    best_fused = std::min(best_fused, time_of(fused, repeats, context));
  }
  return best_fused <= best_apart;
}

}  // namespace twingrad::cuda
