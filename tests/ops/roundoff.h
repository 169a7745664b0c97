// How far rounding may move a result: a running error analysis over the graph that made it. Every value of the graph
// may be off by a few relative roundoffs of its own, and the gradient says what that does to the output. To first
// order the error of output element j is at most
//
//   sum over nodes n, elements i:  c(n) * u * |n_i| * |d output_j / d n_i|
//
// with u the unit roundoff and c(n) the roundoffs one kernel of n's family may make:
//   - 16 for elementwise formulas and for what a kernel computes inside (CUDA's manual gives at most 4 units for the
//     functions used here, and a formula has at most four steps after it);
//   - 16 + length for sums of `length` terms in any order (Higham, "Accuracy and stability of numerical algorithms",
//     2002, section 4.2).
// The output must be float64 on the CPU, so that the analysis itself is exact enough, and its leaves must require
// gradients. What does not depend on them through differentiable ops is made of comparisons and counts, which are
// exact.
#pragma once

#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/node.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace twingrad::tests {

/// Unit roundoff of a floating-point dtype: half the distance from 1 to the next number.
inline double unit_roundoff(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
      return 0x1p-53;
    case Dtype::f32:
      return 0x1p-24;
    case Dtype::f16:
      return 0x1p-11;
    case Dtype::bf16:
      return 0x1p-8;
    default:
      return 0;
  }
}

/// Terms that one output element of a node sums up.
inline double summed_terms(const Node& node) {
  if (node.op == nullptr || node.inputs.empty()) {
    return 0;
  }
  const Shape& in = node.inputs[0]->shape;
  switch (node.op->family) {
    case Family::matmul:
    case Family::rows:
      return in.empty() ? 0 : static_cast<double>(in.back());
    case Family::reduce:
      return static_cast<double>(numel(in)) / static_cast<double>(std::max<std::int64_t>(numel(node.shape), 1));
    case Family::scan:
      return static_cast<double>(in[static_cast<int>(node.attributes.ints[0])]);
    case Family::index:
      return static_cast<double>(node.inputs.back()->shape.empty() ? 1 : numel(node.inputs.back()->shape));
    default:
      return 0;
  }
}

/// Roundoffs of one node's kernel; views and moves make none.
inline double roundoffs_of(const Node& node) {
  if (node.op != nullptr && (node.op->family == Family::view || node.op->family == Family::copy)) {
    return 0;
  }
  return 16 + summed_terms(node);
}

/// The bound for each element of `output`, for arithmetic with the unit roundoff `u`. `storage` is the roundoff that
/// storing a computed value costs beyond it: 16-bit floats are computed in float32 and rounded once.
inline std::vector<double> roundoff_bound(const Tensor& output, double u, double storage = 0) {
  const NodePtr& root = output.node();
  std::vector<Tensor> nodes;
  std::vector<double> weights;
  for (Node* node : topological_order(std::span(&root, 1), [](const Node& n) { return n.is_leaf(); })) {
    if (node->requires_grad || (node->op == nullptr && is_floating(node->dtype))) {
      nodes.emplace_back(node->shared_from_this());
      weights.push_back(roundoffs_of(*node) * u + (node->op == nullptr ? 0 : storage));
    }
  }
  eval(nodes);
  std::vector<std::vector<double>> values;
  for (const Tensor& node : nodes) {
    values.push_back(node.to_vector<double>());
  }
  const auto count = static_cast<std::size_t>(output.numel());
  std::vector<double> bound(count, 0);
  for (std::size_t j = 0; j < count; ++j) {
    std::vector<double> one_hot(count, 0);
    one_hot[j] = 1;
    const std::vector<Tensor> slopes =
        gradients(output, nodes, {.cotangent = tensor(one_hot, output.shape(), {.dtype = f64}), .allow_unused = true});
    eval(slopes);
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      const std::vector<double> slope = slopes[n].to_vector<double>();
      for (std::size_t i = 0; i < slope.size(); ++i) {
        const double term = std::abs(values[n][i] * slope[i]);
        bound[j] += std::isnan(term) ? 0 : weights[n] * term;
      }
    }
  }
  return bound;
}

}  // namespace twingrad::tests
