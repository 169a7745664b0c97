// Runs one work on all systems: starts them, holds their results against each other, and lets them take turns.
//
//   const stepbench::WorkResult result = stepbench::run_work(work, systems, settings);
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/step/systems.h"
#include "bench/step/work.h"

namespace stepbench {

struct Settings {
  Places places;
  std::string device = "cpu";
  std::vector<int> threads = {1};  ///< settings that each system is run with, ascending
  int starts = 3;                  ///< processes of each system, one after another
  int repeats = 20;                ///< turns of each process
  double repeat_seconds = 0.05;    ///< how long a turn lasts at least
  double budget_seconds = 40;      ///< of all turns of one process: bounds the repeats of slow works
  std::string folder;              ///< for data, logs and compilers' caches
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

/// One system at one thread setting.
struct EntryResult {
  std::string name;  ///< "jax-scan@2"
  std::string system;
  Role role = Role::peer;
  std::string description;
  int threads = 1;
  std::string version;
  std::string flags;
  std::string precision;
  std::int64_t steps = 0;                  ///< per turn
  std::vector<double> step_seconds;        ///< turn after turn, of all starts
  std::vector<double> cpu_seconds;         ///< of each turn, per step: processor time of all threads, waiting included
                                           ///< where threads spin
  std::vector<double> device_seconds;      ///< of each turn, per step, by the device's own clock: from the turn's first
                                           ///< step to the end of its last; empty when the system does not say
  std::vector<double> read_seconds;        ///< per start: per step when the loss is read after each one; empty when
                                           ///< the system cannot
  std::optional<double> kernels_per_step;  ///< given to the device in the last turn; nothing when it does not say
  std::vector<double> disturbance;         ///< of each turn: share of its time in which some thread waited for a CPU;
                                           ///< NaN when the system does not say
  std::vector<double> ready_seconds;       ///< per start: process started, libraries and data loaded
  std::vector<double> first_step_seconds;  ///< per start: the same and the first step done; compilers' caches are empty
                                           ///< at the first start
  std::int64_t peak_memory = 0;
  std::vector<double> losses;
  std::string weights;      ///< checksum after these losses
  double loss_error = 0;    ///< largest difference from float64's losses, as a share of how far those moved
  double output_error = 0;  ///< of the first forward pass, root mean square, relative to float64
  std::string failure;      ///< why it has no times; empty when it has
};

/// What the machine reached in this run, and so the shortest time that the work could take on it.
struct Ceilings {
  double flops = 0;                      ///< FLOP/s of a large product in the work's precision on all threads
  double copy = 0;                       ///< bytes/s, read and written, of a copy as large as what the work moves
  double floor(const Work& work) const;  ///< seconds of one step; 0 when nothing was measured
};

struct WorkResult {
  Work work;
  std::vector<EntryResult> entries;
  Ceilings ceilings;                     ///< the best of before and after
  std::vector<double> reference_losses;  ///< ours in float64
  double foreign_load = 0;               ///< CPUs that other programs kept busy meanwhile
};

/// A turn that was disturbed more than this is taken again.
inline constexpr double disturbance_limit = 0.02;

/// Unit roundoffs.
inline constexpr double float32_roundoff = 0x1p-24;
inline constexpr double tf32_roundoff = 0x1p-11;
inline constexpr double bfloat16_roundoff = 0x1p-9;
/// What `output_error` may be. float32: from 0 to halfway between its roundoff and TF32's, in orders of magnitude.
/// tf32: from 0, since libraries may take float32 for narrow products, to halfway between TF32's roundoff and
/// bfloat16's. bfloat16: from float32's limit (less would be float32 in disguise) to halfway between its roundoff
/// and 1. Throws ArgumentError for another precision.
std::pair<double, double> output_error_limits(const std::string& precision);
/// Losses must agree to this share of how far training moved them: in float32 0.1 % more learning rate would show, in
/// TF32 1 %, in bfloat16 10 %. Throws ArgumentError for another precision.
double loss_error_limit(const std::string& precision);

/// max |loss - reference| / (max reference - min reference). Throws ArgumentError when the counts differ.
double loss_error(const std::vector<double>& losses, const std::vector<double>& reference);
/// Root mean square difference relative to the root mean square of the reference.
double relative_error(const std::vector<double>& values, const std::vector<double>& reference);

WorkResult run_work(const Work& work, const std::vector<SystemSpec>& systems, const Settings& settings);

}  // namespace stepbench
