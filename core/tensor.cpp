#include <twingrad/autograd.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/capture.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/pending_gradients.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/ops.h>
#include <twingrad/ops/rows.h>

#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace twingrad {
namespace {

thread_local const std::source_location* outer_where = nullptr;
thread_local bool no_grad = false;

Node& checked(const std::shared_ptr<detail::TensorImpl>& impl) {
  if (impl == nullptr) {
    throw ArgumentError("an undefined tensor has no value; give it one first");
  }
  if (impl->node == nullptr) {
    impl->pending->build();
  }
  return *impl->node;
}

template <class T>
Tensor leaf_of(const std::vector<T>& values, const Shape& shape, const TensorOptions& options) {
  if (static_cast<std::int64_t>(values.size()) != numel(shape)) {
    throw ShapeError("tensor: " + std::to_string(values.size()) + " values do not fill the shape " + to_string(shape) +
                     ", which holds " + std::to_string(numel(shape)));
  }
  const Dtype natural = std::is_floating_point_v<T> ? Dtype::f32 : dtype_of_v<T>;
  const Dtype dtype = options.dtype.value_or(natural);
  Tensor result;
  visit(dtype, [&]<class U>(Type<U>) {
    if constexpr (std::is_same_v<T, U> && !std::is_same_v<T, bool>) {
      result = leaf_from_host(values.data(), shape, dtype, options.device);
    } else {
      // std::vector<bool> has no array of bool, so the bytes are made by hand.
      std::vector<std::byte> bytes(values.size() * sizeof(U));
      for (std::size_t i = 0; i < values.size(); ++i) {
        const U element = static_cast<U>(static_cast<compute_t<U>>(values[i]));
        std::memcpy(bytes.data() + i * sizeof(U), &element, sizeof(U));
      }
      result = leaf_from_host(bytes.data(), shape, dtype, options.device);
    }
  });
  if (options.requires_grad) {
    result.requires_grad(true);
  }
  return result;
}

// Copies a value that is there, without gaps and not empty, to the host.
void read_value(const Node& node, std::span<std::byte> bytes) {
  if (node.buffer == nullptr) {
    std::memcpy(bytes.data(), node.literal.data(), bytes.size());
    return;
  }
  DeviceRuntime& state = runtime(node.device);
  const std::lock_guard lock(state.mutex);
  const std::size_t offset = static_cast<std::size_t>(node.offset) * size_of(node.dtype);
  state.backend->copy_to_host(bytes.data(), static_cast<const std::byte*>(node.buffer->data) + offset, bytes.size());
}

// The bytes of a tensor's value in row-major order.
std::vector<std::byte> host_bytes(const Tensor& tensor) {
  tensor.eval();
  const Node& node = *tensor.node();
  std::vector<std::byte> bytes(node.bytes());
  if (bytes.empty()) {
    return bytes;
  }
  if (node.buffer != nullptr && !TensorView{nullptr, node.dtype, node.shape, node.strides}.contiguous()) {
    return host_bytes(contiguous(tensor.detach()));
  }
  read_value(node, bytes);
  return bytes;
}

// An element in memory as T.
template <class T>
T element_at(const std::byte* bytes, Dtype dtype) {
  return visit(dtype, [&]<class U>(Type<U>) {
    U element;
    std::memcpy(&element, bytes, sizeof(U));
    return static_cast<T>(static_cast<compute_t<U>>(element));
  });
}

}  // namespace

WhereScope::WhereScope(const std::source_location& where) : outermost_(outer_where == nullptr) {
  if (outermost_) {
    outer_where = &where;
  }
}
WhereScope::~WhereScope() {
  if (outermost_) {
    outer_where = nullptr;
  }
}
std::source_location WhereScope::current(const std::source_location& fallback) {
  return outer_where == nullptr ? fallback : *outer_where;
}

NoGrad::NoGrad() : before_(std::exchange(no_grad, true)) {}
NoGrad::~NoGrad() {
  no_grad = before_;
}
bool NoGrad::active() {
  return no_grad;
}

ScopesPause::ScopesPause() : where_(std::exchange(outer_where, nullptr)), no_grad_(std::exchange(no_grad, false)) {}
ScopesPause::~ScopesPause() {
  outer_where = where_;
  no_grad = no_grad_;
}
bool ScopesPause::any_scope() {
  return outer_where != nullptr || no_grad;
}

Tensor::Tensor(NodePtr node) : impl_(std::allocate_shared<detail::TensorImpl>(PoolAllocator<detail::TensorImpl>())) {
  if (node->owner.expired()) {
    node->owner = impl_;
  }
  impl_->node = std::move(node);
}

const NodePtr& Tensor::node() const {
  checked(impl_);
  return impl_->node;
}

const Shape& Tensor::shape() const {
  return checked(impl_).shape;
}
Dtype Tensor::dtype() const {
  return checked(impl_).dtype;
}
Device Tensor::device() const {
  return checked(impl_).device;
}
std::int64_t Tensor::size(int axis) const {
  return shape()[normalize_axis(axis, rank(), "size")];
}

Tensor& Tensor::requires_grad(bool on) {
  Node& node = checked(impl_);
  if (!node.is_leaf() && node.requires_grad) {
    throw ArgumentError("requires_grad: " + std::string(node.op->name) + " made this tensor at " +
                        to_string(node.where) +
                        " out of others that require gradients; mark those, or use detach() or retain_grad()");
  }
  if (on && !is_floating(node.dtype)) {
    throw DtypeError("requires_grad: a tensor of " + std::string(name(node.dtype)) +
                     " has no gradient; use a floating-point dtype");
  }
  if (node.awaited_by != nullptr) {
    node.awaited_by->build();
  }
  // What was computed from tensors without gradients is a leaf from here on: gradients do not go below.
  node.cut = node.op != nullptr;
  node.requires_grad = on;
  node.owner = impl_;
  return *this;
}
bool Tensor::requires_grad() const {
  return checked(impl_).requires_grad;
}

void Tensor::eval() const {
  if (!checked(impl_).has_value()) {
    twingrad::eval({*this});
  }
}
bool Tensor::evaluated() const {
  return checked(impl_).has_value();
}

double Tensor::item() const {
  if (numel() != 1) {
    throw ShapeError("item: the tensor of shape " + to_string(shape()) +
                     " does not hold exactly one element; reduce it, or use to_vector()");
  }
  eval();
  const Node& node = *this->node();
  std::array<std::byte, 8> bytes{};
  read_value(node, std::span(bytes).first(size_of(node.dtype)));
  return element_at<double>(bytes.data(), node.dtype);
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const std::vector<std::byte> bytes = host_bytes(*this);
  std::vector<T> values(static_cast<std::size_t>(numel()));
  visit(dtype(), [&]<class U>(Type<U>) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      U element;
      std::memcpy(&element, bytes.data() + i * sizeof(U), sizeof(U));
      values[i] = static_cast<T>(static_cast<compute_t<U>>(element));
    }
  });
  return values;
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<std::int32_t> Tensor::to_vector() const;
template std::vector<std::int64_t> Tensor::to_vector() const;
template std::vector<std::uint8_t> Tensor::to_vector() const;
template std::vector<bool> Tensor::to_vector() const;

Tensor Tensor::detach() const {
  const Node& source = checked(impl_);
  if (!source.has_value()) {
    if (source.spent) {
      eval();  // says what is wrong
    }
    const NoGrad guard;
    return identity(*this);
  }
  return Tensor(leaf_with_value(source));
}

Tensor Tensor::to(Dtype dtype, std::source_location where) const {
  return cast(Operand(*this, where), dtype);
}
Tensor Tensor::to(Device device, std::source_location where) const {
  return to_device(Operand(*this, where), device);
}

Tensor Tensor::grad() const {
  checked(impl_);
  return impl_->grad;
}
void Tensor::zero_grad() const {
  checked(impl_);
  impl_->grad = Tensor();
}
Tensor& Tensor::retain_grad() {
  checked(impl_).owner = impl_;
  impl_->retain_grad = true;
  return *this;
}

void Tensor::assign(const Tensor& value, std::source_location where) {
  const Node& before = checked(impl_);
  const NodePtr& after = value.node();
  if (!(before.shape == after->shape) || before.dtype != after->dtype || !(before.device == after->device)) {
    throw ShapeError("assign at " + to_string(where) + ": the handle is " + to_string(before.shape) + " " +
                     std::string(name(before.dtype)) + " on " + before.device.name() + ", the value " +
                     to_string(after->shape) + " " + std::string(name(after->dtype)) + " on " + after->device.name());
  }
  Capture* const capture = CaptureScope::active();
  if (capture == nullptr || !capture->recording) {
    rebind(impl_, value.detach().node());
    return;
  }
  capture->note_replaced(impl_);
  // What is there already is copied by the step, so that every replay takes what is there then.
  const NoGrad guard;
  const Tensor fresh =
      value.evaluated() ? apply_typed(contiguous_op, {value}, {}, after->type(), after->device, where) : value.detach();
  rebind(impl_, fresh.node());
}

Tensor& Tensor::label(std::string text) {
  checked(impl_).label = std::move(text);
  return *this;
}
const std::string& Tensor::label() const {
  return checked(impl_).label;
}

template <class T>
Tensor tensor(const std::vector<T>& values, const Shape& shape, TensorOptions options) {
  return leaf_of(values, shape, options);
}
template Tensor tensor(const std::vector<float>&, const Shape&, TensorOptions);
template Tensor tensor(const std::vector<double>&, const Shape&, TensorOptions);
template Tensor tensor(const std::vector<std::int32_t>&, const Shape&, TensorOptions);
template Tensor tensor(const std::vector<std::int64_t>&, const Shape&, TensorOptions);
template Tensor tensor(const std::vector<std::uint8_t>&, const Shape&, TensorOptions);
template Tensor tensor(const std::vector<bool>&, const Shape&, TensorOptions);

Tensor tensor(double value, TensorOptions options) {
  Tensor result = literal_scalar(value, options.dtype.value_or(Dtype::f32), options.device);
  if (options.requires_grad) {
    result.requires_grad(true);
  }
  return result;
}

Tensor full(const Shape& shape, double value, TensorOptions options) {
  Tensor result;
  {
    const NoGrad guard;
    result = broadcast_to(literal_scalar(value, options.dtype.value_or(Dtype::f32), options.device), shape);
  }
  if (options.requires_grad) {
    result.requires_grad(true);
  }
  return result;
}
Tensor zeros(const Shape& shape, TensorOptions options) {
  return full(shape, 0, options);
}
Tensor ones(const Shape& shape, TensorOptions options) {
  return full(shape, 1, options);
}

}  // namespace twingrad
