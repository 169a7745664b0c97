// Derivatives by central differences, judged: the answer comes with a tolerance computed from the differences
// themselves. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982: Richardson's extrapolation over halved
// steps, where the disagreement of neighbouring extrapolations estimates the error.
//
//   const Derivative d = derivative([&](double t) { return f(x + t * direction); }, weights, 1e-2, 16);
//   EXPECT_NEAR(analytic, d.value, d.tolerance);
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace twingrad::tests {

struct Derivative {
  double value = 0;
  double tolerance = std::numeric_limits<double>::infinity();
};

/// d/dt of sum over j of weights[j] * f(t)[j] at t = 0, in float64. `step` is the largest step, over which f must be
/// smooth; `roundoffs` bounds the relative error of one element of f in unit roundoffs.
template <class F>
Derivative derivative(const F& f, const std::vector<double>& weights, double step, double roundoffs) {
  constexpr std::size_t rows = 7;
  constexpr double unit = 0x1p-53;
  std::array<double, rows> previous{};
  Derivative best;
  for (std::size_t row = 0; row < rows; ++row) {
    const double h = std::ldexp(step, -static_cast<int>(row));
    const std::vector<double> above = f(h);
    const std::vector<double> below = f(-h);
    long double difference = 0;
    double noise = 0;
    for (std::size_t j = 0; j < weights.size(); ++j) {
      if (above[j] != below[j]) {
        difference += static_cast<long double>(weights[j]) * (static_cast<long double>(above[j]) - below[j]);
        noise += std::abs(weights[j]) * (std::abs(above[j]) + std::abs(below[j]));
      }
    }
    std::array<double, rows> current{};
    current[0] = static_cast<double>(difference) / (2 * h);
    // Extrapolating multiplies noise by the product of (4^k + 1) / (4^k - 1), which is below 2.
    const double floor = 2 * roundoffs * unit * (noise / (2 * h) + std::abs(current[0]));
    for (std::size_t k = 1; k <= row; ++k) {
      const double power = std::ldexp(1.0, 2 * static_cast<int>(k));
      current[k] = (power * current[k - 1] - previous[k - 1]) / (power - 1);
      const double error =
          std::max(std::abs(current[k] - current[k - 1]), std::abs(current[k] - previous[k - 1])) + floor;
      if (error < best.tolerance) {
        best = {current[k], error};
      }
    }
    previous = current;
  }
  return best;
}

}  // namespace twingrad::tests
