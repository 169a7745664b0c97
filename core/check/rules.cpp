// Tier 1: does each gradient rule fit its forward formula? In float64, at random points of the op's domain, with the
// shapes of the user's own use: <J^T v, u> by the rule against <v, J u> by dual numbers, which share no code with it. A
// custom op has no formula for other numbers; there the Taylor remainder's order decides: it falls with the square of
// the step when the gradient is right, and linearly when it is wrong.
#include <twingrad/autograd.h>
#include <twingrad/check/rules.h>
#include <twingrad/check/subject.h>
#include <twingrad/evaluate.h>
#include <twingrad/philox.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace twingrad::check {
namespace {

/// Uniform numbers for one use of one rule.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : seed_(static_cast<std::int64_t>(seed)) {}
  double uniform(double low, double high) {
    const Philox4 block = random_block(seed_, 0x5eed, next_ / 2);
    return low + (high - low) * uniform_lane<double>(block, static_cast<int>(next_++ % 2));
  }

 private:
  std::int64_t seed_;
  std::int64_t next_ = 0;
};

/// Away from kinks by this share of the domain's width: far more than any step of the finite differences.
constexpr double kink_distance = 1.0 / 64;

double draw_in(const Domain& domain, Draws& draws) {
  const double width = domain.high - domain.low;
  while (true) {
    const double x = draws.uniform(domain.low, domain.high);
    if (std::none_of(domain.kinks.begin(), domain.kinks.end(),
                     [&](double kink) { return std::abs(x - kink) < kink_distance * width; })) {
      return x;
    }
  }
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

std::vector<double> values_of(const Array<double>& array) {
  return array.data;
}

/// One use of one op in float64 with everything drawn.
struct Trial {
  const Op& op;
  const Attributes& attributes;
  TensorType type;
  std::vector<Array<double>> inputs;
  std::vector<std::vector<double>> directions;  // empty where the input is not differentiable
  std::vector<double> cotangent;
};

/// A number and how far float64 rounding may have moved it.
struct Measured {
  double value = 0;
  double bound = 0;
};

/// What the tensors' graph gives in float64, with roundings tracked.
std::vector<Array<Tracked>> run_tracked(const std::vector<Tensor>& tensors) {
  const Graph graph = graph_of(tensors);
  const ErrorModel model;
  std::vector<Array<Tracked>> values;
  for (Node* node : graph.nodes) {
    if (node->has_value()) {
      values.push_back(convert<Tracked>(read(Tensor(node->shared_from_this()))));
      continue;
    }
    std::vector<Array<Tracked>> inputs;
    for (const NodePtr& input : node->inputs) {
      inputs.push_back(values[static_cast<std::size_t>(input->index)]);
    }
    values.push_back(reference<Tracked>(*node->op, node->attributes, inputs, node->type(), model));
  }
  std::vector<Array<Tracked>> results;
  for (const Tensor& tensor : tensors) {
    const bool computed = !tensor.evaluated();
    results.push_back(computed ? values[static_cast<std::size_t>(tensor.node()->index)]
                               : convert<Tracked>(read(tensor)));
  }
  return results;
}

/// <J^T v, u> by the op's gradient rule, run by the backend; the bound by the reference on the rule's own graph.
Measured by_rule(const Trial& trial, const std::source_location& where, double lambda) {
  std::vector<Tensor> leaves;
  std::vector<Tensor> wanted;
  std::vector<std::size_t> positions;
  for (std::size_t j = 0; j < trial.inputs.size(); ++j) {
    const Array<double>& input = trial.inputs[j];
    leaves.push_back(input.integers.empty() ? tensor(input.data, input.type.shape, {.dtype = input.type.dtype})
                                            : tensor(input.integers, input.type.shape, {.dtype = input.type.dtype}));
    if (!trial.directions[j].empty()) {
      wanted.push_back(leaves.back());
      positions.push_back(j);
    }
  }
  const Tensor output = apply_typed(trial.op, leaves, trial.attributes, trial.type, Device::cpu(), where);
  const Tensor v = tensor(trial.cotangent, trial.type.shape, {.dtype = f64});
  const std::vector<Tensor> found = gradients(output, wanted, {.cotangent = v, .allow_unused = true}, where);
  Measured result;
  if (trial.op.family != Family::custom) {
    const RoundingScope scope(53, ErrorModel{});
    Tracked sum(0);
    const std::vector<Array<Tracked>> tracked = run_tracked(found);
    for (std::size_t w = 0; w < wanted.size(); ++w) {
      for (std::size_t e = 0; e < tracked[w].data.size(); ++e) {
        sum = sum + tracked[w].data[e] * Tracked(trial.directions[positions[w]][e]);
      }
    }
    result.bound = std::min(lambda * sum.sigma() + sum.library, sum.worst);
  }
  eval(found);
  for (std::size_t w = 0; w < wanted.size(); ++w) {
    result.value += dot(found[w].to_vector<double>(), trial.directions[positions[w]]);
  }
  return result;
}

/// <v, J u> by dual numbers.
double by_dual(const Trial& trial) {
  std::vector<Array<Dual>> inputs;
  for (std::size_t j = 0; j < trial.inputs.size(); ++j) {
    inputs.push_back(convert<Dual>(trial.inputs[j]));
    for (std::size_t e = 0; e < trial.directions[j].size(); ++e) {
      inputs[j].data[e].slope = trial.directions[j][e];
    }
  }
  const Array<Dual> output = reference<Dual>(trial.op, trial.attributes, inputs, trial.type, ErrorModel{});
  std::vector<double> slopes;
  for (const Dual& element : output.data) {
    slopes.push_back(element.slope);
  }
  return dot(slopes, trial.cotangent);
}

/// Slope of log |f(x + h u) - f(x) - h d| over log h, where d is the derivative that is claimed.
double taylor_slope(const Trial& trial, double claimed) {
  const auto f = [&](double h) {
    std::vector<Array<double>> inputs = trial.inputs;
    for (std::size_t j = 0; j < inputs.size(); ++j) {
      for (std::size_t e = 0; e < trial.directions[j].size(); ++e) {
        inputs[j].data[e] += h * trial.directions[j][e];
      }
    }
    return dot(reference<double>(trial.op, trial.attributes, inputs, trial.type, ErrorModel{}).data, trial.cotangent);
  };
  const double start = f(0);
  constexpr int steps = 4;
  std::vector<double> remainders;
  double h = 0x1p-7;
  for (int i = 0; i < steps; ++i, h /= 2) {
    remainders.push_back(std::abs(f(h) - start - h * claimed));
  }
  const double noise = 0x1p-50 * std::abs(start) + std::numeric_limits<double>::min();
  if (remainders.front() <= noise) {
    return 2;  // nothing is left beyond the linear part: the function is linear here and the derivative right
  }
  return std::log2(remainders.front() / std::max(remainders.back(), noise)) / (steps - 1);
}

RuleResult judge(const Trial& trial, const std::source_location& where, double lambda) {
  RuleResult result;
  result.op = trial.op.name;
  result.where = to_string(where);
  const Measured reverse = by_rule(trial, where, lambda);
  result.reverse = reverse.value;
  if (trial.op.family == Family::custom) {
    result.method = "finite differences";
    result.forward = taylor_slope(trial, reverse.value);
    // 2 when right, 1 when wrong; halfway decides.
    result.bound = 1.5;
    result.verdict = result.forward > result.bound ? Verdict::agrees : Verdict::gradient_rule;
    return result;
  }
  result.method = "dual numbers";
  result.forward = by_dual(trial);
  // Forward mode makes the same products in the other order, so it may be off by as much again.
  result.bound = 2 * reverse.bound;
  const bool agrees = std::abs(result.reverse - result.forward) <= result.bound;
  result.verdict = agrees ? Verdict::agrees : Verdict::gradient_rule;
  return result;
}

}  // namespace

RuleResult check_rule(const RuleUse& use, std::uint64_t seed, double false_alarm, const std::source_location& where) {
  Draws draws(seed);
  const auto widen = [](TensorType type) {
    type.dtype = is_floating(type.dtype) ? Dtype::f64 : type.dtype;
    return type;
  };
  Trial trial{use.op, use.attributes, widen(use.type), {}, {}, {}};
  for (const Array<double>& given : use.inputs) {
    Array<double> input{widen(given.type), given.data, given.integers};
    std::vector<double> direction;
    if (is_floating(given.type.dtype)) {
      for (double& element : input.data) {
        element = draw_in(use.op.domain, draws);
        direction.push_back(draws.uniform(-1, 1));
      }
    }
    trial.inputs.push_back(std::move(input));
    trial.directions.push_back(std::move(direction));
  }
  const std::int64_t outputs = numel(use.type.shape);
  for (std::int64_t i = 0; i < outputs; ++i) {
    trial.cotangent.push_back(draws.uniform(-1, 1));
  }
  return judge(trial, where, lambda_for(outputs, false_alarm));
}

std::vector<RuleResult> check_rules(const Subject& subject, const Isolated& isolated, const Options& options) {
  // A use is the same as another when op, attributes and types are.
  std::set<std::string> seen;
  std::vector<RuleResult> results;
  for (std::size_t i = 0; i < subject.graph.nodes.size(); ++i) {
    const Node& node = *subject.graph.nodes[i];
    if (subject.leaf[i] != 0 || subject.forward[i] == 0 || node.op->constant || !is_floating(node.dtype)) {
      continue;
    }
    std::string use = std::string(node.op->name) + to_string(node.attributes.ints);
    double work = static_cast<double>(numel(node.shape));
    bool differentiable = false;
    RuleUse rule{*node.op, node.attributes, node.type(), {}};
    for (const NodePtr& input : node.inputs) {
      use += describe(input->type());
      rule.inputs.push_back(isolated.values[static_cast<std::size_t>(input->index)]);
      work += static_cast<double>(numel(input->shape));
      differentiable = differentiable || is_floating(input->dtype);
    }
    for (const double real : node.attributes.reals) {
      use += " " + std::to_string(real);
    }
    if (!differentiable || !seen.insert(use).second) {
      continue;
    }
    if (node.op->family == Family::matmul) {
      work = static_cast<double>(numel(node.shape)) * static_cast<double>(node.inputs[0]->shape.back());
    }
    RuleResult result;
    if (node.op->gradient == nullptr) {
      result.note = "has no gradient";
      result.verdict = Verdict::agrees;
    } else if (work > 4e6) {
      result.note =
          "too large for dual numbers here; the rule does not depend on size and is checked by the op's own tests";
    } else {
      result = check_rule(rule, options.seed + i, options.false_alarm, node.where);
    }
    result.op = node.op->name;
    result.where = to_string(node.where);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace twingrad::check
