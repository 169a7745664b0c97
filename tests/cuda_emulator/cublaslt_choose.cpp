// What the emulated cuBLASLt supports, and which algorithms it offers. Follows the tables of types in NVIDIA's manual
// for cublasLtMatmul(), and is strict where the library may be.
#include <algorithm>
#include <limits>

#include "tests/cuda_emulator/cublaslt.h"
#include "tests/cuda_emulator/state.h"

namespace cuda_emulator {

namespace {

constexpr std::uint32_t known_epilogues[] = {CUBLASLT_EPILOGUE_DEFAULT,   CUBLASLT_EPILOGUE_RELU,
                                             CUBLASLT_EPILOGUE_RELU_AUX,  CUBLASLT_EPILOGUE_BIAS,
                                             CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_AUX_BIAS,
                                             CUBLASLT_EPILOGUE_DRELU,     CUBLASLT_EPILOGUE_DRELU_BGRAD,
                                             CUBLASLT_EPILOGUE_BGRADA,    CUBLASLT_EPILOGUE_BGRADB};

/// Leading dimensions of bit masks are counted in bits, and are whole numbers of 16 bytes.
constexpr std::int64_t mask_unit = 128;
constexpr std::uintptr_t vector_bytes = 16;

bool is_16_bit(std::int32_t type) {
  return type == CUDA_R_16F || type == CUDA_R_16BF;
}

bool types_match(const Task& task) {
  const std::int32_t in = task.a.type;
  const std::int32_t out = task.d.type;
  if (task.b.type != in || task.c.type != out) {
    return false;
  }
  switch (task.operation.compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return task.operation.scale == CUDA_R_64F && in == CUDA_R_64F && out == CUDA_R_64F;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return task.operation.scale == CUDA_R_32F &&
             ((is_16_bit(in) && (out == in || out == CUDA_R_32F)) || (in == CUDA_R_32F && out == CUDA_R_32F));
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return task.operation.scale == CUDA_R_32F && in == CUDA_R_32F && out == CUDA_R_32F;
    default:
      return false;
  }
}

bool fits(const Layout& layout) {
  return layout.mark == initialised && layout.rows > 0 && layout.columns > 0 && layout.batch > 0 &&
         layout.leading >= static_cast<std::int64_t>(layout.rows);
}

std::uintptr_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

cublasStatus_t check_epilogue(const Task& task) {
  const Operation& operation = task.operation;
  if (std::find(std::begin(known_epilogues), std::end(known_epilogues), operation.epilogue) ==
      std::end(known_epilogues)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT) {
    return CUBLAS_STATUS_SUCCESS;
  }
  if (task.d.type == CUDA_R_64F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (has_bias(operation.epilogue) || writes_bias(operation.epilogue)) {
    // The pointer's alignment is asked before the product runs, so it has to be there.
    if (operation.bias == nullptr) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (address_of(operation.bias) % vector_bytes != 0 ||
        (operation.bias_type != -1 && operation.bias_type != task.d.type)) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (writes_bias(operation.epilogue) && task.d.batch != 1) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  }
  if (has_mask(operation.epilogue)) {
    if (operation.mask == nullptr || operation.mask_leading < static_cast<std::int64_t>(task.m) ||
        operation.mask_leading % mask_unit != 0) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (address_of(operation.mask) % vector_bytes != 0 || operation.mask_batch_stride % mask_unit != 0) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

bool aligned(const Layout& layout, std::uint32_t pointer, std::uint32_t alignment) {
  const auto element = static_cast<std::int64_t>(bytes_of(layout.type));
  const auto unit = static_cast<std::int64_t>(alignment);
  return pointer % alignment == 0 && layout.leading * element % unit == 0 &&
         (layout.batch == 1 || layout.batch_stride * element % unit == 0);
}

}  // namespace

bool has_bias(std::uint32_t epilogue) {
  return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
}
bool writes_bias(std::uint32_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD || epilogue == CUBLASLT_EPILOGUE_BGRADA ||
         epilogue == CUBLASLT_EPILOGUE_BGRADB;
}
bool has_mask(std::uint32_t epilogue) {
  return (epilogue & 128) != 0;
}

std::size_t bytes_of(std::int32_t type) {
  switch (type) {
    case CUDA_R_64F:
      return 8;
    case CUDA_R_32F:
      return 4;
    default:
      return 2;
  }
}

Preference default_preference() {
  Preference preference{};
  preference.reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  for (std::uint32_t& alignment : preference.alignment) {
    alignment = 256;
  }
  preference.mark = initialised;
  return preference;
}

cublasStatus_t make_task(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, Task& task) {
  if (operation == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  task.operation = open<Operation>(*operation);
  task.a = open<Layout>(*a);
  task.b = open<Layout>(*b);
  task.c = open<Layout>(*c);
  task.d = open<Layout>(*d);
  if (task.operation.mark != initialised || !fits(task.a) || !fits(task.b) || !fits(task.c) || !fits(task.d)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool a_turned = task.operation.transposed_a == CUBLAS_OP_T;
  const bool b_turned = task.operation.transposed_b == CUBLAS_OP_T;
  task.m = task.d.rows;
  task.n = task.d.columns;
  task.k = a_turned ? task.a.rows : task.a.columns;
  const bool sizes_match =
      (a_turned ? task.a.columns : task.a.rows) == task.m && (b_turned ? task.b.columns : task.b.rows) == task.k &&
      (b_turned ? task.b.rows : task.b.columns) == task.n && task.c.rows == task.m && task.c.columns == task.n;
  const bool batches_match =
      task.a.batch == task.d.batch && task.b.batch == task.d.batch && task.c.batch == task.d.batch;
  if (!sizes_match || !batches_match) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool columns = task.a.order == CUBLASLT_ORDER_COL && task.b.order == CUBLASLT_ORDER_COL &&
                       task.c.order == CUBLASLT_ORDER_COL && task.d.order == CUBLASLT_ORDER_COL;
  if (!columns || !types_match(task) || task.operation.pointer_mode != CUBLASLT_POINTER_MODE_HOST) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return check_epilogue(task);
}

bool takes(const Algorithm& algorithm, const Task& task, const std::uint32_t (&alignment)[4]) {
  const Layout* layouts[] = {&task.a, &task.b, &task.c, &task.d};
  for (int i = 0; i < 4; ++i) {
    const auto natural = static_cast<std::uint32_t>(bytes_of(layouts[i]->type));
    if (!aligned(*layouts[i], alignment[i], std::max(natural, algorithm.alignment))) {
      return false;
    }
  }
  return algorithm.splits == 1 || task.k >= 2;
}

std::size_t workspace_of(const Algorithm& algorithm, const Task& task) {
  const std::size_t accumulator = task.operation.scale == CUDA_R_64F ? 8 : 4;
  return algorithm.splits == 1 ? 0 : static_cast<std::size_t>(algorithm.splits) * task.m * task.n * accumulator;
}

cublasStatus_t choose(const Task& task, const Preference& preference, int most,
                      cublasLtMatmulHeuristicResult_t results[], int* found) {
  *found = 0;
  const Algorithm split{Summation::split, 2, 1, initialised};
  const Algorithm vectors{Summation::vectors, 1, 16, initialised};
  const Algorithm sequential{Summation::sequential, 1, 1, initialised};
  // Long sums for few results are what a GPU splits.
  const bool long_sums = task.k >= 256 && task.k >= 4 * std::max(task.m, task.n);
  const Algorithm by_preference[] = {long_sums ? split : vectors, long_sums ? vectors : split, sequential};
  for (const Algorithm& algorithm : by_preference) {
    const std::size_t workspace = workspace_of(algorithm, task);
    const bool allowed = algorithm.splits == 1 || (preference.reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) != 0;
    if (*found < most && allowed && workspace <= preference.workspace_bytes &&
        takes(algorithm, task, preference.alignment)) {
      cublasLtMatmulHeuristicResult_t& result = results[(*found)++];
      result = {};
      close(result.algo, algorithm);
      result.workspaceSize = workspace;
      result.state = CUBLAS_STATUS_SUCCESS;
      result.wavesCount = 1.0F;
    }
  }
  return *found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  if (handle == nullptr || handle->mark != initialised) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  if (most <= 0 || results == nullptr || found == nullptr || preference == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *found = 0;
  Task task{};
  const cublasStatus_t status = make_task(operation, a, b, c, d, task);
  const auto wishes = open<Preference>(*preference);
  if (status != CUBLAS_STATUS_SUCCESS || wishes.mark != initialised) {
    return status != CUBLAS_STATUS_SUCCESS ? status : CUBLAS_STATUS_INVALID_VALUE;
  }
  return choose(task, wishes, most, results, found);
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (handle == nullptr || handle->mark != initialised) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  Task task{};
  const cublasStatus_t status = make_task(operation, a, b, c, d, task);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  const auto chosen = open<Algorithm>(*algorithm);
  if (chosen.mark != initialised) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!takes(chosen, task, default_preference().alignment)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  *result = {};
  result->algo = *algorithm;
  result->workspaceSize = workspace_of(chosen, task);
  result->state = CUBLAS_STATUS_SUCCESS;
  result->wavesCount = 1.0F;
  return CUBLAS_STATUS_SUCCESS;
}
