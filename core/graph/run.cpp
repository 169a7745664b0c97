// Replays a plan: binds memory, uploads the literals in one copy, queues the kernels in order.
#include <twingrad/graph/plan.h>
#include <twingrad/graph/runtime.h>

#include <cstring>

namespace twingrad {
namespace {

const Node& node_of(const Graph& graph, const Plan::Step& step) {
  return *graph.nodes[static_cast<std::size_t>(step.node)];
}

std::byte* address_of(const Plan::Workspace& workspace, const Plan::Place& place) {
  std::byte* const memory = workspace.base[static_cast<std::size_t>(place.slot)];
  return memory == nullptr ? nullptr : memory + place.offset;
}

/// The addresses in the step's own call, for an observer.
void bind_call(const Plan::Workspace& workspace, Plan::Step& step, const Node& node) {
  for (std::size_t j = 0; j < step.inputs.size(); ++j) {
    step.call.inputs[j].data = address_of(workspace, step.inputs[j]);
  }
  step.call.output.data = address_of(workspace, step.output);
  step.call.where = node.where;
}

/// An index or label out of range, found while the kernel ran, gets the node's op, types and source line in front.
[[noreturn]] void rethrow_at(const NumericError& error, const Plan::Step& step, const Node& node) {
  std::vector<TensorType> types;
  for (const TensorView& view : step.call.inputs) {
    types.push_back({view.shape, view.dtype});
  }
  throw NumericError(describe_use(*step.call.op, types, node.where) + error.what());
}

/// The memory of one run. What is not resident goes back when the run ends, however it does.
class Lease {
 public:
  Lease(Plan& plan, Device device) : plan_(plan) {
    Plan::Workspace& workspace = plan_.workspace;
    if (workspace.arena == nullptr) {
      workspace.arena = std::make_unique<Buffer>(device, plan.arena_bytes);
      workspace.literals = std::make_unique<Buffer>(device, plan.literal_bytes);
    }
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    Plan::Workspace& workspace = plan_.workspace;
    for (std::size_t i = 0; i < workspace.owned.size(); ++i) {
      if (!plan_.resident || plan_.slots[i].kind != Plan::Slot::Kind::own) {
        workspace.owned[i].reset();
      }
    }
    if (!plan_.resident) {
      workspace.arena.reset();
      workspace.literals.reset();
    }
  }

 private:
  Plan& plan_;
};

void bind_slots(Plan& plan, const Graph& graph, std::byte* arena, std::byte* literals) {
  Plan::Workspace& workspace = plan.workspace;
  workspace.owned.resize(plan.slots.size());
  workspace.base.assign(plan.slots.size(), nullptr);
  workspace.upload.resize(plan.literal_bytes);
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const Plan::Slot& slot = plan.slots[i];
    std::shared_ptr<Buffer>& owned = workspace.owned[i];
    switch (slot.kind) {
      case Plan::Slot::Kind::leaf:
        owned = graph.nodes[static_cast<std::size_t>(slot.node)]->buffer;
        workspace.base[i] = static_cast<std::byte*>(owned->data) +
                            (graph.shifts.empty() ? 0 : graph.shifts[static_cast<std::size_t>(slot.node)]);
        break;
      case Plan::Slot::Kind::literal: {
        const Node& node = *graph.nodes[static_cast<std::size_t>(slot.node)];
        std::memcpy(workspace.upload.data() + slot.offset, node.literal.data(), node.literal_bytes);
        workspace.base[i] = literals + slot.offset;
        break;
      }
      case Plan::Slot::Kind::arena:
        if (arena != nullptr) {
          workspace.base[i] = arena + slot.offset;
        }
        break;
      case Plan::Slot::Kind::own:
        if (owned == nullptr || owned.use_count() > 1) {
          owned = make_buffer(graph.device, slot.bytes);
        }
        workspace.base[i] = static_cast<std::byte*>(owned->data);
        break;
      case Plan::Slot::Kind::fused:
        break;
    }
  }
}

void launch(Plan& plan, Plan::Launch& launch, const Graph& graph, Backend& backend) {
  std::vector<void*>& addresses = plan.workspace.addresses;
  addresses.clear();
  for (const Plan::Place& place : launch.addresses) {
    addresses.push_back(address_of(plan.workspace, place));
  }
  const Plan::Step& first = plan.steps[static_cast<std::size_t>(launch.first)];
  const Node& node = node_of(graph, first);
  try {
    if (launch.kernel == nullptr) {
      launch.kernel = backend.prepare(first.call);
    }
    launch.kernel->run(addresses, node.where);
  } catch (const NumericError& error) {
    rethrow_at(error, first, node);
  }
}

void launch_observed(Plan& plan, Plan::Launch& one, const Graph& graph, Backend& backend, PlanObserver& observer) {
  for (int s = one.first; s < one.first + one.count; ++s) {
    Plan::Step& step = plan.steps[static_cast<std::size_t>(s)];
    bind_call(plan.workspace, step, node_of(graph, step));
  }
  Plan::Step& first = plan.steps[static_cast<std::size_t>(one.first)];
  if (one.count == 1) {
    observer.before(backend, first);
  }
  launch(plan, one, graph, backend);
  for (int s = one.first; s < one.first + one.count; ++s) {
    if (const Plan::Step& step = plan.steps[static_cast<std::size_t>(s)]; step.stored) {
      observer.after(backend, step);
    }
  }
}

}  // namespace

void run_plan(Plan& plan, const Graph& graph, PlanObserver* observer) {
  DeviceRuntime& state = runtime(graph.device);
  const std::lock_guard lock(state.mutex);
  Backend& backend = *state.backend;

  const Lease lease(plan, graph.device);
  const Buffer& arena = *plan.workspace.arena;
  const Buffer& literals = *plan.workspace.literals;
  bind_slots(plan, graph, static_cast<std::byte*>(arena.data), static_cast<std::byte*>(literals.data));
  if (observer != nullptr) {
    observer->begin(backend, arena.data, arena.bytes);
  }
  if (!plan.workspace.upload.empty()) {
    backend.copy_from_host(literals.data, plan.workspace.upload.data(), plan.workspace.upload.size());
  }
  for (Plan::Launch& one : plan.launches) {
    if (observer != nullptr) {
      launch_observed(plan, one, graph, backend, *observer);
    } else {
      launch(plan, one, graph, backend);
    }
  }

  for (const Plan::Kept& kept : plan.kept) {
    Node& node = *graph.nodes[static_cast<std::size_t>(kept.node)];
    node.buffer = plan.workspace.owned[static_cast<std::size_t>(kept.slot)];
    if (node.buffer == nullptr) {  // an empty tensor
      node.buffer = make_buffer(graph.device, 0);
    }
    node.offset = kept.window.offset;
    node.strides = kept.window.strides;
  }
}

}  // namespace twingrad
