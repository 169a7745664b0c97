// Tier 4: the loss, every gradient and every updated parameter against float64. Worst-case bounds pushed through a
// graph are useless, so the tolerance is found by experiment: the float64 run is repeated with noise of each kernel's
// predicted rounding injected at its output, and what that does to a result is how far off rounding may put it.
#include <twingrad/check/subject.h>
#include <twingrad/philox.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace twingrad::check {
namespace {

/// How many times what noise makes an error may be: the quantile of Student's distribution at which `results` correct
/// ones are accused with probability `delta`, as the size of the noise's effect is itself measured in `runs` runs only.
/// From the normal quantile by Wallace, "Bounds on normal approximations to Student's and the chi-square
/// distributions", 1959.
double noise_limit(std::int64_t results, double delta, int runs) {
  const double normal = lambda_for(results, delta);
  const double stretched = normal * (8.0 * runs + 3) / (8.0 * runs + 1);
  return std::sqrt(runs * std::expm1(stretched * stretched / runs));
}

/// Standard normal number `element` of node `node` in noise run `run`.
class Noise {
 public:
  Noise(std::uint64_t seed, int run) : seed_(static_cast<std::int64_t>(seed)), run_(run) {}
  double operator()(std::size_t node, std::size_t element) {
    const auto block = static_cast<std::int64_t>(element / normal_lanes);
    const std::int64_t stream = (static_cast<std::int64_t>(run_) << 32) + static_cast<std::int64_t>(node);
    return normal_lane<double>(random_block(seed_, stream, block), static_cast<int>(element % normal_lanes));
  }

 private:
  std::int64_t seed_;
  int run_;
};

/// `sigma` was predicted at `predicted`. Where earlier noise has made the value smaller its rounding is smaller too:
/// else squares near 0 would turn negative, and their roots NaN.
double deviation(double sigma, double predicted, double value) {
  const bool shrinks = sigma < std::abs(predicted) && std::abs(value) < std::abs(predicted);
  return shrinks ? sigma * std::abs(value / predicted) : sigma;
}

/// The whole graph in float64. `noisy` says for which nodes noise is added, `noise` may be null.
std::vector<Array<double>> run_float64(const Subject& subject, const Isolated& isolated, Noise* noise) {
  std::vector<Array<double>> values(subject.graph.nodes.size());
  const ErrorModel exact;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Node& node = *subject.graph.nodes[i];
    if (subject.leaf[i] != 0) {
      values[i] = isolated.values[i];
      continue;
    }
    std::vector<Array<double>> inputs;
    for (const NodePtr& input : node.inputs) {
      inputs.push_back(values[static_cast<std::size_t>(input->index)]);
    }
    values[i] = reference<double>(*node.op, node.attributes, inputs, node.type(), exact);
    // Such kernels round each element on its own, and a square that is nearly 0 never becomes negative.
    const bool keeps_sign = node.op->family == Family::elementwise || node.op->family == Family::update;
    if (noise != nullptr && !isolated.sigma[i].empty()) {
      for (std::size_t e = 0; e < values[i].data.size(); ++e) {
        double& value = values[i].data[e];
        const double before = value;
        value += deviation(isolated.sigma[i][e], isolated.values[i].data[e], value) * (*noise)(i, e);
        if (keeps_sign && std::signbit(value) != std::signbit(before)) {
          value = 0;
        }
      }
    }
  }
  return values;
}

double rms_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    squares += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return a.empty() ? 0 : std::sqrt(squares / static_cast<double>(a.size()));
}

double rms(const std::vector<double>& a) {
  return rms_difference(a, std::vector<double>(a.size(), 0.0));
}

/// What float64's own roundings leave where the value is 0, such as a gradient that cancels by symmetry: the noise of
/// the dtype, scaled by the roundoffs. Nothing is amplified there.
double rounding_of_zero(const ResultCheck& check, Dtype dtype) {
  return std::ldexp(check.predicted_rms, significant_bits(dtype) - significant_bits(Dtype::f64));
}

void note_worst(const std::vector<double>& actual, const std::vector<double>& exact, ResultCheck& check) {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - exact[i]);
    if (check.worst_index < 0 || !(error <= check.max_error)) {
      check.max_error = error;
      check.worst_index = static_cast<std::int64_t>(i);
      check.worst_actual = actual[i];
      check.worst_expected = exact[i];
    }
  }
}

/// The node whose noise alone moves the result most, among those with the largest predicted roundings.
std::string find_amplifier(const Subject& subject, const Isolated& isolated, const DeviceReport& report,
                           std::size_t result_node, const std::vector<Array<double>>& exact, std::uint64_t seed) {
  std::vector<std::pair<double, std::size_t>> candidates;
  for (std::size_t i = 0; i < isolated.sigma.size(); ++i) {
    const double size = exact[i].data.empty() ? 0 : rms(exact[i].data);
    if (!isolated.sigma[i].empty() && size > 0) {
      candidates.emplace_back(report.nodes[i].sigma / size, i);
    }
  }
  std::sort(candidates.rbegin(), candidates.rend());
  candidates.resize(std::min<std::size_t>(candidates.size(), 12));
  double largest = 0;
  std::string name;
  for (const auto& [relative, i] : candidates) {
    Isolated only{isolated.values, std::vector<std::vector<float>>(isolated.sigma.size())};
    only.sigma[i] = isolated.sigma[i];
    Noise noise(seed, 1 << 20);
    const double moved = rms_difference(run_float64(subject, only, &noise)[result_node].data, exact[result_node].data);
    if (moved > largest) {
      largest = moved;
      name = report.nodes[i].op + " at " + report.nodes[i].where;
    }
  }
  return name;
}

}  // namespace

void check_end_to_end(const Subject& subject, const Isolated& isolated, const Options& options, DeviceReport& report) {
  const std::vector<Array<double>> exact = run_float64(subject, isolated, nullptr);
  std::vector<double> squares(subject.results.size(), 0.0);
  for (int run = 0; run < options.noise_runs; ++run) {
    Noise noise(options.seed, run);
    const std::vector<Array<double>> noisy = run_float64(subject, isolated, &noise);
    for (std::size_t r = 0; r < subject.results.size(); ++r) {
      const auto node = static_cast<std::size_t>(subject.results[r].second);
      const double moved = rms_difference(noisy[node].data, exact[node].data);
      squares[r] += moved * moved;
    }
    if (options.progress) {
      options.progress(static_cast<double>(run + 1) / options.noise_runs, "injected noise on " + report.device);
    }
  }
  const double limit = noise_limit(static_cast<std::int64_t>(subject.results.size()), options.false_alarm,
                                   std::max(options.noise_runs, 1));
  for (std::size_t r = 0; r < subject.results.size(); ++r) {
    const auto node = static_cast<std::size_t>(subject.results[r].second);
    const std::vector<double> actual = Tensor(subject.graph.nodes[node]->shared_from_this()).to_vector<double>();
    ResultCheck check;
    check.name = subject.results[r].first;
    check.type = describe(exact[node].type);
    check.rms = rms(exact[node].data);
    check.rms_error = rms_difference(actual, exact[node].data);
    check.predicted_rms = std::sqrt(squares[r] / std::max(options.noise_runs, 1));
    note_worst(actual, exact[node].data, check);
    if (actual.empty()) {
      check.verdict = Verdict::not_checked;
    } else if (!(check.rms_error <= limit * check.predicted_rms)) {
      // Also where nothing is predicted to round, and where NaN turned up.
      check.verdict = Verdict::end_to_end;
    } else if (check.predicted_rms >= check.rms && check.rms > rounding_of_zero(check, exact[node].type.dtype)) {
      check.verdict = Verdict::ill_conditioned;
      check.amplifier = find_amplifier(subject, isolated, report, node, exact, options.seed);
    }
    report.results.push_back(std::move(check));
  }
}

}  // namespace twingrad::check
