// Tier 3, isolated: every kernel of the step alone, on the values that float64 gives its inputs, so that each error is
// local and every wrong node is named, not just the first.
#include <twingrad/check/compare_pieces.h>
#include <twingrad/check/lanes.h>
#include <twingrad/check/reference_pieces.h>
#include <twingrad/check/subject.h>

#include <algorithm>
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

void judge(const Comparison& comparison, Dtype dtype, NodeResult& result) {
  result.isolated = comparison;
  if (comparison.finding == Finding::drift) {
    result.verdict = Verdict::warning;
  } else if (comparison.finding == Finding::nothing_checked) {
    result.verdict = Verdict::not_checked;
    result.note = "every element leaves the range of " + std::string(name(dtype)) + " on the way";
  } else if (!comparison.passes()) {
    result.verdict = Verdict::kernel;
  }
}

/// What becomes of one node: the value that float64 gives it, and the deviation that rounding gives it.
struct Outcome {
  std::vector<double> value;
  std::vector<float> sigma;  ///< empty where nothing rounds
  double squares = 0;        ///< sum of the squares of sigma
  PartialComparison compared;
};

/// Takes one piece into the node's arrays, and gives the sum of squares of its deviations.
double take(const Elements& due, Dtype dtype, Outcome& outcome) {
  const auto begin = static_cast<std::size_t>(due.begin);
  const auto count = static_cast<std::size_t>(due.count);
  visit(dtype, [&]<class T>(Type<T>) {
    double* to = outcome.value.data() + begin;
    for (std::size_t i = 0; i < count; ++i) {
      to[i] = round_as<T>(due.value[i]);
    }
  });
  if (due.exact) {
    return 0;
  }
  Doubles squares{};
  for (std::size_t i = 0; i < count; i += lane_count) {
    const Doubles variance = load(due.variance.data() + i);
    const Doubles library = load(due.library.data() + i);
    // Bounds take each rounding at its largest; it is uniform below that, and so a third of the square on average.
    Doubles third = select(is_finite(variance), (variance + library * library) * (1.0 / 3.0), Doubles{});
    const std::size_t valid = std::min<std::size_t>(lane_count, count - i);
    for (std::size_t l = valid; l < lane_count; ++l) {
      third[l] = 0;
    }
    squares += third;
    double deviations[lane_count];
    store(rooted(third), deviations);
    std::copy_n(deviations, valid, outcome.sigma.data() + begin + i);
  }
  return total(squares);
}

/// The expected elements of one node, compared with the device's where there are any. A view has none: it is the same
/// elements again.
Outcome outcome_of(Expectation& expectation, const HostValues* actual, Dtype dtype, double lambda) {
  Outcome outcome;
  if (!expectation.moves()) {
    outcome.value.resize(static_cast<std::size_t>(expectation.elements()));
    outcome.sigma.resize(static_cast<std::size_t>(expectation.elements()));
  } else if (actual == nullptr) {
    outcome.value = expectation.take_moved();
    return outcome;
  }
  const auto pieces = static_cast<std::size_t>(expectation.pieces());
  std::vector<double> squares(pieces);
  std::vector<PartialComparison> parts(actual == nullptr ? 0 : pieces);
  for_each_piece(expectation, [&](std::int64_t number, const Elements& due) {
    const auto piece = static_cast<std::size_t>(number);
    if (!expectation.moves()) {
      squares[piece] = take(due, dtype, outcome);
    }
    if (actual != nullptr) {
      thread_local std::vector<double> got;
      got.resize(static_cast<std::size_t>(due.count));
      actual->read(due.begin, due.count, got.data());
      compare_piece(got.data(), due, dtype, lambda, parts[piece]);
    }
  });
  if (expectation.moves()) {
    outcome.value = expectation.take_moved();
  }
  for (const double sum : squares) {
    outcome.squares += sum;
  }
  for (const PartialComparison& part : parts) {
    join(outcome.compared, part);
  }
  if (!(outcome.squares > 0)) {
    outcome.sigma = {};
  }
  return outcome;
}

}  // namespace

Isolated check_isolated(const Subject& subject, const Options& options, double lambda, DeviceReport& report) {
  Isolated isolated;
  const std::size_t count = subject.graph.nodes.size();
  HostValues actual;
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < count; ++i) {
    const Node& node = *subject.graph.nodes[i];
    NodeResult result;
    describe_node(subject, i, result);
    if (result.leaf) {
      isolated.values.push_back(read(Tensor(subject.graph.nodes[i]->shared_from_this()), actual));
      isolated.sigma.emplace_back();
      report.nodes.push_back(std::move(result));
      continue;
    }
    std::vector<const Array<double>*> inputs;
    for (const NodePtr& input : node.inputs) {
      inputs.push_back(&isolated.values[static_cast<std::size_t>(input->index)]);
    }
    PlacedNode placed;
    if (!result.view) {
      placed = place_alone(subject, i, isolated.values, scratch);
      actual.take(placed.output);
    }
    const TensorType type = node.type();
    Expectation expectation(*node.op, node.attributes, inputs, type, placed.model);
    Outcome outcome = outcome_of(expectation, result.view ? nullptr : &actual, type.dtype, lambda);
    if (!result.view) {
      if (expectation.elements() == 0) {
        result.note = "empty";
      } else {
        judge(concluded(outcome.compared, {.lambda = lambda, .order_known = placed.model.order.known}), type.dtype,
              result);
      }
      ++report.kernels_checked;
      report.elements_checked += result.isolated.checked;
      report.elements_skipped += result.isolated.skipped;
    }
    result.sigma = outcome.value.empty() ? 0 : std::sqrt(outcome.squares / static_cast<double>(outcome.value.size()));
    isolated.values.push_back({type, std::move(outcome.value), {}});
    isolated.sigma.push_back(std::move(outcome.sigma));
    report.nodes.push_back(std::move(result));
    if (options.progress) {
      options.progress(static_cast<double>(i + 1) / static_cast<double>(count), "kernels alone on " + report.device);
    }
  }
  return isolated;
}

}  // namespace twingrad::check
