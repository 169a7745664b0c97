// A node of the op graph: one use of an op, or a leaf with data of its own. Private to the core and to tools that walk
// graphs; users hold Tensors.
#pragma once

#include <twingrad/op.h>
#include <twingrad/pool.h>
#include <twingrad/tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <vector>

namespace twingrad {

/// Device memory that returns to its device's cache when the last user lets go.
struct Buffer {
  Device device;
  void* data = nullptr;
  std::size_t bytes = 0;

  /// Throws OutOfMemoryError, DeviceError. `bytes` may be 0; then data is nullptr. `preferred`: the block to take when
  /// the cache has it.
  Buffer(Device device, std::size_t bytes, const void* preferred = nullptr);
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  static void* operator new(std::size_t size) { return pool_allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { pool_release(memory, size); }
};

/// A buffer that values share. Throws as Buffer's constructor.
std::shared_ptr<Buffer> make_buffer(Device device, std::size_t bytes, const void* preferred = nullptr);

/// At most this many bytes of host data ride in a node itself (numbers, seeds, hyperparameters). A plan uploads all of
/// its literals in one copy, so their values may change from step to step without a new plan.
inline constexpr std::size_t max_literal_bytes = 64;

class PendingGradients;

struct Node : std::enable_shared_from_this<Node> {
  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  /// Lets go of the inputs without recursion: chains may be long.
  ~Node();

  const Op* op = nullptr;  ///< nullptr for a leaf
  Attributes attributes;
  PoolVector<NodePtr> inputs;  ///< empty for a leaf, and once they are not needed any more
  Shape shape;
  Dtype dtype = Dtype::f32;
  Device device;
  std::source_location where;
  std::string label;
  bool requires_grad = false;
  /// Gradients do not go below: made under NoGrad, or what an op computed became a parameter's value.
  bool cut = false;
  /// The optimizer's step that ran this node changed what it was computed from.
  bool spent = false;
  std::weak_ptr<detail::TensorImpl> owner;  ///< the first handle; keeps a leaf's gradient

  /// Gradients that were asked for, but not built yet: that needs the inputs, so it comes before they are let go of.
  PendingGradients* awaited_by = nullptr;

  // The value, once computed: a window on a buffer, or a literal.
  std::shared_ptr<Buffer> buffer;
  std::int64_t offset = 0;  ///< elements
  Strides strides;
  std::array<std::byte, max_literal_bytes> literal{};
  std::uint8_t literal_bytes = 0;  ///< 0: no literal

  // Scratch of the traversal that runs now, valid while `visit` is its number.
  std::uint64_t visit = 0;
  int index = 0;

  bool has_value() const { return buffer != nullptr || literal_bytes != 0; }
  /// Whether gradients end here.
  bool is_leaf() const { return op == nullptr || cut; }
  TensorType type() const { return {shape, dtype}; }
  /// Bytes of a contiguous value.
  std::size_t bytes() const { return static_cast<std::size_t>(numel(shape)) * size_of(dtype); }
};

namespace detail {
struct TensorImpl {
  NodePtr node;  ///< nullptr while the gradient that this handle names is pending
  Tensor grad;
  bool retain_grad = false;
  std::shared_ptr<PendingGradients> pending;
  std::size_t position = 0;  ///< among those
};
}  // namespace detail

/// A node with nothing in it yet.
NodePtr make_node();

/// A number that no traversal has used before, for Node::visit.
std::uint64_t next_visit();

/// The nodes that `targets` need, inputs first, without recursion. Does not go below a node for which `stop` is true.
template <class Stop>
PoolVector<Node*> topological_order(std::span<const NodePtr> targets, Stop stop);

/// A leaf with the value that `source` has, in the same memory.
NodePtr leaf_with_value(const Node& source);
/// Makes `fresh` what the handle names: it takes the label over, and the mark of a leaf that requires gradients.
void rebind(const std::shared_ptr<detail::TensorImpl>& handle, NodePtr fresh);

/// Adds a node for `op`: infers its type, checks the device, notes the source line. Errors get the op's name, the
/// inputs' types and the line in front. Numbers among the operands take dtype and device of the tensors.
Tensor apply(const Op& op, std::span<const Operand> operands, const Attributes& attributes = {});
inline Tensor apply(const Op& op, std::initializer_list<Operand> operands, const Attributes& attributes = {}) {
  return apply(op, std::span(operands.begin(), operands.size()), attributes);
}
/// The same for an op without tensor inputs that decide device and dtype (arange, random): the caller gives the type.
Tensor apply_typed(const Op& op, const std::vector<Tensor>& inputs, const Attributes& attributes,
                   const TensorType& type, Device device, const std::source_location& where);

/// A leaf on `device` of host numbers that rides in the node; shape () for one, (n) for more. At most 8 of 8 bytes.
Tensor literal(std::span<const double> values, Dtype dtype, Device device);
Tensor literal_scalar(double value, Dtype dtype, Device device);
/// Gives a literal of literal() other numbers, as many as it has.
void write_literal(Node& node, std::span<const double> values);
/// int64 literal of shape (n): seeds.
Tensor literal_integers(std::span<const std::int64_t> values, Device device);

/// A leaf that owns a new contiguous buffer, filled from host memory.
Tensor leaf_from_host(const void* data, const Shape& shape, Dtype dtype, Device device);

/// The message prefix of an error at a node: "matmul((2, 3) float32, (4, 5) float32) at model.cpp:12: ".
std::string describe_use(const Op& op, std::span<const TensorType> inputs, const std::source_location& where);

// ---------------------------------------------------------------------------------------------------------------------

template <class Stop>
PoolVector<Node*> topological_order(std::span<const NodePtr> targets, Stop stop) {
  const std::uint64_t visit = next_visit();
  struct Frame {
    Node* node;
    std::size_t next;
  };
  PoolVector<Node*> order;
  PoolVector<Frame> stack;
  order.reserve(64);
  stack.reserve(64);
  for (const NodePtr& target : targets) {
    if (target->visit == visit) {
      continue;
    }
    target->visit = visit;
    stack.push_back({target.get(), 0});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next < frame.node->inputs.size() && !stop(*frame.node)) {
        Node* input = frame.node->inputs[frame.next++].get();
        if (input->visit != visit) {
          input->visit = visit;
          stack.push_back({input, 0});
        }
        continue;
      }
      frame.node->index = static_cast<int>(order.size());
      order.push_back(frame.node);
      stack.pop_back();
    }
  }
  return order;
}

}  // namespace twingrad
