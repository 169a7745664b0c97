#include <twingrad/data/loader.h>
#include <twingrad/data/synthetic.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "loader_sets.h"
#include "test_files.h"
#include "tests/devices.h"

namespace twingrad::data {
namespace {

using test::expect_error;
using test::labelled;

using Numbers = std::vector<double>;
using Rows = std::vector<std::int64_t>;

/// Row r has the features {r, -r} and the targets {10 r, r / 2, 1}.
Dataset counting(std::int64_t rows) {
  Dataset dataset;
  dataset.name = "counting";
  dataset.rows = rows;
  dataset.columns = 2;
  Numbers features;
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto r = static_cast<double>(row);
    features.insert(features.end(), {r, -r});
    dataset.targets.insert(dataset.targets.end(), {10 * r, r / 2, 1});
  }
  dataset.features = features;
  dataset.target_names = {"a", "b", "c"};
  return dataset;
}

/// The labels of one epoch, batch by batch.
std::vector<Rows> epoch_of(Loader& loader) {
  std::vector<Rows> batches;
  for (auto [x, y] : loader) {
    const Rows labels = y.to_vector<std::int64_t>();
    EXPECT_EQ(x.to_vector<std::int64_t>(), labels);
    batches.push_back(labels);
  }
  return batches;
}

Rows joined(const std::vector<Rows>& batches) {
  Rows all;
  for (const Rows& batch : batches) {
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

Rows first_rows(std::int64_t count) {
  Rows rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

class LoaderTest : public tests::DeviceTest {};

TEST_P(LoaderTest, GivesRowsInOrder) {
  Loader loader(labelled(7), {.batch = 3, .device = device()});
  EXPECT_EQ(loader.size(), 3);
  EXPECT_EQ(loader.rows(), 7);
  const std::vector<Rows> expected = {{0, 1, 2}, {3, 4, 5}, {6}};
  EXPECT_EQ(epoch_of(loader), expected);
  EXPECT_EQ(epoch_of(loader), expected);
}

TEST_P(LoaderTest, DropsTheRaggedBatchWhenAsked) {
  Loader loader(labelled(7), {.batch = 3, .device = device(), .drop_last = true});
  EXPECT_EQ(loader.size(), 2);
  EXPECT_EQ(epoch_of(loader), (std::vector<Rows>{{0, 1, 2}, {3, 4, 5}}));
  Loader whole(labelled(6), {.batch = 3, .device = device(), .drop_last = true});
  EXPECT_EQ(epoch_of(whole).size(), 2U);
}

TEST_P(LoaderTest, TakesBatchesLargerThanTheSet) {
  Loader loader(labelled(5), {.batch = 100, .device = device()});
  EXPECT_EQ(loader.size(), 1);
  EXPECT_EQ(epoch_of(loader), (std::vector<Rows>{first_rows(5)}));
}

TEST_P(LoaderTest, GivesFeaturesAndTargetsOfARegression) {
  for (const Dtype dtype : {f32, f64}) {
    SCOPED_TRACE(name(dtype));
    Loader loader(counting(3), {.batch = 2, .device = device(), .dtype = dtype});
    std::vector<Batch> batches;
    for (const Batch& batch : loader) {
      batches.push_back(batch);
    }
    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[0].x.shape(), (Shape{2, 2}));
    EXPECT_EQ(batches[0].y.shape(), (Shape{2, 3}));
    EXPECT_EQ(batches[1].x.shape(), (Shape{1, 2}));
    EXPECT_EQ(batches[1].y.shape(), (Shape{1, 3}));
    EXPECT_EQ(batches[0].x.dtype(), dtype);
    EXPECT_EQ(batches[0].y.dtype(), dtype);
    EXPECT_EQ(batches[0].x.device(), device());
    EXPECT_EQ(batches[0].x.to_vector<double>(), (Numbers{0, 0, 1, -1}));
    EXPECT_EQ(batches[0].y.to_vector<double>(), (Numbers{0, 0, 1, 10, 0.5, 1}));
    EXPECT_EQ(batches[1].x.to_vector<double>(), (Numbers{2, -2}));
    EXPECT_EQ(batches[1].y.to_vector<double>(), (Numbers{20, 1, 1}));
  }
}

TEST_P(LoaderTest, GivesLabelsAsInt64) {
  Loader loader(labelled(3), {.batch = 2, .device = device()});
  const Batch batch = *loader.begin();
  EXPECT_EQ(batch.y.shape(), (Shape{2}));
  EXPECT_EQ(batch.y.dtype(), i64);
  EXPECT_EQ(batch.x.dtype(), f32);
}

TEST_P(LoaderTest, KeepsFloat64Exactly) {
  Dataset dataset = counting(1);
  dataset.features = Numbers{0.1, 1e300};
  dataset.targets = {0.1, 1.0 / 3.0, -1e-300};
  const Batch all = Loader(dataset, {.device = device(), .dtype = f64}).all();
  EXPECT_EQ(all.x.to_vector<double>(), (Numbers{0.1, 1e300}));
  EXPECT_EQ(all.y.to_vector<double>(), dataset.targets);
}

TEST_P(LoaderTest, ShufflesEachEpochAnew) {
  for (const std::int64_t rows : {1, 7, 31, 33, 257}) {
    SCOPED_TRACE(rows);
    Loader loader(labelled(rows), {.batch = 8, .shuffle = true, .seed = 4, .device = device()});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      EXPECT_EQ(loader.epoch(), epoch);
      const std::vector<Rows> batches = epoch_of(loader);
      EXPECT_EQ(static_cast<std::int64_t>(batches.size()), loader.size());
      const Rows order = joined(batches);
      const Tensor expected = random_permutation(rows, {.key = 4, .stream = epoch}, Device::cpu());
      EXPECT_EQ(order, expected.to_vector<std::int64_t>());
      Rows sorted = order;
      std::ranges::sort(sorted);
      EXPECT_EQ(sorted, first_rows(rows));
    }
  }
  Loader loader(labelled(257), {.batch = 32, .shuffle = true, .seed = 4, .device = device()});
  const Rows first = joined(epoch_of(loader));
  EXPECT_NE(first, first_rows(257));
  EXPECT_NE(first, joined(epoch_of(loader)));
  Loader other_seed(labelled(257), {.batch = 32, .shuffle = true, .seed = 5, .device = device()});
  EXPECT_NE(first, joined(epoch_of(other_seed)));
}

TEST_P(LoaderTest, ResumesAtAnyEpoch) {
  const LoaderOptions options{.batch = 8, .shuffle = true, .seed = 4, .device = device()};
  Loader whole(labelled(31), options);
  epoch_of(whole);
  epoch_of(whole);
  Loader resumed(labelled(31), options);
  resumed.set_epoch(2);
  EXPECT_EQ(epoch_of(resumed), epoch_of(whole));
  EXPECT_EQ(resumed.epoch(), 3);
}

TEST_P(LoaderTest, LeavesOneEpochAloneWhenAnotherBegins) {
  Loader loader(labelled(31), {.batch = 31, .shuffle = true, .seed = 4, .device = device()});
  const Loader::Iterator first = loader.begin();
  const Rows before = (*first).y.to_vector<std::int64_t>();
  const Loader::Iterator second = loader.begin();
  EXPECT_EQ((*first).y.to_vector<std::int64_t>(), before);
  EXPECT_NE((*second).y.to_vector<std::int64_t>(), before);
}

TEST_P(LoaderTest, RunsAllBatchesOfOneSizeByOnePlan) {
  Loader loader(labelled(65), {.batch = 8, .shuffle = true, .device = device()});
  const auto run_epoch = [&] {
    for (auto [x, y] : loader) {
      eval({x, y});
    }
  };
  clear_plan_cache();
  const PlanCacheStats before = plan_cache_stats();
  run_epoch();
  const PlanCacheStats first = plan_cache_stats();
  run_epoch();
  const PlanCacheStats second = plan_cache_stats();
  // One for the permutation, one for the whole batches, one for the ragged last.
  EXPECT_EQ(first.misses - before.misses, 3U);
  EXPECT_EQ(second.misses, first.misses);
}

TEST_P(LoaderTest, DoesNotNeedTheDataSetAnyMore) {
  Loader loader = [&] {
    const Dataset dataset = labelled(4);
    return Loader(dataset, {.batch = 4, .device = device()});
  }();
  EXPECT_EQ(epoch_of(loader), (std::vector<Rows>{{0, 1, 2, 3}}));
}

TEST_P(LoaderTest, RefusesDataThatDoesNotFit) {
  Dataset with_nan = counting(3);
  std::get<Numbers>(with_nan.features)[3] = std::numeric_limits<double>::quiet_NaN();
  expect_error<NumericError>([&] { Loader(with_nan, {.device = device()}); },
                             {"'counting'", "row 1, column 1", "not a finite number"});
  Dataset bad_label = labelled(3);
  bad_label.labels[2] = 3;
  expect_error<NumericError>([&] { Loader(bad_label, {.device = device()}); },
                             {"'labelled'", "row 2", "label 3", "3 classes"});
  expect_error<ArgumentError>([&] { Loader(counting(0), {.device = device()}); }, {"'counting'", "no rows"});
}

INSTANTIATE_ON_DEVICES(LoaderTest);

TEST(LoaderOptionsTest, AreChecked) {
  expect_error<ArgumentError>([] { Loader(counting(3), {.batch = 0}); }, {"loader_test.cpp:", "batch is 0"});
  expect_error<ArgumentError>([] { Loader(counting(3), {.batch = 4, .drop_last = true}); },
                              {"loader_test.cpp:", "drop_last", "3 rows", "batch 4"});
  expect_error<DtypeError>([] { Loader(counting(3), {.dtype = i64}); }, {"loader_test.cpp:", "int64"});
  Loader loader(counting(3));
  expect_error<ArgumentError>([&] { loader.set_epoch(-1); }, {"-1 epochs"});
}

}  // namespace
}  // namespace twingrad::data
