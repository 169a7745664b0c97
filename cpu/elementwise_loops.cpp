// The dense loops of Family::elementwise, which the compiler vectorises, and the table of them.
#include "cpu/elementwise_loops.h"

#include <twingrad/formulas.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cpu/lane.h"

namespace twingrad::cpu {
namespace {

using namespace formulas;

template <class Formula, class T>
using output_t = std::conditional_t<Formula::gives == Gives::boolean, bool, T>;
template <class Formula, class T, std::size_t I>
using input_t = std::conditional_t<std::is_same_v<Formula, Where> && I == 0, bool, T>;

/// The type the formula runs on.
template <class Formula, class T>
using number_t = std::conditional_t<is_function<Formula> && std::is_same_v<T, float>, Lane, T>;

/// What the loop stores: the number itself, or a lane's value.
template <class T>
TWINGRAD_LANE T stored(T x) {
  return x;
}
template <bool Any>
TWINGRAD_LANE float stored(LaneOf<Any> x) {
  return x.value;
}

/// The argument of the formula, which may be a bool beside numbers.
template <class Number, class T>
TWINGRAD_LANE auto number_of(T x) {
  if constexpr (std::is_class_v<Number>) {
    return Number(x);
  } else {
    return x;
  }
}

template <class Formula, class T, unsigned Scalars, class Number = number_t<Formula, T>, std::size_t... I>
void dense_loop(std::int64_t n, void* output, const Operands& operands, const Parameters& parameters,
                std::index_sequence<I...>) {
  auto* out = static_cast<output_t<Formula, T>*>(output);
  const auto in = std::make_tuple(static_cast<const input_t<Formula, T, I>*>(operands[I])...);
  // Read before the loop: the compiler cannot know that the output leaves single values alone.
  const auto first = std::make_tuple(*std::get<I>(in)...);
  const Parameters p = parameters;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = stored(
        Formula::apply(number_of<Number>(((Scalars >> I) & 1U) != 0 ? std::get<I>(first) : std::get<I>(in)[i])..., p));
  }
}

/// Sine and cosine: large arguments take three times as long, and are looked for a block at a time.
template <class Formula>
void periodic(std::int64_t n, void* output, const Operands& operands, const Parameters& parameters) {
  constexpr std::int64_t block = 1024;
  constexpr std::make_index_sequence<1> all;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const std::int64_t count = std::min(block, n - begin);
    const float* x = static_cast<const float*>(operands[0]) + begin;
    std::int32_t far = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      far |= lane_math::magnitude(x[i]) >= lane_math::near_limit ? 1 : 0;
    }
    float* out = static_cast<float*>(output) + begin;
    if (far != 0) {
      dense_loop<Formula, float, 0, LaneOf<true>>(count, out, {x}, parameters, all);
    } else {
      dense_loop<Formula, float, 0, LaneOf<false>>(count, out, {x}, parameters, all);
    }
  }
}

template <class Formula, class T>
void dense(std::int64_t n, void* output, const Operands& operands, unsigned scalars, const Parameters& parameters) {
  constexpr std::make_index_sequence<static_cast<std::size_t>(Formula::arity)> all;
  if constexpr (is_periodic<Formula> && std::is_same_v<T, float>) {
    periodic<Formula>(n, output, operands, parameters);
  } else if constexpr (Formula::arity == 1) {
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
  if (is_function<Formula>) {
    row.nanoseconds = 0.5;
    row.wide_nanoseconds = 5.0;
  }
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
