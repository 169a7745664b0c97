// Running the graph: what is asked for is ordered, planned once per structure, and replayed from then on.
//
//   tg::eval({loss, accuracy});                      // one plan for both
//   tg::set_execution(tg::Execution::op_by_op);      // debug: no arena, no cache, every node in memory of its own
#pragma once

#include <twingrad/tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace twingrad {

/// Runs what the tensors need, together. Other tensors still held by handles on the way get their values too.
void eval(const std::vector<Tensor>& tensors);

/// planned: arena, in-place, cached plans. op_by_op: none of these.
enum class Execution : std::uint8_t { planned, op_by_op };
void set_execution(Execution mode);
Execution execution();

/// Whether a device may run several ops of a plan as one kernel (default: yes). The bits are the same either way.
void set_fusion(bool enabled);
bool fusion();

/// Whether a device that can (CUDA) replays a plan as one recording, a captured graph there, instead of queuing its
/// kernels one by one (default: yes). The bits are the same either way. describe_plan() and CompiledStep::describe()
/// say what became of a plan.
void set_capture(bool enabled);
bool capture();

/// What all devices that can record have done so far.
struct CaptureStats {
  std::uint64_t recorded = 0;  ///< recordings made
  std::uint64_t replayed = 0;  ///< runs of a plan that were one replay
  std::uint64_t single = 0;    ///< kernels queued one by one
};
CaptureStats capture_stats();

/// Kernels that plans have given to their devices so far, on all devices, replayed or one by one. What a device runs as
/// one kernel (fused, merged) counts once, and so does a reduction in two passes.
std::uint64_t kernels_run();

struct PlanCacheStats {
  std::size_t plans = 0;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t evictions = 0;
};
PlanCacheStats plan_cache_stats();
/// Keeps at most `plans` (default 256) of the most recently used.
void set_plan_cache_limit(std::size_t plans);
void clear_plan_cache();

/// The plan that eval() would run, as text: kernels in order with shapes, memory and FLOPs.
std::string describe_plan(const std::vector<Tensor>& tensors);

/// One optimizer's step: every handle takes its new value, all of them or, when an op throws, none. Memory of the old
/// values is reused where no other graph needs them. The graph that was run is spent: tensors that handles still hold
/// keep their values, and differentiating through them throws.
void assign_all(const std::vector<std::pair<Tensor, Tensor>>& handles_and_values);

/// Lets `handle` take `value` now, and computes it together with whatever is evaluated next on this thread, in the same
/// plan: running statistics. When that evaluation throws, the handle goes back to the value it had.
void assign_later(const Tensor& handle, const Tensor& value);

}  // namespace twingrad
