// The reference of elementwise formulas and of the optimizers' updates, element by element.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <algorithm>

namespace twingrad::check {

namespace {

/// Nothing is predicted for an element whose formula took a branch that hangs on a rounding.
void settle(double& /*x*/) {}
void settle(Dual& /*x*/) {}
void settle(Tracked& x) {
  Rounding& rounding = Rounding::current();
  x.overflow = x.overflow || rounding.ambiguous;
  rounding.ambiguous = false;
}

template <class N, class Formula, class Operand>
N apply_formula(const Operand& operand, const formulas::Parameters& parameters) {
  const auto truth = [&](std::size_t j) { return value_of(operand(j)) != 0; };
  if constexpr (std::is_same_v<Formula, formulas::Where>) {
    return Formula::template apply<N>(truth(0), operand(1), operand(2), parameters);
  } else if constexpr (Formula::takes == formulas::Takes::bools) {
    if constexpr (Formula::arity == 1) {
      return N(Formula::template apply<bool>(truth(0), parameters) ? 1 : 0);
    } else {
      return N(Formula::template apply<bool>(truth(0), truth(1), parameters) ? 1 : 0);
    }
  } else if constexpr (Formula::gives == formulas::Gives::boolean) {
    return N(Formula::template apply<N>(operand(0), operand(1), parameters) ? 1 : 0);
  } else if constexpr (Formula::arity == 1) {
    return Formula::template apply<N>(operand(0), parameters);
  } else {
    return Formula::template apply<N>(operand(0), operand(1), parameters);
  }
}

}  // namespace

template <class N>
void Interpreter<N>::elementwise() {
  std::vector<Window> windows;
  for (const Array<N>* input : inputs_) {
    windows.push_back(broadcast_window(input->type.shape, output_.type.shape));
  }
  for_formula<formulas::Formulas>(op_.kernel, [&]<class Formula>() {
    formulas::Parameters parameters{};
    std::copy(attributes_.reals.begin(), attributes_.reals.end(), parameters.p);
    for_each_element(output_.type.shape, windows, [&](std::int64_t i, const auto& offsets) {
      const auto operand = [&](std::size_t j) -> const N& { return in(j).data[static_cast<std::size_t>(offsets[j])]; };
      out(i) = apply_formula<N, Formula>(operand, parameters);
      settle(out(i));
    });
  });
}

template <class N>
void Interpreter<N>::update() {
  const std::size_t operands = inputs_.size() - 1;
  std::vector<N> x(operands);
  for_formula<formulas::UpdateFormulas>(op_.kernel, [&]<class Formula>() {
    for (std::int64_t i = 0; i < output_.size(); ++i) {
      for (std::size_t j = 0; j < operands; ++j) {
        x[j] = in(j).data[static_cast<std::size_t>(i)];
      }
      out(i) = Formula::template apply<N>(x.data(), in(operands).data.data());
      settle(out(i));
    }
  });
}

template void Interpreter<double>::elementwise();
template void Interpreter<Dual>::elementwise();
template void Interpreter<Tracked>::elementwise();
template void Interpreter<double>::update();
template void Interpreter<Dual>::update();
template void Interpreter<Tracked>::update();

}  // namespace twingrad::check
