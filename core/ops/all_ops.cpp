#include <twingrad/ops/rows.h>

namespace twingrad {

std::vector<const Op*> all_ops() {
  OpRows all;
  for (const OpRows& rows : {unary_rows(), binary_rows(), reduce_rows(), matmul_rows(), normalize_rows(), layout_rows(),
                             copy_rows(), index_rows(), random_rows(), update_rows()}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace twingrad
