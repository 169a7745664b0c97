#include <twingrad/data/host_random.h>
#include <twingrad/data/synthetic.h>
#include <twingrad/error.h>

#include <cmath>
#include <numbers>
#include <string>
#include <utility>

namespace twingrad::data {
namespace {

using detail::normal;
using detail::Stream;
using detail::uniform;

void require_positive(const char* set, const char* what, std::int64_t value) {
  if (value < 1) {
    throw ArgumentError(std::string(set) + ": " + what + " is " + std::to_string(value) + ", but must be 1 or more");
  }
}

void require_not_negative(const char* set, const char* what, double value) {
  if (!(value >= 0) || !std::isfinite(value)) {
    throw ArgumentError(std::string(set) + ": " + what + " is " + std::to_string(value) +
                        ", but must be finite and not negative");
  }
}

std::vector<std::string> numbered(const std::string& stem, std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) {
    names.push_back(stem + std::to_string(i));
  }
  return names;
}

}  // namespace

Dataset moons(const MoonsOptions& options) {
  require_positive("moons", "rows", options.rows);
  require_not_negative("moons", "noise", options.noise);
  Dataset set;
  set.name = "moons";
  set.task = Task::classification;
  set.rows = options.rows;
  set.columns = 2;
  set.feature_names = {"x", "y"};
  set.class_names = {"upper", "lower"};
  std::vector<double> features;
  for (std::int64_t row = 0; row < options.rows; ++row) {
    const std::int64_t label = row % 2;
    const std::int64_t points = (options.rows + 1 - label) / 2;  // of this row's half circle
    const std::int64_t point = row / 2;
    const double share = points > 1 ? static_cast<double>(point) / static_cast<double>(points - 1) : 0.0;
    const double angle = std::numbers::pi * share;
    const double x = label == 0 ? std::cos(angle) : 1.0 - std::cos(angle);
    const double y = label == 0 ? std::sin(angle) : 0.5 - std::sin(angle);
    features.push_back(x + options.noise * normal(options.seed, Stream::noise, 2 * row));
    features.push_back(y + options.noise * normal(options.seed, Stream::noise, 2 * row + 1));
    set.labels.push_back(label);
  }
  set.features = std::move(features);
  return set;
}

Dataset blobs(const BlobsOptions& options) {
  require_positive("blobs", "rows", options.rows);
  require_positive("blobs", "columns", options.columns);
  require_positive("blobs", "classes", options.classes);
  require_not_negative("blobs", "deviation", options.deviation);
  require_not_negative("blobs", "box", options.box);
  Dataset set;
  set.name = "blobs";
  set.task = Task::classification;
  set.rows = options.rows;
  set.columns = options.columns;
  set.feature_names = numbered("x", options.columns);
  set.class_names = numbered("", options.classes);
  std::vector<double> features;
  for (std::int64_t row = 0; row < options.rows; ++row) {
    const std::int64_t label = row % options.classes;
    for (std::int64_t column = 0; column < options.columns; ++column) {
      const double unit = uniform(options.seed, Stream::position, label * options.columns + column);
      const double centre = options.box * (2.0 * unit - 1.0);
      const double noise = normal(options.seed, Stream::noise, row * options.columns + column);
      features.push_back(centre + options.deviation * noise);
    }
    set.labels.push_back(label);
  }
  set.features = std::move(features);
  return set;
}

LinearSet linear_regression(const LinearOptions& options) {
  require_positive("linear_regression", "rows", options.rows);
  require_positive("linear_regression", "columns", options.columns);
  require_positive("linear_regression", "targets", options.targets);
  require_not_negative("linear_regression", "noise", options.noise);
  LinearSet set;
  for (std::int64_t i = 0; i < options.targets * options.columns; ++i) {
    set.weight.push_back(normal(options.seed, Stream::weight, i));
  }
  for (std::int64_t i = 0; i < options.targets; ++i) {
    set.bias.push_back(normal(options.seed, Stream::bias, i));
  }
  Dataset& data = set.data;
  data.name = "linear_regression";
  data.rows = options.rows;
  data.columns = options.columns;
  data.feature_names = numbered("x", options.columns);
  data.target_names = numbered("y", options.targets);
  std::vector<double> features;
  for (std::int64_t i = 0; i < options.rows * options.columns; ++i) {
    features.push_back(normal(options.seed, Stream::position, i));
  }
  for (std::int64_t row = 0; row < options.rows; ++row) {
    for (std::int64_t target = 0; target < options.targets; ++target) {
      double sum = set.bias[static_cast<std::size_t>(target)];
      for (std::int64_t column = 0; column < options.columns; ++column) {
        sum += set.weight[static_cast<std::size_t>(target * options.columns + column)] *
               features[static_cast<std::size_t>(row * options.columns + column)];
      }
      data.targets.push_back(sum + options.noise * normal(options.seed, Stream::noise, row * options.targets + target));
    }
  }
  data.features = std::move(features);
  return set;
}

}  // namespace twingrad::data
