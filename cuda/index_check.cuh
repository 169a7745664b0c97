// Indices that kernels read: checked, and the first bad one written to the device's record for the host to find at the
// next synchronisation.
#pragma once

#include "cuda/context.h"

namespace twingrad::cuda {

/// Kernel parameter: what is valid, and where to write what is not.
struct IndexCheck {
  IndexError* record;
  std::int64_t launch;
  std::int64_t place;
  std::int64_t limit;
};

/// The check of one launch. From here on synchronize() looks at the record.
inline IndexCheck make_index_check(const KernelCall& call, const TensorView& index, std::int64_t limit,
                                   Context& context) {
  return {context.index_error, ++context.index_launches, context.index_places.number(call, index), limit};
}

/// Keeps the bad index with the lowest position of the first launch that found one. Under a lock, as it writes several
/// words; whoever comes with nothing better never takes it.
__device__ __noinline__ inline void report_index(const IndexCheck& check, std::int64_t position, std::int64_t value) {
  volatile IndexError* record = check.record;
  for (;;) {
    if (record->found != 0 && (record->launch != check.launch || record->position <= position)) {
      return;
    }
    if (atomicCAS(&check.record->lock, 0, 1) != 0) {
      continue;
    }
    __threadfence();
    if (record->found == 0 || (record->launch == check.launch && position < record->position)) {
      record->launch = check.launch;
      record->place = check.place;
      record->position = position;
      record->value = value;
      record->limit = check.limit;
      __threadfence();
      record->found = 1;
    }
    __threadfence();
    atomicExch(&check.record->lock, 0);
    return;
  }
}

/// The index at `position` of its tensor, or -1 where it is out of range and nothing may be read or written.
template <class I>
__device__ __forceinline__ std::int64_t checked_index(const I* index, std::int64_t position, const IndexCheck& check) {
  const std::int64_t value = index[position];
  if (value >= 0 && value < check.limit) {
    return value;
  }
  report_index(check, position, value);
  return -1;
}

}  // namespace twingrad::cuda
