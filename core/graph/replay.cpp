#include <twingrad/evaluate.h>
#include <twingrad/graph/plan.h>
#include <twingrad/graph/replay.h>
#include <twingrad/graph/runtime.h>

#include <algorithm>
#include <utility>

namespace twingrad {
namespace {

/// Sets of addresses that a plan remembers, with a recording each.
constexpr std::size_t most_variants = 16;
/// So many runs in a row on new addresses, and those inputs and results are copied that lie elsewhere each time; again
/// so many, and the plan is given up.
constexpr int most_misses = 20;
/// Queuing fewer kernels costs no more than launching a graph; expected, no GPU has measured it yet.
constexpr std::size_t fewest_kernels = 4;
/// What a run may copy to and from fixed places. Beyond, the kernels that work on it are expected to take longer than
/// queuing them; no GPU has measured that yet, either.
constexpr std::size_t most_copied_bytes = std::size_t{16} << 20;
/// Recordings that a plan may make at once, and replays that earn it another one.
constexpr std::uint64_t free_recordings = 16;
constexpr std::uint64_t replays_per_recording = 64;

constexpr std::size_t alignment = 256;

std::uintptr_t word(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address);
}

const Buffer& leaf_buffer(const Plan::Slot& slot, const Graph& graph) {
  return *graph.nodes[static_cast<std::size_t>(slot.node)]->buffer;
}

std::uintptr_t leaf_address(const Plan::Slot& slot, const Graph& graph) {
  const std::size_t shift = graph.shifts.empty() ? 0 : graph.shifts[static_cast<std::size_t>(slot.node)];
  return word(leaf_buffer(slot, graph).data) + shift;
}

/// Whether a run may have this very block: the plan holds it, or the cache has it free.
bool is_to_be_had(const void* block, std::size_t bytes, const Buffer* held, const MemoryCache& memory) {
  return bytes == 0 || (held != nullptr && held->data == block) || memory.has_free(block, bytes);
}

/// Bytes of a slot, counted from its start, that the plan's kernels read and write.
struct Extent {
  std::ptrdiff_t first = 0;
  std::ptrdiff_t last = 0;  ///< one past
  bool read = false;
  bool written = false;

  void add(const TensorView& view, std::size_t offset) {
    std::ptrdiff_t low = static_cast<std::ptrdiff_t>(offset);
    std::ptrdiff_t high = low;
    const auto size = static_cast<std::ptrdiff_t>(size_of(view.dtype));
    for (int axis = 0; axis < view.shape.size(); ++axis) {
      if (view.shape[axis] == 0) {
        return;
      }
      const std::ptrdiff_t reach = (view.shape[axis] - 1) * view.strides[axis] * size;
      (reach < 0 ? low : high) += reach;
    }
    high += size;
    const bool empty = first == last;
    first = empty ? low : std::min(first, low);
    last = empty ? high : std::max(last, high);
  }
};

std::vector<Extent> extents(const Plan& plan) {
  std::vector<Extent> all(plan.slots.size());
  for (const Plan::Step& step : plan.steps) {
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      Extent& extent = all[static_cast<std::size_t>(step.inputs[j].slot)];
      extent.add(step.call.inputs[j], step.inputs[j].offset);
      extent.read = true;
    }
    Extent& extent = all[static_cast<std::size_t>(step.output.slot)];
    extent.add(step.call.output, step.output.offset);
    extent.written = true;
  }
  return all;
}

}  // namespace

// Where all that is not in the arena lies: arena, literals, fixed places, then a word per slot. What is copied counts
// by its alignment alone. Kernels that look at indices carry their line in a recording, so these follow.
void Replays::write_key(const Plan& plan, const Graph& graph) {
  const Plan::Workspace& workspace = plan.workspace;
  key_.clear();
  key_.push_back(word(workspace.arena->data));
  key_.push_back(word(workspace.literals->data));
  key_.push_back(places_bytes_ == 0 ? 0 : word(workspace.places->data));
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const Plan::Slot& slot = plan.slots[i];
    switch (slot.kind) {
      case Plan::Slot::Kind::leaf: {
        const std::uintptr_t address = leaf_address(slot, graph);
        key_.push_back(is_copied(i) ? address % widest_access : address);
        break;
      }
      case Plan::Slot::Kind::own:
        key_.push_back(is_copied(i) ? 0 : word(workspace.owned[i]->data));
        break;
      case Plan::Slot::Kind::literal:
      case Plan::Slot::Kind::arena:
      case Plan::Slot::Kind::fused:
        key_.push_back(0);
        break;
    }
  }
  for (const Plan::Step& step : plan.steps) {
    if (step.call.op->family == Family::index) {
      const std::source_location& where = graph.nodes[static_cast<std::size_t>(step.node)]->where;
      key_.push_back(word(where.file_name()));
      key_.push_back(std::uintptr_t{where.line()} << 32 | where.column());
    }
  }
}

bool Replays::fits(const Variant& variant, const Plan& plan, const Graph& graph, const MemoryCache& memory) const {
  const Plan::Workspace& workspace = plan.workspace;
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const Plan::Slot& slot = plan.slots[i];
    if (slot.kind == Plan::Slot::Kind::leaf) {
      const std::uintptr_t address = leaf_address(slot, graph);
      if (variant.key[slots + i] != (is_copied(i) ? address % widest_access : address)) {
        return false;
      }
    } else if (slot.kind == Plan::Slot::Kind::own && !is_copied(i)) {
      const Buffer* held = nullptr;
      if (i < workspace.owned.size() && workspace.owned[i].use_count() == 1) {
        held = workspace.owned[i].get();
      }
      if (!is_to_be_had(variant.at(slots + i), slot.bytes, held, memory)) {
        return false;
      }
    }
  }
  return is_to_be_had(variant.at(arena), plan.arena_bytes, workspace.arena.get(), memory) &&
         is_to_be_had(variant.at(literals), plan.upload_bytes(), workspace.literals.get(), memory) &&
         is_to_be_had(variant.at(places), places_bytes_, workspace.places.get(), memory);
}

Replays::Variant* Replays::choose(const Plan& plan, const Graph& graph, const MemoryCache& memory) {
  if (stopped()) {
    return nullptr;
  }
  if (memory.returns() != returns_) {
    variants_.clear();
    returns_ = memory.returns();
  }
  if (misses_ >= most_misses) {
    give_way(plan);
  }
  for (auto it = variants_.begin(); it != variants_.end(); ++it) {
    if (fits(*it, plan, graph, memory)) {
      std::rotate(variants_.begin(), it, it + 1);
      return &variants_.front();
    }
  }
  return nullptr;
}

const void* Replays::familiar(std::size_t i, std::size_t bytes, const MemoryCache& memory) const {
  const auto found = std::find_if(variants_.begin(), variants_.end(), [&](const Variant& variant) {
    return variant.key[i] != 0 && memory.has_free(variant.at(i), bytes);
  });
  return found == variants_.end() ? nullptr : found->at(i);
}

Replays::Variant& Replays::settle(const Plan& plan, const Graph& graph, const MemoryCache& memory, Variant* chosen) {
  write_key(plan, graph);
  if (memory.returns() != returns_) {  // taking this run's memory gave other blocks back to the device
    variants_.clear();
    returns_ = memory.returns();
    chosen = nullptr;
  }
  if (chosen != nullptr && chosen->key == key_) {
    misses_ = 0;
    return *chosen;
  }
  ++misses_;
  if (variants_.size() == most_variants) {
    variants_.pop_back();
  }
  variants_.insert(variants_.begin(), Variant{key_, false, nullptr});
  return variants_.front();
}

bool Replays::is_due(const Variant& variant) const {
  return variant.seen && variant.recording == nullptr &&
         recorded_ < free_recordings + replayed_ / replays_per_recording;
}

// Copies what has lain elsewhere in the runs that are remembered, or gives up where that cannot be done.
void Replays::give_way(const Plan& plan) {
  const std::vector<Extent> used = extents(plan);
  std::vector<Copied> copied = copied_;
  std::size_t total = 0;
  std::string obstacle = copied_.empty() ? "its memory" : "memory that is not copied";
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const Plan::Slot& slot = plan.slots[i];
    const bool stays = std::all_of(variants_.begin(), variants_.end(), [&](const Variant& variant) {
      return variant.at(slots + i) == variants_.front().at(slots + i);
    });
    if (stays || is_copied(i)) {
      continue;
    }
    const bool result = slot.kind == Plan::Slot::Kind::own;
    if (!result && used[i].written) {
      obstacle = "a parameter of " + std::to_string(slot.bytes) + " bytes";
      copied.clear();
      break;
    }
    const std::size_t bytes = result ? slot.bytes : static_cast<std::size_t>(used[i].last - used[i].first);
    copied.push_back({i, result ? 0 : static_cast<std::size_t>(used[i].first), bytes, 0, result});
  }
  for (const Copied& one : copied) {
    total += one.bytes;
  }
  if (total > most_copied_bytes) {
    obstacle = "more than is worth copying (" + std::to_string(total >> 10) + " KiB)";
  }
  if (copied.size() == copied_.size() || copied.empty() || total > most_copied_bytes) {
    stop(obstacle + " lay elsewhere in each of " + std::to_string(most_misses) + " runs");
    return;
  }
  std::stable_partition(copied.begin(), copied.end(), [](const Copied& one) { return !one.result; });
  is_copied_.assign(plan.slots.size(), 0);
  places_bytes_ = 0;
  for (Copied& one : copied) {
    is_copied_[one.slot] = 1;
    one.offset = places_bytes_;
    // Room for the address to be as well aligned as the one it stands for, and no better.
    places_bytes_ += (one.bytes + widest_access + alignment - 1) / alignment * alignment;
  }
  copied_ = std::move(copied);
  variants_.clear();
  misses_ = 0;
}

void Replays::stop(std::string why) {
  why_ = std::move(why);
  variants_.clear();
  copied_.clear();
  is_copied_.clear();
  places_bytes_ = 0;
}

std::string Replays::in_words(const Plan& plan) const {
  const std::string single = "kernels are queued one by one: ";
  if (!capture()) {
    return single + "capture is switched off";
  }
  if (stopped()) {
    return single + why_;
  }
  if (!is_worthwhile(plan)) {
    return single + "there are only " + std::to_string(plan.launches.size());
  }
  const auto is_recorded = [](const Variant& variant) { return variant.recording != nullptr; };
  const auto recorded = std::find_if(variants_.begin(), variants_.end(), is_recorded);
  if (recorded == variants_.end()) {
    return single + "no run has come back to the addresses of another yet";
  }
  const auto count = std::count_if(recorded, variants_.end(), is_recorded);
  std::size_t bytes = 0;
  for (const Copied& one : copied_) {
    bytes += one.bytes;
  }
  return "replayed as one graph of " + std::to_string(recorded->recording->size()) + " nodes" +
         (count > 1 ? " (" + std::to_string(count) + " graphs, for as many sets of addresses)" : std::string()) +
         (copied_.empty() ? std::string()
                          : "; " + std::to_string(copied_.size()) + " inputs and results are copied (" +
                                std::to_string(bytes) + " bytes)");
}

bool Replays::is_worthwhile(const Plan& plan) {
  return plan.launches.size() >= fewest_kernels;
}

}  // namespace twingrad
