// Runs a plan: binds memory, uploads the literals in one copy, queues the kernels in order or replays a recording of
// them.
#include <twingrad/evaluate.h>
#include <twingrad/graph/plan.h>
#include <twingrad/graph/runtime.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>

namespace twingrad {
namespace {

std::atomic<std::uint64_t> recordings_made{0};
std::atomic<std::uint64_t> runs_replayed{0};
std::atomic<std::uint64_t> kernels_queued{0};
std::atomic<std::uint64_t> kernels_given{0};  // in replays, too, and on any device

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

/// Makes `held` a buffer of at least so many bytes, the block `wanted` if that is given and free; what is held already
/// is let go for that only if it `must` be that one. False when it was so.
bool take(std::unique_ptr<Buffer>& held, Device device, std::size_t bytes, const void* wanted, bool must) {
  if (held != nullptr && held->bytes >= bytes && (!must || held->data == wanted)) {
    return false;
  }
  held = std::make_unique<Buffer>(device, bytes, wanted);
  return true;
}

/// The memory of one run. What is not resident goes back when the run ends, however it does.
class Lease {
 public:
  /// `replays`: the run may be a replay, and needs room for what is copied. `chosen`: the addresses to take again, or
  /// nullptr.
  Lease(Plan& plan, DeviceRuntime& state, Device device, bool replays, const Replays::Variant* chosen)
      : plan_(plan), state_(state), device_(device), replays_(replays), chosen_(chosen) {}
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
      workspace.places.reset();
    }
  }

  /// All but the slots of their own.
  void take_blocks() {
    Plan::Workspace& workspace = plan_.workspace;
    take_block(workspace.arena, Replays::arena, plan_.arena_bytes);
    if (take_block(workspace.literals, Replays::literals, replays_ ? plan_.upload_bytes() : plan_.literal_bytes)) {
      workspace.uploaded.clear();
    }
    if (replays_ && plan_.replays.places_bytes() != 0) {
      take_block(workspace.places, Replays::places, plan_.replays.places_bytes());
    }
  }

  /// Slot `i`, one of its own.
  void take_slot(std::size_t i) {
    std::shared_ptr<Buffer>& owned = plan_.workspace.owned[i];
    const bool held = owned != nullptr && owned.use_count() == 1;
    const bool copied = replays_ && plan_.replays.is_copied(i);
    if (held && (chosen_ == nullptr || copied || owned->data == chosen_->at(Replays::slots + i))) {
      return;
    }
    const std::size_t bytes = plan_.slots[i].bytes;
    owned = make_buffer(device_, bytes, copied ? nullptr : wanted(Replays::slots + i, bytes));
  }

 private:
  const void* wanted(std::size_t word, std::size_t bytes) const {
    if (!replays_ || bytes == 0) {
      return nullptr;
    }
    return chosen_ != nullptr ? chosen_->at(word) : plan_.replays.familiar(word, bytes, state_.memory);
  }
  bool take_block(std::unique_ptr<Buffer>& held, std::size_t word, std::size_t bytes) const {
    return take(held, device_, bytes, wanted(word, bytes), chosen_ != nullptr && bytes != 0);
  }

  Plan& plan_;
  DeviceRuntime& state_;
  Device device_;
  bool replays_;
  const Replays::Variant* chosen_;
};

void bind_slots(Plan& plan, const Graph& graph, Lease& lease) {
  Plan::Workspace& workspace = plan.workspace;
  auto* const arena = static_cast<std::byte*>(workspace.arena->data);
  auto* const literals = static_cast<std::byte*>(workspace.literals->data);
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
        lease.take_slot(i);
        workspace.base[i] = static_cast<std::byte*>(owned->data);
        break;
      case Plan::Slot::Kind::fused:
        break;
    }
  }
}

/// Gives what is copied its fixed places, and writes the list of copies behind the literals.
void bind_copied(Plan& plan) {
  Plan::Workspace& workspace = plan.workspace;
  workspace.upload.resize(plan.upload_bytes());
  std::byte* list = workspace.upload.data() + plan.literal_bytes;
  for (const Replays::Copied& one : plan.replays.copied()) {
    std::byte* const outside = workspace.base[one.slot] + one.first;
    const std::size_t residue = reinterpret_cast<std::uintptr_t>(outside) % Replays::widest_access;
    std::byte* const inside = static_cast<std::byte*>(workspace.places->data) + one.offset + residue;
    workspace.base[one.slot] = inside - one.first;
    const ListedCopy copy =
        one.result ? ListedCopy{outside, inside, one.bytes} : ListedCopy{inside, outside, one.bytes};
    std::memcpy(list, &copy, sizeof copy);
    list += sizeof copy;
  }
}

/// `remembers`: what the block holds already is not sent again. Not worth a comparison where a copy is a memcpy().
void upload(Plan& plan, Backend& backend, bool remembers) {
  Plan::Workspace& workspace = plan.workspace;
  if (workspace.upload.empty() || (remembers && workspace.uploaded == workspace.upload)) {
    return;
  }
  workspace.uploaded.clear();
  backend.copy_from_host(workspace.literals->data, workspace.upload.data(), workspace.upload.size());
  if (remembers) {
    workspace.uploaded = workspace.upload;
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

/// Queues the copies of `results` or of inputs that the uploaded list names.
void queue_copies(const Plan& plan, Backend& backend, bool results) {
  std::size_t first = 0;
  std::size_t count = 0;
  std::size_t longest = 0;
  for (const Replays::Copied& one : plan.replays.copied()) {
    first += results && !one.result ? 1 : 0;
    count += one.result == results ? 1 : 0;
    longest = one.result == results ? std::max(longest, one.bytes) : longest;
  }
  if (count != 0) {
    const auto* list = reinterpret_cast<const ListedCopy*>(
        static_cast<const std::byte*>(plan.workspace.literals->data) + plan.literal_bytes);
    backend.copy_listed(list + first, count, longest);
  }
}

void queue_all(Plan& plan, const Graph& graph, Backend& backend) {
  for (Plan::Launch& one : plan.launches) {
    launch(plan, one, graph, backend);
  }
}

void queue_all_copied(Plan& plan, const Graph& graph, Backend& backend) {
  queue_copies(plan, backend, false);
  queue_all(plan, graph, backend);
  queue_copies(plan, backend, true);
}

/// Queues the kernels as one replay where this run's addresses have a recording or are due for one, else one by one.
void queue_or_replay(Plan& plan, const Graph& graph, Backend& backend, Replays::Variant& variant) {
  std::string obstacle;
  if (plan.replays.is_due(variant)) {
    try {
      variant.recording = backend.record([&] { queue_all_copied(plan, graph, backend); });
      plan.replays.count_recording();
      recordings_made.fetch_add(1, std::memory_order_relaxed);
    } catch (const std::exception& error) {
      // Nothing was queued. Whether the device failed or only its recording, the kernels themselves will tell.
      obstacle = error.what();
    }
  }
  if (variant.recording != nullptr) {
    variant.recording->replay();
    plan.replays.count_replay();
    runs_replayed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  queue_all_copied(plan, graph, backend);
  kernels_queued.fetch_add(plan.launches.size(), std::memory_order_relaxed);
  variant.seen = true;
  if (!obstacle.empty()) {
    plan.replays.stop("they could not be recorded: " + obstacle);
  }
}

}  // namespace

CaptureStats capture_stats() {
  return {.recorded = recordings_made, .replayed = runs_replayed, .single = kernels_queued};
}

std::uint64_t kernels_run() {
  return kernels_given;
}

void run_plan(Plan& plan, const Graph& graph, PlanObserver* observer) {
  DeviceRuntime& state = runtime(graph.device);
  const std::lock_guard lock(state.mutex);
  Backend& backend = *state.backend;

  const bool records = observer == nullptr && backend.records();
  const bool wanted = records && capture() && graph.mode == Execution::planned && Replays::is_worthwhile(plan);
  Replays::Variant* const chosen = wanted ? plan.replays.choose(plan, graph, state.memory) : nullptr;
  const bool replays = wanted && !plan.replays.stopped();
  Lease lease(plan, state, graph.device, replays, chosen);
  lease.take_blocks();
  bind_slots(plan, graph, lease);
  if (observer != nullptr) {
    observer->begin(backend, plan.workspace.arena->data, plan.workspace.arena->bytes);
  }
  const bool remembers = plan.resident && records;
  if (replays) {
    Replays::Variant& variant = plan.replays.settle(plan, graph, state.memory, chosen);
    bind_copied(plan);
    upload(plan, backend, remembers);
    queue_or_replay(plan, graph, backend, variant);
  } else {
    upload(plan, backend, remembers);
    if (observer != nullptr) {
      for (Plan::Launch& one : plan.launches) {
        launch_observed(plan, one, graph, backend, *observer);
      }
    } else {
      queue_all(plan, graph, backend);
    }
    if (records) {
      kernels_queued.fetch_add(plan.launches.size(), std::memory_order_relaxed);
    }
  }

  kernels_given.fetch_add(plan.launches.size(), std::memory_order_relaxed);

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
