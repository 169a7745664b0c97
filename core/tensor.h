// The user's handle to a value in the graph. Ops on tensors add nodes and compute nothing; asking for a value
// (item(), to_vector(), eval(), an optimizer's step) plans and runs what is needed. Copies of a Tensor are cheap and
// name the same value, as in PyTorch. Tensors of one graph belong to one thread at a time.
//
//   tg::Tensor x = tg::tensor(std::vector<float>{1, 2, 3, 4}, {2, 2});
//   tg::Tensor y = tg::sum(tg::relu(x - 2.5) * 2.0);
//   std::cout << y.item();                                   // 3
#pragma once

#include <twingrad/device.h>
#include <twingrad/dtype.h>
#include <twingrad/pool.h>
#include <twingrad/shape.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace twingrad {

struct Node;
using NodePtr = std::shared_ptr<Node>;

namespace detail {
struct TensorImpl;
}

/// How a new tensor is made.
struct TensorOptions {
  std::optional<Dtype>
      dtype{};  ///< default: float32 for floating-point data, the data's own type for integers and bool
  Device device{};
  bool requires_grad = false;
};

class Tensor {
 public:
  /// An undefined tensor: no value, no shape. Most functions throw ArgumentError when given one.
  Tensor() = default;

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  Dtype dtype() const;
  Device device() const;
  int rank() const { return shape().size(); }
  std::int64_t numel() const { return twingrad::numel(shape()); }
  /// Length of one axis; negative axes count from the end.
  std::int64_t size(int axis) const;

  /// Marks a leaf as something to differentiate; backward() then fills grad().
  /// A tensor that ops made out of others without gradients becomes a leaf. Throws ArgumentError when one of those
  /// requires gradients, DtypeError when this is not floating-point.
  Tensor& requires_grad(bool on);
  /// Whether gradients flow into this tensor.
  bool requires_grad() const;

  /// Runs what this tensor needs; does nothing when its value is there. Throws what the ops throw.
  void eval() const;
  /// Whether the value is there.
  bool evaluated() const;

  /// The value of a tensor of one element, in any dtype. Throws ShapeError otherwise.
  double item() const;
  /// All elements in row-major order on the host, converted to T. Waits for the device.
  template <class T>
  std::vector<T> to_vector() const;

  /// Another tensor with the same value that gradients do not flow through.
  Tensor detach() const;
  /// The same values in another dtype; the tensor itself when it has it. Gradients flow back between floats.
  Tensor to(Dtype dtype, std::source_location where = std::source_location::current()) const;
  /// A copy on another device; the tensor itself when it is there. Gradients flow back.
  Tensor to(Device device, std::source_location where = std::source_location::current()) const;

  /// Gradients of this scalar with respect to every leaf that requires them, added to their grad().
  /// Builds nodes and computes nothing yet. Throws ShapeError unless numel() = 1.
  void backward(std::source_location where = std::source_location::current()) const;
  /// What backward() summed up; undefined before. Same shape and dtype as the tensor.
  Tensor grad() const;
  /// Forgets grad().
  void zero_grad() const;
  /// Lets backward() fill grad() of a tensor that an op made, too.
  Tensor& retain_grad();

  /// Makes this handle, and all its copies, name `value` from now on (same shape, dtype and device). Graphs that were
  /// built before keep the old value.
  void assign(const Tensor& value, std::source_location where = std::source_location::current());

  /// A name for pictures, reports and error messages.
  Tensor& label(std::string text);
  const std::string& label() const;

  /// For the library's own files and for backends' tools.
  explicit Tensor(NodePtr node);
  explicit Tensor(std::shared_ptr<detail::TensorImpl> impl) : impl_(std::move(impl)) {}
  const NodePtr& node() const;
  const std::shared_ptr<detail::TensorImpl>& impl() const { return impl_; }

 private:
  std::shared_ptr<detail::TensorImpl> impl_;
};

}  // namespace twingrad

/// Every step makes lists of tensors (parameters, gradients, what gradient rules give): they come from the pool.
template <>
struct std::allocator<twingrad::Tensor> : twingrad::PoolAllocator<twingrad::Tensor> {
  allocator() = default;
  template <class U>
  allocator(const std::allocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): as the original
};

namespace twingrad {

/// A tensor from host data in row-major order. Throws ShapeError when the count does not match the shape.
template <class T>
Tensor tensor(const std::vector<T>& values, const Shape& shape, TensorOptions options = {});
/// A tensor of one axis.
template <class T>
Tensor tensor(const std::vector<T>& values, TensorOptions options = {}) {
  return tensor(values, Shape{static_cast<std::int64_t>(values.size())}, std::move(options));
}
/// A scalar of shape (). float32 unless the options say otherwise.
Tensor tensor(double value, TensorOptions options = {});

Tensor zeros(const Shape& shape, TensorOptions options = {});
Tensor ones(const Shape& shape, TensorOptions options = {});
Tensor full(const Shape& shape, double value, TensorOptions options = {});
/// start, start + step, ... (`count` of them), shape (count). int64 unless the options say otherwise.
Tensor arange(std::int64_t count, double start = 0, double step = 1, TensorOptions options = {});

/// An argument of an op: a tensor, or a number that takes dtype and device from the other operands. Remembers the
/// caller's line, which errors and reports name.
class Operand {
 public:
  Operand(const Tensor& tensor,  // NOLINT(google-explicit-constructor): this is what lets ops read as formulas
          std::source_location where = std::source_location::current())
      : tensor_(tensor), where_(where) {}
  template <class T>
  requires std::is_arithmetic_v<T> Operand(T number,  // NOLINT(google-explicit-constructor)
                                           std::source_location where = std::source_location::current())
      : number_(static_cast<double>(number)), is_number_(true), where_(where) {}

  bool is_number() const { return is_number_; }
  const Tensor& tensor() const { return tensor_; }
  double number() const { return number_; }
  const std::source_location& where() const { return where_; }

 private:
  Tensor tensor_;
  double number_ = 0;
  bool is_number_ = false;
  std::source_location where_;
};

/// While one lives, ops made on this thread carry `where` as their source line: the line of the user who called a
/// module or a composed function. The outermost scope wins.
class WhereScope {
 public:
  explicit WhereScope(const std::source_location& where);
  WhereScope(const WhereScope&) = delete;
  WhereScope& operator=(const WhereScope&) = delete;
  ~WhereScope();
  /// The line of the outermost scope, or `fallback` outside any.
  static std::source_location current(const std::source_location& fallback);

 private:
  bool outermost_;
};

}  // namespace twingrad
