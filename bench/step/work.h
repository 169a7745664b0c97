// The works of the training-step benchmark: nets, batches and losses out of bench/works.json, what they cost at least,
// and the data that every system gets.
//
//   const std::vector<stepbench::Work> works = stepbench::read_works("bench/works.json", "cpu");
//   stepbench::write_work(works[0], "moons.json");
//   stepbench::write_data(works[0], "moons.safetensors");
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace stepbench {

/// A fully connected net with ReLU between its layers, trained with Adam on random data.
struct Work {
  std::string name;
  std::vector<std::int64_t> sizes;    ///< input, hidden layers, output
  std::int64_t batch = 0;             ///< rows of one step
  std::int64_t batches = 0;           ///< step t takes batch t modulo this
  std::string loss;                   ///< mse, cross_entropy, binary_cross_entropy
  std::string precision = "float32";  ///< of products: float32, or bfloat16 with float32 weights
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool usual = true;  ///< part of a run that names no works
};

/// All works of the file, with the batch of `device` ("cpu", "cuda"). Throws IoError when it cannot be read, and
/// ArgumentError that names work and field for a value that makes no sense.
std::vector<Work> read_works(const std::string& path, const std::string& device);
/// Those that are named, in the order of the file; the usual ones when none are. Throws ArgumentError that lists the
/// works for a name that is not there.
std::vector<Work> choose_works(const std::vector<Work>& works, const std::vector<std::string>& names);

nlohmann::ordered_json to_json(const Work& work);
/// The file that a system reads.
void write_work(const Work& work, const std::string& path);
/// Initial weights ("layer0.weight" (out, in), "layer0.bias" (out)) and all batches ("x", "y") as safetensors, the same
/// in every run.
void write_data(const Work& work, const std::string& path);

/// Parameters of all layers.
std::int64_t parameter_count(const Work& work);
/// Floating-point operations of one step's products: forward, weight gradients, and input gradients of all layers but
/// the first: 2 B (3 S - d0 d1), with S the sum of d[l-1] d[l].
double step_flops(const Work& work);
/// Bytes that one step moves when every product has its elementwise work fused into it: per row, inputs and outputs of
/// forward and weight gradient of every layer, and of the input gradient of all but the first; 28 bytes per parameter
/// for Adam. Activations have the size of the work's precision.
double step_bytes(const Work& work);

}  // namespace stepbench
