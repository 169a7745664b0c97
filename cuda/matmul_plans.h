// cuBLASLt's answers, kept: for each kind of product the descriptors and the algorithm its heuristic chose, so
// that a step asks only the first time.
#pragma once

#include "cuda/check.h"
#include "cuda/matmul_layout.h"

#include <twingrad/dtype.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace twingrad::cuda {

/// All that the choice of an algorithm may depend on.
struct ProductKey {
  Product product;
  Dtype dtype = Dtype::f32;
  bool bias = false;
  bool relu = false;  ///< of product and bias
  bool tf32 = false;  ///< of float32 operands: 11 significant bits are enough
  std::uint32_t a_alignment = 16, b_alignment = 16, out_alignment = 16;
  friend auto operator<=>(const ProductKey&, const ProductKey&) = default;
};

/// Descriptors in place: they own nothing. `first` is b and `second` a, see matmul_layout.h.
struct ProductAlgorithm {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t first, second, out;
  cublasLtMatmulAlgo_t algorithm;
};

/// One per backend, since the workspace may serve only one stream. The first heuristic answer is taken, with a
/// workspace of fixed size unless matmul_tuner.h's user wants otherwise, so the same program chooses the same
/// algorithms on the same GPU and library.
class MatmulPlans {
 public:
  MatmulPlans() = default;
  MatmulPlans(const MatmulPlans&) = delete;
  MatmulPlans& operator=(const MatmulPlans&) = delete;
  ~MatmulPlans();

  /// The algorithm for `key`, or nullptr when cuBLASLt has none. `bias` is set as the operation's bias. With relu: only
  /// what was judged to pay.
  ProductAlgorithm* find(const ProductKey& key, const void* bias, std::string_view op);

  /// The algorithm that the product without relu takes, with relu in its epilogue: sums in the same order. nullptr when
  /// cuBLASLt cannot. Whoever asks tries it and then calls judge().
  ProductAlgorithm* propose(const ProductKey& key, const void* bias, std::string_view op);
  /// Whether the epilogue gives the bits of a kernel of its own and is no slower.
  void judge(const ProductKey& key, bool pays);
  std::optional<bool> verdict(const ProductKey& key) const;

  /// Up to 16 algorithms for a product without relu, the one that find() takes first. For whoever measures them.
  std::vector<ProductAlgorithm> candidates(const ProductKey& key, const void* bias, std::string_view op);
  /// Lets find() give this one from now on. False when cuBLASLt does not take it for such a product.
  bool take(const ProductKey& key, const cublasLtMatmulAlgo_t& algorithm, std::string_view op);
  /// Whether find() has chosen already.
  bool knows(const ProductKey& key) const { return entries_.contains(key); }

  /// Queues out = a b, with what the algorithm's epilogue adds.
  cublasStatus_t queue(ProductAlgorithm& algorithm, Dtype dtype, const void* a, const void* b, void* out,
                       cudaStream_t stream) const;
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // NVIDIA's advice for Hopper

 private:
  /// Beyond this the cache is emptied: it serves programs with few shapes, and must not grow without end.
  static constexpr std::size_t capacity = 1024;
  struct Entry {
    ProductAlgorithm algorithm;
    bool found;
  };

  void prepare(std::string_view op);
  void describe_product(const ProductKey& key, const void* bias, ProductAlgorithm& plan, std::string_view op) const;
  std::vector<ProductAlgorithm> ask(const ProductKey& key, const void* bias, int most, std::string_view op);
  void make_room(std::map<ProductKey, Entry>& entries) const;
  bool is_taken(ProductAlgorithm& plan) const;

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<ProductKey, Entry> entries_;    // without relu
  std::map<ProductKey, Entry> epilogues_;  // with it; found: it pays
};

}  // namespace twingrad::cuda
