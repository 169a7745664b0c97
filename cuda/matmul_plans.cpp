#include "cuda/matmul_plans.h"

namespace twingrad::cuda {
namespace {

template <class T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const T& value,
         std::string_view op) {
  check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute",
        op);
}
template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value,
         std::string_view op) {
  check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute", op);
}

cudaDataType data_type(Dtype dtype, std::string_view op) {
  switch (dtype) {
    case Dtype::f32:
      return CUDA_R_32F;
    case Dtype::f64:
      return CUDA_R_64F;
    case Dtype::bf16:
      return CUDA_R_16BF;
    case Dtype::f16:
      return CUDA_R_16F;
    default:
      throw DtypeError(std::string(op) + ": takes floating dtypes, not " + std::string(name(dtype)));
  }
}

/// Throws DeviceError on a GPU without TF32, where cuBLASLt would take float32 in its place.
void require_tf32(std::string_view op) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice", op);
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute", op);
  constexpr int ampere = 8;
  if (major < ampere) {
    throw DeviceError(std::string(op) +
                      ": asked for in TF32, which takes a GPU of compute capability 8.0 or later, and " +
                      "this one has " + std::to_string(major) + ".x; take fp32 or fp16");
  }
}

/// A column-major rows x columns matrix, `batch` of them `step` apart.
void describe(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType type, std::int64_t rows, std::int64_t columns,
              std::int64_t leading, std::int64_t batch, std::int64_t step, std::string_view op) {
  check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns),
                                 leading),
        "cublasLtMatrixLayoutInit", op);
  if (batch > 1) {
    const auto count = static_cast<std::int32_t>(batch);
    check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
          "cublasLtMatrixLayoutSetAttribute", op);
    check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step),
          "cublasLtMatrixLayoutSetAttribute", op);
  }
}

}  // namespace

MatmulPlans::~MatmulPlans() {
  if (handle_ != nullptr) {
    (void)cublasLtDestroy(handle_);
  }
  (void)cudaFree(workspace_);
}

void MatmulPlans::prepare(std::string_view op) {
  if (handle_ == nullptr) {
    check(cublasLtCreate(&handle_), "cublasLtCreate", op);
  }
  if (workspace_ == nullptr) {
    check(cudaMalloc(&workspace_, workspace_bytes), "cudaMalloc of cuBLASLt's workspace (32 MiB)", op);
  }
}

ProductAlgorithm* MatmulPlans::find(const ProductKey& key, const void* bias, std::string_view op) {
  prepare(op);
  auto& entries = key.relu ? epilogues_ : entries_;
  auto entry = entries.find(key);
  if (entry == entries.end() && !key.relu) {
    make_room(entries);
    const std::vector<ProductAlgorithm> found = ask(key, bias, 1, op);
    entry = entries.emplace(key, found.empty() ? Entry{} : Entry{found.front(), true}).first;
  }
  if (entry == entries.end() || !entry->second.found) {
    return nullptr;
  }
  ProductAlgorithm& algorithm = entry->second.algorithm;
  if (key.bias) {
    set(&algorithm.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias, op);
  }
  return &algorithm;
}

ProductAlgorithm* MatmulPlans::propose(const ProductKey& key, const void* bias, std::string_view op) {
  ProductKey plain = key;
  plain.relu = false;
  const ProductAlgorithm* unfused = find(plain, bias, op);
  if (unfused == nullptr) {
    return nullptr;
  }
  make_room(epilogues_);
  Entry& entry = epilogues_.insert_or_assign(key, Entry{}).first->second;
  describe_product(key, bias, entry.algorithm, op);
  entry.algorithm.algorithm = unfused->algorithm;
  return is_taken(entry.algorithm) ? &entry.algorithm : nullptr;
}

bool MatmulPlans::is_taken(ProductAlgorithm& plan) const {
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status = cublasLtMatmulAlgoCheck(handle_, &plan.operation, &plan.first, &plan.second, &plan.out,
                                                        &plan.out, &plan.algorithm, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes;
}

void MatmulPlans::make_room(std::map<ProductKey, Entry>& entries) const {
  if (entries.size() >= capacity) {
    entries.clear();
  }
}

std::vector<ProductAlgorithm> MatmulPlans::candidates(const ProductKey& key, const void* bias, std::string_view op) {
  prepare(op);
  constexpr int most = 16;
  return ask(key, bias, most, op);
}

bool MatmulPlans::take(const ProductKey& key, const cublasLtMatmulAlgo_t& algorithm, std::string_view op) {
  prepare(op);
  Entry entry{};
  // Any aligned address stands in for the bias, which find() sets: without one the check might refuse the epilogue.
  describe_product(key, workspace_, entry.algorithm, op);
  entry.algorithm.algorithm = algorithm;
  if (!is_taken(entry.algorithm)) {
    return false;
  }
  entry.found = true;
  make_room(entries_);
  entries_.insert_or_assign(key, entry);
  return true;
}

cublasStatus_t MatmulPlans::queue(ProductAlgorithm& algorithm, Dtype dtype, const void* a, const void* b, void* out,
                                  cudaStream_t stream) const {
  const double one64 = 1.0;
  const double zero64 = 0.0;
  const float one32 = 1.0F;
  const float zero32 = 0.0F;
  const bool is_double = dtype == Dtype::f64;
  const void* alpha = is_double ? static_cast<const void*>(&one64) : &one32;
  const void* beta = is_double ? static_cast<const void*>(&zero64) : &zero32;
  return cublasLtMatmul(handle_, &algorithm.operation, alpha, b, &algorithm.first, a, &algorithm.second, beta, out,
                        &algorithm.out, out, &algorithm.out, &algorithm.algorithm, workspace_, workspace_bytes, stream);
}

void MatmulPlans::judge(const ProductKey& key, bool pays) {
  epilogues_.try_emplace(key, Entry{}).first->second.found = pays;
}

std::optional<bool> MatmulPlans::verdict(const ProductKey& key) const {
  const auto entry = epilogues_.find(key);
  return entry == epilogues_.end() ? std::nullopt : std::optional(entry->second.found);
}

void MatmulPlans::describe_product(const ProductKey& key, const void* bias, ProductAlgorithm& plan,
                                   std::string_view op) const {
  const Product& product = key.product;
  const cudaDataType type = data_type(key.dtype, op);
  const bool is_double = key.dtype == Dtype::f64;

  // CUBLAS_COMPUTE_32F is full float32: TF32 has a name of its own. 16-bit operands are multiplied exactly in it.
  const cublasComputeType_t single = key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(cublasLtMatmulDescInit(&plan.operation, is_double ? CUBLAS_COMPUTE_64F : single,
                               is_double ? CUDA_R_64F : CUDA_R_32F),
        "cublasLtMatmulDescInit", op);
  const cublasOperation_t first_operation = product.b.row_major ? CUBLAS_OP_N : CUBLAS_OP_T;
  const cublasOperation_t second_operation = product.a.row_major ? CUBLAS_OP_N : CUBLAS_OP_T;
  set(&plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, first_operation, op);
  set(&plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, second_operation, op);
  if (key.bias || key.relu) {
    const cublasLtEpilogue_t with_relu = key.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    const cublasLtEpilogue_t epilogue = key.relu ? with_relu : CUBLASLT_EPILOGUE_BIAS;
    set(&plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue, op);
  }
  if (key.bias) {
    set(&plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias, op);
  }

  const auto& b = product.b;
  const auto& a = product.a;
  describe(plan.first, type, b.row_major ? product.n : product.k, b.row_major ? product.k : product.n, b.leading,
           product.batch, product.b_step, op);
  describe(plan.second, type, a.row_major ? product.k : product.m, a.row_major ? product.m : product.k, a.leading,
           product.batch, product.a_step, op);
  describe(plan.out, type, product.n, product.m, product.n, product.batch, product.m * product.n, op);
}

std::vector<ProductAlgorithm> MatmulPlans::ask(const ProductKey& key, const void* bias, int most, std::string_view op) {
  if (key.tf32) {
    require_tf32(op);
  }
  ProductAlgorithm plan{};
  describe_product(key, bias, plan, op);

  cublasLtMatmulPreferenceOpaque_t preference;
  check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit", op);
  set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes, op);
  set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b_alignment, op);
  set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a_alignment, op);
  set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment, op);
  set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment, op);
  // Split sums of K only where the parts are kept in the compute type: no rounding to 16 bits in between.
  const std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions, op);

  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<std::size_t>(most));
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, &plan.operation, &plan.first, &plan.second, &plan.out, &plan.out,
                                     &preference, most, results.data(), &found);
  std::vector<ProductAlgorithm> algorithms;
  if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE) {
    check(status, "cublasLtMatmulAlgoGetHeuristic", op);
    results.resize(static_cast<std::size_t>(found));
    for (const cublasLtMatmulHeuristicResult_t& result : results) {
      if (result.state == CUBLAS_STATUS_SUCCESS) {
        plan.algorithm = result.algo;
        algorithms.push_back(plan);
      }
    }
  }
  return algorithms;
}

}  // namespace twingrad::cuda
