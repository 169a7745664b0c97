// The cross-check's reference: every kernel family written once more, plainly, on a number type of choice. On double it
// says what a result is, on Dual how it changes along a direction, on Tracked how far a kernel that sums in a declared
// order may be off. It shares the formulas with the backends and nothing else.
//
//   Array<double> y = reference<double>(op, attributes, {x, w}, type, model);
#pragma once

#include <twingrad/check/numbers.h>
#include <twingrad/error_model.h>
#include <twingrad/op.h>

#include <cstdint>
#include <span>
#include <vector>

namespace twingrad::check {

/// A tensor on the host, row-major, whose elements are N whatever its dtype; bool and integers are whole numbers.
template <class N>
struct Array {
  TensorType type;
  std::vector<N> data;
  std::vector<std::int64_t> integers{};  ///< int64 leaves: the same numbers beyond 2^53 too (keys of random ops)

  std::int64_t size() const { return static_cast<std::int64_t>(data.size()); }
};

/// What `op` makes of `inputs`. N is double, Dual or Tracked. Throws NumericError for an index out of range,
/// ArgumentError for a custom op on Dual or Tracked, which it has no formula for.
template <class N>
Array<N> reference(const Op& op, const Attributes& attributes, std::span<const Array<N>> inputs, const TensorType& type,
                   const ErrorModel& model);

/// The same of inputs that lie apart.
template <class N>
Array<N> reference(const Op& op, const Attributes& attributes, std::span<const Array<N>* const> inputs,
                   const TensorType& type, const ErrorModel& model);

/// The output's elements for outputs of `dtype` computed with the model's accumulator: what the roundings are.
int arithmetic_bits(const Op& op, Dtype dtype, const ErrorModel& model);

/// Copies with other number types.
template <class To, class From>
Array<To> convert(const Array<From>& array) {
  Array<To> result{array.type, {}, array.integers};
  result.data.reserve(array.data.size());
  for (const From& element : array.data) {
    if constexpr (std::is_same_v<From, double>) {
      result.data.push_back(To(element));
    } else {
      result.data.push_back(To(static_cast<double>(element.value)));
    }
  }
  return result;
}

}  // namespace twingrad::check
