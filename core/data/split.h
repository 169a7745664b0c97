// Splits a data set into rows to train on and rows to test on: at random, or by published lists of row numbers.
//
//   tg::data::Split split = tg::data::split(dataset, {.test_fraction = 0.1, .seed = 7});
//   for (const auto& test_rows : tg::data::read_splits("concrete.test_rows.txt", dataset.rows)) {
//     tg::data::Split published = tg::data::split(dataset, test_rows);
//   }
#pragma once

#include <twingrad/data/dataset.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace twingrad::data {

struct Split {
  Dataset train;
  Dataset test;
};

struct SplitOptions {
  /// Share of the rows that are for testing, rounded to whole rows, at least one and not all.
  double test_fraction = 0.2;
  std::int64_t seed = 0;
};

/// Draws the test rows without replacement; the same rows for the same seed and number of rows on every machine. Both
/// parts keep the data set's order. Throws ArgumentError for a fraction outside (0, 1) and for fewer than two rows.
Split split(const Dataset& dataset, const SplitOptions& options = {});

/// Test rows by number from 0, in the order given; all other rows are for training, in the data set's order. Throws
/// ArgumentError for a row that is not there or is listed twice, and when either part would be empty.
Split split(const Dataset& dataset, std::span<const std::int64_t> test_rows);

/// Reads a splits file for a data set of `rows` rows: plain text or gzip, one line per split with the numbers of its
/// test rows, from 0, separated by spaces or tabs. Throws IoError that names file and line for a file that cannot be
/// read or has no lines, something that is not a row number, a row out of range or listed twice, and a split that
/// leaves nothing to train or test on.
std::vector<std::vector<std::int64_t>> read_splits(const std::filesystem::path& path, std::int64_t rows);

}  // namespace twingrad::data
