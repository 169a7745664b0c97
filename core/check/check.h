// The cross-check: does a device compute what it should, and if not, which op is wrong and why?
//
//   tg::check::Report report = tg::check::step(
//       [&](tg::Device device) {                       // one training step, written the usual way
//         model.to(device);
//         tg::Tensor loss = tg::cross_entropy(model(x.to(device)), y.to(device));
//         adam.step(tg::gradients(loss, model.parameters()));
//         return loss;
//       },
//       {.devices = {tg::Device::cpu(), tg::Device::cuda(0)}});
//   if (!report.agrees()) std::cerr << report;         // names the op, the verdict and the line of your file
//
// Nothing of the step is carried out: its graph is taken (forward, backward and update), every node is checked on its
// own against a float64 reference with a bound that follows from how its kernel rounds, then the real plan is run and
// compared with its own nodes, three times, and at the end the gradients are judged against injected rounding noise.
// docs/cross-check.md explains the bounds and how to read a report.
#pragma once

#include <twingrad/check/compare.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace twingrad {
struct Plan;
}

namespace twingrad::check {

/// What a check concluded, the most telling one first.
enum class Verdict : std::uint8_t {
  kernel,           ///< a kernel, given the right inputs, gives a wrong result
  gradient_rule,    ///< a gradient rule does not fit its forward formula
  in_situ,          ///< right alone, wrong in the plan: aliasing, lifetime, a missing wait
  race,             ///< three runs did not give the same bits
  end_to_end,       ///< every node is right, but the result is further off than rounding explains
  not_checked,      ///< nothing could be compared
  ill_conditioned,  ///< the result is rounding noise: the graph amplifies it; warns, as no device is to blame
  warning,          ///< errors drift in one direction, inside the worst case
  agrees,
};
std::string_view name(Verdict verdict);

struct Options {
  /// Each is checked against the float64 reference, not against the others, so that it is known which one is wrong.
  std::vector<Device> devices = {Device::cpu()};
  /// Seeds the injected noise and random directions; printed in every report.
  std::uint64_t seed = 1;
  /// Probability that a correct step is accused anywhere.
  double false_alarm = 1e-6;
  /// Runs of the plan that must give the same bits.
  int repeats = 3;
  /// Float64 runs with injected rounding noise; 0 leaves out the end-to-end tier.
  int noise_runs = 16;
  /// Check gradient rules against forward-mode derivatives.
  bool gradient_rules = true;
  /// Changes the plan before it is run, to plant faults and see them found: the checker's own tests use it.
  std::function<void(Plan&)> tamper = {};
  /// Called with a fraction in [0, 1] and what is being done.
  std::function<void(double, const std::string&)> progress = {};
};

/// One node of the graph on one device.
struct NodeResult {
  int node = -1;  ///< number in the graph's order
  std::string op;
  std::string where;        ///< "file.cpp:12": the user's line
  std::string label;        ///< of a leaf
  std::string type;         ///< "(128, 10) float32"
  std::vector<int> inputs;  ///< nodes
  bool leaf = false;
  bool backward = false;  ///< not part of the loss's own graph
  bool view = false;      ///< no kernel: nothing to check on its own
  Comparison isolated;    ///< the kernel alone against float64
  Comparison in_situ;     ///< in the plan against the kernel alone: the same bits
  bool repeats = true;    ///< the same bits in every run
  double sigma = 0;       ///< rms of the predicted rounding error
  Verdict verdict = Verdict::agrees;
  std::string note;  ///< why something was not checked
};

/// A value that the user gets: the loss, a parameter's gradient, an updated parameter.
struct ResultCheck {
  std::string name;
  std::string type;
  double rms = 0;            ///< of the float64 value
  double rms_error = 0;      ///< device against float64
  double predicted_rms = 0;  ///< of the error that injected rounding noise makes
  double max_error = 0;
  std::int64_t worst_index = -1;
  double worst_actual = 0;
  double worst_expected = 0;
  std::string amplifier;  ///< ill-conditioned: the node whose rounding matters most
  Verdict verdict = Verdict::agrees;
};

struct DeviceReport {
  std::string device;
  std::string description;
  Verdict verdict = Verdict::agrees;
  std::vector<NodeResult> nodes;
  std::vector<ResultCheck> results;
  std::int64_t kernels_checked = 0;
  std::int64_t elements_checked = 0;
  std::int64_t elements_skipped = 0;
  double isolated_seconds = 0;  ///< what the isolated tier took
};

/// A gradient rule against the derivative of its forward formula.
struct RuleResult {
  std::string op;
  std::string where;
  double reverse = 0;  ///< <J^T v, u>
  double forward = 0;  ///< <v, J u>
  double bound = 0;
  std::string method;  ///< "dual numbers", or "finite differences" for a custom op
  Verdict verdict = Verdict::agrees;
  std::string note;
};

struct Report {
  std::vector<DeviceReport> devices;
  std::vector<RuleResult> rules;
  std::uint64_t seed = 0;
  double false_alarm = 0;
  double lambda = 0;
  double seconds = 0;

  Verdict verdict() const;
  /// Whether nothing was found. Warnings agree, and so does an ill-conditioned graph.
  bool agrees() const;
};

/// Builds one step on each device and checks it. `train_step` gets the device, builds its graph with values that are
/// the same each time, and returns the loss (one element). Throws what it throws; ArgumentError when nothing floating
/// was built, or when the graph spans devices.
Report step(const std::function<Tensor(Device)>& train_step, const Options& options = {});

/// The same for any tensors that `build` returns, without gradients of its own.
Report graph(const std::function<std::vector<Tensor>(Device)>& build, const Options& options = {});

/// Verdict first, then every finding with its node and line, then a table of the results.
std::string to_text(const Report& report);
std::string to_json(const Report& report);
/// One self-contained page: the verdict, the graph coloured by error, tables; opens without a network.
std::string to_html(const Report& report, const std::string& title);
std::ostream& operator<<(std::ostream& out, const Report& report);

}  // namespace twingrad::check
