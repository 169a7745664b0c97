// The kernels of each family that are not written as formulas (those stand in formulas.h). A backend switches over
// these enumerators; the compiler refuses a switch that leaves one out.
#pragma once

#include <cstdint>

namespace twingrad {

/// Family::reduce. Accumulates in compute_t<T>; sums of float32 in a fixed order that the error model states.
/// sum and mean of an empty axis are 0 and NaN, prod is 1; amax and amin refuse it. NaN propagates.
/// Integers and bool: sum and prod give int64, amax and amin keep the dtype.
enum class Reduce : std::uint8_t { sum, mean, prod, amax, amin };

/// Family::arg_reduce.
enum class ArgReduce : std::uint8_t { argmax, argmin };

/// Family::matmul has one kernel. ints = {}, or {tf32_bits} where float32 operands may be rounded to so many
/// significant bits first. Other dtypes pay no heed to it; a backend without TF32 throws DeviceError.
inline constexpr std::int64_t tf32_bits = 11;

/// Family::rows: x is (rows, n), seen through its last axis.
enum class Rows : std::uint8_t {
  softmax,      ///< exp(x - max) / sum; a row of -inf gives NaN
  log_softmax,  ///< x - max - log(sum(exp(x - max)))
  logsumexp,    ///< (rows): max + log(sum(exp(x - max))); a row of -inf gives -inf
  layer_norm,   ///< inputs x, weight (n), bias (n): (x - mean) / sqrt(var + eps) * weight + bias; reals[0] = eps; var
                ///< divides by n
  rms_norm,     ///< inputs x, weight (n): x / sqrt(mean(x^2) + eps) * weight; reals[0] = eps
};

/// Family::index. x is seen as (outer, length, inner) around axis ints[0].
enum class Index : std::uint8_t {
  index_select,  ///< inputs x, index (k): out (outer, k, inner) = x[o, index[j], i]
  index_add,  ///< inputs index (k), source (outer, k, inner); ints = {axis, length}: out (outer, length, inner), zero
              ///< where never named
  gather,  ///< inputs x, index of the output's shape (same rank as x; other axes no longer than x's): out[..., j, ...]
           ///< = x[..., index[..., j, ...], ...]
  scatter_add,  ///< inputs x, index, source (index's shape): x with out[..., index[j], ...] += source[j]
};

/// Family::random: Philox4x32-10 with the seed as key. Element e takes its words from the block with counter
/// {e / lanes, stream}, at lane e % lanes; philox.h has the lanes and the conversions.
enum class Random : std::uint8_t {
  uniform,      ///< floats in [0, 1): 4 lanes of one word, 2 lanes of two words for float64. In steps of 2^-24
                ///< (float32), 2^-53 (float64), 2^-11 (float16) or 2^-8 (bfloat16)
  normal,       ///< floats: standard normal by inverse distribution of 2 lanes of two words, computed in float64 for
                ///< every dtype and rounded at the end
  permutation,  ///< int64: 0..n-1 sorted by (64 random bits, index); 2 lanes of two words
};

/// Family::copy.
enum class Copy : std::uint8_t {
  cast,  ///< output[i] = inputs[0][i] in the output's dtype; any strides. Float to integer truncates; to bool is != 0
  cat,   ///< inputs side by side along axis ints[0]; any strides
  slice_embed,  ///< input placed in zeros: out[..., start + j * step, ...] = in[..., j, ...]; ints = {axis, start,
                ///< step, length}; any strides
  arange,       ///< no input: reals[0] + i * reals[1]
};

}  // namespace twingrad
