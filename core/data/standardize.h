// Brings features and targets to mean 0 and deviation 1, with statistics of the training rows alone, so that nothing of
// the test rows leaks into training; and fills missing features with means, under the same rule.
//
//   tg::data::Split split = tg::data::split(dataset);
//   tg::data::Standardizer scale = tg::data::standardize(split);
//   ... train ...
//   std::vector<double> in_megapascals = scale.inverse_targets(predictions);
#pragma once

#include <twingrad/data/split.h>

#include <cstdint>
#include <span>
#include <vector>

namespace twingrad::data {

struct StandardizeOptions {
  enum class Features : std::uint8_t {
    per_column,  ///< each column by its own mean and deviation
    together,    ///< all columns by one mean and deviation: pixels, which share a unit
    unchanged,
  };
  Features features = Features::per_column;
  /// Also standardise the targets of a regression, each column by its own mean and deviation.
  bool targets = true;
};

/// (x - mean) / deviation, where the deviation is that of the whole population (the sum of squares over n). A column
/// that is constant in the training rows has no deviation: it is only shifted, to 0 in the training rows.
class Standardizer {
 public:
  /// Takes means and deviations from `training`. Throws what Dataset::check() throws, and NumericError for values so
  /// large that their squares are not finite.
  explicit Standardizer(const Dataset& training, const StandardizeOptions& options = {});

  /// Standardises features and targets in place. Throws ShapeError when the columns are not those of the training set.
  void apply(Dataset& dataset) const;

  /// Standardised target values or predictions, (rows, targets) row-major, in the targets' own units again. Throws
  /// ShapeError when they are no whole rows.
  std::vector<double> inverse_targets(std::span<const double> values) const;

  /// One per feature column; 0 and 1 where features stay unchanged.
  const std::vector<double>& feature_means() const { return feature_means_; }
  const std::vector<double>& feature_deviations() const { return feature_deviations_; }
  /// One per target column; empty for a classification. An error in the target's own unit is this deviation times the
  /// error of standardised values.
  const std::vector<double>& target_means() const { return target_means_; }
  const std::vector<double>& target_deviations() const { return target_deviations_; }

 private:
  std::vector<double> feature_means_;
  std::vector<double> feature_deviations_;
  std::vector<double> target_means_;
  std::vector<double> target_deviations_;
};

/// Fits on split.train and applies to both parts.
Standardizer standardize(Split& split, const StandardizeOptions& options = {});

/// Fills features that are NaN (Missing::keep) with their column's mean over the training rows that have one.
class MeanImputer {
 public:
  /// Throws NumericError when a column has no value at all in `training`, and for infinity.
  explicit MeanImputer(const Dataset& training);
  /// Throws ShapeError when the columns are not those of the training set.
  void apply(Dataset& dataset) const;
  const std::vector<double>& means() const { return means_; }

 private:
  std::vector<double> means_;
};

/// Fits on split.train and applies to both parts.
MeanImputer fill_missing(Split& split);

}  // namespace twingrad::data
