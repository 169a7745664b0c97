// What the two files of Family::index share.
#pragma once

#include "cuda/context.h"

namespace twingrad::cuda {

/// Sizes of (outer, length, inner) around an axis.
struct Around {
  std::int64_t outer = 1;
  std::int64_t length = 1;
  std::int64_t inner = 1;

  Around(const Shape& shape, int axis) {
    for (int i = 0; i < shape.size(); ++i) {
      (i < axis ? outer : (i == axis ? length : inner)) *= shape[i];
    }
  }
};

/// Queues what makes an index error that was found until now final. A captured graph ends with it where it checks
/// indices: its launch numbers come again with every launch, and the next one's errors must not replace this one's.
void seal_index_record(Context& context);

void run_index_add(const KernelCall& call, Context& context);
void run_scatter_add(const KernelCall& call, Context& context);

}  // namespace twingrad::cuda
