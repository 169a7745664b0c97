// Small sets for tests of loaders.
#pragma once

#include <twingrad/data/dataset.h>
#include <twingrad/data/synthetic.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace twingrad::data::test {

/// A classification with float features.
inline Dataset clouds(std::int64_t rows) {
  Dataset set = blobs({.rows = rows, .columns = 3, .seed = 5});
  const auto& wide = std::get<std::vector<double>>(set.features);
  set.features = std::vector<float>(wide.begin(), wide.end());
  return set;
}

/// Row r has the feature first + r and the label r.
inline Dataset labelled(std::int64_t rows, std::int64_t first = 0) {
  Dataset set;
  set.name = "labelled";
  set.task = Task::classification;
  set.rows = rows;
  set.columns = 1;
  std::vector<float> features;
  for (std::int64_t row = 0; row < rows; ++row) {
    features.push_back(static_cast<float>(first + row));
    set.labels.push_back(row);
    set.class_names.push_back(std::to_string(row));
  }
  set.features = features;
  return set;
}

}  // namespace twingrad::data::test
