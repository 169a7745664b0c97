// Measures which of cuBLASLt's algorithms is the fastest for a product, for users who ask for it by naming a file:
// $TWINGRAD_PRODUCT_CHOICES. Without one the first answer of cuBLASLt's heuristic is taken, which is the same in every
// run; a measurement may come out differently, and the algorithms sum in different orders, so it is kept in the file.
#pragma once

#include "cuda/context.h"
#include "cuda/matmul_plans.h"
#include "cuda/product_choices.h"

#include <string>

namespace twingrad::cuda {

class MatmulTuner {
 public:
  /// Throws what ProductChoices throws.
  MatmulTuner(std::string path, std::string device) : choices_(std::move(path)), device_(std::move(device)) {}

  const std::string& path() const { return choices_.path(); }

  /// Makes the choice for `key` known to the context's plans, unless it is: out of the file, else by trying up to 16
  /// algorithms on memory of its own, full of whole numbers whose sums are exact. One that gets such a product wrong is
  /// out. Where nothing can be measured (a stream that is captured, no memory, operands that are not aligned, a call
  /// that is many products) the heuristic's answer stays. `call`: the product; its addresses are not looked at.
  void choose(const KernelCall& call, const ProductKey& key, Context& context);

 private:
  std::string key_text(const ProductKey& key) const;

  ProductChoices choices_;
  std::string device_;
};

}  // namespace twingrad::cuda
