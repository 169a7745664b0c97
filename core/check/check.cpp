#include <twingrad/check/check.h>
#include <twingrad/check/subject.h>

#include <algorithm>
#include <chrono>

namespace twingrad::check {
namespace {

/// The most telling verdict is the smallest.
void take(Verdict& verdict, Verdict other) {
  verdict = std::min(verdict, other);
}

std::int64_t elements_of(const Subject& subject) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < subject.graph.nodes.size(); ++i) {
    count += subject.leaf[i] != 0 ? 0 : numel(subject.graph.nodes[i]->shape);
  }
  return count;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Report check_subjects(const std::function<Subject(Device)>& take_subject, const Options& options) {
  if (options.devices.empty()) {
    throw ArgumentError("check: no device is given; name at least one in Options::devices");
  }
  const auto start = std::chrono::steady_clock::now();
  Report report;
  report.seed = options.seed;
  report.false_alarm = options.false_alarm;
  for (const Device device : options.devices) {
    const Subject subject = take_subject(device);
    // The budget is spread over every element of the step.
    const double lambda = lambda_for(elements_of(subject), options.false_alarm);
    report.lambda = std::max(report.lambda, lambda);
    DeviceReport found;
    found.device = device.name();
    found.description = device.description();
    const auto before = std::chrono::steady_clock::now();
    const Isolated isolated = check_isolated(subject, options, lambda, found);
    found.isolated_seconds = seconds_since(before);
    check_in_situ(subject, options, found);
    if (options.noise_runs > 0) {
      check_end_to_end(subject, isolated, options, found);
    }
    if (options.gradient_rules && report.devices.empty()) {
      report.rules = check_rules(subject, isolated, options);
    }
    for (const NodeResult& node : found.nodes) {
      take(found.verdict, node.verdict);
    }
    for (const ResultCheck& result : found.results) {
      take(found.verdict, result.verdict);
    }
    if (found.elements_checked == 0) {
      take(found.verdict, Verdict::not_checked);
    }
    report.devices.push_back(std::move(found));
  }
  report.seconds = seconds_since(start);
  return report;
}

}  // namespace

Report step(const std::function<Tensor(Device)>& train_step, const Options& options) {
  return check_subjects([&](Device device) { return take_step(train_step, device); }, options);
}

Report graph(const std::function<std::vector<Tensor>(Device)>& build, const Options& options) {
  return check_subjects([&](Device device) { return take_graph(build, device); }, options);
}

}  // namespace twingrad::check
