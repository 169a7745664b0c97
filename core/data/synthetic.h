// Data sets made up on the spot, for first programs, tests and pictures. The same seed gives the same set, and the
// random numbers are those of philox.h.
//
//   tg::data::Dataset set = tg::data::moons({.rows = 100, .noise = 0.1, .seed = 1});
#pragma once

#include <twingrad/data/dataset.h>

#include <cstdint>
#include <vector>

namespace twingrad::data {

struct MoonsOptions {
  std::int64_t rows = 200;
  double noise = 0.1;  ///< deviation of the normal noise added to both coordinates
  std::int64_t seed = 0;
};
/// Two interleaving half circles of radius 1 in the plane: class "upper" from (1, 0) over (0, 1) to (-1, 0), class
/// "lower" from (0, 0.5) over (1, -0.5) to (2, 0.5). Points are evenly spaced along each before noise; even rows are
/// "upper". Throws ArgumentError for fewer than one row or negative noise.
Dataset moons(const MoonsOptions& options = {});

struct BlobsOptions {
  std::int64_t rows = 300;
  std::int64_t columns = 2;
  std::int64_t classes = 3;
  double deviation = 1.0;
  double box = 10.0;  ///< centres are uniform in [-box, box) along each column
  std::int64_t seed = 0;
};
/// Normal clouds around one random centre per class; row r belongs to class r % classes, named "0", "1", ... Throws
/// ArgumentError for fewer than one row, column or class, or a negative deviation or box.
Dataset blobs(const BlobsOptions& options = {});

struct LinearOptions {
  std::int64_t rows = 100;
  std::int64_t columns = 3;
  std::int64_t targets = 1;
  double noise = 0.0;  ///< deviation of the normal noise added to the targets
  std::int64_t seed = 0;
};
/// A regression with its answer.
struct LinearSet {
  Dataset data;
  std::vector<double> weight;  ///< (targets, columns), row-major
  std::vector<double> bias;    ///< (targets)
};
/// Standard normal features x and targets weight x + bias + noise, with weight and bias standard normal too. Throws
/// ArgumentError for fewer than one row, column or target, or negative noise.
LinearSet linear_regression(const LinearOptions& options = {});

}  // namespace twingrad::data
