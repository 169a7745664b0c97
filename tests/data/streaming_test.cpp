// Streamed batches: those of a set on the device, bit for bit, in the same few blocks of memory, whatever the program
// and its callback do.
#include <twingrad/data/loader.h>
#include <twingrad/data/synthetic.h>
#include <twingrad/graph/node.h>
#include <twingrad/metrics.h>
#include <twingrad/nn/nn.h>
#include <twingrad/ops.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "loader_sets.h"
#include "test_files.h"
#include "tests/devices.h"

namespace twingrad::data {
namespace {

using test::clouds;
using test::expect_error;
using test::labelled;
using Numbers = std::vector<double>;

/// A regression with numbers that no narrower type holds.
Dataset measured(std::int64_t rows) {
  return linear_regression({.rows = rows, .columns = 5, .targets = 3, .noise = 0.1, .seed = 3}).data;
}

/// The same rows from a function, as bytes.
RowSource counted_source(std::int64_t rows) {
  RowSource source{
      .name = "counted", .task = Task::classification, .rows = rows, .columns = 1, .outputs = rows, .dtype = u8};
  source.fill = [](const RowSpans& wanted) {
    for (std::size_t i = 0; i < wanted.rows().size(); ++i) {
      wanted.features<std::uint8_t>()[i] = static_cast<std::uint8_t>(wanted.rows()[i]);
      wanted.labels()[i] = wanted.rows()[i];
    }
  };
  return source;
}

struct Seen {
  Shape x_shape, y_shape;
  Dtype x_dtype, y_dtype;
  Numbers x, y;
  bool operator==(const Seen&) const = default;
};

Seen seen(const Batch& batch) {
  return {batch.x.shape(),
          batch.y.shape(),
          batch.x.dtype(),
          batch.y.dtype(),
          batch.x.to_vector<double>(),
          batch.y.to_vector<double>()};
}

std::vector<Seen> epochs_of(Loader& loader, int epochs = 1) {
  std::vector<Seen> all;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (const Batch& batch : loader) {
      all.push_back(seen(batch));
    }
  }
  return all;
}

class StreamingTest : public tests::DeviceTest {
 protected:
  LoaderOptions streaming(std::int64_t batch, bool shuffle = true) const {
    return {.batch = batch, .shuffle = shuffle, .seed = 4, .device = device(), .streaming = true};
  }
};

TEST_P(StreamingTest, GivesTheBatchesOfASetOnTheDevice) {
  for (const Dataset& set : {measured(1), measured(33), clouds(7), clouds(64)}) {
    for (const std::int64_t batch : {1, 8, 100}) {
      for (const bool shuffle : {false, true}) {
        for (const std::int64_t prefetch : {1, 2, 5}) {
          SCOPED_TRACE(set.name + " of " + std::to_string(set.rows) + ", batch " + std::to_string(batch) +
                       ", shuffle " + std::to_string(shuffle) + ", prefetch " + std::to_string(prefetch));
          LoaderOptions options{.batch = batch,
                                .shuffle = shuffle,
                                .seed = 9,
                                .device = device(),
                                .drop_last = batch <= set.rows && shuffle,
                                .prefetch = prefetch};
          Loader resident(set, options);
          options.streaming = true;
          Loader streamed(set, options);
          EXPECT_EQ(streamed.size(), resident.size());
          EXPECT_EQ(streamed.rows(), resident.rows());
          EXPECT_EQ(epochs_of(streamed, 3), epochs_of(resident, 3));
          EXPECT_EQ(streamed.epoch(), 3);
        }
      }
    }
  }
}

TEST_P(StreamingTest, ConvertsAsASetOnTheDeviceDoes) {
  for (const Dtype dtype : {f32, f64, bf16, f16}) {
    SCOPED_TRACE(name(dtype));
    for (const Dataset& set : {measured(11), clouds(11)}) {
      LoaderOptions options{.batch = 4, .device = device(), .dtype = dtype};
      Loader resident(set, options);
      options.streaming = true;
      Loader streamed(set, options);
      EXPECT_EQ(epochs_of(streamed), epochs_of(resident));
      EXPECT_EQ(seen(streamed.all()), seen(resident.all()));
    }
  }
}

TEST_P(StreamingTest, ResumesAtAnyEpochAndSkipsBatches) {
  Loader whole(clouds(31), streaming(8));
  epochs_of(whole, 2);
  Loader resumed(clouds(31), streaming(8));
  resumed.set_epoch(2);
  const std::vector<Seen> expected = epochs_of(whole);
  EXPECT_EQ(epochs_of(resumed), expected);
  resumed.set_epoch(2);
  Loader::Iterator it = resumed.begin();
  ++it;
  it++;
  EXPECT_EQ(seen(*it), expected[2]);
  EXPECT_EQ(seen(*it), expected[2]);
  ++it;
  EXPECT_EQ(seen(*it), expected[3]);
  EXPECT_FALSE(it == Loader::end());
  ++it;
  EXPECT_TRUE(it == Loader::end());
  expect_error<ArgumentError>([&] { *it; }, {"streaming_test.cpp:", "no batch 4", "has 4", "end()"});
}

TEST_P(StreamingTest, GoesForwardOnly) {
  Loader loader(clouds(31), streaming(8));
  Loader::Iterator it = loader.begin();
  const Loader::Iterator before = it;
  EXPECT_EQ(seen(*before), seen(*it));
  ++it;
  EXPECT_EQ((*it).x.size(0), 8);
  expect_error<ArgumentError>([&] { *before; }, {"streaming_test.cpp:", "batch 0 is gone", "begin()"});
  EXPECT_EQ((*it).x.size(0), 8);
}

TEST_P(StreamingTest, LeavesOneEpochAloneWhenAnotherBegins) {
  Loader loader(clouds(31), streaming(8));
  const std::vector<Seen> expected = epochs_of(loader, 2);
  loader.set_epoch(0);
  Loader::Iterator first = loader.begin();
  Loader::Iterator second = loader.begin();
  for (std::size_t i = 0; i < 4; ++i, ++first, ++second) {
    const Batch a = *first;
    const Batch b = *second;
    EXPECT_EQ(seen(b), expected[4 + i]);
    EXPECT_EQ(seen(a), expected[i]);
  }
}

TEST_P(StreamingTest, BatchesThatAreKeptKeepTheirValues) {
  Loader loader(clouds(61), streaming(4));
  const std::vector<Seen> expected = epochs_of(loader);
  loader.set_epoch(0);
  std::vector<Batch> kept;
  for (const Batch& batch : loader) {
    kept.push_back(batch);
  }
  std::vector<Seen> values;
  for (const Batch& batch : kept) {
    values.push_back(seen(batch));
  }
  EXPECT_EQ(values, expected);
}

TEST_P(StreamingTest, GraphsThatRunAfterTheEpochHaveTheirBatches) {
  Loader loader(labelled(61), streaming(4));
  Tensor total = zeros({}, {.device = device()});
  for (const auto& [x, y] : loader) {
    total = total + sum(x * 2.0) + sum(y.to(f32));
  }
  EXPECT_EQ(total.item(), 3.0 * 60 * 61 / 2);
}

TEST_P(StreamingTest, LiesInTheSameFewBlocks) {
  for (const std::int64_t prefetch : {1, 2, 4}) {
    LoaderOptions options = streaming(4);
    options.prefetch = prefetch;
    Loader loader(clouds(61), options);
    std::set<const void*> places;
    for (int epoch = 0; epoch < 4; ++epoch) {
      for (const auto& [x, y] : loader) {
        places.insert(x.node()->buffer->data);
        EXPECT_EQ(x.node()->buffer, y.node()->buffer);
      }
    }
    EXPECT_LE(places.size(), static_cast<std::size_t>(prefetch) + 2);
  }
}

TEST_P(StreamingTest, TakesWhatAFunctionWrites) {
  Loader resident(labelled(200), {.batch = 16, .shuffle = true, .seed = 4, .device = device()});
  Loader bytes(counted_source(200), streaming(16));
  const std::vector<Seen> expected = epochs_of(resident, 2);
  EXPECT_EQ(epochs_of(bytes, 2), expected);
  EXPECT_EQ(expected[0].x_dtype, f32);
  EXPECT_EQ(seen(bytes.all()), seen(resident.all()));

  const Dataset set = measured(40);
  for (const Dtype dtype : {f32, f64}) {
    RowSource source{.name = "made", .rows = 40, .columns = 5, .outputs = 3, .dtype = f64};
    source.fill = [&set](const RowSpans& wanted) {
      for (std::size_t i = 0; i < wanted.rows().size(); ++i) {
        const std::int64_t row = wanted.rows()[i];
        std::copy_n(std::get<Numbers>(set.features).begin() + row * 5, 5, &wanted.features<double>()[5 * i]);
        std::copy_n(set.targets.begin() + row * 3, 3, &wanted.targets()[3 * i]);
      }
    };
    LoaderOptions options = streaming(7);
    options.dtype = dtype;
    Loader made(source, options);
    options.streaming = false;
    Loader other(set, options);
    EXPECT_EQ(epochs_of(made, 2), epochs_of(other, 2)) << name(dtype);
  }
}

struct OwnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

TEST_P(StreamingTest, ErrorsOfAFunctionComeOutWhereTheirBatchIsAskedFor) {
  RowSource source = counted_source(40);
  bool broken = true;
  source.fill = [good = source.fill, &broken](const RowSpans& wanted) {
    if (broken && wanted.rows()[0] == 12) {
      throw OwnError("the disk is gone");
    }
    good(wanted);
  };
  Loader loader(source, streaming(4, false));
  std::vector<Seen> before;
  Loader::Iterator it = loader.begin();
  for (int i = 0; i < 3; ++i, ++it) {
    before.push_back(seen(*it));
  }
  EXPECT_THROW(*it, OwnError);
  EXPECT_THROW(*it, OwnError);
  ++it;
  EXPECT_THROW(*it, OwnError);
  EXPECT_EQ(before[2].y, (Numbers{8, 9, 10, 11}));
  it = {};
  broken = false;
  EXPECT_EQ(epochs_of(loader).size(), 10U);
}

TEST_P(StreamingTest, ChecksLabelsAndSpans) {
  RowSource source = counted_source(40);
  source.outputs = 30;
  Loader bad_labels(source, streaming(8, false));
  expect_error<NumericError>([&] { epochs_of(bad_labels); }, {"'counted'", "row 30", "label 30", "30 classes"});
  const auto with = [&](std::function<void(const RowSpans&)> fill) {
    source.fill = std::move(fill);
    Loader loader(source, streaming(8));
    epochs_of(loader);
  };
  expect_error<DtypeError>([&] { with([](const RowSpans& wanted) { wanted.features<float>(); }); },
                           {"'counted'", "uint8", "float32"});
  expect_error<ArgumentError>([&] { with([](const RowSpans& wanted) { wanted.targets(); }); },
                              {"'counted'", "labels()"});
  source.task = Task::regression;
  expect_error<ArgumentError>([&] { with([](const RowSpans& wanted) { wanted.labels(); }); },
                              {"'counted'", "targets()"});
}

TEST_P(StreamingTest, MayBeLeftAtAnyBatch) {
  RowSource slow = counted_source(60);
  slow.fill = [good = slow.fill](const RowSpans& wanted) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    good(wanted);
  };
  Loader whole(slow, streaming(4));
  const std::vector<Seen> expected = epochs_of(whole);
  for (int stop = 0; stop < 12; ++stop) {
    Loader loader(slow, streaming(4));
    std::optional<Tensor> sum_of_last;
    int taken = 0;
    for (auto it = loader.begin(); taken < stop; ++it, ++taken) {
      const auto [x, y] = *it;
      sum_of_last = sum(x) + sum(y.to(f32));
      sum_of_last->eval();
    }
    // Memory that copies go to may be somebody else's next.
    const Tensor others = ones({4096}, {.device = device()}) + 1;
    loader.set_epoch(0);
    EXPECT_EQ(seen(*loader.begin()), expected[0]);
    EXPECT_EQ(others.to_vector<float>(), std::vector<float>(4096, 2.0F));
    if (stop > 0) {
      const Numbers& rows = expected[static_cast<std::size_t>(stop) - 1].x;
      double twice = 0;
      for (const double row : rows) {
        twice += 2 * row;
      }
      EXPECT_EQ(sum_of_last->item(), twice);
    }
  }
}

TEST_P(StreamingTest, KeepsADataSetThatIsGone) {
  const auto make = [&](bool moved) {
    Dataset set = labelled(4);
    return moved ? Loader(std::move(set), streaming(4, false)) : Loader(set, streaming(4, false));
  };
  for (const bool moved : {false, true}) {
    Loader loader = make(moved);
    EXPECT_EQ(epochs_of(loader)[0].y, (Numbers{0, 1, 2, 3}));
    Loader copy = loader;
    EXPECT_EQ(epochs_of(copy), epochs_of(loader));
  }
  Dataset set = labelled(4);
  Loader resident(std::move(set), {.batch = 4, .device = device()});
  EXPECT_EQ(epochs_of(resident)[0].y, (Numbers{0, 1, 2, 3}));
}

TEST_P(StreamingTest, MetricsTakeIt) {
  nn::Mlp model({3, 8, 3}, {.seed = 2});
  model.to(device());
  const Dataset set = clouds(50);
  Loader streamed(set, streaming(16));
  EXPECT_EQ(metrics::accuracy(model, streamed), metrics::accuracy(model, set));
}

INSTANTIATE_ON_DEVICES(StreamingTest);

TEST(StreamingOptionsTest, AreChecked) {
  expect_error<ArgumentError>([] { Loader(labelled(3), {.streaming = true, .prefetch = 0}); },
                              {"streaming_test.cpp:", "prefetch is 0"});
  expect_error<ArgumentError>([] { Loader(labelled(3), {.batch = 0, .streaming = true}); }, {"batch is 0"});
  expect_error<ArgumentError>([] { Loader(labelled(3), {.batch = 4, .drop_last = true, .streaming = true}); },
                              {"drop_last", "3 rows"});
  expect_error<DtypeError>([] { Loader(counted_source(3), {.dtype = i64}); }, {"int64"});
  expect_error<ArgumentError>([] { Loader(labelled(0), {.streaming = true}); }, {"'labelled'", "no rows"});
  Dataset with_nan = clouds(3);
  std::get<std::vector<float>>(with_nan.features)[4] = std::nanf("");
  expect_error<NumericError>([&] { Loader(with_nan, {.streaming = true}); }, {"row 1", "not a finite number"});
  const auto with = [](auto change) {
    RowSource source = counted_source(3);
    change(source);
    Loader loader(source);
  };
  expect_error<ArgumentError>([&] { with([](RowSource& s) { s.rows = 0; }); }, {"'counted'", "no rows"});
  expect_error<ArgumentError>([&] { with([](RowSource& s) { s.columns = 0; }); }, {"'counted'", "no columns"});
  expect_error<ArgumentError>([&] { with([](RowSource& s) { s.outputs = 0; }); }, {"'counted'", "no classes"});
  expect_error<ArgumentError>([&] { with([](RowSource& s) { s.fill = {}; }); }, {"'counted'", "fill"});
  expect_error<DtypeError>([&] { with([](RowSource& s) { s.dtype = i32; }); }, {"'counted'", "int32"});
  Loader loader(counted_source(3), {.prefetch = 7});
  EXPECT_EQ(loader.size(), 1);
}

}  // namespace
}  // namespace twingrad::data
