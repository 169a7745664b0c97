// How strided memory is moved: in words as wide as alignment allows, and by tiles where target and source are dense
// along different axes. Pure arithmetic on a box of two operands, 0 the target and 1 the source.
#pragma once

#include "cuda/strided.h"

#include <cstdint>
#include <cstdlib>

namespace twingrad::cuda {

/// The widest word, 16 bytes at most, in whose units the box can be walked: both innermost strides are 1, and sizes,
/// strides and starts are whole numbers of words. `element_bytes` where there is none wider.
inline std::int64_t widest_word(const Box<2>& box, std::uintptr_t target, std::uintptr_t source,
                                std::int64_t element_bytes) {
  const int inner = box.rank - 1;
  if (inner < 0 || box.stride[0][inner] != 1 || box.stride[1][inner] != 1) {
    return element_bytes;
  }
  for (std::int64_t word = 16; word > element_bytes; word /= 2) {
    const std::int64_t lanes = word / element_bytes;
    bool whole = box.size[inner] % lanes == 0 && (target | source) % static_cast<std::uintptr_t>(word) == 0;
    for (int axis = 0; whole && axis < inner; ++axis) {
      whole = box.stride[0][axis] % lanes == 0 && box.stride[1][axis] % lanes == 0;
    }
    if (whole) {
      return word;
    }
  }
  return element_bytes;
}

/// The box in units of words of `lanes` elements.
inline Box<2> in_words(Box<2> box, std::int64_t lanes) {
  if (lanes == 1) {
    return box;
  }
  const int inner = box.rank - 1;
  box.size[inner] /= lanes;
  for (int axis = 0; axis < inner; ++axis) {
    box.stride[0][axis] /= lanes;
    box.stride[1][axis] /= lanes;
  }
  return box;
}

/// The axis along which the source is dense while the target is dense along the last one, or -1: then tiles through
/// shared memory make both sides coalesced.
inline int transposed_axis(const Box<2>& box) {
  constexpr std::int64_t least = 4;  // a thinner tile wastes more threads than it saves sectors
  const int inner = box.rank - 1;
  if (inner < 1 || box.stride[0][inner] != 1 || std::abs(box.stride[1][inner]) <= 1 || box.size[inner] < least) {
    return -1;
  }
  for (int axis = 0; axis < inner; ++axis) {
    if (box.stride[1][axis] == 1 && box.size[axis] >= least) {
      return axis;
    }
  }
  return -1;
}

}  // namespace twingrad::cuda
