// The numbers of an optimizer's updates at one step, one row per update formula: literals of the graph, shared by all
// parameters of a group, and written anew when a compiled step is replayed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>

namespace twingrad::optim {

class Hyperparameters {
 public:
  static constexpr std::size_t most_rows = 6;
  static constexpr std::size_t most_numbers = 4;

  /// At most 6 rows of 1 to 4 numbers.
  Hyperparameters(std::initializer_list<std::initializer_list<double>> rows) {
    for (const std::initializer_list<double>& row : rows) {
      std::copy(row.begin(), row.end(), rows_.at(count_).begin());
      lengths_[count_++] = row.size();
    }
  }
  std::size_t size() const { return count_; }
  std::span<const double> operator[](std::size_t row) const { return {rows_[row].data(), lengths_[row]}; }

 private:
  std::array<std::array<double, most_numbers>, most_rows> rows_{};
  std::array<std::size_t, most_rows> lengths_{};
  std::size_t count_ = 0;
};

}  // namespace twingrad::optim
