#include <twingrad/ops/rows.h>
#include <twingrad/ops/update.h>

#include <array>
#include <span>
#include <string>
#include <tuple>
#include <utility>

namespace twingrad {
namespace {

TensorType infer_update(std::span<const TensorType> inputs, std::int64_t hyperparameters) {
  require_floating(inputs[0]);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    require_same_dtype(inputs[0], inputs[i]);
    if (i + 1 < inputs.size() && !(inputs[i].shape == inputs[0].shape)) {
      throw ShapeError("takes inputs of one shape");
    }
  }
  if (!(inputs.back().shape == Shape{hyperparameters})) {
    throw ShapeError("takes " + std::to_string(hyperparameters) + " hyperparameters");
  }
  return inputs[0];
}

std::vector<Sample> update_samples(int arity, std::int64_t hyperparameters) {
  std::vector<TensorType> inputs(static_cast<std::size_t>(arity) - 1, sample_of({7, 5}));
  inputs.push_back(sample_of({hyperparameters}));
  return {{inputs}};
}

constexpr std::string_view summary_of(formulas::Sgd) {
  return "p - lr * g";
}
constexpr std::string_view summary_of(formulas::Accumulate) {
  return "h0 * buffer + h1 * g";
}
constexpr std::string_view summary_of(formulas::AccumulateSquare) {
  return "h0 * buffer + h1 * g^2";
}
constexpr std::string_view summary_of(formulas::Penalty) {
  return "g + l2 * p + l1 * sign(p)";
}
constexpr std::string_view summary_of(formulas::Adam) {
  return "Adam's step with decoupled weight decay";
}
constexpr std::string_view summary_of(formulas::ScaledStep) {
  return "p - lr * g / (sqrt(v) + eps)";
}
constexpr std::string_view summary_of(formulas::CentredDirection) {
  return "g / (sqrt(v - mean^2) + eps)";
}

template <class Formula>
constexpr Op update_row() {
  Op row{
      .name = Formula::name,
      .family = Family::update,
      .kernel = formulas::index_in<Formula, formulas::UpdateFormulas>::value,
      .min_inputs = Formula::arity,
      .max_inputs = Formula::arity,
      .summary = summary_of(Formula{}),
      .domain = {.low = 0.1, .high = 2.0},
  };
  row.infer = [](std::span<const TensorType> inputs, const Attributes&) {
    return infer_update(inputs, Formula::hyperparameters);
  };
  row.samples = [] { return update_samples(Formula::arity, Formula::hyperparameters); };
  row.flops = [](std::span<const TensorType>, const TensorType& output) {
    return 2.0 * (Formula::arity - 1) * static_cast<double>(numel(output.shape));
  };
  return row;
}

template <class... Formula>
constexpr std::array<Op, sizeof...(Formula)> update_table(std::tuple<Formula...>*) {
  return {update_row<Formula>()...};
}

constexpr auto table = update_table(static_cast<formulas::UpdateFormulas*>(nullptr));

}  // namespace

const Op& update_op(int kernel) {
  return table.at(static_cast<std::size_t>(kernel));
}

Tensor update(const Op& row, std::initializer_list<Tensor> tensors, std::initializer_list<double> hyperparameters) {
  PoolVector<Operand> operands(tensors.begin(), tensors.end());
  const Tensor& first = *tensors.begin();
  operands.emplace_back(
      literal(std::span(hyperparameters.begin(), hyperparameters.size()), first.dtype(), first.device()));
  return twingrad::apply(row, operands);
}

Tensor update(const Op& row, std::initializer_list<Tensor> tensors) {
  const PoolVector<Operand> operands(tensors.begin(), tensors.end());
  return twingrad::apply(row, operands);
}

OpRows update_rows() {
  OpRows rows;
  for (const Op& row : table) {
    rows.push_back(&row);
  }
  return rows;
}

}  // namespace twingrad
