#include "cuda/matmul_tuner.h"

#include "cuda/element.cuh"
#include "cuda/launch.h"
#include "cuda/matmul_probe.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

namespace twingrad::cuda {
namespace {

static_assert(sizeof(AlgorithmWords) == sizeof(cublasLtMatmulAlgo_t));

__device__ __forceinline__ std::int64_t place(const MatrixLayout& layout, std::int64_t row, std::int64_t column) {
  return layout.row_major ? row * layout.leading + column : column * layout.leading + row;
}

/// The product by its definition, one element per thread, exact on whole numbers. For checks: slow.
template <class T>
__global__ void __launch_bounds__(default_threads)
    plain_product(Product product, const T* a, const T* b, const T* bias, T* out, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (i >= count) {
    return;
  }
  const std::int64_t column = i % product.n;
  const std::int64_t row = i / product.n % product.m;
  const std::int64_t batch = i / product.n / product.m;
  compute_t<T> sum = bias == nullptr ? compute_t<T>(0) : to_compute(bias[column]);
  for (std::int64_t k = 0; k < product.k; ++k) {
    sum += to_compute(a[batch * product.a_step + place(product.a, row, k)]) *
           to_compute(b[batch * product.b_step + place(product.b, k, column)]);
  }
  out[i] = from_compute<T>(sum);
}

void run_plain(const ProductKey& key, const ProbeMemory& memory, Context& context) {
  const std::vector<TensorView>& inputs = memory.inputs();
  const TensorView& out = memory.outputs()[1];
  visit(key.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      launch(context, "matmul", plain_product<T>, blocks_for(out.numel()), default_threads, key.product,
             inputs[0].as<const T>(), inputs[1].as<const T>(), key.bias ? inputs[2].as<const T>() : nullptr,
             out.as<T>(), out.numel());
    }
  });
}

bool is_captured(Context& context) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(context.stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

/// The fastest of the right ones; the heuristic's order decides between equals.
int fastest(const ProductKey& key, std::vector<ProductAlgorithm>& candidates, ProbeMemory& memory, Context& context) {
  memory.fill(ProbeMemory::Numbers::whole);
  run_plain(key, memory, context);
  int best = -1;
  float best_time = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto run = [&] {
      return context.matmul_plans->queue(candidates[i], key.dtype, memory.inputs()[0].data, memory.inputs()[1].data,
                                         memory.outputs()[0].data, context.stream) == CUBLAS_STATUS_SUCCESS;
    };
    if (!run() || !memory.outputs_are_equal()) {
      continue;
    }
    constexpr int rounds = 3;
    constexpr int repeats = 4;
    float time = std::numeric_limits<float>::infinity();
    for (int round = 0; round < rounds; ++round) {
      time = std::min(time, time_of(run, repeats, context));
    }
    if (time < best_time) {
      best = static_cast<int>(i);
      best_time = time;
    }
  }
  return best;
}

}  // namespace

std::string MatmulTuner::key_text(const ProductKey& key) const {
  const auto layout = [](const MatrixLayout& one) {
    return (one.row_major ? " row " : " column ") + std::to_string(one.leading);
  };
  const Product& p = key.product;
  return device_ + ", cublasLt " + std::to_string(cublasLtGetVersion()) + ", " + std::string(name(key.dtype)) +
         (key.tf32 ? " tf32" : "") + (key.bias ? " bias" : "") + " m " + std::to_string(p.m) + " n " +
         std::to_string(p.n) + " k " + std::to_string(p.k) + " batch " + std::to_string(p.batch) + " a" + layout(p.a) +
         " step " + std::to_string(p.a_step) + " b" + layout(p.b) + " step " + std::to_string(p.b_step);
}

void MatmulTuner::choose(const KernelCall& call, const ProductKey& key, Context& context) {
  MatmulPlans& plans = *context.matmul_plans;
  const bool is_whole = key.product.m * key.product.n * key.product.batch == call.output.numel();
  const bool aligned = key.a_alignment == 16 && key.b_alignment == 16 && key.out_alignment == 16;
  if (!is_whole || !aligned || plans.knows(key) || is_captured(context)) {
    return;
  }
  const std::string_view op = call.op->name;
  const std::string text = key_text(key);
  if (const std::optional<AlgorithmWords> kept = choices_.find(text)) {
    cublasLtMatmulAlgo_t algorithm;
    std::memcpy(&algorithm, kept->data(), sizeof algorithm);
    if (plans.take(key, algorithm, op)) {
      return;
    }
  }
  ProbeMemory memory(call, context);
  if (!memory.is_there()) {
    return;
  }
  const void* bias = key.bias ? memory.inputs()[2].data : nullptr;
  std::vector<ProductAlgorithm> candidates = plans.candidates(key, bias, op);
  const int best = fastest(key, candidates, memory, context);
  if (best >= 0 && plans.take(key, candidates[static_cast<std::size_t>(best)].algorithm, op)) {
    AlgorithmWords words;
    std::memcpy(words.data(), &candidates[static_cast<std::size_t>(best)].algorithm, sizeof words);
    choices_.add(text, words);
  }
}

}  // namespace twingrad::cuda
