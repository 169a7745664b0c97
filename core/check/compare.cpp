#include <twingrad/check/compare.h>
#include <twingrad/check/compare_pieces.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

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

/// What the root mean square of n independent errors over their deviations exceeds with at most the chance that one
/// element exceeds lambda: Chernoff's bound for squares of errors that Hoeffding's inequality holds for,
/// P(sum of squares >= n t^2) <= (t exp((1 - t^2) / 2))^n for t >= 1.
double chance_limit(std::size_t n, double lambda) {
  const double due = lambda * lambda / 2 - std::log(2.0);
  double low = 1;
  double high = lambda + 2;
  for (int step = 0; n > 0 && step < 60; ++step) {
    const double t = (low + high) / 2;
    (static_cast<double>(n) * ((t * t - 1) / 2 - std::log(t)) >= due ? high : low) = t;
  }
  return n > 0 ? high : 1;
}

bool same_bits(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) {
    return std::isnan(a) && std::isnan(b);
  }
  return a == b && std::signbit(a) == std::signbit(b);
}

}  // namespace

double edge_of(Dtype dtype) {
  const auto edge = [](double largest, int bits) { return largest * (1 + std::ldexp(1.0, -bits)); };
  switch (dtype) {
    case Dtype::f16:
      return edge(65504.0, 11);
    case Dtype::bf16:
      return edge(0x1.fep127, 8);
    case Dtype::f32:
      return edge(static_cast<double>(std::numeric_limits<float>::max()), 24);
    default:
      return std::numeric_limits<double>::max();
  }
}

double bound_of(const Tracked& due, int bits, double lambda) {
  const double statistical = lambda * due.sigma() + due.library;
  return std::min(statistical, due.worst) + std::ldexp(due.worst, 2 - bits);
}

double lambda_for(std::int64_t n, double delta) {
  return std::sqrt(2 * std::log(2 * static_cast<double>(std::max<std::int64_t>(n, 1)) / delta));
}

void compare_element(double actual, const Tracked& due, std::int64_t i, Dtype dtype, double lambda,
                     PartialComparison& into) {
  Comparison& result = into.seen;
  if (due.overflow) {
    ++result.skipped;
    return;
  }
  ++result.checked;
  const int bits = std::max(significant_bits(dtype), 1);
  // Beyond the output's range the rounded result is an infinity; at the edge it may be either.
  const double edge = edge_of(dtype);
  const bool may_leave = is_floating(dtype) && std::isfinite(due.value) && std::abs(due.value) + due.worst >= edge;
  const bool may_stay = std::abs(due.value) - due.worst <= edge;
  const bool leaves = may_leave && (!may_stay || !std::isfinite(actual));
  const double value = leaves ? std::copysign(std::numeric_limits<double>::infinity(), due.value) : due.value;
  if (!std::isfinite(value) || !std::isfinite(actual)) {
    if (std::isnan(value) ? !std::isnan(actual) : !(actual == value)) {
      into.not_finite = true;
      count_outside(result, i);
      note(result, i, actual, value, 0, std::numeric_limits<double>::infinity());
    }
    return;
  }
  const double error = std::abs(actual - value);
  const double bound = bound_of(due, bits, lambda);
  result.max_error = std::max(result.max_error, error);
  count_ulps(result, ulps_between(actual, value, bits));
  into.squares += error * error;
  const double variance = due.variance + due.library * due.library;
  into.variances += variance;
  into.samples.add(actual, value, variance);
  note(result, i, actual, value, bound, error == 0 ? 0 : error / bound);
  if (!(error <= bound)) {
    count_outside(result, i);
    (error <= due.worst ? into.drift : into.outside) = true;
  }
}

void join(PartialComparison& into, const PartialComparison& next) {
  Comparison& all = into.seen;
  const Comparison& more = next.seen;
  all.checked += more.checked;
  all.skipped += more.skipped;
  all.outside += more.outside;
  all.max_error = std::max(all.max_error, more.max_error);
  if (more.worst_index >= 0) {
    note(all, more.worst_index, more.worst_actual, more.worst_expected, more.worst_bound, more.max_ratio);
  }
  const auto add = [](auto& to, const auto& from) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] += from[i];
    }
  };
  add(all.ulps, more.ulps);
  if (more.outside != 0) {
    add(all.outside_mod_32, more.outside_mod_32);
    add(all.outside_mod_128, more.outside_mod_128);
  }
  into.squares += next.squares;
  into.variances += next.variances;
  into.samples.add(next.samples);
  into.not_finite = into.not_finite || next.not_finite;
  into.drift = into.drift || next.drift;
  into.outside = into.outside || next.outside;
}

Comparison concluded(const PartialComparison& all, const CompareOptions& options) {
  Comparison result = all.seen;
  result.rms_ratio = all.squares == 0 ? 0 : std::sqrt(all.squares / all.variances);
  const bool tile =
      options.order_known &&
      !(result.rms_ratio <= std::max(options.tile_limit, chance_limit(all.samples.count(), options.lambda)));
  if (result.checked == 0) {
    result.finding = Finding::nothing_checked;
  } else if (all.not_finite) {
    result.finding = Finding::not_finite;
  } else if (all.outside) {
    result.finding = Finding::element;
  } else {
    result.finding = tile ? Finding::tile : (all.drift ? Finding::drift : Finding::none);
  }
  return result;
}

Comparison compare(std::span<const double> actual, std::span<const Tracked> expected, Dtype dtype,
                   const CompareOptions& options) {
  if (actual.size() != expected.size()) {
    Comparison result;
    result.finding = Finding::size;
    return result;
  }
  PartialComparison part;
  for (std::size_t e = 0; e < actual.size(); ++e) {
    compare_element(actual[e], expected[e], static_cast<std::int64_t>(e), dtype, options.lambda, part);
  }
  return concluded(part, options);
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
