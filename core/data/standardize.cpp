#include <twingrad/data/standardize.h>
#include <twingrad/error.h>

#include <cmath>
#include <string>

namespace twingrad::data {
namespace {

struct Moments {
  std::vector<double> means;
  std::vector<double> deviations;
};

/// Calls function(value, column) for row-major values in order.
template <class Values, class Function>
void for_each_value(Values& values, std::size_t width, Function&& function) {
  for (std::size_t begin = 0; begin < values.size(); begin += width) {
    for (std::size_t column = 0; column < width; ++column) {
      function(values[begin + column], column);
    }
  }
}

/// Mean and deviation of every column. `fold` neighbouring columns count as one: 1 keeps them apart, `width` takes all
/// together.
template <class T>
Moments moments(const std::vector<T>& values, std::size_t width, std::size_t fold) {
  const std::size_t groups = width / fold;
  const double count = static_cast<double>(values.size()) / static_cast<double>(groups);
  std::vector<std::size_t> group_of(width);
  for (std::size_t column = 0; column < width; ++column) {
    group_of[column] = column / fold;
  }
  std::vector<double> means(groups);
  std::vector<double> squares(groups);
  // Constancy is asked of the values, not of the computed deviation: 0.1 three times has a mean that is not 0.1.
  std::vector<std::uint8_t> constant(groups, 1);
  for_each_value(values, width, [&](T value, std::size_t column) {
    const std::size_t group = group_of[column];
    means[group] += static_cast<double>(value);
    constant[group] = constant[group] != 0 && value == values[group * fold] ? 1 : 0;
  });
  for (double& mean : means) {
    mean /= count;
  }
  for_each_value(values, width, [&](T value, std::size_t column) {
    const double centred = static_cast<double>(value) - means[group_of[column]];
    squares[group_of[column]] += centred * centred;
  });
  Moments result;
  for (const std::size_t group : group_of) {
    const bool same = constant[group] != 0;
    result.means.push_back(same ? static_cast<double>(values[group * fold]) : means[group]);
    result.deviations.push_back(same ? 1.0 : std::sqrt(squares[group] / count));
  }
  return result;
}

void require_finite(const Moments& moments, const Dataset& dataset, const std::string& what) {
  for (std::size_t i = 0; i < moments.means.size(); ++i) {
    // A deviation of 0 beside values that differ: their squares are below the smallest double.
    if (!std::isfinite(moments.means[i]) || !std::isfinite(moments.deviations[i]) || moments.deviations[i] == 0) {
      throw NumericError("data set '" + dataset.name + "': " + what + " " + std::to_string(i) +
                         " cannot be standardised: the squares of its values leave the range of float64");
    }
  }
}

template <class T>
void scale(std::vector<T>& values, const std::vector<double>& means, const std::vector<double>& deviations) {
  for_each_value(values, means.size(), [&](T& value, std::size_t column) {
    value = static_cast<T>((static_cast<double>(value) - means[column]) / deviations[column]);
  });
}

void require_columns(const Dataset& dataset, std::size_t columns, const char* who) {
  if (dataset.columns != static_cast<std::int64_t>(columns)) {
    throw ShapeError(std::string(who) + ": data set '" + dataset.name + "' has " + std::to_string(dataset.columns) +
                     " feature columns, but the training set had " + std::to_string(columns));
  }
}

}  // namespace

Standardizer::Standardizer(const Dataset& training, const StandardizeOptions& options) {
  using Features = StandardizeOptions::Features;
  training.check();
  const auto width = static_cast<std::size_t>(training.columns);
  Moments features{.means = std::vector<double>(width, 0.0), .deviations = std::vector<double>(width, 1.0)};
  if (options.features != Features::unchanged) {
    const std::size_t fold = options.features == Features::together ? width : 1;
    features = std::visit([&](const auto& values) { return moments(values, width, fold); }, training.features);
    require_finite(features, training, "feature column");
  }
  feature_means_ = features.means;
  feature_deviations_ = features.deviations;
  if (training.task == Task::regression) {
    const std::size_t outputs = training.target_names.size();
    Moments targets{.means = std::vector<double>(outputs, 0.0), .deviations = std::vector<double>(outputs, 1.0)};
    if (options.targets) {
      targets = moments(training.targets, outputs, 1);
      require_finite(targets, training, "target column");
    }
    target_means_ = targets.means;
    target_deviations_ = targets.deviations;
  }
}

void Standardizer::apply(Dataset& dataset) const {
  require_columns(dataset, feature_means_.size(), "Standardizer");
  if (dataset.target_names.size() != target_means_.size()) {
    throw ShapeError("Standardizer: data set '" + dataset.name + "' has " +
                     std::to_string(dataset.target_names.size()) + " target columns, but the training set had " +
                     std::to_string(target_means_.size()));
  }
  std::visit([&](auto& values) { scale(values, feature_means_, feature_deviations_); }, dataset.features);
  scale(dataset.targets, target_means_, target_deviations_);
}

std::vector<double> Standardizer::inverse_targets(std::span<const double> values) const {
  const std::size_t width = target_means_.size();
  if (width == 0 || values.size() % width != 0) {
    throw ShapeError("Standardizer: " + std::to_string(values.size()) + " values are no whole rows of " +
                     std::to_string(width) + " targets");
  }
  std::vector<double> result;
  for (std::size_t i = 0; i < values.size(); ++i) {
    result.push_back(values[i] * target_deviations_[i % width] + target_means_[i % width]);
  }
  return result;
}

Standardizer standardize(Split& split, const StandardizeOptions& options) {
  Standardizer standardizer(split.train, options);
  standardizer.apply(split.train);
  standardizer.apply(split.test);
  return standardizer;
}

MeanImputer::MeanImputer(const Dataset& training) {
  for (std::int64_t column = 0; column < training.columns; ++column) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t row = 0; row < training.rows; ++row) {
      const double value = training.feature(row, column);
      if (!std::isnan(value)) {
        sum += value;
        ++count;
      }
    }
    const double mean = sum / static_cast<double>(count);
    if (!std::isfinite(mean)) {
      throw NumericError("data set '" + training.name + "': " + training.column_title(column) +
                         (count == 0 ? " has no value in the training rows to fill missing ones with"
                                     : " has no finite mean in the training rows"));
    }
    means_.push_back(mean);
  }
}

void MeanImputer::apply(Dataset& dataset) const {
  require_columns(dataset, means_.size(), "MeanImputer");
  std::visit(
      [&]<class T>(std::vector<T>& values) {
        for_each_value(values, means_.size(), [&](T& value, std::size_t column) {
          value = std::isnan(value) ? static_cast<T>(means_[column]) : value;
        });
      },
      dataset.features);
}

MeanImputer fill_missing(Split& split) {
  MeanImputer imputer(split.train);
  imputer.apply(split.train);
  imputer.apply(split.test);
  return imputer;
}

}  // namespace twingrad::data
