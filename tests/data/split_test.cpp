#include "test_files.h"

#include <twingrad/data/split.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace twingrad::data {
namespace {

using test::expect_error;
using test::TempFiles;

using Rows = std::vector<std::int64_t>;

/// Row r has the feature and the target r.
Dataset counting(std::int64_t rows) {
  Dataset dataset;
  dataset.name = "counting";
  dataset.rows = rows;
  dataset.columns = 1;
  for (std::int64_t row = 0; row < rows; ++row) {
    dataset.targets.push_back(static_cast<double>(row));
  }
  dataset.features = dataset.targets;
  dataset.target_names = {"y"};
  return dataset;
}

Rows rows_of(const Dataset& part) {
  return {part.targets.begin(), part.targets.end()};
}

TEST(Split, GoesByTheRowsGiven) {
  const Split parts = split(counting(6), Rows{4, 1});
  EXPECT_EQ(rows_of(parts.test), (Rows{4, 1}));
  EXPECT_EQ(rows_of(parts.train), (Rows{0, 2, 3, 5}));
  EXPECT_EQ(parts.train.feature(3, 0), 5);
  EXPECT_EQ(parts.train.target_names, (std::vector<std::string>{"y"}));
}

TEST(Split, RefusesRowsThatDoNotFit) {
  expect_error<ArgumentError>([] { split(counting(6), Rows{6}); }, {"'counting'", "row 6 is not there", "6 rows"});
  expect_error<ArgumentError>([] { split(counting(6), Rows{-1}); }, {"row -1 is not there"});
  expect_error<ArgumentError>([] { split(counting(6), Rows{2, 3, 2}); }, {"row 2 is listed twice"});
  expect_error<ArgumentError>([] { split(counting(6), Rows{}); }, {"no test rows"});
  expect_error<ArgumentError>([] { split(counting(2), Rows{0, 1}); }, {"all 2 rows", "none to train on"});
}

TEST(Split, DrawsAFractionOnce) {
  for (const std::int64_t rows : {2, 3, 7, 31, 33, 255, 257, 1025}) {
    SCOPED_TRACE(rows);
    const Split parts = split(counting(rows), {.test_fraction = 0.2, .seed = 3});
    const auto expected = std::max<std::int64_t>(1, (2 * rows + 5) / 10);
    EXPECT_EQ(parts.test.rows, expected);
    Rows all = rows_of(parts.train);
    const Rows test_rows = rows_of(parts.test);
    EXPECT_TRUE(std::ranges::is_sorted(all));
    EXPECT_TRUE(std::ranges::is_sorted(test_rows));
    all.insert(all.end(), test_rows.begin(), test_rows.end());
    std::ranges::sort(all);
    EXPECT_EQ(all, rows_of(counting(rows)));
  }
}

TEST(Split, DependsOnTheSeedAlone) {
  const auto test_rows = [](std::int64_t seed) { return rows_of(split(counting(100), {.seed = seed}).test); };
  EXPECT_EQ(test_rows(1), test_rows(1));
  EXPECT_NE(test_rows(1), test_rows(2));
}

TEST(Split, DrawsRowsEvenly) {
  // Over 2000 seeds each of 20 rows is drawn binomially: mean 400, deviation sqrt(2000 * 0.2 * 0.8) = 17.9. Six
  // deviations are passed by chance once in 10^7 such tests, and the seeds are fixed.
  std::vector<int> drawn(20);
  for (std::int64_t seed = 0; seed < 2000; ++seed) {
    for (const std::int64_t row : rows_of(split(counting(20), {.seed = seed}).test)) {
      ++drawn[static_cast<std::size_t>(row)];
    }
  }
  for (const int count : drawn) {
    EXPECT_NEAR(count, 400, 107);
  }
}

TEST(Split, LeavesRowsOnBothSides) {
  EXPECT_EQ(split(counting(10), {.test_fraction = 0.001}).test.rows, 1);
  EXPECT_EQ(split(counting(10), {.test_fraction = 0.999}).train.rows, 1);
  for (const double fraction : {0.0, 1.0, -0.5, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    expect_error<ArgumentError>([&] { split(counting(10), {.test_fraction = fraction}); },
                                {"'counting'", "test_fraction", "between 0 and 1"});
  }
  expect_error<ArgumentError>([] { split(counting(1)); }, {"'counting'", "two rows or more", "1"});
  expect_error<ArgumentError>([] { split(counting(0)); }, {"'counting'", "two rows or more", "0"});
}

TEST(ReadSplits, ReadsOneSplitPerLine) {
  const TempFiles files;
  const std::vector<Rows> expected = {{3, 1}, {0}, {4, 2, 0}};
  EXPECT_EQ(read_splits(files.write("splits.txt", "3 1\n0\n4 2 0\n"), 5), expected);
  EXPECT_EQ(read_splits(files.write("splits.txt", "3\t1 \r\n 0\r\n4  2 0\r\n\r\n"), 5), expected);
  EXPECT_EQ(read_splits(files.write("splits.txt", test::gzip_stored("3 1\n0\n4 2 0")), 5), expected);
}

TEST(ReadSplits, ReadsThePublishedSplits) {
  const auto concrete = read_splits(test::example_file("concrete.test_rows.txt"), 1030);
  ASSERT_EQ(concrete.size(), 20U);
  for (const Rows& rows : concrete) {
    EXPECT_EQ(rows.size(), 103U);
  }
  EXPECT_EQ((Rows{concrete[0].begin(), concrete[0].begin() + 3}), (Rows{87, 751, 655}));
  const auto plant = read_splits(test::example_file("power-plant.test_rows.txt"), 9568);
  ASSERT_EQ(plant.size(), 20U);
  for (const Rows& rows : plant) {
    EXPECT_EQ(rows.size(), 957U);
  }
}

TEST(ReadSplits, NamesFileAndLineOfWhatDoesNotFit) {
  const TempFiles files;
  const auto refuse = [&](std::string_view text, const std::vector<std::string>& parts) {
    const auto path = files.write("splits.txt", text);
    expect_error<IoError>([&] { read_splits(path, 5); }, parts);
  };
  refuse("0 1\n2 5\n", {"splits.txt:2", "row 5 is not there", "5 rows"});
  refuse("0 1\n-2\n", {"splits.txt:2", "row -2 is not there"});
  refuse("0 1\n2 x\n", {"splits.txt:2", "'x' is not a row number"});
  refuse("0 1.5\n", {"splits.txt:1", "'1.5' is not a row number"});
  refuse("0,1\n", {"splits.txt:1", "'0,1' is not a row number"});
  refuse("99999999999999999999\n", {"splits.txt:1", "is not a row number"});
  refuse("0 1\n\n2\n", {"splits.txt:2", "no test rows"});
  refuse("0 1 0\n", {"splits.txt:1", "row 0 is listed twice"});
  refuse("0 1 2 3 4\n", {"splits.txt:1", "none to train on"});
  refuse("", {"splits.txt", "no splits"});
  refuse(" \n\n", {"splits.txt", "no splits"});
  expect_error<IoError>([&] { read_splits(files.directory() / "none.txt", 5); }, {"none.txt", "no such file"});
}

}  // namespace
}  // namespace twingrad::data
