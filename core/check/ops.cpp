#include <twingrad/autograd.h>
#include <twingrad/backend.h>
#include <twingrad/check/op_cases.h>
#include <twingrad/check/ops.h>
#include <twingrad/check/rules.h>
#include <twingrad/check/subject.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace twingrad::check {
namespace {

/// Every so many cases the real plan is run too.
constexpr std::int64_t in_situ_every = 8;
/// Multiplications beyond which dual numbers take too long: the rule does not depend on size.
constexpr double rule_work = 40e3;

bool differentiable(const OpCase& drawn) {
  return drawn.op->gradient != nullptr && !drawn.op->constant && is_floating(drawn.output.dtype) &&
         std::any_of(drawn.inputs.begin(), drawn.inputs.end(),
                     [](const CaseInput& input) { return is_floating(input.type.dtype); });
}

/// The graph of one case: output, gradients, second derivatives.
struct CaseGraph {
  std::array<std::vector<Tensor>, stages> results;
  Subject subject;
  std::vector<Stage> stage;  ///< per node: the first that needs it
};

void mark(CaseGraph& graph) {
  const std::size_t count = graph.subject.graph.nodes.size();
  graph.stage.assign(count, Stage::second);
  for (const Stage stage : {Stage::second, Stage::backward, Stage::forward}) {
    std::vector<char> seen(count, 0);
    std::vector<int> stack;
    for (const Tensor& result : graph.results[static_cast<std::size_t>(stage)]) {
      stack.push_back(result.node()->index);
    }
    while (!stack.empty()) {
      const auto i = static_cast<std::size_t>(stack.back());
      stack.pop_back();
      if (seen[i] != 0) {
        continue;
      }
      seen[i] = 1;
      graph.stage[i] = stage;
      if (graph.subject.leaf[i] == 0) {
        for (const NodePtr& input : graph.subject.graph.nodes[i]->inputs) {
          stack.push_back(input->index);
        }
      }
    }
  }
}

/// A result without a kernel of its own, a view or a constant, is copied: then the copy shows what it holds.
Tensor computed(const Tensor& result) {
  const bool has_kernel = !result.evaluated() && result.node()->op->family != Family::view;
  return has_kernel ? result : contiguous(result);
}

CaseGraph build(const OpCase& drawn, Device device) {
  const auto where = std::source_location::current();
  CaseGraph graph;
  const PlacedCase placed = place(drawn, device);
  const Tensor shown = apply_typed(*drawn.op, placed.inputs, drawn.attributes, drawn.output, device, where);
  const Tensor output = computed(shown);
  graph.results[0] = {output};
  if (differentiable(drawn)) {
    Draws draws(drawn.seed, stream_of(drawn.op->name, static_cast<std::uint64_t>(drawn.number)) + 1);
    const auto like = [&](const Tensor& tensor_like) {
      return tensor(draw_cotangent(drawn.values, tensor_like.dtype(), tensor_like.numel(), draws), tensor_like.shape(),
                    {.dtype = tensor_like.dtype(), .device = device});
    };
    std::vector<Tensor> wanted;
    for (const Tensor& leaf : placed.leaves) {
      if (is_floating(leaf.dtype())) {
        wanted.push_back(leaf);
      }
    }
    const Tensor cotangent = like(output);
    graph.results[1] = gradients(output, wanted, {.cotangent = cotangent, .allow_unused = true}, where);
    Tensor total;
    for (const Tensor& gradient : graph.results[1]) {
      const Tensor part = sum(gradient * like(gradient));
      total = total.defined() && total.dtype() == part.dtype() ? total + part : part;
    }
    wanted.push_back(cotangent);
    graph.results[2] = gradients(total, wanted, {.allow_unused = true}, where);
  }
  std::vector<Tensor> all;
  for (std::vector<Tensor>& results : graph.results) {
    std::transform(results.begin(), results.end(), results.begin(), computed);
    all.insert(all.end(), results.begin(), results.end());
  }
  graph.subject = take_nodes(all, device);
  mark(graph);
  return graph;
}

double work_of(const OpCase& drawn) {
  double work = static_cast<double>(numel(drawn.output.shape));
  for (const CaseInput& input : drawn.inputs) {
    work += static_cast<double>(numel(input.type.shape));
  }
  if (drawn.op->family == Family::matmul) {
    work = static_cast<double>(numel(drawn.output.shape)) * static_cast<double>(drawn.inputs[0].type.shape.back());
  }
  return work;
}

class OpsCheck {
 public:
  explicit OpsCheck(const OpsOptions& options) : options_(options) {
    report_.device = options.device.name();
    report_.description = options.device.description();
    report_.seed = options.seed;
    report_.false_alarm = options.false_alarm;
  }

  void run(const Op& op, std::int64_t number) {
    OpCase drawn;
    try {
      drawn = make_case(op, number, options_.seed,
                        {.shape = options_.shape, .dtype = options_.dtype, .tf32 = options_.tf32});
    } catch (const ArgumentError& error) {
      if (!options_.op.empty()) {
        throw;  // asked for by name
      }
      ++report_.skips[error.what()];
      return;
    }
    ++report_.cases;
    try {
      check_kernels(drawn);
      check_derivatives(drawn);
    } catch (const Error& error) {
      fail(drawn, Stage::forward, Verdict::kernel).message = std::string("threw: ") + error.what();
    }
  }

  void skip(const std::string& reason) { ++report_.skips[reason]; }
  OpsReport& report() { return report_; }

 private:
  OpFailure& fail(const OpCase& drawn, Stage stage, Verdict verdict) {
    OpFailure& failure = report_.failures.emplace_back();
    failure.op = drawn.op->name;
    failure.number = drawn.number;
    failure.use = describe(drawn);
    failure.dtype = name(drawn.dtype);
    failure.stage = stage;
    failure.verdict = verdict;
    return failure;
  }

  Evidence& evidence(const OpCase& drawn) { return report_.evidence[{std::string(drawn.op->name), drawn.dtype}]; }

  void check_kernels(const OpCase& drawn) {
    const CaseGraph graph = build(drawn, options_.device);
    std::int64_t elements = 0;
    for (const Node* node : graph.subject.graph.nodes) {
      elements += numel(node->shape);
    }
    // The budget is spread over all cases as if each were as large as this one.
    const double lambda = lambda_for(std::max<std::int64_t>(elements, 1) * options_.cases, options_.false_alarm);
    DeviceReport device;
    device.device = report_.device;
    const Isolated isolated = check_isolated(graph.subject, {}, lambda, device);
    std::array<std::int64_t, stages> checked{};
    std::int64_t due = 0;
    for (std::size_t i = 0; i < device.nodes.size(); ++i) {
      if (graph.subject.leaf[i] == 0 && !device.nodes[i].view) {
        due += numel(graph.subject.graph.nodes[i]->shape);
        take_node(drawn, graph.stage[i], device.nodes[i], checked);
      }
    }
    if (due == 0) {
      ++report_.empty_cases;
    }
    for (int s = 0; s < stages; ++s) {
      const auto stage = static_cast<std::size_t>(s);
      Evidence::Count& count = evidence(drawn).by_stage[stage];
      count.cases += checked[stage] > 0 || (due == 0 && !graph.results[stage].empty()) ? 1 : 0;
      count.elements += checked[stage];
    }
    if (drawn.number % in_situ_every == 0 && due > 0) {
      check_plan(drawn, graph, device);
    }
  }

  void take_node(const OpCase& drawn, Stage stage, const NodeResult& node, std::array<std::int64_t, stages>& checked) {
    ++report_.kernels;
    report_.elements += node.isolated.checked;
    report_.elements_skipped += node.isolated.skipped;
    checked[static_cast<std::size_t>(stage)] += node.isolated.checked;
    switch (node.verdict) {
      case Verdict::kernel:
        fail(drawn, stage, Verdict::kernel).node = node;
        return;
      case Verdict::warning:
        ++report_.drifts;
        break;
      case Verdict::not_checked:
        // compare() calls it that only where every element was skipped.
        skip("a kernel whose every element leaves the range on the way");
        return;
      default:
        break;
    }
    if (node.isolated.checked > 0 && node.verdict == Verdict::agrees && node.isolated.max_ratio > report_.worst_ratio) {
      report_.worst_ratio = node.isolated.max_ratio;
      report_.worst_use = node.op + " in " + describe(drawn) + ", case " + std::to_string(drawn.number);
    }
  }

  void check_plan(const OpCase& drawn, const CaseGraph& graph, DeviceReport& device) {
    ++report_.in_situ_cases;
    Options options;
    options.repeats = 2;
    for (NodeResult& node : device.nodes) {
      node.verdict = Verdict::agrees;
    }
    check_in_situ(graph.subject, options, device);
    for (std::size_t i = 0; i < device.nodes.size(); ++i) {
      if (device.nodes[i].verdict != Verdict::agrees) {
        fail(drawn, graph.stage[i], device.nodes[i].verdict).node = device.nodes[i];
      }
    }
  }

  void check_derivatives(const OpCase& drawn) {
    if (!differentiable(drawn) || numel(drawn.output.shape) == 0) {
      return;
    }
    if (work_of(drawn) > rule_work) {
      return skip("a gradient rule at a size too large for dual numbers; smaller cases check it");
    }
    RuleUse use{*drawn.op, drawn.attributes, drawn.output, {}};
    for (const CaseInput& input : drawn.inputs) {
      use.inputs.push_back({input.type, input.values, input.integers});
    }
    const auto where = std::source_location::current();
    const double budget = options_.false_alarm / static_cast<double>(options_.cases);
    const std::uint64_t seed = options_.seed + stream_of(drawn.op->name, static_cast<std::uint64_t>(drawn.number));
    take_rule(drawn, Stage::backward, check_rule(use, seed, budget, where));
    if (drawn.op->family == Family::custom) {
      return skip("second derivative of a custom op by dual numbers: it has no formula that runs on them");
    }
    take_rule(drawn, Stage::second, check_second_derivative(use, seed, budget, where));
  }

  void take_rule(const OpCase& drawn, Stage stage, const RuleResult& rule) {
    if (rule.verdict == Verdict::not_checked) {
      return skip("gradient rule: " + rule.note);
    }
    if (rule.verdict != Verdict::agrees) {
      fail(drawn, stage, rule.verdict).rule = rule;
      return;
    }
    ++(stage == Stage::backward ? report_.rules : report_.second_rules);
    ++(stage == Stage::backward ? evidence(drawn).rules : evidence(drawn).second_rules);
  }

  const OpsOptions& options_;
  OpsReport report_;
};

std::vector<const Op*> chosen_rows(const OpsOptions& options) {
  std::vector<const Op*> rows = all_ops();
  rows.insert(rows.end(), options.custom.begin(), options.custom.end());
  if (options.op.empty()) {
    return rows;
  }
  std::string names;
  for (const Op* row : rows) {
    if (row->name == options.op) {
      return {row};
    }
    names += (names.empty() ? "" : ", ") + std::string(row->name);
  }
  throw ArgumentError("there is no op '" + options.op + "'; there are " + names);
}

}  // namespace

OpsReport ops(const OpsOptions& options) {
  std::vector<const Op*> rows = chosen_rows(options);
  if (options.only >= 0 && options.op.empty()) {
    throw ArgumentError("one case alone needs the name of its op too");
  }
  if (options.tf32) {
    require_precision(Precision::tf32, options.device);
  }
  const auto start = std::chrono::steady_clock::now();
  OpsCheck check(options);
  if (std::erase(rows, &to_device_op) != 0) {
    check.skip("the op to_device: it copies between devices, so there is no kernel of one device to check");
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t cases = rows.empty() ? 0 : (options.only >= 0 ? 1 : options.cases);
  for (std::int64_t i = 0; i < cases; ++i) {
    const Op& op = *rows[static_cast<std::size_t>(i % count)];
    check.run(op, options.only >= 0 ? options.only : i / count);
    if (options.progress) {
      options.progress(static_cast<double>(i + 1) / static_cast<double>(options.cases),
                       "op cases on " + options.device.name());
    }
  }
  OpsReport report = std::move(check.report());
  if (options.only < 0 && std::ranges::any_of(rows, [](const Op* op) { return op->family == Family::matmul; })) {
    report.products = product_bits(options.device);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

std::string_view name(Stage stage) {
  switch (stage) {
    case Stage::forward:
      return "forward";
    case Stage::backward:
      return "backward";
    case Stage::second:
      return "second derivative";
  }
  return "?";
}

}  // namespace twingrad::check
