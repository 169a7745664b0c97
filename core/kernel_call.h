// What the core hands to a backend: views of memory, attributes, and which kernel to run on them.
#pragma once

#include <twingrad/dtype.h>
#include <twingrad/shape.h>

#include <array>
#include <cstddef>
#include <source_location>
#include <string_view>
#include <vector>

namespace twingrad {

/// A strided window on device memory. `data` points at element (0, ..., 0); strides count elements,
/// may be 0 (broadcast) or negative (reversed).
struct TensorView {
  void* data = nullptr;
  Dtype dtype = Dtype::f32;
  Shape shape;
  Strides strides;

  std::int64_t numel() const { return twingrad::numel(shape); }
  /// Row-major without gaps. Axes of length 1 may have any stride; an empty view is contiguous.
  bool contiguous() const;
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

/// Parameters of one use of an op that are part of the graph's structure: axes, flags, slopes.
/// What a position means is documented with the family (see Family).
struct Attributes {
  Dims ints{};
  std::array<double, 4> reals{};
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

/// The kernel families: each backend has one file per family, and each op runs one kernel of one family.
/// `kernel` in KernelCall selects within the family; the lists stand in kernels.h and formulas.h.
enum class Family : std::uint8_t {
  /// Computes nothing: another view of the input's memory. Never reaches a backend.
  view,
  /// output[i] = formula(inputs[i]...). Inputs have the output's shape, any strides (0 where broadcast); the output
  /// is contiguous and may be the same memory as an input of the same dtype that is contiguous. kernel: index in
  /// Formulas. reals: the formula's parameters.
  elementwise,
  /// output[i] = formula(inputs[0][i], ..., hyper): one optimizer update in one pass. All but the last input have
  /// the output's shape and dtype and are contiguous; the last is a contiguous vector of hyperparameters of the same
  /// dtype. The output may be the same memory as input 0. kernel: index in UpdateFormulas.
  update,
  /// Reduces axes `ints` (sorted, distinct; every one kept with length 1 in the output's shape when keepdim, else
  /// dropped: the output's memory is the same). Input: any strides. kernel: Reduce.
  reduce,
  /// Index (int64) of the largest or smallest element along axis ints[0], the first one where tied; NaN wins. An empty
  /// axis is refused by the shape rule. Input: any strides. kernel: ArgReduce.
  arg_reduce,
  /// Cumulative sum along axis ints[0]; from the end when ints[1] = 1. Input: contiguous.
  scan,
  /// output[..., m, n] = sum over k of a[..., m, k] * b[..., k, n] (+ bias[n], the optional third input, contiguous).
  /// a and b have the output's batch axes (stride 0 where broadcast); their last two axes are row-major or
  /// column-major with any leading stride >= the row's length. The output is contiguous. K = 0 gives bias or zeros.
  matmul,
  /// One result row or value per row of the last axis. Inputs contiguous. kernel: Rows.
  rows,
  /// Indexed reads and writes. Index inputs are int64 or int32, contiguous, in [0, length of the axis), checked: an
  /// index out of range makes the next synchronize() or copy_to_host() throw NumericError. Others contiguous. The
  /// result of
  /// duplicates is summed in the order of the index. kernel: Index.
  index,
  /// Philox4x32-10; input 0 is the seed, contiguous int64 {seed, stream}. Same bits on every device. kernel: Random.
  random,
  /// Moves data without arithmetic. kernel: Copy.
  copy,
  /// A user's own op: the row carries its kernels.
  custom,
};

struct Op;

/// One kernel launch.
struct KernelCall {
  const Op* op = nullptr;  ///< the row; its family and kernel say what to run
  Attributes attributes;
  std::vector<TensorView> inputs;
  TensorView output;  ///< contiguous
  std::source_location where;
};

}  // namespace twingrad
