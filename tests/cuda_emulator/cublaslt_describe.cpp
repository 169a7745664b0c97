// Descriptors of cuBLASLt: made, changed and read.
#include "tests/cuda_emulator/cublaslt.h"
#include "tests/cuda_emulator/state.h"

using namespace cuda_emulator;

namespace {

/// Writes one field of the struct inside `opaque`, if the size is the field's.
template <class Inside, class Field, class Opaque>
cublasStatus_t set_field(Opaque* opaque, Field Inside::*field, const void* value, std::size_t bytes) {
  auto inside = open<Inside>(*opaque);
  if (value == nullptr || bytes != sizeof(Field) || inside.mark != initialised) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&(inside.*field), value, bytes);
  close(*opaque, inside);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Opaque>
void create(Opaque*& opaque) {
  const std::lock_guard lock(device_lock());
  opaque = new Opaque;
  ++handle_counts().other;
}

template <class Opaque>
cublasStatus_t destroy(Opaque* opaque) {
  if (opaque == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::lock_guard lock(device_lock());
  --handle_counts().other;
  delete opaque;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown cuBLAS status";
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "refused by the emulated cuBLASLt";
}
std::size_t cublasLtGetVersion() {
  return CUDART_VERSION * 10;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  create(*handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return destroy(handle);
}

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType type, std::uint64_t rows,
                                        std::uint64_t columns, std::int64_t leading) {
  Layout inside{};
  inside.rows = rows;
  inside.columns = columns;
  inside.leading = leading;
  inside.type = type;
  inside.order = CUBLASLT_ORDER_COL;
  inside.batch = 1;
  inside.mark = initialised;
  *layout = {};
  close(*layout, inside);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t leading) {
  create(*layout);
  return cublasLtMatrixLayoutInit(*layout, type, rows, columns, leading);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy(layout);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return set_field(layout, &Layout::type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return set_field(layout, &Layout::order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return set_field(layout, &Layout::rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return set_field(layout, &Layout::columns, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return set_field(layout, &Layout::leading, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return set_field(layout, &Layout::batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return set_field(layout, &Layout::batch_stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t operation, cublasComputeType_t compute, cudaDataType scale) {
  Operation inside{};
  inside.compute = compute;
  inside.scale = scale;
  inside.pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  inside.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  inside.bias_type = -1;
  inside.mark = initialised;
  *operation = {};
  close(*operation, inside);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType scale) {
  create(*operation);
  return cublasLtMatmulDescInit(*operation, compute, scale);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return destroy(operation);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return set_field(operation, &Operation::compute, value, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return set_field(operation, &Operation::scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return set_field(operation, &Operation::pointer_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set_field(operation, &Operation::transposed_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set_field(operation, &Operation::transposed_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set_field(operation, &Operation::epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set_field(operation, &Operation::bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return set_field(operation, &Operation::bias_batch_stride, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set_field(operation, &Operation::mask, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set_field(operation, &Operation::mask_leading, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
      return set_field(operation, &Operation::mask_batch_stride, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set_field(operation, &Operation::bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference) {
  *preference = {};
  close(*preference, default_preference());
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  create(*preference);
  return cublasLtMatmulPreferenceInit(*preference);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
      return set_field(preference, &Preference::search_mode, value, bytes);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return set_field(preference, &Preference::workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return set_field(preference, &Preference::reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      break;
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
  auto inside = open<Preference>(*preference);
  std::uint32_t& alignment = inside.alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];
  if (value == nullptr || bytes != sizeof alignment || inside.mark != initialised) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&alignment, value, bytes);
  close(*preference, inside);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    std::size_t bytes, std::size_t* written) {
  const auto inside = open<Algorithm>(*algorithm);
  std::uint32_t answer = 0;
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      answer = static_cast<std::uint32_t>(inside.summation);
      break;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      answer = static_cast<std::uint32_t>(inside.splits);
      break;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      answer = inside.splits > 1 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE;
      break;
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      break;
  }
  if (written != nullptr) {
    *written = sizeof answer;
  }
  if (value == nullptr || bytes < sizeof answer || inside.mark != initialised) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(value, &answer, sizeof answer);
  return CUBLAS_STATUS_SUCCESS;
}
