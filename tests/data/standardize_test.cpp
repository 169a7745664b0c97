#include "test_files.h"

#include <twingrad/data/standardize.h>
#include <twingrad/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace twingrad::data {
namespace {

using test::expect_error;

using Numbers = std::vector<double>;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Dataset regression(std::int64_t columns, Numbers features, Numbers targets) {
  Dataset dataset;
  dataset.name = "set";
  dataset.columns = columns;
  dataset.rows = std::ssize(features) / columns;
  const auto outputs = std::ssize(targets) / dataset.rows;
  for (std::int64_t i = 0; i < outputs; ++i) {
    dataset.target_names.push_back("y" + std::to_string(i));
  }
  dataset.features = std::move(features);
  dataset.targets = std::move(targets);
  return dataset;
}

Numbers features(const Dataset& dataset) {
  return std::get<Numbers>(dataset.features);
}

TEST(Standardizer, UsesMeanAndDeviationOfTheTrainingRowsAlone) {
  Split split{.train = regression(2, {1, 10, 3, 30}, {100, 200}), .test = regression(2, {5, 0}, {400})};
  const Standardizer scale = standardize(split);
  EXPECT_EQ(scale.feature_means(), (Numbers{2, 20}));
  EXPECT_EQ(scale.feature_deviations(), (Numbers{1, 10}));
  EXPECT_EQ(scale.target_means(), (Numbers{150}));
  EXPECT_EQ(scale.target_deviations(), (Numbers{50}));
  EXPECT_EQ(features(split.train), (Numbers{-1, -1, 1, 1}));
  EXPECT_EQ(split.train.targets, (Numbers{-1, 1}));
  EXPECT_EQ(features(split.test), (Numbers{3, -2}));
  EXPECT_EQ(split.test.targets, (Numbers{5}));
}

TEST(Standardizer, DividesByTheNumberOfRows) {
  const Standardizer scale(regression(1, {1, 2, 3, 4}, {0, 0, 0, 8}));
  EXPECT_EQ(scale.feature_deviations(), (Numbers{std::sqrt(1.25)}));
  EXPECT_EQ(scale.target_deviations(), (Numbers{std::sqrt(12.0)}));
}

TEST(Standardizer, OnlyShiftsConstantColumns) {
  // 0.1 three times adds up to more than 0.3: a deviation from the computed mean would not be 0.
  Split split{.train = regression(2, {0.1, 1, 0.1, 2, 0.1, 3}, {7, 7, 7}), .test = regression(2, {0.6, 2}, {9})};
  const Standardizer scale = standardize(split);
  EXPECT_EQ(scale.feature_means()[0], 0.1);
  EXPECT_EQ(scale.feature_deviations()[0], 1.0);
  EXPECT_EQ(split.train.feature(0, 0), 0.0);
  EXPECT_EQ(split.train.feature(2, 0), 0.0);
  EXPECT_EQ(split.test.feature(0, 0), 0.5);
  EXPECT_EQ(split.test.targets, (Numbers{2}));
}

TEST(Standardizer, TakesAllColumnsTogetherOrLeavesThem) {
  using Features = StandardizeOptions::Features;
  const Dataset training = regression(2, {1, 3, 5, 7}, {1, 2});
  const Standardizer together(training, {.features = Features::together});
  EXPECT_EQ(together.feature_means(), (Numbers{4, 4}));
  EXPECT_EQ(together.feature_deviations(), (Numbers{std::sqrt(5.0), std::sqrt(5.0)}));
  Dataset dataset = training;
  Standardizer(training, {.features = Features::unchanged}).apply(dataset);
  EXPECT_EQ(features(dataset), features(training));
  EXPECT_EQ(dataset.targets, (Numbers{-1, 1}));
  dataset = training;
  Standardizer(training, {.targets = false}).apply(dataset);
  EXPECT_EQ(features(dataset), (Numbers{-1, -1, 1, 1}));
  EXPECT_EQ(dataset.targets, training.targets);
}

TEST(Standardizer, KeepsFloatFeaturesFloat) {
  Dataset dataset = regression(1, {0, 0}, {1, 2});
  dataset.features = std::vector<float>{1, 3};
  Standardizer(dataset).apply(dataset);
  EXPECT_EQ(std::get<std::vector<float>>(dataset.features), (std::vector<float>{-1, 1}));
}

TEST(Standardizer, InvertsTargets) {
  const Dataset training = regression(1, {1, 2}, {10, 1, 20, 3});
  const Standardizer scale(training);
  Dataset standardised = training;
  scale.apply(standardised);
  EXPECT_EQ(standardised.targets, (Numbers{-1, -1, 1, 1}));
  EXPECT_EQ(scale.inverse_targets(standardised.targets), training.targets);
  EXPECT_EQ(scale.inverse_targets(Numbers{}), Numbers{});
  expect_error<ShapeError>([&] { (void)scale.inverse_targets(Numbers{1, 2, 3}); }, {"3 values", "rows of 2"});
}

TEST(Standardizer, LeavesLabelsAlone) {
  Dataset dataset = regression(1, {1, 3}, {1, 2});
  dataset.task = Task::classification;
  dataset.targets.clear();
  dataset.target_names.clear();
  dataset.labels = {1, 0};
  dataset.class_names = {"a", "b"};
  const Standardizer scale(dataset);
  scale.apply(dataset);
  EXPECT_EQ(dataset.labels, (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(features(dataset), (Numbers{-1, 1}));
  EXPECT_TRUE(scale.target_means().empty());
  expect_error<ShapeError>([&] { (void)scale.inverse_targets(Numbers{1}); }, {"1 values", "rows of 0"});
}

TEST(Standardizer, RefusesWhatItCannotScale) {
  expect_error<NumericError>(
      [] {
        Standardizer(regression(2, {1, 2, 3, nan}, {1, 2}));
      },
      {"'set'", "row 1, column 1", "not a finite number"});
  expect_error<NumericError>([] { Standardizer(regression(1, {1, 2}, {1, nan})); }, {"'set'", "row 1", "target 'y0'"});
  expect_error<NumericError>(
      [] {
        Standardizer(regression(2, {1, 1e200, 2, -1e200}, {1, 2}));
      },
      {"'set'", "feature column 1", "range of float64"});
  expect_error<NumericError>(
      [] {
        Standardizer(regression(1, {1, 2}, {1e-300, -1e-300}));
      },
      {"'set'", "target column 0", "range of float64"});
  expect_error<ArgumentError>([] { Standardizer(Dataset{.name = "empty"}); }, {"'empty'", "no rows"});
}

TEST(Standardizer, RefusesOtherColumns) {
  const Standardizer scale(regression(2, {1, 2, 3, 4}, {1, 2}));
  Dataset narrow = regression(1, {1, 2}, {1, 2});
  expect_error<ShapeError>([&] { scale.apply(narrow); }, {"'set'", "1 feature columns", "had 2"});
  Dataset two_targets = regression(2, {1, 2, 3, 4}, {1, 2, 3, 4});
  expect_error<ShapeError>([&] { scale.apply(two_targets); }, {"'set'", "2 target columns", "had 1"});
}

TEST(MeanImputer, FillsWithMeansOfTheTrainingRows) {
  Split split{.train = regression(2, {1, nan, 3, 10, nan, 20}, {1, 2, 3}),
              .test = regression(2, {nan, nan, 100, 200}, {1, 2})};
  const MeanImputer imputer = fill_missing(split);
  EXPECT_EQ(imputer.means(), (Numbers{2, 15}));
  EXPECT_EQ(features(split.train), (Numbers{1, 15, 3, 10, 2, 20}));
  EXPECT_EQ(features(split.test), (Numbers{2, 15, 100, 200}));
  Dataset floats = regression(2, {0, 0}, {1});
  floats.features = std::vector<float>{std::numeric_limits<float>::quiet_NaN(), 4};
  imputer.apply(floats);
  EXPECT_EQ(std::get<std::vector<float>>(floats.features), (std::vector<float>{2, 4}));
}

TEST(MeanImputer, RefusesWhatItCannotFill) {
  Dataset training = regression(2, {1, nan, 3, nan}, {1, 2});
  training.feature_names = {"a", "b"};
  expect_error<NumericError>([&] { MeanImputer{training}; }, {"'set'", "column 'b'", "no value in the training rows"});
  expect_error<NumericError>(
      [] {
        MeanImputer{regression(1, {1, std::numeric_limits<double>::infinity()}, {1, 2})};
      },
      {"'set'", "column 0", "no finite mean"});
  Dataset narrow = regression(1, {1, 2}, {1, 2});
  const MeanImputer imputer(regression(2, {1, 2}, {1}));
  expect_error<ShapeError>([&] { imputer.apply(narrow); }, {"'set'", "1 feature columns", "had 2"});
}

}  // namespace
}  // namespace twingrad::data
