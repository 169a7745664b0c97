#include <twingrad/graph/arena.h>
#include <twingrad/graph/fuse.h>
#include <twingrad/graph/plan.h>
#include <twingrad/kernels.h>
#include <twingrad/ops/rows.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>

namespace twingrad {
namespace {

bool is_contiguous(const Window& window) {
  return TensorView{nullptr, Dtype::f32, window.shape, window.strides}.contiguous();
}

// Shows `window` as `shape`, with stride 0 along axes it is broadcast over.
Window expanded(const Window& window, const Shape& shape) {
  Window result{window.offset, shape, Dims::filled(shape.size(), 0)};
  const int shift = shape.size() - window.shape.size();
  for (int i = 0; i < window.shape.size(); ++i) {
    result.strides[i + shift] = window.shape[i] == shape[i + shift] && window.shape[i] != 1 ? window.strides[i] : 0;
  }
  return result;
}

// Gives the last two axes the strides of a row-major or column-major matrix where axes of length 1 leave them open.
// False when they are neither.
bool normalize_matrix(Window& window) {
  const int rank = window.shape.size();
  const std::int64_t rows = window.shape[rank - 2];
  const std::int64_t columns = window.shape[rank - 1];
  std::int64_t& row_stride = window.strides[rank - 2];
  std::int64_t& column_stride = window.strides[rank - 1];
  const auto fits = [](std::int64_t outer, std::int64_t inner, std::int64_t outer_stride, std::int64_t inner_stride) {
    return (inner <= 1 || inner_stride == 1) && (outer <= 1 || outer_stride >= std::max<std::int64_t>(inner, 1));
  };
  if (fits(rows, columns, row_stride, column_stride)) {
    column_stride = 1;
    row_stride = rows <= 1 ? std::max<std::int64_t>(columns, 1) : row_stride;
    return true;
  }
  if (fits(columns, rows, column_stride, row_stride)) {
    row_stride = 1;
    column_stride = columns <= 1 ? std::max<std::int64_t>(rows, 1) : column_stride;
    return true;
  }
  return false;
}

// How the inputs of a family's kernels must lie in memory.
enum class Layout : std::uint8_t { any, contiguous, matrix };

Layout input_layout(Family family) {
  switch (family) {
    case Family::view:
    case Family::elementwise:
    case Family::reduce:
    case Family::arg_reduce:
    case Family::copy:
      return Layout::any;
    case Family::matmul:
      return Layout::matrix;
    case Family::update:
    case Family::scan:
    case Family::rows:
    case Family::index:
    case Family::random:
    case Family::custom:
      return Layout::contiguous;
  }
  return Layout::contiguous;
}

class Planner {
 public:
  explicit Planner(const Graph& graph) : graph_(graph), values_(graph.nodes.size()), plan_(std::make_shared<Plan>()) {}

  std::shared_ptr<Plan> build() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      values_[i] = place(*graph_.nodes[i], static_cast<int>(i));
    }
    keep_results();
    group_steps();
    find_lifetimes();
    if (graph_.mode == Execution::planned) {
      reuse_in_place();
    }
    assign_memory();
    address_launches();
    return plan_;
  }

 private:
  struct Value {
    int slot = -1;
    Window window;
  };
  struct SlotState {
    bool keep = false;
    int first = -1;
    int last = -1;
    int same_as = -1;   // shares the memory of another slot
    int producer = -1;  // the step that writes it
  };

  int add_slot(Plan::Slot::Kind kind, std::size_t bytes, int node) {
    plan_->slots.push_back({kind, bytes, 0, node});
    states_.emplace_back();
    return static_cast<int>(plan_->slots.size()) - 1;
  }

  Value place(Node& node, int index) {
    if (node.buffer != nullptr) {
      return {add_slot(Plan::Slot::Kind::leaf, node.buffer->bytes, index), {node.offset, node.shape, node.strides}};
    }
    if (node.literal_bytes != 0) {
      const int slot = add_slot(Plan::Slot::Kind::literal, node.literal_bytes, index);
      plan_->slots[static_cast<std::size_t>(slot)].offset = plan_->literal_bytes;
      plan_->literal_bytes += (node.literal_bytes + std::size_t{15}) / 16 * 16;
      return {slot, {0, node.shape, node.strides}};
    }
    if (node.op->family == Family::view) {
      return place_view(node, index);
    }
    return place_kernel(node, index);
  }

  Value place_view(const Node& node, int index) {
    Value value = values_[static_cast<std::size_t>(node.inputs[0]->index)];
    if (!node.op->view(value.window, node.type(), node.attributes)) {
      value = contiguous_copy(value, node.inputs[0]->dtype, index);
      node.op->view(value.window, node.type(), node.attributes);
    }
    return value;
  }

  Value place_kernel(const Node& node, int index) {
    std::vector<Value> inputs;
    std::vector<Dtype> dtypes;
    for (std::size_t j = 0; j < node.inputs.size(); ++j) {
      const Node& input = *node.inputs[j];
      Value value = values_[static_cast<std::size_t>(input.index)];
      switch (input_layout(node.op->family)) {
        case Layout::any:
          break;
        case Layout::contiguous:
          value = is_contiguous(value.window) ? value : contiguous_copy(value, input.dtype, index);
          break;
        case Layout::matrix:
          value = matrix_input(node, value, input.dtype, j, index);
          break;
      }
      if (node.op->family == Family::elementwise) {
        value.window = expanded(value.window, node.shape);
      }
      inputs.push_back(value);
      dtypes.push_back(input.dtype);
    }
    return add_step(*node.op, node.attributes, inputs, dtypes, node.type(), index);
  }

  // a and b of a product get the output's batch axes; the bias stays a vector.
  Value matrix_input(const Node& node, Value value, Dtype dtype, std::size_t which, int index) {
    if (which == 2) {
      return is_contiguous(value.window) ? value : contiguous_copy(value, dtype, index);
    }
    if (!normalize_matrix(value.window)) {
      value = contiguous_copy(value, dtype, index);
      normalize_matrix(value.window);
    }
    const int rank = value.window.shape.size();
    Shape shape = node.shape;
    shape[shape.size() - 2] = value.window.shape[rank - 2];
    shape[shape.size() - 1] = value.window.shape[rank - 1];
    const std::int64_t row_stride = value.window.strides[rank - 2];
    const std::int64_t column_stride = value.window.strides[rank - 1];
    value.window = expanded(value.window, shape);
    value.window.strides[shape.size() - 2] = row_stride;
    value.window.strides[shape.size() - 1] = column_stride;
    return value;
  }

  Value contiguous_copy(const Value& value, Dtype dtype, int index) {
    for (const Copied& copied : copies_) {
      if (copied.from.slot == value.slot && copied.from.window.offset == value.window.offset &&
          copied.from.window.shape == value.window.shape && copied.from.window.strides == value.window.strides) {
        return copied.to;
      }
    }
    const Value copy = add_step(contiguous_op, {}, {value}, {dtype}, {value.window.shape, dtype}, index);
    copies_.push_back({value, copy});
    return copy;
  }

  Value add_step(const Op& op, const Attributes& attributes, const std::vector<Value>& inputs,
                 const std::vector<Dtype>& dtypes, const TensorType& type, int index) {
    const std::size_t bytes = static_cast<std::size_t>(numel(type.shape)) * size_of(type.dtype);
    const Value output{add_slot(Plan::Slot::Kind::arena, bytes, index),
                       {0, type.shape, contiguous_strides(type.shape)}};
    if (bytes == 0) {
      return output;
    }
    Plan::Step step;
    step.node = index;
    step.call.op = &op;
    step.call.attributes = attributes;
    for (std::size_t j = 0; j < inputs.size(); ++j) {
      const Window& window = inputs[j].window;
      step.call.inputs.push_back({nullptr, dtypes[j], window.shape, window.strides});
      // Negative offsets cannot occur: a window lies inside its slot.
      step.inputs.push_back({inputs[j].slot, static_cast<std::size_t>(window.offset) * size_of(dtypes[j])});
      step.producers.push_back(states_[static_cast<std::size_t>(inputs[j].slot)].producer);
    }
    step.call.output = {nullptr, type.dtype, type.shape, output.window.strides};
    step.output = {output.slot, 0};
    states_[static_cast<std::size_t>(output.slot)].producer = static_cast<int>(plan_->steps.size());
    plan_->steps.push_back(std::move(step));
    return output;
  }

  void keep_results() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (graph_.keep[i] == 0) {
        continue;
      }
      const Node& node = *graph_.nodes[i];
      if (plan_->slots[static_cast<std::size_t>(values_[i].slot)].kind == Plan::Slot::Kind::literal) {
        // The upload block is gone after the run; the value needs memory of its own.
        values_[i] = add_step(contiguous_op, {}, {values_[i]}, {node.dtype}, node.type(), static_cast<int>(i));
      }
      states_[static_cast<std::size_t>(values_[i].slot)].keep = true;
      plan_->kept.push_back({static_cast<int>(i), values_[i].slot, values_[i].window});
    }
  }

  /// One launch per step, or per group of steps that the device fuses.
  void group_steps() {
    std::vector<char> kept;
    for (const SlotState& state : states_) {
      kept.push_back(static_cast<char>(state.keep));
    }
    plan_->launches =
        graph_.fuse ? fused_launches(plan_->steps, plan_->slots, kept, backend(graph_.device)) : single_launches();
    launch_of_.resize(plan_->steps.size());
    for (std::size_t l = 0; l < plan_->launches.size(); ++l) {
      const Plan::Launch& launch = plan_->launches[l];
      for (int s = launch.first; s < launch.first + launch.count; ++s) {
        launch_of_[static_cast<std::size_t>(s)] = l;
        const Plan::Step& step = plan_->steps[static_cast<std::size_t>(s)];
        if (!step.stored) {
          plan_->slots[static_cast<std::size_t>(step.output.slot)].kind = Plan::Slot::Kind::fused;
        }
      }
    }
  }

  std::vector<Plan::Launch> single_launches() const {
    std::vector<Plan::Launch> launches(plan_->steps.size());
    for (std::size_t s = 0; s < launches.size(); ++s) {
      launches[s].first = static_cast<int>(s);
    }
    return launches;
  }

  const Plan::Launch& launch_of(int step) const { return plan_->launches[launch_of_[static_cast<std::size_t>(step)]]; }

  void find_lifetimes() {
    for (std::size_t s = 0; s < plan_->steps.size(); ++s) {
      const Plan::Step& step = plan_->steps[s];
      for (const Plan::Place& place : step.inputs) {
        states_[static_cast<std::size_t>(place.slot)].last = static_cast<int>(s);
      }
      SlotState& output = states_[static_cast<std::size_t>(step.output.slot)];
      output.first = output.last = static_cast<int>(s);
    }
  }

  int root(int slot) const {
    while (states_[static_cast<std::size_t>(slot)].same_as >= 0) {
      slot = states_[static_cast<std::size_t>(slot)].same_as;
    }
    return slot;
  }

  // Elementwise kernels and updates may write over an input that nothing reads afterwards.
  void reuse_in_place() {
    for (std::size_t s = 0; s < plan_->steps.size(); ++s) {
      const Plan::Step& step = plan_->steps[s];
      const Family family = step.call.op->family;
      const std::size_t candidates =
          !step.stored ? 0 : (family == Family::elementwise ? step.inputs.size() : (family == Family::update ? 1 : 0));
      for (std::size_t j = 0; j < candidates; ++j) {
        if (may_overwrite(step, static_cast<int>(s), j)) {
          const auto target = static_cast<std::size_t>(root(step.inputs[j].slot));
          const auto output = static_cast<std::size_t>(step.output.slot);
          states_[target].keep = states_[target].keep || states_[output].keep;
          states_[target].last = states_[output].last;
          states_[output].same_as = static_cast<int>(target);
          break;
        }
      }
    }
  }

  bool may_overwrite(const Plan::Step& step, int s, std::size_t j) const {
    const TensorView& view = step.call.inputs[j];
    const int target = root(step.inputs[j].slot);
    const Plan::Slot& slot = plan_->slots[static_cast<std::size_t>(target)];
    const SlotState& state = states_[static_cast<std::size_t>(target)];
    const bool donated =
        slot.kind == Plan::Slot::Kind::leaf && graph_.donated[static_cast<std::size_t>(slot.node)] != 0;
    if (state.keep || state.last != s || (slot.kind != Plan::Slot::Kind::arena && !donated)) {
      return false;
    }
    const std::size_t bytes = static_cast<std::size_t>(view.numel()) * size_of(view.dtype);
    if (view.dtype != step.call.output.dtype || !view.contiguous() || !(view.shape == step.call.output.shape) ||
        step.inputs[j].offset != 0 || slot.bytes != bytes) {
      return false;
    }
    // Whatever else the kernel reads of this memory, its parts of a fused one included, must be element for element.
    const Plan::Launch& launch = launch_of(s);
    for (int part = launch.first; part < launch.first + launch.count; ++part) {
      const Plan::Step& reader = plan_->steps[static_cast<std::size_t>(part)];
      for (std::size_t other = 0; other < reader.inputs.size(); ++other) {
        const TensorView& seen = reader.call.inputs[other];
        if (root(reader.inputs[other].slot) == target &&
            !(reader.call.op->family != Family::matmul && reader.inputs[other].offset == 0 && seen.contiguous() &&
              seen.numel() == view.numel())) {
          return false;
        }
      }
    }
    return true;
  }

  /// The addresses that each kernel is run on, as prepare() and fuse() expect them.
  void address_launches() {
    for (Plan::Launch& launch : plan_->launches) {
      for (int s = launch.first; s < launch.first + launch.count; ++s) {
        const Plan::Step& step = plan_->steps[static_cast<std::size_t>(s)];
        for (std::size_t j = 0; j < step.inputs.size(); ++j) {
          if (launch.count == 1 || step.producers[j] < launch.first) {
            launch.addresses.push_back(step.inputs[j]);
          }
        }
        if (step.stored) {
          launch.addresses.push_back(step.output);
        }
      }
    }
  }

  void assign_memory() {
    std::vector<ArenaBlock> blocks;
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < plan_->slots.size(); ++i) {
      Plan::Slot& slot = plan_->slots[i];
      if (slot.kind != Plan::Slot::Kind::arena || states_[i].same_as >= 0) {
        continue;
      }
      if (states_[i].keep || graph_.mode == Execution::op_by_op) {
        slot.kind = Plan::Slot::Kind::own;
      } else if (slot.bytes != 0) {
        // A fused kernel reads and writes all that it works on during the whole of its run.
        const Plan::Launch& writer = launch_of(states_[i].first);
        const Plan::Launch& reader = launch_of(states_[i].last);
        blocks.push_back({slot.bytes, writer.first, reader.first + reader.count - 1, 0});
        owners.push_back(i);
      }
    }
    plan_->arena_bytes = place_in_arena(blocks);
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      plan_->slots[owners[b]].offset = blocks[b].offset;
    }
    // Steps and results name the slots that hold memory, not those that borrow it.
    for (Plan::Step& step : plan_->steps) {
      for (Plan::Place& place : step.inputs) {
        place.slot = root(place.slot);
      }
      step.output.slot = root(step.output.slot);
    }
    for (Plan::Kept& kept : plan_->kept) {
      kept.slot = root(kept.slot);
    }
  }

  struct Copied {
    Value from;
    Value to;
  };

  const Graph& graph_;
  std::vector<Value> values_;
  std::vector<SlotState> states_;
  std::vector<Copied> copies_;
  std::vector<std::size_t> launch_of_;  // by step
  std::shared_ptr<Plan> plan_;
};

}  // namespace

PoolVector<std::uint64_t> structure_key(const Graph& graph) {
  PoolVector<std::uint64_t> key;
  key.reserve(graph.nodes.size() * 12);
  const auto add_dims = [&](const Dims& dims) {
    key.push_back(static_cast<std::uint64_t>(dims.size()));
    for (const std::int64_t value : dims) {
      key.push_back(static_cast<std::uint64_t>(value));
    }
  };
  key.push_back(static_cast<std::uint64_t>(graph.fuse) << 40 | static_cast<std::uint64_t>(graph.device.kind()) << 32 |
                static_cast<std::uint32_t>(graph.device.index()));
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = *graph.nodes[i];
    const bool computed = !node.has_value();
    key.push_back(computed ? reinterpret_cast<std::uintptr_t>(node.op) : std::uintptr_t{node.literal_bytes});
    key.push_back(static_cast<std::uint64_t>(node.dtype) | static_cast<std::uint64_t>(graph.keep[i]) << 8 |
                  static_cast<std::uint64_t>(graph.donated[i]) << 9);
    add_dims(node.shape);
    if (computed) {
      key.push_back(node.inputs.size());
      for (const NodePtr& input : node.inputs) {
        key.push_back(static_cast<std::uint64_t>(input->index));
      }
      add_dims(node.attributes.ints);
      for (const double real : node.attributes.reals) {
        key.push_back(std::bit_cast<std::uint64_t>(real));
      }
    } else if (node.buffer != nullptr) {
      add_dims(node.strides);
      key.push_back(static_cast<std::uint64_t>(node.offset));
      key.push_back(node.buffer->bytes);
    }
  }
  return key;
}

std::shared_ptr<Plan> make_plan(const Graph& graph) {
  return Planner(graph).build();
}

}  // namespace twingrad
