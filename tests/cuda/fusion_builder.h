// Fusions for tests of what the CUDA backend makes of them: views without memory, chosen by shape and strides.
#pragma once

#include <twingrad/backend.h>
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>
#include <twingrad/op.h>
#include <twingrad/update_formulas.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace twingrad::tests {

/// A row for one formula.
template <class Formula>
Op formula_op() {
  Op op;
  op.name = Formula::name;
  if constexpr (requires { Formula::hyperparameters; }) {
    op.family = Family::update;
    op.kernel = formulas::index_in<Formula, formulas::UpdateFormulas>::value;
  } else {
    op.family = Family::elementwise;
    op.kernel = formulas::index_in<Formula, formulas::Formulas>::value;
  }
  return op;
}

inline TensorView view_of(Dtype dtype, const Shape& shape) {
  return {nullptr, dtype, shape, contiguous_strides(shape)};
}
inline TensorView view_of(Dtype dtype, const Shape& shape, const Strides& strides) {
  return {nullptr, dtype, shape, strides};
}

/// Adds parts one after the other; owns their rows.
class FusionBuilder {
 public:
  /// A part whose input j is the result of part from[j], or where that is -1 `inputs[j]`. Gives the part's number.
  int add(const Op& op, std::vector<TensorView> inputs, std::vector<int> from, const TensorView& output,
          bool stored = true, const std::array<double, 4>& reals = {}) {
    ops_.push_back(std::make_unique<Op>(op));
    Fusion::Part part;
    part.call.op = ops_.back().get();
    part.call.attributes.reals = reals;
    part.call.inputs = std::move(inputs);
    part.call.output = output;
    part.from = std::move(from);
    part.stored = stored;
    fusion_.parts.push_back(std::move(part));
    return static_cast<int>(fusion_.parts.size()) - 1;
  }
  /// The sum or mean over `axes` of part `from`, seen as `shape`.
  int add_sum(Reduce kind, int from, Dtype dtype, const Shape& shape, const Axes& axes) {
    Op op;
    op.name = kind == Reduce::sum ? "sum" : "mean";
    op.family = Family::reduce;
    op.kernel = static_cast<int>(kind);
    Shape kept;
    for (int axis = 0; axis < shape.size(); ++axis) {
      if (!axes.contains(axis)) {
        kept.push_back(shape[axis]);
      }
    }
    const int part = add(op, {view_of(dtype, shape)}, {from}, view_of(dtype, kept));
    fusion_.parts.back().call.attributes.ints = axes;
    return part;
  }
  Fusion& fusion() { return fusion_; }

 private:
  std::vector<std::unique_ptr<Op>> ops_;
  Fusion fusion_;
};

}  // namespace twingrad::tests
