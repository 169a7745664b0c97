// A data set on the host: features of every row and what is to be learned from them. Readers and generators make one,
// split.h and standardize.h prepare it, Loader (loader.h) puts it on a device and hands out batches.
//
//   tg::data::Dataset concrete = tg::data::make_dataset(tg::data::read_csv("concrete.csv"));
//   tg::data::Dataset digits = tg::data::make_dataset(tg::data::read_csv("digits.csv.gz"),
//                                                     {.task = tg::data::Task::classification});
#pragma once

#include <twingrad/data/csv.h>

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace twingrad::data {

enum class Task : std::uint8_t { regression, classification };

struct Dataset {
  /// Where it comes from, for messages: a file, or "moons".
  std::string name{};
  Task task = Task::regression;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// (rows, columns), row-major. float where the source has no more to give (pixels), double otherwise.
  std::variant<std::vector<float>, std::vector<double>> features{};
  /// One per column, or empty.
  std::vector<std::string> feature_names{};

  /// Classification: one per row, in [0, classes()).
  std::vector<std::int64_t> labels{};
  std::vector<std::string> class_names{};

  /// Regression: (rows, target_names.size()), row-major.
  std::vector<double> targets{};
  std::vector<std::string> target_names{};

  std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }
  /// What a model has to put out per row: a score per class, or a value per target column.
  std::int64_t outputs() const {
    return task == Task::classification ? classes() : static_cast<std::int64_t>(target_names.size());
  }
  double feature(std::int64_t row, std::int64_t column) const;
  /// "column 'age'", or "column 3" where columns have no names.
  std::string column_title(std::int64_t column) const;

  /// The rows of these numbers, in this order. Throws ArgumentError for a row that is not there.
  Dataset take(std::span<const std::int64_t> row_numbers) const;

  /// Throws ArgumentError when there are no rows or columns, or when a member's size does not fit the others';
  /// NumericError for the first feature or target that is NaN or infinite and the first label out of range.
  void check() const;
};

/// How a table becomes a data set.
struct DatasetOptions {
  Task task = Task::regression;
  /// Columns to learn, by name; empty: the table's last column. Classification takes exactly one.
  std::vector<std::string> targets = {};
  /// Most categories of one text feature. An identifier or free text has as many as there are rows.
  std::int64_t max_categories = 256;
  /// Most classes. A measured quantity has as many values as there are rows.
  std::int64_t max_classes = 1000;
};

/// The table's columns as a data set. A number column is one feature. A text column is one-hot: one feature of 0 and 1
/// per category, named "column=category", in sorted order; NaN in all of them where the text is missing. Classes are
/// the distinct values of the target column in sorted order, by value for numbers and by bytes for text.
///
/// Throws IoError when a target is not there (the columns are listed), holds text in a regression or misses a value
/// (file and line named), when no column is left for features, and for more categories or classes than allowed;
/// ArgumentError when a classification names several targets or a target is named twice.
Dataset make_dataset(const Table& table, const DatasetOptions& options = {});

}  // namespace twingrad::data
