// Sample uses of an op with host values for its inputs, drawn from what its row says: domain, kinks, index limit. All
// floating-point values of one use differ by more than the differences' largest step, so that no two change order.
#pragma once

#include <twingrad/graph/node.h>
#include <twingrad/op.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <source_location>
#include <stdexcept>
#include <vector>

#include "tests/devices.h"

namespace twingrad::tests {

/// One use of an op with the values of its inputs.
struct Drawn {
  Sample sample;
  std::vector<std::vector<double>> values;
  double step = 0;  ///< the largest step that crosses no kink and no tie

  bool floating(std::size_t i) const { return is_floating(sample.inputs[i].dtype); }
};

/// Uniform in [0, 1), the same on every platform.
inline double uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

/// Random weights of size about one, never near zero, so that no element's error goes unseen.
inline std::vector<double> random_weights(std::size_t count, std::mt19937_64& random) {
  std::vector<double> weights(count);
  for (double& weight : weights) {
    weight = (0.5 + uniform(random)) * (random() % 2 == 0 ? 1 : -1);
  }
  return weights;
}

inline Drawn draw(const Sample& sample, const Domain& domain, std::uint64_t seed) {
  Drawn drawn{sample, {}, 0};
  std::mt19937_64 random(seed);
  std::size_t count = 0;
  for (const TensorType& type : sample.inputs) {
    count += is_floating(type.dtype) ? static_cast<std::size_t>(numel(type.shape)) : 0;
  }
  // The domain in four times as many cells as needed; each value lies in the middle half of a cell of its own.
  const std::size_t cells = 4 * std::max<std::size_t>(count, 1);
  const double width = (domain.high - domain.low) / static_cast<double>(cells);
  drawn.step = std::min(width / 8, 0.02);
  std::vector<double> pool;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    const double value = domain.low + (static_cast<double>(cell) + 0.25 + 0.5 * uniform(random)) * width;
    const bool clear = std::all_of(domain.kinks.begin(), domain.kinks.end(),
                                   [&](double kink) { return std::abs(value - kink) > 2 * drawn.step; });
    if (clear) {
      pool.push_back(value);
    }
  }
  for (std::size_t i = pool.size(); i > 1; --i) {
    std::swap(pool[i - 1], pool[random() % i]);
  }
  std::size_t next = 0;
  for (const TensorType& type : sample.inputs) {
    std::vector<double> values(static_cast<std::size_t>(numel(type.shape)));
    for (double& value : values) {
      value = is_floating(type.dtype) ? pool.at(next++)
                                      : static_cast<double>(random() % static_cast<std::uint64_t>(sample.index_limit));
    }
    drawn.values.push_back(std::move(values));
  }
  return drawn;
}

/// The row's samples; for elementwise rows without, shapes that broadcast in every way. Empty where there is neither.
inline std::vector<Sample> samples_of(const Op& op) {
  if (op.samples != nullptr) {
    return op.samples();
  }
  if (op.family != Family::elementwise) {
    return {};
  }
  const std::vector<std::vector<Shape>> shapes =
      op.max_inputs == 1 ? std::vector<std::vector<Shape>>{{{7, 5}}, {{}}, {{2, 3, 4}}}
                         : std::vector<std::vector<Shape>>{
                               {{7, 5}, {7, 5}}, {{7, 5}, {5}}, {{7, 1}, {1, 5}}, {{}, {3}}, {{2, 3, 4}, {3, 1}}};
  std::vector<Sample> samples;
  for (const std::vector<Shape>& use : shapes) {
    Sample sample;
    for (const Shape& shape : use) {
      sample.inputs.push_back({shape, Dtype::f64});
    }
    try {
      op.infer(sample.inputs, {});
    } catch (const DtypeError&) {
      for (TensorType& type : sample.inputs) {
        type.dtype = Dtype::boolean;
      }
      sample.index_limit = 2;
    }
    samples.push_back(sample);
  }
  return samples;
}

/// One use of `op` in a graph.
inline Tensor use_op(const Op& op, const std::vector<Tensor>& inputs, const Attributes& attributes, Device device) {
  if (op.max_inputs == 0) {
    return apply_typed(op, {}, attributes, op.infer({}, attributes), device, std::source_location::current());
  }
  if (&op == &to_device_op) {
    return to_device(inputs[0], device == Device::cpu() ? fake_device() : Device::cpu());
  }
  return twingrad::apply(op, std::vector<Operand>(inputs.begin(), inputs.end()), attributes);
}

/// How the memory of an input lies that shows given values.
enum class Layout : std::uint8_t { contiguous, transposed, stepped, reversed };

/// `values` of `shape` as a tensor whose memory lies as `layout` says; gaps hold NaN, or -1 for integers.
inline Tensor lay_out(const std::vector<double>& values, const Shape& shape, TensorOptions options, Layout layout) {
  const std::int64_t last = shape.empty() ? 1 : shape.back();
  if (layout == Layout::contiguous || shape.empty() || last == 0) {
    return tensor(values, shape, options);
  }
  const std::int64_t rows = numel(shape) / last;
  if (layout == Layout::transposed) {
    // Column-major memory.
    std::vector<double> turned(values.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < last; ++c) {
        turned[static_cast<std::size_t>(c * rows + r)] = values[static_cast<std::size_t>(r * last + c)];
      }
    }
    Shape base = {last};
    Axes axes;
    for (int i = 0; i + 1 < shape.size(); ++i) {
      base.push_back(shape[i]);
      axes.push_back(i + 1);
    }
    axes.push_back(0);
    return permute(tensor(turned, base, options), axes);
  }
  const bool stepped = layout == Layout::stepped;
  const std::int64_t wide = stepped ? 2 * last + 1 : last;
  const double filler = is_floating(options.dtype.value()) ? std::nan("") : -1.0;
  std::vector<double> memory(static_cast<std::size_t>(rows * wide), filler);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < last; ++c) {
      memory[static_cast<std::size_t>(r * wide + (stepped ? 2 * c + 1 : last - 1 - c))] =
          values[static_cast<std::size_t>(r * last + c)];
    }
  }
  Shape base = shape;
  base[shape.size() - 1] = wide;
  const Tensor all = tensor(memory, base, options);
  return stepped ? slice(all, -1, 1, {}, 2) : slice(all, -1, -1, {}, -1);
}

}  // namespace twingrad::tests
