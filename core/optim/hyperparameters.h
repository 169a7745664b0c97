// The numbers of an optimizer's updates at one step, one row per update formula: literals of the graph, shared by all
// parameters of a group, and written anew when a compiled step is replayed.
#pragma once

#include <twingrad/error.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

namespace twingrad::optim {

class Hyperparameters {
 public:
  static constexpr std::size_t most_rows = 6;
  static constexpr std::size_t most_numbers = 4;

  /// Throws ArgumentError for more than most_rows, or a row of no or more than most_numbers numbers.
  Hyperparameters(std::initializer_list<std::initializer_list<double>> rows) {
    if (rows.size() > most_rows) {
      throw ArgumentError("hyperparameters: there are " + std::to_string(rows.size()) + " rows; at most " +
                          std::to_string(most_rows) + " are taken");
    }
    for (const std::initializer_list<double>& row : rows) {
      if (row.size() == 0 || row.size() > most_numbers) {
        throw ArgumentError("hyperparameters: row " + std::to_string(count_) + " has " + std::to_string(row.size()) +
                            " numbers; it takes 1 to " + std::to_string(most_numbers));
      }
      std::copy(row.begin(), row.end(), rows_[count_].begin());
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
