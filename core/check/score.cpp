#include <twingrad/backend.h>
#include <twingrad/check/faults.h>
#include <twingrad/check/score.h>
#include <twingrad/check/score_cases.h>
#include <twingrad/check/score_model.h>
#include <twingrad/check/subject.h>
#include <twingrad/graph/plan.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace twingrad::check {
namespace {

/// Results of one graph on the device and in float64.
struct Outcome {
  std::vector<std::vector<double>> actual;
  std::vector<std::vector<double>> expected;

  bool accepted_by(CommonCheck check) const {
    for (std::size_t r = 0; r < actual.size(); ++r) {
      if (!accepts(check, actual[r], expected[r])) {
        return false;
      }
    }
    return true;
  }
};

using Accepted = std::array<bool, common_check_count>;

/// What the tiers find in one graph, without the end-to-end tier: planted faults are to be named where they are.
struct Found {
  Subject subject;
  DeviceReport report;
  Outcome outcome;
  std::int64_t changed_in_plan = 0;  // calls whose bits the fault changed in the real plan

  /// The nodes with a finding, the most telling ones first.
  std::vector<int> named() const {
    std::vector<int> nodes;
    for (const NodeResult& node : report.nodes) {
      if (node.verdict < Verdict::not_checked) {
        nodes.push_back(node.node);
      }
    }
    std::stable_sort(nodes.begin(), nodes.end(), [&](int a, int b) { return verdict_of(a) < verdict_of(b); });
    return nodes;
  }
  Verdict verdict_of(int node) const { return report.nodes[static_cast<std::size_t>(node)].verdict; }
};

std::vector<std::vector<double>> exact_results(const Subject& subject, const std::vector<Array<double>>& values) {
  std::vector<Array<double>> exact;
  for (std::size_t i = 0; i < subject.graph.nodes.size(); ++i) {
    const Node& node = *subject.graph.nodes[i];
    if (subject.leaf[i] != 0) {
      exact.push_back(values[i]);
      continue;
    }
    std::vector<Array<double>> inputs;
    for (const NodePtr& input : node.inputs) {
      inputs.push_back(exact[static_cast<std::size_t>(input->index)]);
    }
    exact.push_back(reference<double>(*node.op, node.attributes, inputs, node.type(), ErrorModel{}));
    if (node.dtype == Dtype::bf16 || node.dtype == Dtype::f16) {
      // Storage in 16 bits is part of the program, not an error of the device.
      for (double& element : exact.back().data) {
        element = round_to(element, node.dtype);
      }
    }
  }
  std::vector<std::vector<double>> results;
  for (const auto& result : subject.results) {
    results.push_back(exact[static_cast<std::size_t>(result.second)].data);
  }
  return results;
}

std::vector<std::vector<double>> device_results(const Subject& subject) {
  std::vector<std::vector<double>> results;
  for (const auto& result : subject.results) {
    const Node& node = *subject.graph.nodes[static_cast<std::size_t>(result.second)];
    results.push_back(Tensor(const_cast<Node&>(node).shared_from_this()).to_vector<double>());
  }
  return results;
}

std::int64_t elements_of(const Subject& subject) {
  std::int64_t count = 0;
  for (const Node* node : subject.graph.nodes) {
    count += numel(node->shape);
  }
  return count;
}

/// Runs the tiers. `expected` may hold the float64 results of an earlier run of the same graph.
Found examine(const FaultyBackend& backend, Subject subject, const Options& options,
              const std::vector<std::vector<double>>* expected = nullptr) {
  Found found;
  const Isolated isolated =
      check_isolated(subject, options, lambda_for(elements_of(subject), options.false_alarm), found.report);
  const std::int64_t changed_alone = backend.changed();
  check_in_situ(subject, options, found.report);
  found.changed_in_plan = backend.changed() - changed_alone;
  found.outcome.actual = device_results(subject);
  found.outcome.expected = expected != nullptr ? *expected : exact_results(subject, isolated.values);
  found.subject = std::move(subject);
  return found;
}

/// What a node's kernel is called with, without memory.
KernelCall call_of(const Node& node) {
  KernelCall call{
      node.op, node.attributes, {}, {nullptr, node.dtype, node.shape, contiguous_strides(node.shape)}, node.where};
  for (const NodePtr& input : node.inputs) {
    const Shape& shape = node.op->family == Family::elementwise ? node.shape : input->shape;
    call.inputs.push_back({nullptr, input->dtype, shape, contiguous_strides(shape)});
  }
  return call;
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
}

/// Whether a call is this one, as far as can be told without memory. Batch axes of products are broadcast in the call.
bool same_call(const KernelCall& a, const KernelCall& b) {
  if (a.op != b.op || !same_place(a.where, b.where) || !(a.attributes == b.attributes) ||
      !(a.output.shape == b.output.shape) || a.output.dtype != b.output.dtype || a.inputs.size() != b.inputs.size()) {
    return false;
  }
  for (std::size_t j = 0; j < a.inputs.size(); ++j) {
    const Shape& x = a.inputs[j].shape;
    const Shape& y = b.inputs[j].shape;
    const bool fits = a.op->family == Family::matmul ? x.back() == y.back() : x == y;
    if (!fits || a.inputs[j].dtype != b.inputs[j].dtype) {
      return false;
    }
  }
  return true;
}

/// One node's calls among all calls: each tier makes those that look alike in the graph's order.
struct Candidate {
  int node = -1;
  KernelCall call;
  int alike = 0;    // nodes whose calls look the same
  int ordinal = 0;  // which of them it is

  FaultSite site() const {
    return {.chosen = [*this, seen = std::make_shared<int>(0)](const KernelCall& other) {
      return same_call(call, other) && (*seen)++ % alike == ordinal;
    }};
  }
};

/// Nodes that the fault applies to: large ones that look like no other first, then the largest.
std::vector<Candidate> candidates(const Subject& subject, const Fault& fault) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < subject.graph.nodes.size(); ++i) {
    const Node& node = *subject.graph.nodes[i];
    if (subject.leaf[i] == 0 && node.op->family != Family::view && numel(node.shape) > 0) {
      all.push_back({static_cast<int>(i), call_of(node)});
    }
  }
  std::vector<Candidate> found;
  for (const Candidate& one : all) {
    if (!fault.applies(one.call)) {
      continue;
    }
    found.push_back(one);
    for (const Candidate& other : all) {
      if (same_call(one.call, other.call)) {
        ++found.back().alike;
        found.back().ordinal += other.node < one.node ? 1 : 0;
      }
    }
  }
  const auto rank = [](const Candidate& candidate) {
    const std::int64_t size = candidate.call.output.numel();
    return std::pair(candidate.alike > 1 || size < 32, -size);
  };
  std::stable_sort(found.begin(), found.end(),
                   [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
  return found;
}

std::unique_ptr<Backend> inner_backend(const ScoreOptions& options) {
  return options.inner ? options.inner() : make_cpu_backend();
}

bool needs_large(const Fault& fault) {
  return fault.name == "index_through_float";
}

Options check_options(const ScoreOptions& options) {
  Options result;
  result.seed = options.seed;
  result.gradient_rules = false;
  return result;
}

/// One training step with faults planted in it, one after the other.
class StepScore {
 public:
  StepScore(const FaultyDevice& faulty, const ScoreOptions& options, bool large)
      : faulty_(faulty), options_(options), model_(options.seed, {.large_table = large}) {
    faulty_.backend.remove();
    const Found clean = examine(faulty_.backend, take(), check_options(options_));
    expected_ = clean.outcome.expected;
    clean_findings_ = static_cast<int>(clean.named().size());
    nodes_ = static_cast<int>(clean.report.nodes.size());
    for (std::size_t c = 0; c < common_check_count; ++c) {
      accepted_[c] = clean.outcome.accepted_by(static_cast<CommonCheck>(c));
    }
  }

  int nodes() const { return nodes_; }
  int clean_findings() const { return clean_findings_; }
  const Accepted& accepted() const { return accepted_; }

  void judge(const Fault& fault, FaultScore& score) {
    if (fault.kind == Fault::Kind::plan) {
      Options check = check_options(options_);
      check.tamper = [&](Plan& plan) { score.planted_node = fault.tamper(plan); };
      take_over(examine(faulty_.backend, take(), check, &expected_), score);
      return;
    }
    const Subject layout = take();
    for (const Candidate& candidate : candidates(layout, fault)) {
      faulty_.backend.plant(fault, candidate.site());
      const Found found = examine(faulty_.backend, take(), check_options(options_), &expected_);
      faulty_.backend.remove();
      if (found.changed_in_plan > 0) {
        score.planted_node = candidate.node;
        take_over(found, score);
        return;
      }
    }
  }

 private:
  Subject take() const {
    return take_step([this](Device device) { return model_(device); }, faulty_.device);
  }

  void take_over(const Found& found, FaultScore& score) const {
    if (score.planted_node < 0) {
      return;
    }
    const NodeResult& node = found.report.nodes[static_cast<std::size_t>(score.planted_node)];
    score.planted = node.op + " at " + node.where + ", " + node.type;
    score.named = found.named();
    score.verdict = node.verdict;
    // What follows from a wrong kernel is right on its own; no second one may be accused.
    const bool alone = node.verdict != Verdict::kernel || score.named.size() == 1 ||
                       found.verdict_of(score.named[1]) != Verdict::kernel;
    score.right_node = !score.named.empty() && score.named.front() == score.planted_node && alone;
    for (std::size_t c = 0; c < common_check_count; ++c) {
      const auto check = static_cast<CommonCheck>(c);
      // The cotangent of a step's loss is always 1.
      score.step_refused[c] = check != CommonCheck::ones_cotangent && accepted_[c] && !found.outcome.accepted_by(check);
    }
  }

  const FaultyDevice& faulty_;
  const ScoreOptions& options_;
  FaultModel model_;
  std::vector<std::vector<double>> expected_;
  int nodes_ = 0;
  int clean_findings_ = 0;
  Accepted accepted_{};
};

/// One small graph.
class CaseScore {
 public:
  CaseScore(const FaultyDevice& faulty, const ScoreOptions& options, FaultCase fault_case)
      : faulty_(faulty), options_(options), case_(std::move(fault_case)) {
    faulty_.backend.remove();
    const Found clean = examine(faulty_.backend, take(Cotangent::drawn), check_options(options_));
    expected_ = clean.outcome.expected;
    clean_findings_ = static_cast<int>(clean.named().size());
    const Outcome ones = with_ones();
    for (std::size_t c = 0; c < common_check_count; ++c) {
      accepted_[c] = accepted(static_cast<CommonCheck>(c), clean.outcome, ones);
    }
  }

  int clean_findings() const { return clean_findings_; }
  const Accepted& accepted() const { return accepted_; }

  void judge(const Fault& fault, FaultScore& score) {
    Options check = check_options(options_);
    check.repeats = 2;
    int planted_node = -1;
    if (fault.kind == Fault::Kind::plan) {
      check.tamper = [&](Plan& plan) { planted_node = fault.tamper(plan); };
    } else {
      const Subject layout = take(Cotangent::drawn);
      const bool applies = std::any_of(layout.graph.nodes.begin(), layout.graph.nodes.end(), [&](const Node* node) {
        return node->op != nullptr && node->op->family != Family::view && fault.applies(call_of(*node));
      });
      if (!applies) {
        return;
      }
      faulty_.backend.plant(fault);
    }
    const Found found = examine(faulty_.backend, take(Cotangent::drawn), check, &expected_);
    const bool changed = fault.kind == Fault::Kind::plan ? planted_node >= 0 : found.changed_in_plan > 0;
    if (changed) {
      ++score.cases_changed;
      if (!found.named().empty()) {
        ++score.cases_caught;
        score.first_case = score.first_case.empty() ? case_.name : score.first_case;
      }
      const Outcome ones = fault.kind == Fault::Kind::plan ? found.outcome : with_ones();
      for (std::size_t c = 0; c < common_check_count; ++c) {
        const bool refused = accepted_[c] && !accepted(static_cast<CommonCheck>(c), found.outcome, ones);
        score.case_refused[c] = score.case_refused[c] || refused;
      }
    }
    faulty_.backend.remove();
  }

 private:
  Subject take(Cotangent cotangent) const {
    return take_graph([&](Device device) { return case_.build(device, cotangent); }, faulty_.device);
  }

  static bool accepted(CommonCheck check, const Outcome& drawn, const Outcome& ones) {
    return (check == CommonCheck::ones_cotangent ? ones : drawn).accepted_by(check);
  }

  /// The results with cotangents of 1, computed as a user would: in one run.
  Outcome with_ones() {
    const Subject subject = take(Cotangent::ones);
    if (ones_expected_.empty()) {
      std::vector<Array<double>> values;
      for (std::size_t i = 0; i < subject.graph.nodes.size(); ++i) {
        values.push_back(subject.leaf[i] != 0 ? read(Tensor(subject.graph.nodes[i]->shared_from_this()))
                                              : Array<double>{});
      }
      ones_expected_ = exact_results(subject, values);
    }
    run_plan(*make_plan(subject.graph), subject.graph);
    return {device_results(subject), ones_expected_};
  }

  const FaultyDevice& faulty_;
  const ScoreOptions& options_;
  FaultCase case_;
  std::vector<std::vector<double>> expected_;
  std::vector<std::vector<double>> ones_expected_;
  int clean_findings_ = 0;
  Accepted accepted_{};
};

}  // namespace

bool FaultTable::complete() const {
  return clean_findings == 0 && !rows.empty() && std::all_of(rows.begin(), rows.end(), [](const FaultScore& row) {
           return row.caught() && (row.planted_node < 0 || row.right_node);
         });
}

FaultTable score_faults(const ScoreOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const FaultyDevice faulty = make_faulty_device(inner_backend(options));
  FaultTable table;
  table.device = faulty.device.description();
  table.seed = options.seed;
  std::vector<const Fault*> chosen;
  for (const Fault& fault : all_faults()) {
    if (fault.name.find(options.filter) != std::string_view::npos) {
      chosen.push_back(&fault);
    }
  }
  if (chosen.empty()) {
    throw ArgumentError("no fault's name contains '" + options.filter + "'");
  }
  StepScore step(faulty, options, false);
  table.step_nodes = step.nodes();
  table.clean_findings = step.clean_findings();
  for (std::size_t c = 0; c < common_check_count; ++c) {
    table.clean_step_refused[c] = !step.accepted()[c];
  }
  std::vector<CaseScore> cases;
  for (FaultCase& fault_case : fault_cases(static_cast<std::int64_t>(options.seed))) {
    if (!fault_case.large || options.large) {
      cases.emplace_back(faulty, options, std::move(fault_case));
      table.clean_findings += cases.back().clean_findings();
      for (std::size_t c = 0; c < common_check_count; ++c) {
        table.clean_cases_refused[c] += cases.back().accepted()[c] ? 0 : 1;
      }
    }
  }
  table.cases = static_cast<int>(cases.size());
  for (std::size_t f = 0; f < chosen.size(); ++f) {
    const Fault& fault = *chosen[f];
    if (options.progress) {
      options.progress(static_cast<double>(f) / static_cast<double>(chosen.size()), std::string(fault.name));
    }
    FaultScore score;
    score.fault = fault.name;
    score.family = fault.family;
    score.description = fault.description;
    if (!needs_large(fault)) {
      step.judge(fault, score);
    } else if (options.large) {
      StepScore(faulty, options, true).judge(fault, score);
    }
    for (CaseScore& small : cases) {
      small.judge(fault, score);
    }
    table.rows.push_back(std::move(score));
  }
  table.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return table;
}

Report report_with_fault(std::string_view name, const ScoreOptions& options) {
  const Fault& fault = find_fault(name);
  const FaultyDevice faulty = make_faulty_device(inner_backend(options));
  const FaultModel model(options.seed, {.large_table = needs_large(fault)});
  const auto train_step = [&](Device device) { return model(device); };
  Options check = check_options(options);
  check.devices = {faulty.device};
  check.progress = options.progress;
  if (fault.kind == Fault::Kind::plan) {
    check.tamper = [&](Plan& plan) { fault.tamper(plan); };
    return step(train_step, check);
  }
  const Subject layout = take_step(train_step, faulty.device);
  Report report;
  for (const Candidate& candidate : candidates(layout, fault)) {
    faulty.backend.plant(fault, candidate.site());
    report = step(train_step, check);
    if (faulty.backend.changed() > 0) {
      break;
    }
  }
  faulty.backend.remove();
  return report;
}

}  // namespace twingrad::check
