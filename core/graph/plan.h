// What the planner makes of a graph: kernels in order, and where each result lies. A plan depends on the graph's
// structure alone (ops, attributes, shapes, dtypes, which results are kept), never on pointers or values, so the second
// step of a training loop finds it in the cache and only replays it.
#pragma once

#include <twingrad/backend.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/replay.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace twingrad {

/// A graph to run on one device.
struct Graph {
  Device device;
  PoolVector<Node*> nodes;   ///< inputs first, leaves included; node->index is the position here
  PoolVector<char> keep;     ///< per node: its value outlives the run
  PoolVector<char> donated;  ///< per node: a leaf whose memory the run may overwrite
  Execution mode = Execution::planned;
  bool fuse = false;  ///< whether the device may run several kernels as one
  /// Bytes from a leaf's buffer to its value beyond the node's own offset; empty: none anywhere.
  std::vector<std::size_t> shifts = {};
};

struct Plan {
  /// Memory that results lie in.
  struct Slot {
    /// fused: a result that only parts of one fused kernel read, and that never is in memory.
    enum class Kind : std::uint8_t { leaf, literal, arena, own, fused };
    Kind kind = Kind::arena;
    std::size_t bytes = 0;
    std::size_t offset = 0;  ///< arena, literal: bytes from the block's start
    int node = -1;           ///< leaf, literal: which node holds it
  };
  struct Place {
    int slot = -1;
    std::size_t offset = 0;  ///< bytes from the slot's start
  };
  struct Step {
    int node = -1;  ///< whose result it makes, for names and source lines
    KernelCall call;
    std::vector<Place> inputs;
    std::vector<int> producers;  ///< per input: the step whose result it reads, -1 for a leaf or literal
    Place output;
    bool stored = true;  ///< false: the result never is in memory, see Slot::Kind::fused
  };
  /// What the backend is given at once: one step, or several fused ones.
  struct Launch {
    int first = 0;
    int count = 1;
    std::unique_ptr<PreparedKernel> kernel;  ///< made before the first run; a fused one with the plan
    std::vector<Place> addresses;            ///< what the kernel is run on
  };
  /// A kept result.
  struct Kept {
    int node = -1;
    int slot = -1;
    Window window;
  };

  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<Launch> launches;  ///< all steps in order
  std::vector<Kept> kept;
  std::size_t arena_bytes = 0;
  std::size_t literal_bytes = 0;
  /// Keeps its memory from run to run, results included that nobody holds any more.
  bool resident = false;
  Replays replays;

  /// Bytes that a run uploads: literals, then the list of what is copied.
  std::size_t upload_bytes() const { return literal_bytes + replays.copied().size() * sizeof(ListedCopy); }

  /// Room for one run, kept from one to the next.
  struct Workspace {
    std::unique_ptr<Buffer> arena;
    std::unique_ptr<Buffer> literals;
    std::unique_ptr<Buffer> places;              ///< for what is copied
    std::vector<std::shared_ptr<Buffer>> owned;  ///< per slot
    std::vector<std::byte*> base;                ///< per slot
    std::vector<std::byte> upload;
    std::vector<std::byte> uploaded;  ///< what the literals' block holds; kept by resident plans
    std::vector<void*> addresses;
  };
  Workspace workspace;
};

/// The nodes that `targets` need in the order of a run, numbered: inputs first, what updates compute last. Throws
/// ArgumentError when a value that is needed is gone.
PoolVector<Node*> run_order(std::span<const NodePtr> targets);

/// The structure of `graph` as words; equal words, equal plans.
PoolVector<std::uint64_t> structure_key(const Graph& graph);

std::shared_ptr<Plan> make_plan(const Graph& graph);

/// Watches a run from inside: the cross-check takes its snapshots here. Calls come in order of the queue, before and
/// after each kernel is given to the backend; pointers in the call are the backend's. Of a fused kernel, after() comes
/// for each part whose result is in memory, and before() does not come.
class PlanObserver {
 public:
  PlanObserver() = default;
  PlanObserver(const PlanObserver&) = delete;
  PlanObserver& operator=(const PlanObserver&) = delete;
  virtual ~PlanObserver() = default;
  /// Once, before the first kernel: the plan's arena, to poison it.
  virtual void begin(Backend& backend, void* arena, std::size_t bytes) = 0;
  virtual void before(Backend& backend, const Plan::Step& step) = 0;
  virtual void after(Backend& backend, const Plan::Step& step) = 0;
};

/// Runs `plan` on the graph it was made for, or one of the same structure, and gives kept nodes their values. Either
/// all of them or, when something throws, none.
void run_plan(Plan& plan, const Graph& graph, PlanObserver* observer = nullptr);

/// The graph that eval() would run for these tensors, which are on one device and not evaluated, without fusion.
/// Nothing is run.
Graph graph_of(const std::vector<Tensor>& tensors);

/// Kernels in order with types, places, bytes and FLOPs.
std::string to_string(const Plan& plan, const Graph& graph);

}  // namespace twingrad
