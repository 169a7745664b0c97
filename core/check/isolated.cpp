// Tier 3, isolated: every kernel of the step alone, on the values that float64 gives its inputs, so that each error is
// local and every wrong node is named, not just the first.
#include <twingrad/check/subject.h>

#include <cmath>

namespace twingrad::check {
namespace {

void describe_node(const Subject& subject, std::size_t i, NodeResult& result) {
  const Node& node = *subject.graph.nodes[i];
  result.node = static_cast<int>(i);
  result.label = node.label;
  result.type = describe(node.type());
  result.leaf = subject.leaf[i] != 0;
  result.backward = subject.forward[i] == 0;
  result.op = result.leaf ? (node.literal_bytes != 0 ? "number" : "leaf") : std::string(node.op->name);
  result.view = !result.leaf && node.op->family == Family::view;
  if (!result.leaf) {
    result.where = to_string(node.where);
    for (const NodePtr& input : node.inputs) {
      result.inputs.push_back(input->index);
    }
  }
}

void compare_node(const PlacedNode& placed, const Array<Tracked>& expected, double lambda, NodeResult& result) {
  if (expected.data.empty()) {
    result.note = "empty";
    return;
  }
  const Dtype dtype = expected.type.dtype;
  result.isolated = compare(placed.output.to_vector<double>(), expected.data, dtype,
                            {.lambda = lambda, .order_known = placed.model.order.known});
  if (result.isolated.finding == Finding::drift) {
    result.verdict = Verdict::warning;
  } else if (result.isolated.finding == Finding::nothing_checked) {
    result.verdict = Verdict::not_checked;
    result.note = "every element leaves the range of " + std::string(name(dtype)) + " on the way";
  } else if (!result.isolated.passes()) {
    result.verdict = Verdict::kernel;
  }
}

}  // namespace

Isolated check_isolated(const Subject& subject, const Options& options, double lambda, DeviceReport& report) {
  Isolated isolated;
  const std::size_t count = subject.graph.nodes.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Node& node = *subject.graph.nodes[i];
    NodeResult result;
    describe_node(subject, i, result);
    if (result.leaf) {
      isolated.values.push_back(read(Tensor(subject.graph.nodes[i]->shared_from_this())));
      isolated.sigma.emplace_back();
      report.nodes.push_back(std::move(result));
      continue;
    }
    std::vector<Array<double>> inputs;
    for (const NodePtr& input : node.inputs) {
      inputs.push_back(isolated.values[static_cast<std::size_t>(input->index)]);
    }
    PlacedNode placed;
    if (!result.view) {
      placed = place_alone(subject, i, isolated.values);
    }
    const Array<Tracked> expected = expect(*node.op, node.attributes, inputs, node.type(), placed.model);
    if (!result.view) {
      compare_node(placed, expected, lambda, result);
      ++report.kernels_checked;
      report.elements_checked += result.isolated.checked;
      report.elements_skipped += result.isolated.skipped;
    }
    Array<double> value{node.type(), {}, {}};
    std::vector<float> sigma;
    double squares = 0;
    for (const Tracked& element : expected.data) {
      value.data.push_back(round_to(element.value, node.dtype));
      // Bounds take each rounding at its largest; it is uniform below that, and so a third of the square on average.
      const double variance =
          std::isfinite(element.variance) ? (element.variance + element.library * element.library) / 3 : 0;
      sigma.push_back(static_cast<float>(std::sqrt(variance)));
      squares += variance;
    }
    result.sigma = sigma.empty() ? 0 : std::sqrt(squares / static_cast<double>(sigma.size()));
    isolated.values.push_back(std::move(value));
    isolated.sigma.push_back(squares > 0 ? std::move(sigma) : std::vector<float>());
    report.nodes.push_back(std::move(result));
    if (options.progress) {
      options.progress(static_cast<double>(i + 1) / static_cast<double>(count), "kernels alone on " + report.device);
    }
  }
  return isolated;
}

}  // namespace twingrad::check
