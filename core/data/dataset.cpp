#include <twingrad/data/dataset.h>
#include <twingrad/data/text.h>
#include <twingrad/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace twingrad::data {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class T>
std::vector<T> take_rows(const std::vector<T>& values, std::int64_t width, std::span<const std::int64_t> row_numbers) {
  std::vector<T> taken;
  taken.reserve(row_numbers.size() * static_cast<std::size_t>(width));
  for (const std::int64_t row : row_numbers) {
    const auto begin = values.begin() + row * width;
    taken.insert(taken.end(), begin, begin + width);
  }
  return taken;
}

[[noreturn]] void fail(const Table& table, const std::string& what) {
  throw IoError(table.path + ": " + what);
}

[[noreturn]] void fail(const Table& table, std::int64_t row, const std::string& what) {
  throw IoError(table.path + ":" + std::to_string(table.lines[static_cast<std::size_t>(row)]) + ": " + what);
}

std::vector<const Column*> target_columns(const Table& table, const DatasetOptions& options) {
  if (table.columns.empty()) {
    fail(table, "the table has no columns");
  }
  if (options.targets.empty()) {
    return {&table.columns.back()};
  }
  if (options.task == Task::classification && options.targets.size() > 1) {
    throw ArgumentError("make_dataset: a classification has one target column, but " +
                        std::to_string(options.targets.size()) + " are named: " + quoted_list(options.targets));
  }
  std::vector<const Column*> targets;
  for (const std::string& name : options.targets) {
    const Column* const column = &table.column(name);
    if (std::ranges::find(targets, column) != targets.end()) {
      throw ArgumentError("make_dataset: the target column '" + name + "' is named twice");
    }
    targets.push_back(column);
  }
  return targets;
}

void set_labels(Dataset& dataset, const Table& table, const Column& column, std::int64_t max_classes) {
  const std::string title = "target column '" + column.name + "'";
  std::vector<double> values = column.numbers;
  const auto missing = column.text
                           ? std::ranges::find(column.codes, -1) - column.codes.begin()
                           : std::ranges::find_if(values, [](double x) { return std::isnan(x); }) - values.begin();
  if (missing < table.rows) {
    fail(table, missing, title + ": the value is missing; read the table with Missing::drop_row");
  }
  if (column.text) {
    dataset.class_names = column.categories;
    dataset.labels = column.codes;
  } else {
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    for (const double value : column.numbers) {
      dataset.labels.push_back(std::ranges::lower_bound(values, value) - values.begin());
    }
    for (const double value : values) {
      dataset.class_names.push_back(format_number(value));
    }
  }
  if (dataset.classes() > max_classes) {
    fail(table, title + ": it has " + std::to_string(dataset.classes()) + " distinct values, more than max_classes = " +
                    std::to_string(max_classes) + "; is this a regression?");
  }
}

void set_targets(Dataset& dataset, const Table& table, const std::vector<const Column*>& columns) {
  for (const Column* column : columns) {
    if (column->text) {
      fail(table, 0,
           "target column '" + column->name + "' holds text (" + quoted_list(column->categories, 3) +
               "), but a regression learns numbers; ask for Task::classification");
    }
    dataset.target_names.push_back(column->name);
  }
  for (std::int64_t row = 0; row < table.rows; ++row) {
    for (const Column* column : columns) {
      const double value = column->numbers[static_cast<std::size_t>(row)];
      if (std::isnan(value)) {
        fail(table, row,
             "target column '" + column->name + "': the value is missing; read the table with Missing::drop_row");
      }
      dataset.targets.push_back(value);
    }
  }
}

/// Writes one table column as one feature column, or one per category.
void set_feature(std::vector<double>& features, std::int64_t width, std::int64_t first, const Column& column) {
  const std::size_t rows = column.text ? column.codes.size() : column.numbers.size();
  const auto categories = static_cast<std::int64_t>(column.categories.size());
  for (std::size_t row = 0; row < rows; ++row) {
    double* const out = features.data() + static_cast<std::int64_t>(row) * width + first;
    if (!column.text) {
      *out = column.numbers[row];
      continue;
    }
    for (std::int64_t category = 0; category < categories; ++category) {
      out[category] = column.codes[row] < 0 ? nan : static_cast<double>(column.codes[row] == category);
    }
  }
}

void require(bool holds, const Dataset& dataset, const std::string& what) {
  if (!holds) {
    throw ArgumentError("data set '" + dataset.name + "': " + what);
  }
}

}  // namespace

double Dataset::feature(std::int64_t row, std::int64_t column) const {
  const auto i = static_cast<std::size_t>(row * columns + column);
  return std::visit([i](const auto& values) { return static_cast<double>(values.at(i)); }, features);
}

std::string Dataset::column_title(std::int64_t column) const {
  const auto i = static_cast<std::size_t>(column);
  return i < feature_names.size() ? "column '" + feature_names[i] + "'" : "column " + std::to_string(column);
}

Dataset Dataset::take(std::span<const std::int64_t> row_numbers) const {
  for (const std::int64_t row : row_numbers) {
    require(row >= 0 && row < rows, *this,
            "row " + std::to_string(row) + " is asked for, but there are " + std::to_string(rows) + " rows");
  }
  Dataset part;
  part.name = name;
  part.task = task;
  part.rows = static_cast<std::int64_t>(row_numbers.size());
  part.columns = columns;
  std::visit([&](const auto& values) { part.features = take_rows(values, columns, row_numbers); }, features);
  part.feature_names = feature_names;
  part.class_names = class_names;
  part.target_names = target_names;
  if (task == Task::classification) {
    part.labels = take_rows(labels, 1, row_numbers);
  } else {
    part.targets = take_rows(targets, outputs(), row_numbers);
  }
  return part;
}

void Dataset::check() const {
  require(rows > 0, *this, "it has no rows");
  require(columns > 0, *this, "it has no columns");
  const auto height = static_cast<std::size_t>(rows);
  const std::size_t size = std::visit([](const auto& values) { return values.size(); }, features);
  require(size == height * static_cast<std::size_t>(columns), *this,
          "it has " + std::to_string(size) + " features for " + std::to_string(rows) + " rows of " +
              std::to_string(columns));
  require(feature_names.empty() || feature_names.size() == static_cast<std::size_t>(columns), *this,
          "it has " + std::to_string(feature_names.size()) + " names for " + std::to_string(columns) + " columns");
  const bool labelled = task == Task::classification;
  require(outputs() > 0, *this, labelled ? "it has no class names" : "it has no target names");
  const std::size_t answers = labelled ? labels.size() : targets.size();
  require(answers == height * (labelled ? 1 : target_names.size()), *this,
          "it has " + std::to_string(answers) + (labelled ? " labels" : " target values") + " for " +
              std::to_string(rows) + " rows");
  std::visit(
      [&](const auto& values) {
        const auto bad = std::ranges::find_if(values, [](auto x) { return !std::isfinite(x); }) - values.begin();
        if (bad < rows * columns) {
          throw NumericError("data set '" + name + "': row " + std::to_string(bad / columns) + ", " +
                             column_title(bad % columns) + " is not a finite number; fill missing values with a " +
                             "MeanImputer");
        }
      },
      features);
  for (std::size_t i = 0; i < answers; ++i) {
    if (labelled && (labels[i] < 0 || labels[i] >= classes())) {
      throw NumericError("data set '" + name + "': row " + std::to_string(i) + " has the label " +
                         std::to_string(labels[i]) + ", but there are " + std::to_string(classes()) + " classes");
    }
    if (!labelled && !std::isfinite(targets[i])) {
      const std::size_t width = target_names.size();
      throw NumericError("data set '" + name + "': row " + std::to_string(i / width) + ", target '" +
                         target_names[i % width] + "' is not a finite number");
    }
  }
}

Dataset make_dataset(const Table& table, const DatasetOptions& options) {
  const std::vector<const Column*> targets = target_columns(table, options);
  Dataset dataset;
  dataset.name = table.path;
  dataset.task = options.task;
  dataset.rows = table.rows;
  std::vector<std::pair<const Column*, std::int64_t>> placed;  // with the first feature column of each
  for (const Column& column : table.columns) {
    if (std::ranges::find(targets, &column) != targets.end()) {
      continue;
    }
    placed.emplace_back(&column, static_cast<std::int64_t>(dataset.feature_names.size()));
    const auto categories = static_cast<std::int64_t>(column.categories.size());
    if (categories > options.max_categories) {
      fail(table, "column '" + column.name + "' has " + std::to_string(categories) +
                      " categories, more than max_categories = " + std::to_string(options.max_categories) +
                      "; leave it out with `ignore`");
    }
    if (!column.text) {
      dataset.feature_names.push_back(column.name);
    }
    for (const std::string& category : column.categories) {
      dataset.feature_names.push_back(column.name + "=" + category);
    }
  }
  dataset.columns = static_cast<std::int64_t>(dataset.feature_names.size());
  if (dataset.columns == 0) {
    fail(table, "no column is left for features beside " + quoted_list(options.targets));
  }
  std::vector<double> features(static_cast<std::size_t>(dataset.rows * dataset.columns));
  for (const auto& [column, first] : placed) {
    set_feature(features, dataset.columns, first, *column);
  }
  dataset.features = std::move(features);
  if (options.task == Task::classification) {
    set_labels(dataset, table, *targets.front(), options.max_classes);
  } else {
    set_targets(dataset, table, targets);
  }
  return dataset;
}

}  // namespace twingrad::data
