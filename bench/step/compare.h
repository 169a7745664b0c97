// Two runs of the benchmark held against each other: which system became faster, slower, or neither, given the noise of
// both.
//
//   for (const stepbench::Change& change : stepbench::compare(before, after)) ...
//   std::cout << stepbench::to_table(changes);
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace stepbench {

enum class Verdict { faster, slower, tie };
const char* name(Verdict verdict);

/// One system on one work, in both runs.
struct Change {
  std::string work;
  std::string system;
  double ratio = 1;  ///< median step time after / before
  double low = 1;    ///< interval that holds the ratio with 99 % confidence, widened by the noise of both runs
  double high = 1;
  double noise = 0;  ///< relative: the larger one of both runs
  Verdict verdict = Verdict::tie;
};

/// An interval for the median of the values with this confidence, by order statistics: whatever the distribution, the
/// number of values below the median is binomial. With too few values for it, all of them. Throws ArgumentError for no
/// values, or a confidence outside (0, 1).
std::pair<double, double> median_interval(std::vector<double> values, double confidence);

/// How far two runs of the same system were apart in one run ("twingrad-again" against "twingrad"), relative: the
/// largest over all works; 0 when the run has no such pair.
double noise_of(const nlohmann::json& run);

/// All pairs of work and system that both runs have. A system is a tie unless the interval of its ratio leaves out 1 by
/// more than the noise. Throws IoError when a run is not one of this benchmark, ArgumentError when both have nothing in
/// common, are of different machines, or have a work of the same name that differs.
std::vector<Change> compare(const nlohmann::json& before, const nlohmann::json& after);

std::string to_table(const std::vector<Change>& changes);

}  // namespace stepbench
