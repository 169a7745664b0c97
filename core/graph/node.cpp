#include <twingrad/autograd.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/ops/autocast.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace twingrad {
namespace {

std::string describe(const TensorType& type) {
  return to_string(type.shape) + " " + std::string(name(type.dtype));
}

// Stores `value` as one element of `dtype` at `target`. A number that an integer dtype cannot hold is refused.
void store(double value, Dtype dtype, std::byte* target) {
  visit(dtype, [&]<class T>(Type<T>) {
    T element{};
    if constexpr (std::is_same_v<T, bool>) {
      element = value != 0;
    } else if constexpr (std::is_integral_v<T>) {
      // Both limits as doubles: the upper one rounds up to a power of two, which itself does not fit.
      const auto low = static_cast<double>(std::numeric_limits<T>::min());
      const auto high = static_cast<double>(std::numeric_limits<T>::max()) + (sizeof(T) < 8 ? 1.0 : 0.0);
      if (!(value >= low && value < high) || value != std::floor(value)) {
        throw DtypeError("the number " + std::to_string(value) + " is not a value of " + std::string(name(dtype)) +
                         "; cast the tensor with to(...) first, or give a whole number in range");
      }
      element = static_cast<T>(value);
    } else {
      element = static_cast<T>(static_cast<compute_t<T>>(value));
    }
    std::memcpy(target, &element, sizeof(T));
  });
}

NodePtr make_literal(std::size_t bytes, const Shape& shape, Dtype dtype, Device device) {
  if (bytes > max_literal_bytes || bytes == 0) {
    throw ArgumentError("a literal holds 1 to 64 bytes, not " + std::to_string(bytes));
  }
  NodePtr node = make_node();
  node->shape = shape;
  node->dtype = dtype;
  node->device = device;
  node->strides = contiguous_strides(shape);
  node->literal_bytes = static_cast<std::uint8_t>(bytes);
  return node;
}

NodePtr scalar_literal(double value, Dtype dtype, Device device) {
  NodePtr node = make_literal(size_of(dtype), Shape{}, dtype, device);
  store(value, dtype, node->literal.data());
  return node;
}

// Makes a node that has its inputs a use of `op`.
void set_use(Node& node, const Op& op, const Attributes& attributes, const TensorType& type, Device device,
             const std::source_location& where) {
  node.op = &op;
  node.attributes = attributes;
  node.shape = type.shape;
  node.dtype = type.dtype;
  node.device = device;
  node.where = where;
  // gradients() takes inputs that are not marked, too, so a missing mark alone would not stop it.
  node.cut = NoGrad::active();
  if (!node.cut && !op.constant && is_floating(type.dtype)) {
    node.requires_grad =
        std::any_of(node.inputs.begin(), node.inputs.end(), [](const NodePtr& input) { return input->requires_grad; });
  }
}

// Rethrows an error of a shape rule with the use in front, keeping its type.
[[noreturn]] void rethrow_at(const std::string& prefix) {
  try {
    throw;
  } catch (const ShapeError& error) {
    throw ShapeError(prefix + error.what());
  } catch (const DtypeError& error) {
    throw DtypeError(prefix + error.what());
  } catch (const NumericError& error) {
    throw NumericError(prefix + error.what());
  } catch (const ArgumentError& error) {
    throw ArgumentError(prefix + error.what());
  }
}

}  // namespace

Buffer::Buffer(Device on, std::size_t size, const void* preferred) : device(on), bytes(size) {
  if (bytes != 0) {
    DeviceRuntime& state = runtime(device);
    const std::lock_guard lock(state.mutex);
    data = state.memory.allocate(bytes, device.name(), preferred);
  }
}

Buffer::~Buffer() {
  if (data != nullptr) {
    DeviceRuntime& state = runtime(device);
    const std::lock_guard lock(state.mutex);
    state.memory.release(data);
  }
}

std::shared_ptr<Buffer> make_buffer(Device device, std::size_t bytes, const void* preferred) {
  return std::allocate_shared<Buffer>(PoolAllocator<Buffer>(), device, bytes, preferred);
}

NodePtr make_node() {
  return std::allocate_shared<Node>(PoolAllocator<Node>());
}

Node::~Node() {
  // Takes over the inputs of every node that dies with this one, so that destructors never nest.
  PoolVector<NodePtr> dying = std::move(inputs);
  while (!dying.empty()) {
    NodePtr node = std::move(dying.back());
    dying.pop_back();
    if (node != nullptr && node.use_count() == 1) {
      for (NodePtr& input : node->inputs) {
        dying.push_back(std::move(input));
      }
      node->inputs.clear();
    }
  }
}

std::uint64_t next_visit() {
  static std::atomic<std::uint64_t> counter{0};
  return ++counter;
}

std::string describe_use(const Op& op, std::span<const TensorType> inputs, const std::source_location& where) {
  std::string text = std::string(op.name) + "(";
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    text += (i == 0 ? "" : ", ") + describe(inputs[i]);
  }
  return text + ") at " + to_string(where) + ": ";
}

Tensor literal(std::span<const double> values, Dtype dtype, Device device) {
  const std::size_t size = size_of(dtype);
  const Tensor result(
      make_literal(values.size() * size, Shape{static_cast<std::int64_t>(values.size())}, dtype, device));
  write_literal(*result.node(), values);
  return result;
}

void write_literal(Node& node, std::span<const double> values) {
  const std::size_t size = size_of(node.dtype);
  for (std::size_t i = 0; i < values.size(); ++i) {
    store(values[i], node.dtype, node.literal.data() + i * size);
  }
}

Tensor literal_scalar(double value, Dtype dtype, Device device) {
  return Tensor(scalar_literal(value, dtype, device));
}

Tensor literal_integers(std::span<const std::int64_t> values, Device device) {
  const Tensor result(
      make_literal(values.size_bytes(), Shape{static_cast<std::int64_t>(values.size())}, Dtype::i64, device));
  std::memcpy(result.node()->literal.data(), values.data(), values.size_bytes());
  return result;
}

NodePtr leaf_with_value(const Node& source) {
  NodePtr node = make_node();
  node->shape = source.shape;
  node->dtype = source.dtype;
  node->device = source.device;
  node->where = source.where;
  node->buffer = source.buffer;
  node->offset = source.offset;
  node->strides = source.strides;
  node->literal = source.literal;
  node->literal_bytes = source.literal_bytes;
  return node;
}

void rebind(const std::shared_ptr<detail::TensorImpl>& handle, NodePtr fresh) {
  Node& before = *handle->node;
  fresh->label = handle->node.use_count() == 1 ? std::move(before.label) : before.label;
  fresh->requires_grad = before.requires_grad && before.is_leaf();
  fresh->cut = true;
  fresh->owner = handle;
  handle->node = std::move(fresh);
}

Tensor leaf_from_host(const void* data, const Shape& shape, Dtype dtype, Device device) {
  NodePtr node = make_node();
  node->shape = shape;
  node->dtype = dtype;
  node->device = device;
  node->strides = contiguous_strides(shape);
  node->buffer = make_buffer(device, node->bytes());
  if (node->buffer->bytes != 0) {
    DeviceRuntime& state = runtime(device);
    const std::lock_guard lock(state.mutex);
    state.backend->copy_from_host(node->buffer->data, data, node->buffer->bytes);
  }
  return Tensor(std::move(node));
}

Tensor apply(const Op& op, std::span<const Operand> operands, const Attributes& attributes) {
  PoolVector<Operand> cast_operands;
  if (AutocastScope::active() != nullptr) {
    cast_operands = autocast(op.family, operands);
    operands = cast_operands;
  }
  const std::source_location where =
      WhereScope::current(operands.empty() ? std::source_location::current() : operands.front().where());
  const Tensor* reference = nullptr;
  for (const Operand& operand : operands) {
    if (operand.is_number()) {
      continue;
    }
    if (!operand.tensor().defined()) {
      throw ArgumentError(std::string(op.name) + " at " + to_string(where) +
                          ": an input is an undefined tensor; give it a value first");
    }
    // A condition's bool is no model for the numbers beside it.
    if (reference == nullptr || (reference->dtype() == Dtype::boolean && operand.tensor().dtype() != Dtype::boolean)) {
      reference = &operand.tensor();
    }
  }
  const Dtype dtype = reference == nullptr ? Dtype::f32 : reference->dtype();
  const Device device = reference == nullptr ? Device::cpu() : reference->device();

  NodePtr node = make_node();
  PoolVector<TensorType> types;
  node->inputs.reserve(operands.size());
  types.reserve(operands.size());
  for (const Operand& operand : operands) {
    if (operand.is_number()) {
      try {
        node->inputs.push_back(scalar_literal(operand.number(), dtype, device));
      } catch (const DtypeError& error) {
        throw DtypeError(std::string(op.name) + " at " + to_string(where) + ": " + error.what());
      }
    } else {
      node->inputs.push_back(operand.tensor().node());
    }
    types.push_back(node->inputs.back()->type());
  }
  for (const NodePtr& input : node->inputs) {
    if (!(input->device == device)) {
      throw DeviceError(describe_use(op, types, where) + "inputs are on " + device.name() + " and " +
                        input->device.name() + "; copy one with to(Device)");
    }
  }
  TensorType type;
  try {
    const auto count = static_cast<int>(operands.size());
    if (count < op.min_inputs || count > op.max_inputs) {
      throw ArgumentError("takes " + std::to_string(op.min_inputs) +
                          (op.max_inputs == op.min_inputs ? "" : " or more") + " inputs");
    }
    type = op.infer(types, attributes);
  } catch (const Error&) {
    rethrow_at(describe_use(op, types, where));
  }
  set_use(*node, op, attributes, type, device, where);
  return Tensor(std::move(node));
}

Tensor apply_typed(const Op& op, const std::vector<Tensor>& inputs, const Attributes& attributes,
                   const TensorType& type, Device device, const std::source_location& where) {
  NodePtr node = make_node();
  node->inputs.reserve(inputs.size());
  for (const Tensor& input : inputs) {
    node->inputs.push_back(input.node());
  }
  set_use(*node, op, attributes, type, device, WhereScope::current(where));
  return Tensor(std::move(node));
}

}  // namespace twingrad
