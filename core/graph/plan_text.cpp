// A plan as text, for describe_plan() and for whoever wonders what a step costs.
#include <twingrad/graph/plan.h>

namespace twingrad {
namespace {

std::string size_in_words(std::size_t bytes) {
  return bytes < 10240 ? std::to_string(bytes) + " B" : std::to_string(bytes / 1024) + " KiB";
}

std::string place_in_words(const Plan& plan, const Plan::Place& place) {
  const Plan::Slot& slot = plan.slots[static_cast<std::size_t>(place.slot)];
  const std::string at = "+" + std::to_string(place.offset + slot.offset);
  switch (slot.kind) {
    case Plan::Slot::Kind::leaf:
      return "leaf " + std::to_string(slot.node) + at;
    case Plan::Slot::Kind::literal:
      return "literals" + at;
    case Plan::Slot::Kind::arena:
      return "arena" + at;
    case Plan::Slot::Kind::own:
      return "own " + std::to_string(place.slot) + at;
    case Plan::Slot::Kind::fused:
      return "fused";
  }
  return "?";
}

/// What a step moves through memory: results that stay inside a fused kernel cost nothing.
std::size_t moved_bytes(const Plan::Launch& launch, const Plan::Step& step) {
  const TensorView& output = step.call.output;
  std::size_t bytes = step.stored ? static_cast<std::size_t>(output.numel()) * size_of(output.dtype) : 0;
  for (std::size_t j = 0; j < step.inputs.size(); ++j) {
    const TensorView& view = step.call.inputs[j];
    if (launch.count == 1 || step.producers[j] < launch.first) {
      bytes += static_cast<std::size_t>(view.numel()) * size_of(view.dtype);
    }
  }
  return bytes;
}

std::string step_in_words(const Plan& plan, const Plan::Launch& launch, const Plan::Step& step, const Graph& graph) {
  std::vector<TensorType> types;
  std::string from;
  for (std::size_t j = 0; j < step.inputs.size(); ++j) {
    const TensorView& view = step.call.inputs[j];
    types.push_back({view.shape, view.dtype});
    from += (j == 0 ? "" : ", ") + to_string(view.shape) + " " + place_in_words(plan, step.inputs[j]);
  }
  const TensorType type{step.call.output.shape, step.call.output.dtype};
  const double flops =
      step.call.op->flops == nullptr ? static_cast<double>(numel(type.shape)) : step.call.op->flops(types, type);
  return std::string(step.call.op->name) + " " + to_string(type.shape) + " " + std::string(name(type.dtype)) + " -> " +
         place_in_words(plan, step.output) + "  from " + from + "  [" + size_in_words(moved_bytes(launch, step)) +
         ", " + std::to_string(static_cast<long long>(flops)) + " FLOPs]  " +
         to_string(graph.nodes[static_cast<std::size_t>(step.node)]->where) + "\n";
}

}  // namespace

std::string to_string(const Plan& plan, const Graph& graph) {
  std::string text =
      "plan: " + std::to_string(plan.launches.size()) + " kernels" +
      (plan.launches.size() == plan.steps.size() ? std::string()
                                                 : " for " + std::to_string(plan.steps.size()) + " ops") +
      ", arena " + size_in_words(plan.arena_bytes) + ", literals " + size_in_words(plan.literal_bytes) + "\n";
  for (std::size_t l = 0; l < plan.launches.size(); ++l) {
    const Plan::Launch& launch = plan.launches[l];
    for (int s = launch.first; s < launch.first + launch.count; ++s) {
      // What one kernel does together with the line above is marked.
      text += (s == launch.first ? std::to_string(l) + ": " : std::string("   + ")) +
              step_in_words(plan, launch, plan.steps[static_cast<std::size_t>(s)], graph);
    }
  }
  if (graph.mode == Execution::planned && backend(graph.device).records()) {
    text += plan.replays.in_words(plan) + "\n";
  }
  return text;
}

}  // namespace twingrad
