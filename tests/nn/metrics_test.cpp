// Metrics against numbers worked out by hand, for tensors and for whole data sets.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cmath>
#include <vector>

#include "tests/devices.h"

namespace twingrad {
namespace {

class MetricsTest : public tests::DeviceTest {
 protected:
  Tensor floats(const std::vector<double>& values, const Shape& shape) const {
    return tensor(values, shape, {.device = device()});
  }
};
INSTANTIATE_ON_DEVICES(MetricsTest);

TEST_P(MetricsTest, AccuracyCountsTheRowsWithTheLargestLogitAtTheLabel) {
  const Tensor logits = floats({1, 2, 3, 3, 2, 1, 0, 0, 0, 5, 9, 7}, {4, 3});
  const TensorOptions options{.device = device()};
  EXPECT_EQ(metrics::accuracy(logits, tensor(std::vector<std::int64_t>{2, 1, 0, 1}, options)), 0.75);
  EXPECT_EQ(metrics::accuracy(logits, tensor(std::vector<std::int32_t>{2, 0, 0, 1}, options)), 1.0);
  EXPECT_TRUE(std::isnan(metrics::accuracy(floats({}, {0, 3}), tensor(std::vector<std::int64_t>{}, options))));
  EXPECT_THROW(metrics::accuracy(logits, tensor(std::vector<std::int64_t>{1, 2}, options)), ShapeError);
  EXPECT_THROW(metrics::accuracy(logits, floats({0, 0, 0, 0}, {4})), DtypeError);
}

TEST_P(MetricsTest, ErrorsOfPredictions) {
  const Tensor prediction = floats({1, 2, 3, 4}, {4, 1});
  const Tensor target = floats({1, 4, 3, 0}, {4, 1});
  EXPECT_EQ(metrics::mse(prediction, target), 5.0);
  EXPECT_EQ(metrics::rmse(prediction, target), std::sqrt(5.0));
  EXPECT_EQ(metrics::mae(prediction, target), 1.5);
  // The target's mean is 2 and its squared deviations sum to 1 + 4 + 1 + 4.
  EXPECT_EQ(metrics::r_squared(prediction, target), 1.0 - 20.0 / 10.0);
  EXPECT_EQ(metrics::r_squared(target, target), 1.0);
  EXPECT_EQ(metrics::sign_accuracy(floats({-1, 2, 0, 3}, {4}), floats({-1, 1, 1, -1}, {4})), 0.5);
  EXPECT_THROW(metrics::rmse(prediction, floats({1, 2, 3, 4}, {4})), ShapeError);
}

data::Dataset counting_classes(std::int64_t rows) {
  data::Dataset set;
  set.name = "counting";
  set.task = data::Task::classification;
  set.rows = rows;
  set.columns = 1;
  std::vector<double> features;
  for (std::int64_t row = 0; row < rows; ++row) {
    features.push_back(static_cast<double>(row % 4 == 0 ? -1 : 1));
    set.labels.push_back(row % 2);
  }
  set.features = features;
  set.class_names = {"even", "odd"};
  return set;
}

TEST_P(MetricsTest, AccuracyOfAModelOverADataSetOfManyBatches) {
  nn::Sequential model(nn::Linear(1, 2), nn::Dropout(1.0));
  model.to(device());
  model.parameters()[0].assign(floats({0, 1}, {2, 1}));  // class 1 where the feature is above 0
  model.parameters()[1].assign(floats({0, 0}, {2}));
  // Three in four rows have a feature above 0; half of the rows are odd, and all odd ones are among them.
  const data::Dataset set = counting_classes(3000);
  EXPECT_EQ(metrics::accuracy(model, set), 0.75);
  EXPECT_TRUE(model.training());
  data::Loader loader(set, {.batch = 7, .shuffle = true, .seed = 3, .device = device()});
  EXPECT_EQ(metrics::accuracy(model, loader), 0.75);
}

TEST_P(MetricsTest, RmseOfAModelOverADataSet) {
  nn::Linear model(1, 1);
  model.to(device());
  model.weight.assign(floats({2}, {1, 1}));
  model.bias.assign(floats({1}, {1}));
  data::Dataset set;
  set.name = "line";
  set.rows = 3;
  set.columns = 1;
  set.features = std::vector<double>{0, 1, 2};
  set.targets = {1, 3, 8};  // the model gives 1, 3, 5
  set.target_names = {"y"};
  EXPECT_EQ(metrics::rmse(model, set), std::sqrt(3.0));
}

}  // namespace
}  // namespace twingrad
