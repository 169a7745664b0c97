// What the inputs of a case hold.
#include <twingrad/check/op_cases.h>
#include <twingrad/check/subject.h>
#include <twingrad/kernels.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace twingrad::check {
namespace {

struct Range {
  double largest;
  double smallest_normal;
  double smallest;
  int bits;
};

Range range_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f16:
      return {65504, 0x1p-14, 0x1p-24, 11};
    case Dtype::bf16:
      return {0x1.fep127, 0x1p-126, 0x1p-133, 8};
    case Dtype::f64:
      return {std::numeric_limits<double>::max(), 0x1p-1022, 0x1p-1074, 53};
    default:
      return {static_cast<double>(std::numeric_limits<float>::max()), 0x1p-126, 0x1p-149, 24};
  }
}

bool is_product(const Op& op) {
  return op.family == Family::reduce && op.kernel == static_cast<int>(Reduce::prod);
}

double in_domain(const Op& op, Draws& draws) {
  return draws.uniform(op.domain.low, op.domain.high);
}

/// A whole number that keeps results small; of the domain's sign where that is positive.
double small_whole(const Op& op, Dtype dtype, Draws& draws) {
  if (is_product(op)) {
    return draws.chance(0.5) ? 1 : -1;
  }
  const std::int64_t high = dtype == Dtype::bf16 || dtype == Dtype::f16 ? 3 : 7;
  return static_cast<double>(op.domain.low > 0 ? draws.between(1, high) : draws.between(-high, high));
}

/// One unit in the last place of `dtype` above or below x.
double neighbour(double x, Dtype dtype, bool above) {
  const Range range = range_of(dtype);
  int exponent = 0;
  std::frexp(x, &exponent);
  const double unit = x == 0 ? range.smallest : std::ldexp(1.0, std::max(exponent - range.bits, -1074));
  return x + (above ? unit : -unit);
}

double at_a_kink(const Op& op, Dtype dtype, Draws& draws) {
  const std::int64_t kinks = static_cast<std::int64_t>(op.domain.kinks.size());
  const double kink = kinks == 0 ? static_cast<double>(draws.between(-1, 1))
                                 : op.domain.kinks[static_cast<std::size_t>(draws.below(kinks))];
  const double x = round_to(kink, dtype);
  const std::int64_t side = draws.between(-1, 1);
  return side == 0 ? x : neighbour(x, dtype, side > 0);
}

double subnormal(Dtype dtype, Draws& draws) {
  const Range range = range_of(dtype);
  const double mantissa = std::trunc(draws.uniform(-2, 2) * (range.smallest_normal / range.smallest));
  return mantissa * range.smallest;
}

double one_of_kind(const Op& op, Values values, Dtype dtype, std::int64_t i, std::size_t which, Draws& draws) {
  switch (values) {
    case Values::whole:
      return small_whole(op, dtype, draws);
    case Values::odd:
      if (is_product(op) || which > 0) {
        return is_product(op) ? small_whole(op, dtype, draws)
                              : static_cast<double>(draws.between(1, 3)) * (draws.chance(0.5) ? 1 : -1);
      }
      if (const int bits = range_of(dtype).bits; bits < 24) {
        // From 1 to 2, so that sums of them stay in float16's range.
        const std::int64_t quarter = std::int64_t{1} << (bits - 2);
        return std::ldexp(static_cast<double>(2 * (quarter + draws.below(quarter)) + 1), 1 - bits) *
               (draws.chance(0.5) ? 1 : -1);
      }
      return static_cast<double>(2 * draws.between(0x400, 0xfff) + 1) * (draws.chance(0.5) ? 1 : -1);
    case Values::cancellation: {
      const double large = dtype == Dtype::f16 ? 3e4 : 1e8;
      constexpr int period = 3;
      return i % period == 1 ? draws.uniform(0.5, 1.5) : (i % period == 0 ? large : -large);
    }
    case Values::positive:
      return is_product(op) ? draws.uniform(0.9, 1.1) : draws.uniform(0.5, 1.5);
    case Values::signed_zeros:
      return draws.chance(0.4) ? -0.0 : (draws.chance(0.5) ? 0.0 : static_cast<double>(draws.between(-1, 1)));
    case Values::subnormals:
      return subnormal(dtype, draws);
    case Values::kinks:
      return at_a_kink(op, dtype, draws);
    case Values::ties:
      return 0.5 * static_cast<double>(op.domain.low > 0 ? draws.between(1, 3) : draws.between(-1, 1));
    case Values::steep:
      if (op.family == Family::rows && which == 0) {
        return (draws.chance(0.5) ? 1e4 : -1e4) + draws.uniform(-1, 1);
      }
      return 100 * in_domain(op, draws);
    case Values::domain:
    case Values::outlier:
    case Values::largest:
    case Values::not_finite:
    case Values::same_rows:
      return in_domain(op, draws);
  }
  return 0;
}

/// Single positions that differ from the rest.
void place_single(Values values, Dtype dtype, std::vector<double>& result, Draws& draws) {
  const auto at = [&]() -> double& {
    return result[static_cast<std::size_t>(draws.below(static_cast<std::int64_t>(result.size())))];
  };
  const Range range = range_of(dtype);
  const double sign = draws.chance(0.5) ? 1 : -1;
  switch (values) {
    case Values::outlier:
      at() = sign * (dtype == Dtype::f16 ? 3e4 : 1e30);
      break;
    case Values::largest:
      at() = sign * range.largest;
      if (draws.chance(0.3)) {
        at() = range.largest / 2;
      }
      break;
    case Values::not_finite: {
      const double infinity = std::numeric_limits<double>::infinity();
      at() = draws.chance(0.4) ? std::numeric_limits<double>::quiet_NaN() : sign * infinity;
      if (draws.chance(0.3)) {
        at() = -sign * infinity;
      }
      break;
    }
    default:
      break;
  }
}

double integer_value(const Op& op, Dtype dtype, Draws& draws) {
  if (dtype == Dtype::boolean) {
    return static_cast<double>(draws.below(2));
  }
  const bool is_signed = dtype != Dtype::u8;
  if (is_product(op)) {
    return is_signed && draws.chance(0.5) ? -1 : 1;
  }
  return static_cast<double>(draws.between(is_signed ? -7 : 0, 7));
}

}  // namespace

std::vector<double> draw_values(const Op& op, Values values, Dtype dtype, std::int64_t count, std::int64_t row,
                                std::size_t which, Draws& draws) {
  std::vector<double> result;
  result.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = is_floating(dtype) ? round_to(one_of_kind(op, values, dtype, i, which, draws), dtype)
                                        : integer_value(op, dtype, draws);
    result.push_back(x);
  }
  if (count == 0 || !is_floating(dtype)) {
    return result;
  }
  place_single(values, dtype, result, draws);
  for (double& x : result) {
    x = round_to(x, dtype);
  }
  if (values == Values::same_rows && row > 0) {
    for (std::int64_t i = row; i < count; ++i) {
      result[static_cast<std::size_t>(i)] = result[static_cast<std::size_t>(i % row)];
    }
  }
  if (values == Values::steep && op.family == Family::rows && which == 0 && row > 0 && draws.chance(0.3)) {
    const std::int64_t first = draws.below(count / row) * row;
    std::fill_n(result.begin() + first, row, -std::numeric_limits<double>::infinity());
  }
  return result;
}

std::vector<double> draw_cotangent(Values values, Dtype dtype, std::int64_t count, Draws& draws) {
  const bool exact = values == Values::whole || values == Values::odd || values == Values::ties;
  const std::int64_t period = dtype == Dtype::bf16 || dtype == Dtype::f16 ? 7 : 17;
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) {
    // Neighbours differ, and never all ones: a sum's gradient would hide what is swapped or lost.
    const double x = exact ? static_cast<double>((i * 5 + 3) % period - period / 2) : draws.uniform(-1, 1);
    result.push_back(is_floating(dtype) ? round_to(x, dtype) : x);
  }
  return result;
}

std::string_view name(Values values) {
  switch (values) {
    case Values::domain:
      return "values in the domain";
    case Values::whole:
      return "small whole numbers";
    case Values::odd:
      return "odd numbers of many bits";
    case Values::cancellation:
      return "cancellation";
    case Values::positive:
      return "positive values";
    case Values::outlier:
      return "an outlier";
    case Values::signed_zeros:
      return "signed zeros";
    case Values::subnormals:
      return "subnormals";
    case Values::largest:
      return "the largest number";
    case Values::not_finite:
      return "infinities and NaN";
    case Values::kinks:
      return "kinks";
    case Values::ties:
      return "ties";
    case Values::same_rows:
      return "identical rows";
    case Values::steep:
      return "steep values";
  }
  return "?";
}

}  // namespace twingrad::check
