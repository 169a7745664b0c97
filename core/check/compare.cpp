#include <twingrad/check/compare.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

namespace twingrad::check {
namespace {

/// Distance of a and b in units in the last place of b at `bits` significant bits.
double ulps_between(double a, double b, int bits) {
  if (a == b) {
    return 0;
  }
  int exponent = 0;
  std::frexp(b, &exponent);
  const int lowest = bits == 53 ? -1074 : -149;
  const double unit = std::ldexp(1.0, std::max(exponent - bits, lowest));
  return std::abs(a - b) / unit;
}

void count_ulps(Comparison& result, double ulps) {
  std::size_t bin = 0;
  for (double limit = 1; bin < result.ulps.size() - 1 && !(ulps == 0) && !(bin > 0 && ulps <= limit);) {
    ++bin;
    limit = bin == 1 ? 1 : limit * 2;
  }
  ++result.ulps[bin];
}

/// Keeps the worst element: the first one that is not provably better.
void note(Comparison& result, std::int64_t i, double actual, double expected, double bound, double ratio) {
  if (result.worst_index < 0 || !(ratio <= result.max_ratio)) {
    result.max_ratio = ratio;
    result.worst_index = i;
    result.worst_actual = actual;
    result.worst_expected = expected;
    result.worst_bound = bound;
  }
}

void count_outside(Comparison& result, std::int64_t i) {
  ++result.outside;
  ++result.outside_mod_32[static_cast<std::size_t>(i % 32)];
  ++result.outside_mod_128[static_cast<std::size_t>(i % 128)];
}

bool same_bits(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) {
    return std::isnan(a) && std::isnan(b);
  }
  return a == b && std::signbit(a) == std::signbit(b);
}

double largest_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f16:
      return 65504.0;
    case Dtype::bf16:
      return 0x1.fep127;
    case Dtype::f32:
      return static_cast<double>(std::numeric_limits<float>::max());
    default:
      return std::numeric_limits<double>::max();
  }
}

}  // namespace

double lambda_for(std::int64_t n, double delta) {
  return std::sqrt(2 * std::log(2 * static_cast<double>(std::max<std::int64_t>(n, 1)) / delta));
}

Comparison compare(std::span<const double> actual, std::span<const Tracked> expected, Dtype dtype,
                   const CompareOptions& options) {
  Comparison result;
  if (actual.size() != expected.size()) {
    result.finding = Finding::size;
    return result;
  }
  bool not_finite = false;
  bool drift = false;
  double squares = 0;
  double variances = 0;
  const int bits = std::max(significant_bits(dtype), 1);
  for (std::size_t e = 0; e < actual.size(); ++e) {
    const auto i = static_cast<std::int64_t>(e);
    const Tracked& due = expected[e];
    const double got = actual[e];
    if (due.overflow) {
      ++result.skipped;
      continue;
    }
    ++result.checked;
    // Beyond the output's range the rounded result is an infinity; at the edge it may be either.
    const double edge = largest_of(dtype) * (1 + std::ldexp(1.0, -bits));
    const bool may_leave = is_floating(dtype) && std::isfinite(due.value) && std::abs(due.value) + due.worst >= edge;
    const bool may_stay = std::abs(due.value) - due.worst <= edge;
    const bool leaves = may_leave && (!may_stay || !std::isfinite(got));
    const double value = leaves ? std::copysign(std::numeric_limits<double>::infinity(), due.value) : due.value;
    if (!std::isfinite(value) || !std::isfinite(got)) {
      if (std::isnan(value) ? !std::isnan(got) : !(got == value)) {
        not_finite = true;
        count_outside(result, i);
        note(result, i, got, value, 0, std::numeric_limits<double>::infinity());
      }
      continue;
    }
    const double error = std::abs(got - value);
    // Errors of the first order; what the second one adds is a few units of roundoff of the bound itself.
    const double statistical = options.lambda * due.sigma() + due.library;
    const double bound = std::min(statistical, due.worst) + std::ldexp(due.worst, 2 - bits);
    result.max_error = std::max(result.max_error, error);
    count_ulps(result, ulps_between(got, value, bits));
    squares += error * error;
    variances += due.variance + due.library * due.library;
    const double ratio = error == 0 ? 0 : error / bound;
    note(result, i, got, value, bound, ratio);
    if (!(error <= bound)) {
      count_outside(result, i);
      if (error <= due.worst) {
        drift = true;
      } else {
        result.finding = Finding::element;
      }
    }
  }
  result.rms_ratio = squares == 0 ? 0 : std::sqrt(squares / variances);
  if (result.checked == 0) {
    result.finding = Finding::nothing_checked;
  } else if (not_finite) {
    result.finding = Finding::not_finite;
  } else if (result.finding != Finding::element) {
    const bool tile = options.order_known && !(result.rms_ratio <= options.tile_limit);
    result.finding = tile ? Finding::tile : (drift ? Finding::drift : Finding::none);
  }
  return result;
}

Comparison compare_bits(std::span<const double> actual, std::span<const double> expected, Dtype dtype) {
  Comparison result;
  if (actual.size() != expected.size()) {
    result.finding = Finding::size;
    return result;
  }
  const int bits = std::max(significant_bits(dtype), 1);
  for (std::size_t e = 0; e < actual.size(); ++e) {
    ++result.checked;
    const bool same = same_bits(actual[e], expected[e]);
    const double error = same ? 0 : std::abs(actual[e] - expected[e]);
    result.max_error = std::max(result.max_error, error);
    count_ulps(result, same ? 0 : ulps_between(actual[e], expected[e], bits));
    note(result, static_cast<std::int64_t>(e), actual[e], expected[e], 0,
         same ? 0 : std::numeric_limits<double>::infinity());
    if (!same) {
      count_outside(result, static_cast<std::int64_t>(e));
    }
  }
  result.finding =
      result.checked == 0 ? Finding::nothing_checked : (result.outside == 0 ? Finding::none : Finding::element);
  return result;
}

std::string_view name(Finding finding) {
  switch (finding) {
    case Finding::none:
      return "agrees";
    case Finding::nothing_checked:
      return "nothing checked";
    case Finding::size:
      return "another number of elements";
    case Finding::not_finite:
      return "not finite";
    case Finding::element:
      return "outside the bound";
    case Finding::tile:
      return "errors too large together";
    case Finding::drift:
      return "drift inside the worst case";
  }
  return "?";
}

std::string to_string(const Comparison& c) {
  char text[320];
  std::snprintf(text, sizeof text,
                "%s: %lld checked, %lld skipped, %lld outside; largest error %.3g, %.3g of its bound; rms %.3g of the "
                "predicted; worst at %lld: got %.9g, expected %.9g, bound %.3g",
                std::string(name(c.finding)).c_str(), static_cast<long long>(c.checked),
                static_cast<long long>(c.skipped), static_cast<long long>(c.outside), c.max_error, c.max_ratio,
                c.rms_ratio, static_cast<long long>(c.worst_index), c.worst_actual, c.worst_expected, c.worst_bound);
  return text;
}

}  // namespace twingrad::check
