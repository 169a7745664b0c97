// What is checked: the graph of a user's training step on one device, taken without running it, and helpers that run
// its nodes one at a time. Private to the cross-check.
#pragma once

#include <twingrad/check/check.h>
#include <twingrad/check/reference.h>
#include <twingrad/graph/plan.h>

#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace twingrad::check {

struct Subject {
  Device device;
  std::vector<Tensor> held;  ///< keeps the graph alive
  Graph graph;
  std::vector<std::pair<std::string, int>> results;  ///< what the user gets, and its node
  std::vector<char> forward;                         ///< per node: part of the loss's own graph
  std::vector<char> leaf;                            ///< per node: had its value when the graph was taken
};

/// Runs `train_step` while its gradients and updates are held back, and takes the graph it leaves.
Subject take_step(const std::function<Tensor(Device)>& train_step, Device device);
/// The graph of any tensors.
Subject take_graph(const std::function<std::vector<Tensor>(Device)>& build, Device device);

/// The same without anything that the user asked for: only nodes, of any dtype.
Subject take_nodes(const std::vector<Tensor>& tensors, Device device);

/// The kernel of one node on `device`. `strides`: how each input is to lie in memory there, gaps filled with NaN;
/// empty: all contiguous.
std::vector<double> run_alone(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                              const TensorType& type, Device device, const std::source_location& where,
                              const std::vector<Strides>& strides = {});

/// One node's kernel, with inputs of given values that lie in memory as they do in the graph: a view is a view again of
/// what it shows. Not run yet. `scratch` is memory for its leaves on the way to the device, for one node after the
/// other.
struct PlacedNode {
  Tensor output;
  ErrorModel model;              ///< of the kernel that the plan calls
  std::vector<Strides> strides;  ///< of that kernel's inputs, along their own axes
};
PlacedNode place_alone(const Subject& subject, std::size_t node, const std::vector<Array<double>>& values,
                       std::vector<std::byte>& scratch);

/// How the device's kernel for this use rounds; `strides` as run_alone() takes them.
ErrorModel model_of(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                    const TensorType& type, Device device, const std::vector<Strides>& strides = {});

/// What the kernel should give, with bounds.
Array<Tracked> expect(const Op& op, const Attributes& attributes, const std::vector<Array<double>>& inputs,
                      const TensorType& type, const ErrorModel& model);

/// The value nearest to x that the floating-point T has. Of other types x itself, which they hold as it is.
template <class T>
double round_as(double x) {
  if constexpr (std::is_floating_point_v<compute_t<T>>) {
    return static_cast<double>(static_cast<compute_t<T>>(static_cast<T>(static_cast<compute_t<T>>(x))));
  } else {
    return x;
  }
}
double round_to(double x, Dtype dtype);

/// `count` elements as they lie in memory, in double.
void widen(const std::byte* from, std::size_t count, Dtype dtype, double* to);

/// A device's result on the host, widened where it is looked at. Its memory serves for one result after the other.
class HostValues {
 public:
  /// Computes `tensor` and copies its elements.
  void take(const Tensor& tensor);
  /// Elements [begin, begin + count). Any number of threads may read at a time.
  void read(std::int64_t begin, std::int64_t count, double* to) const;

 private:
  Dtype dtype_ = Dtype::f32;
  std::vector<std::byte> bytes_;
  std::vector<double> wide_;  ///< instead of bytes_, of a tensor that is not one piece of memory
};

/// "(128, 10) float32".
std::string describe(const TensorType& type);

/// A computed tensor on the host; `through` lends its memory.
Array<double> read(const Tensor& tensor, HostValues& through);
Array<double> read(const Tensor& tensor);

/// What the isolated tier leaves for the others, per node and element.
struct Isolated {
  std::vector<Array<double>> values;      ///< the float64 value, rounded to the dtype
  std::vector<std::vector<float>> sigma;  ///< what injected noise is drawn from; empty where nothing rounds
};
/// Fills report.nodes from the graph, and the isolated tier: every kernel alone against float64.
Isolated check_isolated(const Subject& subject, const Options& options, double lambda, DeviceReport& report);

/// The in-situ tier and the repeats: the real plan, compared with its own kernels run alone, several times.
void check_in_situ(const Subject& subject, const Options& options, DeviceReport& report);

/// The end-to-end tier. The plan was run: results have their values.
void check_end_to_end(const Subject& subject, const Isolated& isolated, const Options& options, DeviceReport& report);

/// Gradient rules of the ops in the loss's graph, at random points of their domains.
std::vector<RuleResult> check_rules(const Subject& subject, const Isolated& isolated, const Options& options);

}  // namespace twingrad::check
