// Compares what a device computed with what it should have, element by element and as a whole, against bounds that are
// predicted, never picked. NaN in any figure fails: every test is written so that only a proven bound passes.
//
//   Comparison result = compare(actual, expected, Dtype::f32, {.lambda = lambda_for(n, 1e-6)});
//   if (!result.passes()) std::cerr << to_string(result);
#pragma once

#include <twingrad/check/numbers.h>
#include <twingrad/dtype.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace twingrad::check {

/// sqrt(2 ln(2 n / delta)): how many deviations the largest of n errors may be away, with probability delta that a
/// correct kernel is accused.
double lambda_for(std::int64_t n, double delta);

struct CompareOptions {
  double lambda = 8.0;
  /// Judge rms(error) over rms(predicted sigma) too: beyond `tile_limit` it is a finding even when no element is.
  double tile_limit = 3.0;
  /// The order of summation is known; otherwise the tile rule does not apply.
  bool order_known = true;
};

/// What a comparison found.
enum class Finding : std::uint8_t {
  none,
  nothing_checked,  ///< no element could be compared
  size,             ///< the number of elements differs
  not_finite,       ///< NaN or infinity where a number was due, or the reverse
  element,          ///< an element is outside its bound
  tile,             ///< no element is, but the errors together are too large
  drift,            ///< outside the statistical bound, inside the worst case: rounding that is not mean-zero
};

struct Comparison {
  Finding finding = Finding::nothing_checked;
  std::int64_t checked = 0;
  std::int64_t skipped = 0;       ///< an intermediate left the dtype's range, so nothing is predicted
  std::int64_t outside = 0;       ///< elements beyond their bound
  double max_error = 0;           ///< largest |actual - expected|
  double max_ratio = 0;           ///< largest |error| / bound
  double rms_ratio = 0;           ///< rms(error) / rms(predicted sigma); 0 where both are 0
  std::int64_t worst_index = -1;  ///< flat index of the largest ratio
  double worst_actual = 0;
  double worst_expected = 0;
  double worst_bound = 0;
  /// Elements by their distance in units in the last place: 0, up to 1, 2, 4, 8, ... 2^14 and beyond.
  std::array<std::int64_t, 17> ulps{};
  /// Elements outside their bounds by flat index modulo 32 and 128: a warp or a tail shows here.
  std::array<std::int64_t, 32> outside_mod_32{};
  std::array<std::int64_t, 128> outside_mod_128{};

  /// drift warns and passes; everything else but `none` fails.
  bool passes() const { return finding == Finding::none || finding == Finding::drift; }
};

/// `expected` carries the bounds. `actual` are the values of a tensor of `dtype`, widened. Elements whose bound is 0
/// (moves, integers, exact sums) must be equal.
Comparison compare(std::span<const double> actual, std::span<const Tracked> expected, Dtype dtype,
                   const CompareOptions& options = {});

/// Both must have the same bits (as values: NaN equals NaN, -0 differs from 0).
Comparison compare_bits(std::span<const double> actual, std::span<const double> expected, Dtype dtype);

using twingrad::name;
using twingrad::to_string;
std::string_view name(Finding finding);
std::string to_string(const Comparison& comparison);

}  // namespace twingrad::check
