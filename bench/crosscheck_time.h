// What the cross-check's isolated tier costs, in steps: `crosscheck step --model mlp --time` prints it. Both are timed
// warm, the shortest of several, so that the figure does not depend on what else the machine does. The step that it is
// divided by is the mlp example's in its usual depth, so the other must be that step in fp32.
//
//   // "isolated tier: 8.1 ms, 7.3 float64 steps of 1.11 ms; 17.2 ms the first time"
//   std::cout << isolated_cost(step, report.devices.front().isolated_seconds, seed);
#pragma once

#include <twingrad/check/check.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "crosscheck_steps.h"

namespace crosscheck {

/// Seconds of one training step of the `mlp` example in float64 on the CPU.
inline double float64_mlp_seconds(std::int64_t seed) {
  constexpr std::int64_t rows = 128;
  constexpr int steps = 300;
  const tg::Tensor x = tg::random_uniform({rows, 784}, {.key = seed, .stream = 1}, {.dtype = tg::f64});
  x.eval();
  std::vector<std::int64_t> labels;
  for (std::int64_t r = 0; r < rows; ++r) {
    labels.push_back(r * 7 % 10);
  }
  const tg::Tensor y = tg::tensor(labels);
  tg::nn::Mlp model({784, 128, 64, 10}, {.dropout = 0.2, .seed = seed});
  model.to(tg::f64);
  tg::optim::AdamW adam(model.parameters(), {.lr = 3e-3, .weight_decay = 0.05});
  double shortest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const tg::Tensor loss = tg::cross_entropy(model(x), y);
    adam.step(tg::gradients(loss, model.parameters()));
    loss.item();
    shortest = std::min(shortest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return shortest;
}

/// A line that says what the isolated tier of `step`, the mlp example's in its usual depth and fp32, costs on the CPU.
/// `first` is what it took in a check before.
inline std::string isolated_cost(const Step& step, double first, std::int64_t seed) {
  constexpr int checks = 20;
  const double float64_step = float64_mlp_seconds(seed);
  double shortest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < checks; ++i) {
    const tg::check::Report again = tg::check::step(step, {.repeats = 1, .noise_runs = 0, .gradient_rules = false});
    shortest = std::min(shortest, again.devices.front().isolated_seconds);
  }
  char text[160];
  std::snprintf(text, sizeof text, "isolated tier: %.1f ms, %.1f float64 steps of %.2f ms; %.1f ms the first time\n",
                1e3 * shortest, shortest / float64_step, 1e3 * float64_step, 1e3 * first);
  return text;
}

}  // namespace crosscheck
