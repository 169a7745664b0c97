// Order statistics of repeated times, and ratios of two systems that took turns.
//
//   const stepbench::Spread ratio = stepbench::spread(stepbench::paired_ratios(theirs, ours));
//   if (ratio.low > 1) ...                                      // three quarters of all turns were slower than ours
#pragma once

#include <vector>

namespace stepbench {

/// Median and quartiles, and the lowest tenth, which other programs on the machine disturb least.
struct Spread {
  double median = 0;
  double low = 0;    ///< first quartile
  double high = 0;   ///< third quartile
  double tenth = 0;  ///< first decile
};

/// The value below which the share `p` of the values lies, interpolated linearly between neighbours (Hyndman and Fan's
/// type 7, as NumPy has it). Throws ArgumentError for no values or p outside [0, 1].
double quantile(std::vector<double> values, double p);
/// Throws ArgumentError for no values.
Spread spread(const std::vector<double>& values);
/// above[i] / below[i]: turn i of both was in the same round, so what slowed the machine for long slowed both. Throws
/// ArgumentError when the counts differ.
std::vector<double> paired_ratios(const std::vector<double>& above, const std::vector<double>& below);

}  // namespace stepbench
