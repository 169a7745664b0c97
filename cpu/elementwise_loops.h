// The dense loops of Family::elementwise, one per formula and element type: every operand is contiguous or one value,
// in the type the formula computes in. What brings operands into that form (elementwise.cpp) calls them by this table.
//
//   const Row& row = row_of(call.op->kernel);
//   if (DenseLoop loop = row.loop(Dtype::f32); loop != nullptr && row.takes(scalars)) {
//     loop(n, output, {x, y}, scalars, parameters);
//   }
#pragma once

#include <twingrad/dtype.h>
#include <twingrad/formulas.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

namespace twingrad::cpu {

inline constexpr std::size_t max_arity = 3;
using Operands = std::array<const void*, max_arity>;

/// output[i] = formula(operands[i]...) for i < n. Bit i of `scalars`: operand i is one value. The output may be an
/// operand, but not lie across one.
using DenseLoop = void (*)(std::int64_t n, void* output, const Operands& operands, unsigned scalars,
                           const formulas::Parameters& parameters);

/// An elementwise formula as the CPU runs it.
struct Row {
  std::array<DenseLoop, 8> loops{};  ///< by dtype
  int arity = 0;
  double nanoseconds = 0.2;       ///< of one element, about
  double wide_nanoseconds = 0.4;  ///< of one element of float64

  /// The loop that computes in `dtype` (its last input's; float32 for the 16-bit floats); null: there is none.
  DenseLoop loop(Dtype dtype) const { return loops.at(static_cast<std::size_t>(dtype)); }
  double cost(Dtype dtype) const { return dtype == Dtype::f64 ? wide_nanoseconds : nanoseconds; }
  /// Whether the loops know this pattern of single values. Never where all operands are one value.
  bool takes(unsigned scalars) const {
    return arity == 1 ? scalars == 0 : (arity == 2 ? scalars != 3 : (scalars & 1U) == 0);
  }
};

/// Formulas of functions that take more than a few instructions. Their float32 loops run on the CPU's own functions
/// (lane.h), those of float64 on the C library's.
using FunctionFormulas =
    std::tuple<formulas::Exp, formulas::Expm1, formulas::Log, formulas::Log1p, formulas::Sin, formulas::Cos,
               formulas::Tanh, formulas::Sigmoid, formulas::LogSigmoid, formulas::Elu, formulas::Gelu,
               formulas::GeluTanh, formulas::Silu, formulas::Softplus, formulas::Erf, formulas::PowScalar,
               formulas::Pow, formulas::BceWithLogits, formulas::BceWithLogitsGrad>;
template <class Formula>
inline constexpr bool is_function = []<class... Function>(std::tuple<Function...>*) {
  return (std::is_same_v<Formula, Function> || ...);
}(static_cast<FunctionFormulas*>(nullptr));
/// Those whose large arguments take longer.
template <class Formula>
inline constexpr bool is_periodic = std::is_same_v<Formula, formulas::Sin> || std::is_same_v<Formula, formulas::Cos>;

/// The row of an elementwise op's `kernel`, the formula's index in formulas::Formulas.
const Row& row_of(int kernel);

}  // namespace twingrad::cpu
