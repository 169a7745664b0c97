// Replays a plan: binds memory, uploads the literals in one copy, queues the kernels in order.
#include <twingrad/graph/plan.h>
#include <twingrad/graph/runtime.h>

#include <cstring>

namespace twingrad {
namespace {

// An index or label out of range, found while the kernel ran, gets the node's op, types and source line in front.
void run_step(Backend& backend, Plan::Step& step, const Node& node) {
  step.call.where = node.where;
  try {
    backend.run(step.call);
  } catch (const NumericError& error) {
    std::vector<TensorType> types;
    for (const TensorView& view : step.call.inputs) {
      types.push_back({view.shape, view.dtype});
    }
    throw NumericError(describe_use(*step.call.op, types, node.where) + error.what());
  }
}

}  // namespace

void run_plan(Plan& plan, const Graph& graph, PlanObserver* observer) {
  DeviceRuntime& state = runtime(graph.device);
  const std::lock_guard lock(state.mutex);

  const Buffer arena(graph.device, plan.arena_bytes);
  const Buffer literals(graph.device, plan.literal_bytes);
  std::vector<std::shared_ptr<Buffer>> owned(plan.slots.size());
  std::vector<std::byte*> base(plan.slots.size(), nullptr);
  std::vector<std::byte> upload(plan.literal_bytes);
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const Plan::Slot& slot = plan.slots[i];
    switch (slot.kind) {
      case Plan::Slot::Kind::leaf:
        owned[i] = graph.nodes[static_cast<std::size_t>(slot.node)]->buffer;
        base[i] = static_cast<std::byte*>(owned[i]->data);
        break;
      case Plan::Slot::Kind::literal: {
        const Node& node = *graph.nodes[static_cast<std::size_t>(slot.node)];
        std::memcpy(upload.data() + slot.offset, node.literal.data(), node.literal_bytes);
        base[i] = static_cast<std::byte*>(literals.data) + slot.offset;
        break;
      }
      case Plan::Slot::Kind::arena:
        if (arena.data != nullptr) {
          base[i] = static_cast<std::byte*>(arena.data) + slot.offset;
        }
        break;
      case Plan::Slot::Kind::own:
        owned[i] = std::make_shared<Buffer>(graph.device, slot.bytes);
        base[i] = static_cast<std::byte*>(owned[i]->data);
        break;
    }
  }
  if (observer != nullptr) {
    observer->begin(*state.backend, arena.data, arena.bytes);
  }
  if (!upload.empty()) {
    state.backend->copy_from_host(literals.data, upload.data(), upload.size());
  }

  for (Plan::Step& step : plan.steps) {
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      std::byte* const memory = base[static_cast<std::size_t>(step.inputs[j].slot)];
      step.call.inputs[j].data = memory == nullptr ? nullptr : memory + step.inputs[j].offset;
    }
    step.call.output.data = base[static_cast<std::size_t>(step.output.slot)] + step.output.offset;
    if (observer != nullptr) {
      observer->before(*state.backend, step);
    }
    run_step(*state.backend, step, *graph.nodes[static_cast<std::size_t>(step.node)]);
    if (observer != nullptr) {
      observer->after(*state.backend, step);
    }
  }

  for (const Plan::Kept& kept : plan.kept) {
    Node& node = *graph.nodes[static_cast<std::size_t>(kept.node)];
    node.buffer = owned[static_cast<std::size_t>(kept.slot)];
    if (node.buffer == nullptr) {  // an empty tensor
      node.buffer = std::make_shared<Buffer>(graph.device, 0);
    }
    node.offset = kept.window.offset;
    node.strides = kept.window.strides;
  }
}

}  // namespace twingrad
