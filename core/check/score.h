// The score table: every planted fault, and who sees it. This library's cross-check in a training step of several
// hundred nodes (at one chosen call: is that node named?) and in small graphs at hard values; beside it, on the same
// values, the checks that others use. Called by the command line; printed in docs/cross-check.md.
//
//   std::cout << to_markdown(score_faults());
#pragma once

#include <twingrad/check/check.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad {
class Backend;
}

namespace twingrad::check {

/// Checks in common use, applied to the results (outputs, gradients, updated parameters) of a graph on the device
/// against the same graph in float64. NaN or infinity on one side alone fails each of them.
enum class CommonCheck : std::uint8_t {
  nmse_1e7,         ///< sum((a - b)^2) <= 1e-7 sum(b^2): ggml's bound for most ops
  nmse_5e4,         ///< ... 5e-4: ggml's bound for matrix products
  allclose_1e3,     ///< |a - b| <= 1e-3 + 1e-3 |b|: PyTorch's comparison of devices
  pytorch_default,  ///< |a - b| <= 1e-5 + 1.3e-6 |b|: torch.testing.assert_close for float32
  size_scaled,      ///< |a - b| <= 1e-6 n (1 + |b|), n elements: JAX's comparison of gradients
  ones_cotangent,   ///< PyTorch's default, with gradients of the outputs' sum: every cotangent is 1
};
inline constexpr std::size_t common_check_count = 6;
std::string_view name(CommonCheck check);

/// Whether the check accepts `actual`.
bool accepts(CommonCheck check, const std::vector<double>& actual, const std::vector<double>& expected);

struct FaultScore {
  std::string fault;
  std::string family;
  std::string description;
  // In the training step, planted at one node.
  std::string planted;  ///< "matmul at score_model.cpp:131, (32, 41) float32"
  int planted_node = -1;
  std::vector<int> named;  ///< nodes with a finding, the most telling verdict first, then in the graph's order
  Verdict verdict = Verdict::agrees;
  bool right_node = false;  ///< the planted node is the first one named, and no other kernel is accused
  // In the cases, planted at every call.
  int cases_changed = 0;  ///< in which the fault changed a bit
  int cases_caught = 0;
  std::string first_case;
  /// Common checks that refuse the step's results, and those of at least one case; both only where they accept the
  /// results of the clean backend.
  std::array<bool, common_check_count> step_refused{};
  std::array<bool, common_check_count> case_refused{};

  bool caught() const { return right_node || cases_caught > 0; }
};

struct FaultTable {
  std::string device;
  std::uint64_t seed = 0;
  int step_nodes = 0;
  int cases = 0;
  double seconds = 0;
  std::vector<FaultScore> rows;
  // On the clean backend: false alarms.
  int clean_findings = 0;  ///< nodes and results that this library's check accuses
  std::array<bool, common_check_count> clean_step_refused{};
  std::array<int, common_check_count> clean_cases_refused{};

  /// Every fault is caught, the right node is named wherever it was planted, and the clean backend is clean.
  bool complete() const;
};

struct ScoreOptions {
  std::uint64_t seed = 1;
  /// The backend that is wrapped; default: the CPU's.
  std::function<std::unique_ptr<Backend>()> inner = {};
  /// Leaves out the table of more than 2^24 rows, which needs about a gigabyte; the fault that only it shows is then
  /// judged by nothing.
  bool large = true;
  /// Only faults whose name contains this.
  std::string filter = {};
  std::function<void(double, const std::string&)> progress = {};
};

FaultTable score_faults(const ScoreOptions& options = {});

std::string to_markdown(const FaultTable& table);
std::string to_json(const FaultTable& table);

/// The report on the training step of the table with one fault planted at one of its nodes. Throws ArgumentError for an
/// unknown fault.
Report report_with_fault(std::string_view fault, const ScoreOptions& options = {});

}  // namespace twingrad::check
