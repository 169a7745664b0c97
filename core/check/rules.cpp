// Tier 1: does each gradient rule fit its forward formula? In float64, at random points of the op's domain, with the
// shapes of the user's own use: <J^T v, u> by the rule against <v, J u> by dual numbers, which share no code with it. A
// custom op has no formula for other numbers; there the Taylor remainder's order decides: it falls with the square of
// the step when the gradient is right, and linearly when it is wrong.
#include <twingrad/autograd.h>
#include <twingrad/check/draws.h>
#include <twingrad/check/rules.h>
#include <twingrad/check/subject.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <type_traits>

namespace twingrad::check {
namespace {

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

std::vector<double> drawn(std::int64_t count, Draws& draws) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(draws.uniform(-1, 1));
  }
  return values;
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
  bool predicted = true;
};

/// What the tensors' graph gives on numbers of type N, with the CPU's error models. `slopes`: of leaves that move.
template <class N>
std::vector<Array<N>> run_on(const std::vector<Tensor>& tensors,
                             const std::map<const Node*, std::vector<double>>& slopes) {
  const auto leaf_value = [&](const Tensor& leaf) {
    Array<N> value = convert<N>(read(leaf));
    if constexpr (std::is_same_v<N, Dual>) {
      const auto moving = slopes.find(leaf.node().get());
      for (std::size_t e = 0; moving != slopes.end() && e < value.data.size(); ++e) {
        value.data[e].slope = moving->second[e];
      }
    }
    return value;
  };
  std::vector<Tensor> open;
  for (const Tensor& tensor : tensors) {
    if (!tensor.evaluated()) {
      open.push_back(tensor);
    }
  }
  std::vector<Array<N>> values;
  std::map<const Node*, std::size_t> position;
  if (!open.empty()) {
    const Graph graph = graph_of(open);
    for (Node* node : graph.nodes) {
      position[node] = values.size();
      if (node->has_value()) {
        values.push_back(leaf_value(Tensor(node->shared_from_this())));
        continue;
      }
      std::vector<Array<N>> inputs;
      std::vector<Array<double>> types;
      for (const NodePtr& input : node->inputs) {
        inputs.push_back(values[position.at(input.get())]);
        types.push_back({input->type(), {}, {}});
      }
      const ErrorModel model = node->op->family == Family::view
                                   ? ErrorModel{}
                                   : model_of(*node->op, node->attributes, types, node->type(), Device::cpu());
      values.push_back(reference<N>(*node->op, node->attributes, inputs, node->type(), model));
    }
  }
  std::vector<Array<N>> results;
  for (const Tensor& tensor : tensors) {
    const auto found = position.find(tensor.node().get());
    results.push_back(found != position.end() ? values[found->second] : leaf_value(tensor));
  }
  return results;
}

/// sum over all elements of all tensors times `factors`, with the bound that their graph's roundings give.
Measured weighted(const std::vector<Tensor>& tensors, const std::vector<std::vector<double>>& factors, bool bounded,
                  double lambda) {
  Measured result;
  if (bounded) {
    const std::vector<Array<Tracked>> tracked = run_on<Tracked>(tensors, {});
    const RoundingScope scope(53, ErrorModel{});
    Tracked sum(0);
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      for (std::size_t e = 0; e < tracked[t].data.size(); ++e) {
        sum = sum + tracked[t].data[e] * Tracked(factors[t][e]);
      }
    }
    result.bound = std::min(lambda * sum.sigma() + sum.library, sum.worst);
    result.predicted = !sum.overflow;
  }
  eval(tensors);
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    result.value += dot(tensors[t].to_vector<double>(), factors[t]);
  }
  return result;
}

/// The use in a graph: leaves, output, cotangent.
struct Built {
  std::vector<Tensor> leaves;
  std::vector<Tensor> wanted;                   ///< the floating-point leaves
  std::vector<std::vector<double>> directions;  ///< theirs
  Tensor cotangent;
  std::vector<Tensor> gradients;
};

Built build(const Trial& trial, const std::source_location& where) {
  Built built;
  for (std::size_t j = 0; j < trial.inputs.size(); ++j) {
    const Array<double>& input = trial.inputs[j];
    built.leaves.push_back(input.integers.empty()
                               ? tensor(input.data, input.type.shape, {.dtype = input.type.dtype})
                               : tensor(input.integers, input.type.shape, {.dtype = input.type.dtype}));
    if (is_floating(input.type.dtype)) {
      built.wanted.push_back(built.leaves.back());
      built.directions.push_back(trial.directions[j]);
    }
  }
  const Tensor output = apply_typed(trial.op, built.leaves, trial.attributes, trial.type, Device::cpu(), where);
  built.cotangent = tensor(trial.cotangent, trial.type.shape, {.dtype = f64});
  built.gradients = gradients(output, built.wanted, {.cotangent = built.cotangent, .allow_unused = true}, where);
  return built;
}

/// <J^T v, u> by the op's gradient rule, run by the backend; the bound by the reference on the rule's own graph.
Measured by_rule(const Trial& trial, const std::source_location& where, double lambda) {
  const Built built = build(trial, where);
  return weighted(built.gradients, built.directions, trial.op.family != Family::custom, lambda);
}

/// <v, J u> by dual numbers.
long double by_dual(const Trial& trial) {
  std::vector<Array<Dual>> inputs;
  for (std::size_t j = 0; j < trial.inputs.size(); ++j) {
    inputs.push_back(convert<Dual>(trial.inputs[j]));
    for (std::size_t e = 0; e < trial.directions[j].size(); ++e) {
      inputs[j].data[e].slope = trial.directions[j][e];
    }
  }
  const Array<Dual> output = reference<Dual>(trial.op, trial.attributes, inputs, trial.type, ErrorModel{});
  long double sum = 0;
  for (std::size_t e = 0; e < output.data.size(); ++e) {
    sum += output.data[e].slope * static_cast<long double>(trial.cotangent[e]);
  }
  return sum;
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

/// Compares what reverse and forward mode give.
void decide(const Measured& reverse, long double forward, RuleResult& result) {
  result.reverse = reverse.value;
  result.forward = static_cast<double>(forward);
  result.bound = reverse.bound;
  if (!reverse.predicted) {
    result.verdict = Verdict::not_checked;
    result.note = "a branch of the rule hangs on a rounding at the point that was drawn";
    return;
  }
  const bool agrees = std::abs(static_cast<long double>(result.reverse) - forward) <= result.bound;
  result.verdict = agrees ? Verdict::agrees : Verdict::gradient_rule;
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
  decide(reverse, by_dual(trial), result);
  return result;
}

RuleResult judge_second(const Trial& trial, const std::source_location& where, Draws& draws, double lambda) {
  Built built = build(trial, where);
  RuleResult result;
  result.op = trial.op.name;
  result.where = to_string(where);
  result.method = "dual numbers through the gradient";
  built.wanted.push_back(built.cotangent);
  built.directions.push_back(drawn(built.cotangent.numel(), draws));
  Tensor total = tensor(0.0, {.dtype = f64});
  std::vector<std::vector<double>> weights;
  for (const Tensor& gradient : built.gradients) {
    weights.push_back(drawn(gradient.numel(), draws));
    total = total + sum(gradient * tensor(weights.back(), gradient.shape(), {.dtype = f64}));
  }
  std::map<const Node*, std::vector<double>> slopes;
  for (std::size_t w = 0; w < built.wanted.size(); ++w) {
    slopes[built.wanted[w].node().get()] = built.directions[w];
  }
  // Forward first: asking for values would end the graph there.
  long double forward = 0;
  const std::vector<Array<Dual>> moved = run_on<Dual>(built.gradients, slopes);
  for (std::size_t g = 0; g < moved.size(); ++g) {
    for (std::size_t e = 0; e < moved[g].data.size(); ++e) {
      forward += moved[g].data[e].slope * static_cast<long double>(weights[g][e]);
    }
  }
  const std::vector<Tensor> second = gradients(total, built.wanted, {.allow_unused = true}, where);
  const Measured reverse = weighted(second, built.directions, true, lambda);
  decide(reverse, forward, result);
  return result;
}

/// The use in float64, with floating-point inputs, directions and cotangent drawn.
Trial draw_trial(const RuleUse& use, Draws& draws) {
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
  trial.cotangent = drawn(numel(use.type.shape), draws);
  return trial;
}

}  // namespace

RuleResult check_rule(const RuleUse& use, std::uint64_t seed, double false_alarm, const std::source_location& where) {
  Draws draws(seed);
  const Trial trial = draw_trial(use, draws);
  return judge(trial, where, lambda_for(numel(use.type.shape), false_alarm));
}

RuleResult check_second_derivative(const RuleUse& use, std::uint64_t seed, double false_alarm,
                                   const std::source_location& where) {
  if (use.op.family == Family::custom) {
    throw ArgumentError("the custom op " + std::string(use.op.name) +
                        " has no formula that runs on dual numbers, so its second derivative is not checked");
  }
  Draws draws(seed);
  const Trial trial = draw_trial(use, draws);
  return judge_second(trial, where, draws, lambda_for(numel(use.type.shape), false_alarm));
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
