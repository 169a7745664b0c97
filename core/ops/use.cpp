#include <twingrad/ops/autocast.h>
#include <twingrad/ops/use.h>

#include <span>
#include <vector>

namespace twingrad {

Use::Use(std::string_view name, std::initializer_list<Operand> operands)
    : name_(name), where_(WhereScope::current(operands.begin()->where())), scope_(where_) {
  PoolVector<Operand> cast_operands;
  std::span<const Operand> all(operands.begin(), operands.size());
  if (AutocastScope::active() != nullptr) {
    // Functions look at shapes and dtypes before their ops do: tensors of several float dtypes are widened up front.
    cast_operands = autocast(Family::elementwise, all);
    all = cast_operands;
  }
  const Tensor* reference = nullptr;
  for (const Operand& operand : all) {
    if (operand.is_number()) {
      continue;
    }
    if (!operand.tensor().defined()) {
      throw ArgumentError(std::string(name) + " at " + to_string(where_) +
                          ": an input is an undefined tensor; give it a value first");
    }
    if (reference == nullptr) {
      reference = &operand.tensor();
    }
  }
  for (const Operand& operand : all) {
    is_number_[count_] = operand.is_number();
    if (!operand.is_number()) {
      tensors_[count_] = operand.tensor();
    } else {
      try {
        tensors_[count_] = literal_scalar(operand.number(), reference == nullptr ? Dtype::f32 : reference->dtype(),
                                          reference == nullptr ? Device::cpu() : reference->device());
      } catch (const DtypeError& error) {
        throw DtypeError(std::string(name) + " at " + to_string(where_) + ": " + error.what());
      }
    }
    ++count_;
  }
  for (std::size_t i = 1; i < count_; ++i) {
    if (!(tensors_[i].device() == tensors_[0].device())) {
      fail<DeviceError>("inputs are on " + tensors_[0].device().name() + " and " + tensors_[i].device().name() +
                        "; copy one with to(Device)");
    }
  }
}

int Use::axis(std::int64_t axis, int rank) const {
  const bool in_range = axis >= -rank && axis < rank;
  return normalize_axis(axis, rank, in_range ? std::string() : describe());
}

Axes Use::axes(const Axes& axes, int rank) const {
  try {
    return normalize_axes(axes, rank, "");
  } catch (const ShapeError&) {
    return normalize_axes(axes, rank, describe());  // throws again, with the description in front
  }
}

void Use::require_floats() const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (!is_floating(tensors_[i].dtype())) {
      fail<DtypeError>("takes floating-point numbers, not " + std::string(twingrad::name(tensors_[i].dtype())) +
                       "; cast it with to(...)");
    }
    if (tensors_[i].dtype() != tensors_[0].dtype()) {
      fail<DtypeError>("takes inputs of one dtype; cast one with to(...)");
    }
  }
}

void Use::require_same_shape() const {
  const Tensor* first = nullptr;
  for (std::size_t i = 0; i < count_; ++i) {
    if (is_number_[i]) {
      continue;
    }
    if (first == nullptr) {
      first = &tensors_[i];
    } else if (!(tensors_[i].shape() == first->shape())) {
      fail<ShapeError>("takes inputs of one shape; reshape one of them");
    }
  }
}

std::string Use::describe() const {
  Op named;
  named.name = name_;
  std::vector<TensorType> types;
  for (std::size_t i = 0; i < count_; ++i) {
    types.push_back(tensors_[i].node()->type());
  }
  std::string text = describe_use(named, types, where_);
  text.resize(text.size() - 2);  // without its ": "
  return text;
}

}  // namespace twingrad
