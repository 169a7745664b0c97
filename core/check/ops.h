// Checks every op row on a device: kernels forward, backward and of second derivatives against float64 with predicted
// bounds, gradient rules against dual numbers, over hard shapes, layouts, values and dtypes. The command `crosscheck
// ops` and the library's own tests call it; a case is found again by op, number and seed.
//
//   tg::check::OpsReport report = tg::check::ops({.cases = 10000, .seed = 1});
//   if (!report.agrees()) std::cerr << tg::check::to_text(report);
#pragma once

#include <twingrad/check/check.h>
#include <twingrad/check/product_bits.h>
#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace twingrad::check {

struct OpsOptions {
  Device device{};
  /// Cases in all, dealt out to the rows in turn.
  std::int64_t cases = 10000;
  std::uint64_t seed = 1;
  std::string op{};              ///< only this row; empty: all
  std::optional<Shape> shape{};  ///< of the first input; for matmul (..., m, k)
  std::optional<Dtype> dtype{};
  /// Products of float32 are asked for in TF32. Throws DeviceError where there is none.
  bool tf32 = false;
  std::int64_t only = -1;  ///< only this case of the row that `op` names
  /// Probability that correct kernels are accused anywhere in the run.
  double false_alarm = 1e-6;
  /// Rows beside the built-in ones: a user's custom ops, with samples.
  std::vector<const Op*> custom{};
  std::function<void(double, const std::string&)> progress = {};
};

/// What a case was checked for.
enum class Stage : std::uint8_t { forward, backward, second };
inline constexpr int stages = 3;
std::string_view name(Stage stage);

struct OpFailure {
  std::string op;
  std::int64_t number = 0;  ///< of the case: with the op and the run's seed it is the same again
  std::string use;          ///< shapes, layouts, attributes, values
  std::string dtype;
  Stage stage = Stage::forward;
  Verdict verdict = Verdict::kernel;
  NodeResult node;  ///< of a kernel, or in situ
  RuleResult rule;  ///< of a gradient rule
  std::string message;
};

/// What one op was shown to do in one dtype.
struct Evidence {
  struct Count {
    std::int64_t cases = 0;
    std::int64_t elements = 0;
  };
  std::array<Count, stages> by_stage{};
  std::int64_t rules = 0;         ///< gradients by dual numbers, in float64
  std::int64_t second_rules = 0;  ///< second derivatives by dual numbers, in float64
};

struct OpsReport {
  std::string device;
  std::string description;
  std::uint64_t seed = 0;
  double false_alarm = 0;
  std::int64_t cases = 0;
  std::int64_t empty_cases = 0;  ///< legal uses without any element
  std::int64_t kernels = 0;
  std::int64_t elements = 0;
  std::int64_t elements_skipped = 0;  ///< at the edge of the range, or behind a branch that hangs on a rounding
  std::int64_t in_situ_cases = 0;
  std::int64_t rules = 0;
  std::int64_t second_rules = 0;
  std::int64_t drifts = 0;  ///< warnings: roundings that are not mean-zero, inside the worst case
  double worst_ratio = 0;   ///< largest error over its bound
  std::string worst_use;
  std::map<std::string, std::int64_t> skips;  ///< reason: how often
  std::map<std::pair<std::string, Dtype>, Evidence> evidence;
  std::vector<ProductBits> products;  ///< which precision products really have; empty unless matmul was checked
  std::vector<OpFailure> failures;
  double seconds = 0;

  bool agrees() const {
    return failures.empty() && elements > 0 && std::ranges::all_of(products, &ProductBits::agrees);
  }
};

/// Throws ArgumentError for an unknown op, listing what there is, and DeviceError when the device is not there.
OpsReport ops(const OpsOptions& options = {});

/// One row of the coverage list: an op in one dtype.
struct Coverage {
  std::string op;
  Dtype dtype = Dtype::f32;
  /// Evidence in words, or why there is none.
  std::array<std::string, stages> cells{};
  std::array<bool, stages> empty{};  ///< no evidence and no reason for that
};
std::vector<Coverage> coverage(const OpsReport& report, const std::vector<const Op*>& custom = {});
/// The same for a device that is not there: every cell waits for it.
std::vector<Coverage> coverage_without(const std::string& device);

std::string to_text(const OpsReport& report);
std::string to_json(const OpsReport& report);
std::string to_text(const std::vector<Coverage>& coverage);
std::string to_json(const std::vector<Coverage>& coverage);

}  // namespace twingrad::check
