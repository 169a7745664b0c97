// What the page shows of a run's JSON, with ratios and floors worked out. Private to the page.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/step/statistics.h"

namespace stepbench {

struct PageSystem {
  std::string name;
  std::string role;
  std::string description;
  std::string version;
  std::string left_out;  ///< why it has no times; empty when it has
  Spread step{};         ///< seconds
  Spread ratio{};        ///< to ours, turn by turn
  double ready = 0, first_step = 0, memory = 0;
  double loss_error = 0, output_error = 0;
  std::optional<double> device, read;  ///< seconds; nothing where the system does not tell
  std::optional<double> kernels;       ///< per step; the same
  std::vector<double> losses;
};

struct PageWork {
  std::string name;
  std::string sizes;  ///< "784-128-10"
  std::string loss;
  std::string precision;
  long long batch = 0;
  long long width = 0;  ///< of the input
  double flops = 0, bytes = 0, flops_ceiling = 0, copy_ceiling = 0, floor = 0, foreign_load = 0;
  std::vector<double> reference_losses;
  std::vector<PageSystem> systems;
  int ours = -1;       ///< our fastest; -1: none
  int best_peer = -1;  ///< the fastest peer; -1: none
};

/// Throws IoError when `run` is no result of this benchmark, or lacks a field.
std::vector<PageWork> page_works(const nlohmann::json& run);

/// Horizontal bars on a logarithmic axis: to the right of 1 what is slower than ours, to the left what is faster.
std::string ratio_chart(const PageWork& work);
/// Losses of all systems over the step, laid over float64's.
std::string loss_chart(const PageWork& work);
/// A grid of batch by width with the value of each work: blue above 1, orange below, darker the farther from it.
std::string heat_map(const std::vector<PageWork>& works, double (*value)(const PageWork&));
/// The best peer's step time / ours; 0 when not both were measured.
double best_ratio(const PageWork& work);
/// The floor / our step time; 0 when it was not measured.
double floor_share(const PageWork& work);
/// Our step times on two devices over the batch, width by width, and from which batch on the second is ahead. Throws
/// ArgumentError when the sweeps have no width in common. Names are HTML.
std::string crossover_chart(const std::vector<PageWork>& first, const std::vector<PageWork>& second,
                            const std::string& first_name, const std::string& second_name);
/// FLOP/s over FLOP per byte of all works: the attainable, ours, and the best peer.
std::string roofline_chart(const std::vector<PageWork>& works);

}  // namespace stepbench
