// A logarithmic axis of the page's charts.
#pragma once

#include <algorithm>
#include <cmath>

namespace stepbench {

/// From `low` to `high` onto pixels `first` to `last`; what lies beyond is drawn at the end.
struct LogAxis {
  double low, high, first, last;
  double at(double value) const {
    const double share = std::log(value / low) / std::log(high / low);
    return first + std::clamp(share, 0.0, 1.0) * (last - first);
  }
};

}  // namespace stepbench
