// cublasLtMatmul(): looks at everything a GPU would stumble over, then queues a kernel that computes the product. The
// sums are written apart from every other product in this repository.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/cuda_emulator/cublaslt.h"
#include "tests/cuda_emulator/memory.h"
#include "tests/cuda_emulator/state.h"

namespace cuda_emulator {
namespace {

/// The kernel's parameter.
struct Launch {
  Task task;
  Algorithm algorithm;
  double alpha, beta;
  const void* a;
  const void* b;
  const void* c;
  void* d;
  void* workspace;
  std::size_t workspace_bytes;
};

template <class Accumulator>
Accumulator load(const void* data, std::int32_t type, std::int64_t i) {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<Accumulator>(static_cast<const double*>(data)[i]);
    case CUDA_R_32F:
      return static_cast<Accumulator>(static_cast<const float*>(data)[i]);
    case CUDA_R_16F:
      return static_cast<Accumulator>(__half2float(static_cast<const __half*>(data)[i]));
    default:
      return static_cast<Accumulator>(__bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]));
  }
}

template <class Accumulator>
void store(void* data, std::int32_t type, std::int64_t i, Accumulator value) {
  switch (type) {
    case CUDA_R_64F:
      static_cast<double*>(data)[i] = static_cast<double>(value);
      return;
    case CUDA_R_32F:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      return;
    case CUDA_R_16F:
      static_cast<__half*>(data)[i] = __float2half_rn(static_cast<float>(value));
      return;
    default:
      static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(static_cast<float>(value));
  }
}

/// To TF32's 11 significant bits, to nearest, ties away from zero (as cvt.rna.tf32.f32 does).
float to_tf32(float value) {
  if (!std::isfinite(value)) {
    return value;
  }
  return bits_as<float>((bits_as<std::uint32_t>(value) + 0x1000U) & ~0x1fffU);
}

/// op(a) of one matrix of the batch as a dense m x k matrix, columns first; op(b) is taken as its transpose.
template <class Accumulator>
std::vector<Accumulator> pack(const void* data, const Layout& layout, bool turned, std::int64_t batch, bool tf32) {
  const auto rows = static_cast<std::int64_t>(turned ? layout.columns : layout.rows);
  const auto columns = static_cast<std::int64_t>(turned ? layout.rows : layout.columns);
  std::vector<Accumulator> packed(static_cast<std::size_t>(rows * columns));
  for (std::int64_t column = 0; column < columns; ++column) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t place = turned ? column + row * layout.leading : row + column * layout.leading;
      Accumulator value = load<Accumulator>(data, layout.type, batch * layout.batch_stride + place);
      if (tf32) {
        value = static_cast<Accumulator>(to_tf32(static_cast<float>(value)));
      }
      packed[static_cast<std::size_t>(column * rows + row)] = value;
    }
  }
  return packed;
}

/// sums[i] += a[i] * b for a column of results, rounded once, as GPUs do.
template <class Accumulator>
void add_column(Accumulator* sums, const Accumulator* a, Accumulator b, std::size_t m) {
  for (std::size_t i = 0; i < m; ++i) {
    sums[i] = std::fma(a[i], b, sums[i]);
  }
}

/// One column of op(a) op(b): terms [first, last) added one after the other into `lanes` interleaved sums, which are
/// then folded in halves.
template <class Accumulator>
void sum_column(const std::vector<Accumulator>& a, const Accumulator* b, std::size_t b_step, std::size_t m,
                std::size_t first, std::size_t last, std::size_t lanes, std::vector<Accumulator>& sums) {
  sums.assign(lanes * m, Accumulator(0));
  for (std::size_t l = first; l < last; ++l) {
    add_column(&sums[(l - first) % lanes * m], &a[l * m], b[l * b_step], m);
  }
  for (std::size_t half = lanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half * m; ++i) {
      sums[i] += sums[half * m + i];
    }
  }
}

bool bit(const void* mask, std::int64_t place) {
  return (static_cast<const unsigned char*>(mask)[place / 8] >> (place % 8) & 1) != 0;
}
void set_bit(void* mask, std::int64_t place, bool value) {
  unsigned char& byte = static_cast<unsigned char*>(mask)[place / 8];
  const auto one = static_cast<unsigned char>(1U << (place % 8));
  byte = static_cast<unsigned char>(value ? byte | one : byte & ~one);
}

/// What becomes of column `j` of one product between its sums and memory.
template <class Accumulator>
void finish_column(const Launch& launch, std::int64_t batch, std::int64_t j, const Accumulator* sums,
                   std::vector<Accumulator>& gradient) {
  const Task& task = launch.task;
  const Operation& operation = task.operation;
  const auto m = static_cast<std::int64_t>(task.m);
  for (std::int64_t i = 0; i < m; ++i) {
    Accumulator value = static_cast<Accumulator>(launch.alpha) * sums[i];
    if (launch.beta != 0.0) {
      const std::int64_t place = batch * task.c.batch_stride + j * task.c.leading + i;
      value += static_cast<Accumulator>(launch.beta) * load<Accumulator>(launch.c, task.c.type, place);
    }
    if (has_bias(operation.epilogue)) {
      value += load<Accumulator>(operation.bias, task.d.type, batch * operation.bias_batch_stride + i);
    }
    const std::int64_t mask_place = batch * operation.mask_batch_stride + j * operation.mask_leading + i;
    if ((operation.epilogue & CUBLASLT_EPILOGUE_RELU) != 0) {
      const bool positive = value > Accumulator(0);
      if (has_mask(operation.epilogue)) {
        set_bit(operation.mask, mask_place, positive);
      }
      value = std::max(value, Accumulator(0));
    } else if (has_mask(operation.epilogue)) {
      value = bit(operation.mask, mask_place) ? value : Accumulator(0);
    }
    if (operation.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD) {
      gradient[static_cast<std::size_t>(i)] += value;
    }
    store(launch.d, task.d.type, batch * task.d.batch_stride + j * task.d.leading + i, value);
  }
}

/// Sums of op(a)'s rows or op(b)'s columns over k.
template <class Accumulator>
std::vector<Accumulator> sums_over_k(const std::vector<Accumulator>& packed, std::size_t count, std::size_t k) {
  std::vector<Accumulator> sums(count, Accumulator(0));
  for (std::size_t l = 0; l < k; ++l) {
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] += packed[l * count + i];
    }
  }
  return sums;
}

template <class Accumulator>
void multiply_as(const Launch& launch) {
  const Task& task = launch.task;
  const std::uint32_t epilogue = task.operation.epilogue;
  const bool tf32 = task.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  std::vector<Accumulator> gradient(task.m, Accumulator(0));
  auto* partials = static_cast<Accumulator*>(launch.workspace);
  for (std::int64_t batch = 0; batch < task.d.batch; ++batch) {
    const auto a = pack<Accumulator>(launch.a, task.a, task.operation.transposed_a == CUBLAS_OP_T, batch, tf32);
    // Of op(b) the transpose: its columns are then op(b)'s rows, n apart.
    const auto b = pack<Accumulator>(launch.b, task.b, task.operation.transposed_b != CUBLAS_OP_T, batch, tf32);
    std::vector<Accumulator> sums;
    for (std::size_t j = 0; j < task.n; ++j) {
      const std::size_t lanes = launch.algorithm.summation == Summation::vectors ? 4 : 1;
      if (launch.algorithm.splits == 1) {
        sum_column(a, &b[j], task.n, task.m, 0, task.k, lanes, sums);
      } else {
        const std::size_t half = task.k / 2;
        Accumulator* first = partials + j * task.m;
        Accumulator* second = first + task.m * task.n;
        sum_column(a, &b[j], task.n, task.m, 0, half, 1, sums);
        std::copy(sums.begin(), sums.end(), first);
        sum_column(a, &b[j], task.n, task.m, half, task.k, 1, sums);
        std::copy(sums.begin(), sums.end(), second);
        std::transform(first, first + task.m, second, sums.begin(), [](Accumulator x, Accumulator y) { return x + y; });
      }
      finish_column(launch, batch, static_cast<std::int64_t>(j), sums.data(), gradient);
    }
    if (epilogue == CUBLASLT_EPILOGUE_BGRADA) {
      gradient = sums_over_k(a, task.m, task.k);
    } else if (epilogue == CUBLASLT_EPILOGUE_BGRADB) {
      gradient = sums_over_k(b, task.n, task.k);
    }
  }
  if (writes_bias(epilogue)) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      store(const_cast<void*>(task.operation.bias), task.d.type, static_cast<std::int64_t>(i), gradient[i]);
    }
  }
}

/// One thread does it all. The workspace may hold anything before and after.
__global__ void multiply(const Launch launch) {
  std::memset(launch.workspace, 0xff, launch.workspace_bytes);
  if (launch.task.operation.scale == CUDA_R_64F) {
    multiply_as<double>(launch);
  } else {
    multiply_as<float>(launch);
  }
}

/// Whether all bytes of all matrices of the batch are the device's.
bool reachable(const void* data, const Layout& layout) {
  if (data == nullptr || kind_of(data) != Memory::device) {
    return false;
  }
  const std::int64_t last = (layout.batch - 1) * layout.batch_stride +
                            (static_cast<std::int64_t>(layout.columns) - 1) * layout.leading +
                            static_cast<std::int64_t>(layout.rows);
  return within_allocation(data, static_cast<std::size_t>(last) * bytes_of(layout.type));
}

bool operands_reachable(const Launch& launch) {
  const Task& task = launch.task;
  const Operation& operation = task.operation;
  if (!reachable(launch.a, task.a) || !reachable(launch.b, task.b) || !reachable(launch.d, task.d) ||
      (launch.beta != 0.0 && !reachable(launch.c, task.c))) {
    return false;
  }
  if (has_bias(operation.epilogue) || writes_bias(operation.epilogue)) {
    const std::size_t length = operation.epilogue == CUBLASLT_EPILOGUE_BGRADB ? task.n : task.m;
    if (!within_allocation(operation.bias, length * bytes_of(task.d.type))) {
      return false;
    }
  }
  if (has_mask(operation.epilogue)) {
    const std::int64_t bits =
        (task.d.batch - 1) * operation.mask_batch_stride + static_cast<std::int64_t>(task.n) * operation.mask_leading;
    if (!within_allocation(operation.mask, static_cast<std::size_t>(bits / 8))) {
      return false;
    }
  }
  return true;
}

std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 256));
}

double scalar(const void* value, std::int32_t type) {
  return type == CUDA_R_64F ? *static_cast<const double*>(value)
                            : static_cast<double>(*static_cast<const float*>(value));
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (handle == nullptr || handle->mark != initialised) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  Launch launch{};
  const cublasStatus_t status = make_task(operation, a_layout, b_layout, c_layout, d_layout, launch.task);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (alpha == nullptr || beta == nullptr || kind_of(alpha) == Memory::device || kind_of(beta) == Memory::device) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  launch.alpha = scalar(alpha, launch.task.operation.scale);
  launch.beta = scalar(beta, launch.task.operation.scale);
  launch.a = a;
  launch.b = b;
  launch.c = c;
  launch.d = d;
  const std::uint32_t alignment[4] = {alignment_of(a), alignment_of(b), alignment_of(c), alignment_of(d)};
  if (algorithm == nullptr) {
    Preference preference = default_preference();
    preference.workspace_bytes = workspace_bytes;
    std::copy(std::begin(alignment), std::end(alignment), preference.alignment);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t chosen = choose(launch.task, preference, 1, &result, &found);
    if (chosen != CUBLAS_STATUS_SUCCESS) {
      return chosen;
    }
    launch.algorithm = open<Algorithm>(result.algo);
  } else {
    launch.algorithm = open<Algorithm>(*algorithm);
  }
  if (launch.algorithm.mark != initialised || !takes(launch.algorithm, launch.task, alignment) ||
      !operands_reachable(launch)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  // In place means with one layout.
  if (c == d && launch.beta != 0.0 && std::memcmp(c_layout, d_layout, sizeof *c_layout) != 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  launch.workspace = workspace;
  launch.workspace_bytes = workspace_of(launch.algorithm, launch.task);
  if (launch.workspace_bytes > 0 &&
      (launch.workspace_bytes > workspace_bytes || alignment_of(workspace) < 256 ||
       kind_of(workspace) != Memory::device || !within_allocation(workspace, workspace_bytes))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  ++mutable_counters().products;
  cudaLaunchConfig_t config{};
  config.stream = stream;
  return cudaLaunchKernelEx(&config, multiply, launch) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                      : CUBLAS_STATUS_EXECUTION_FAILED;
}
