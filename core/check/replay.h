// One failure in one file: a node with the bits of its inputs, how they lie in memory, what the device made of them and
// what it should have.
// The file is small, because shape and values were shrunk as far as the node still fails, and it replays alone, on any
// device.
//
//   std::vector<std::string> files = save_failures(train_step, report, "failures");
//   Replayed again = replay(files[0], Device::cuda(0));
//   std::cout << to_string(again.comparison);                        // and again.same_bits: as recorded?
#pragma once

#include <twingrad/check/check.h>
#include <twingrad/check/reference.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace twingrad::check {

/// A use of one op with the values of its inputs.
struct NodeUse {
  const Op* op = nullptr;
  Attributes attributes;
  std::vector<Array<double>> inputs;
  TensorType type;
  /// How each input lies in memory, as its kernel sees it; empty: all contiguous.
  std::vector<Strides> strides = {};
};

/// A node that failed, as a file holds it.
struct Failure {
  NodeUse use;
  Verdict verdict = Verdict::kernel;
  std::string where;               ///< "file.cpp:12"
  std::string device;              ///< on which it failed
  std::string device_description;  ///< in words
  std::uint64_t seed = 0;          ///< of the report
  double lambda = 0;               ///< of the report
  std::vector<double> actual;      ///< what the kernel gave when run alone
  std::vector<double> expected;    ///< in float64
};

/// Runs one node alone and compares it with float64.
Comparison check_node(const NodeUse& use, Device device, double lambda);

/// The same failure with shorter axes and plainer values, tried at most `tries` times. Returns `use` when the node does
/// not fail alone, as with faults of the plan.
NodeUse shrink(NodeUse use, Device device, double lambda, int tries = 300);

/// Shrinks, runs the node alone on `device`, and writes the file. Throws IoError when it cannot be written.
void save_replay(const std::string& path, Failure failure, Device device);

/// Reads a file. `custom` are the user's own ops that may be named in it. Throws IoError when it cannot be read, is
/// damaged, or of another version; ArgumentError for an op that is not known.
Failure load_replay(const std::string& path, std::span<const Op* const> custom = {});

struct Replayed {
  Failure recorded;
  std::vector<double> actual;
  bool same_bits = false;  ///< as recorded
  Comparison comparison;   ///< with float64, on the device of this replay
};

/// Loads a file and runs its node alone on `device`. Throws what load_replay() throws.
Replayed replay(const std::string& path, Device device, std::span<const Op* const> custom = {});

/// Writes one file for every node that `report` accuses, "<folder>/<device>-<node>-<op>.json", and returns their paths.
/// Builds the step again to get at the values.
std::vector<std::string> save_failures(const std::function<Tensor(Device)>& train_step, const Report& report,
                                       const std::vector<Device>& devices, const std::string& folder);

}  // namespace twingrad::check
