// The dense loops of Family::elementwise, which the compiler vectorises, and the table of them.
#include "cpu/elementwise_loops.h"

#include <twingrad/formulas.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace twingrad::cpu {
namespace {

using namespace formulas;

template <class Formula, class T>
using output_t = std::conditional_t<Formula::gives == Gives::boolean, bool, T>;
template <class Formula, class T, std::size_t I>
using input_t = std::conditional_t<std::is_same_v<Formula, Where> && I == 0, bool, T>;

template <class Formula, class T, unsigned Scalars, std::size_t... I>
void dense_loop(std::int64_t n, void* output, const Operands& operands, const Parameters& parameters,
                std::index_sequence<I...>) {
  auto* out = static_cast<output_t<Formula, T>*>(output);
  const auto in = std::make_tuple(static_cast<const input_t<Formula, T, I>*>(operands[I])...);
  // Read before the loop: the compiler cannot know that the output leaves single values alone.
  const auto first = std::make_tuple(*std::get<I>(in)...);
  const Parameters p = parameters;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = Formula::apply((((Scalars >> I) & 1U) != 0 ? std::get<I>(first) : std::get<I>(in)[i])..., p);
  }
}

template <class Formula, class T>
void dense(std::int64_t n, void* output, const Operands& operands, unsigned scalars, const Parameters& parameters) {
  constexpr std::make_index_sequence<static_cast<std::size_t>(Formula::arity)> all;
  if constexpr (Formula::arity == 1) {
    dense_loop<Formula, T, 0>(n, output, operands, parameters, all);
  } else if constexpr (Formula::arity == 2) {
    switch (scalars) {
      case 1:
        return dense_loop<Formula, T, 1>(n, output, operands, parameters, all);
      case 2:
        return dense_loop<Formula, T, 2>(n, output, operands, parameters, all);
      default:
        return dense_loop<Formula, T, 0>(n, output, operands, parameters, all);
    }
  } else {
    switch (scalars) {
      case 2:
        return dense_loop<Formula, T, 2>(n, output, operands, parameters, all);
      case 4:
        return dense_loop<Formula, T, 4>(n, output, operands, parameters, all);
      case 6:
        return dense_loop<Formula, T, 6>(n, output, operands, parameters, all);
      default:
        return dense_loop<Formula, T, 0>(n, output, operands, parameters, all);
    }
  }
}

template <class Formula>
inline constexpr bool calls_library =
    index_in<Formula, std::tuple<Exp, Expm1, Log, Log1p, Sin, Cos, Tanh, Sigmoid, LogSigmoid, Elu, Gelu, GeluTanh, Silu,
                                 Softplus, Erf, PowScalar, Pow, Formula>>::value < 17;

template <class Formula, class T>
constexpr void enter(Row& row) {
  if constexpr (accepts<T>(Formula::takes)) {
    row.loops[static_cast<std::size_t>(dtype_of_v<T>)] = &dense<Formula, T>;
  }
}

template <class Formula>
constexpr Row make_row() {
  Row row;
  enter<Formula, float>(row);
  enter<Formula, double>(row);
  enter<Formula, std::int32_t>(row);
  enter<Formula, std::int64_t>(row);
  enter<Formula, std::uint8_t>(row);
  enter<Formula, bool>(row);
  row.arity = Formula::arity;
  row.gives_bool = Formula::gives == Gives::boolean;
  row.first_is_bool = std::is_same_v<Formula, Where>;
  row.nanoseconds = calls_library<Formula> ? 5.0 : 0.2;
  return row;
}

template <class... Formula>
constexpr std::array<Row, sizeof...(Formula)> rows_of(std::tuple<Formula...>*) {
  return {make_row<Formula>()...};
}
constexpr auto table = rows_of(static_cast<Formulas*>(nullptr));

}  // namespace

const Row& row_of(int kernel) {
  return table.at(static_cast<std::size_t>(kernel));
}

}  // namespace twingrad::cpu
