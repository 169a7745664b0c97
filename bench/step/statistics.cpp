#include "bench/step/statistics.h"

#include <twingrad/error.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace stepbench {

double quantile(std::vector<double> values, double p) {
  if (values.empty()) {
    throw twingrad::ArgumentError("a quantile of no values");
  }
  if (!(p >= 0 && p <= 1)) {
    throw twingrad::ArgumentError("a quantile at " + std::to_string(p) + "; it is from 0 to 1");
  }
  std::sort(values.begin(), values.end());
  const double place = p * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - std::floor(place)) * (values[above] - values[below]);
}

Spread spread(const std::vector<double>& values) {
  return {.median = quantile(values, 0.5),
          .low = quantile(values, 0.25),
          .high = quantile(values, 0.75),
          .tenth = quantile(values, 0.1)};
}

std::vector<double> paired_ratios(const std::vector<double>& above, const std::vector<double>& below) {
  if (above.size() != below.size()) {
    throw twingrad::ArgumentError("ratios of " + std::to_string(above.size()) + " turns to " +
                                  std::to_string(below.size()));
  }
  std::vector<double> ratios;
  for (std::size_t i = 0; i < above.size(); ++i) {
    ratios.push_back(above[i] / below[i]);
  }
  return ratios;
}

}  // namespace stepbench
