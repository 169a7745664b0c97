// The shortest of several runs: what a ceiling is taken from.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

namespace bench {

/// Seconds of the fastest of at least 5 runs of `body`, which together take at least `least` seconds.
template <class Body>
double fastest(double least, const Body& body) {
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity();
  double total = 0;
  for (int run = 0; run < 5 || total < least; ++run) {
    const auto start = Clock::now();
    body();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

}  // namespace bench
