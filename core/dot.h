// A picture of the graph in Graphviz's language, as micrograd's draw_dot: every node with op, shape, dtype, device,
// source line, value and gradient, forward and backward.
//
//   std::ofstream("graph.dot") << tg::to_dot(loss);          // dot -Tsvg graph.dot > graph.svg
#pragma once

#include <twingrad/tensor.h>

#include <string>

namespace twingrad {

struct DotOptions {
  /// Computes and shows values; of larger tensors the first elements.
  bool values = true;
  /// Computes and shows the gradient of the (scalar, floating-point) output at every node it flows to.
  bool gradients = true;
  /// Draws the nodes that compute the gradients, too.
  bool backward = false;
};

/// The graph that `output` depends on. Throws what evaluating it throws, and ShapeError when gradients of a tensor of
/// several elements are asked for.
std::string to_dot(const Tensor& output, DotOptions options = {});

}  // namespace twingrad
