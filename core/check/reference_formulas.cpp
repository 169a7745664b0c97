// Elementwise formulas and updates on eight elements at a time.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_sources.h>
#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <algorithm>

namespace twingrad::check {
namespace {

/// An input as a piece sees it: element i of the piece is at `data[i]`, or always at `data[0]`.
struct Operand {
  const double* data;
  bool constant;

  template <class Lanes>
  [[gnu::always_inline]] Lanes at(std::int64_t i, std::int64_t count) const {
    if (constant) {
      return Lanes(splat(*data));
    }
    if (i + lane_count <= count) {
      return Lanes(load(data + i));
    }
    double last[lane_count];
    for (std::int64_t l = 0; l < lane_count; ++l) {
      last[l] = data[std::min(i + l, count - 1)];
    }
    return Lanes(load(last));
  }
};

template <class Formula, class Lanes>
[[gnu::always_inline]] inline Lanes apply_lanes(const Lanes* x, const formulas::Parameters& parameters) {
  const auto truth = [&](int j) { return Pass::decide(x[j].value != 0.0); };
  if constexpr (std::is_same_v<Formula, formulas::Where>) {
    return Formula::template apply<Lanes>(truth(0), x[1], x[2], parameters);
  } else if constexpr (Formula::takes == formulas::Takes::bools) {
    if constexpr (Formula::arity == 1) {
      return Lanes(Formula::template apply<bool>(truth(0), parameters) ? 1 : 0);
    } else {
      const bool first = truth(0);
      return Lanes(Formula::template apply<bool>(first, truth(1), parameters) ? 1 : 0);
    }
  } else if constexpr (Formula::gives == formulas::Gives::boolean) {
    return Lanes(Formula::template apply<Lanes>(x[0], x[1], parameters) ? 1 : 0);
  } else if constexpr (Formula::arity == 1) {
    return Formula::template apply<Lanes>(x[0], parameters);
  } else {
    return Formula::template apply<Lanes>(x[0], x[1], parameters);
  }
}

/// Eight elements, in several passes where the formula branches.
template <class Lanes, class Apply>
[[gnu::always_inline]] inline Lanes passed(const Apply& apply) {
  LanePasses passes;
  Lanes result;
  do {
    passes.begin();
    passes.keep(apply(), result);
  } while (passes.more());
  return result;
}

// Everything is drawn into these two, so that what is known of an operand while compiling is known inside a formula.

template <class Formula, class Lanes>
[[gnu::flatten, gnu::noinline]] void elementwise(const Operand* operands, const formulas::Parameters& parameters,
                                                 std::int64_t begin, std::int64_t end, Elements& into) {
  for (std::int64_t i = begin; i < end; i += lane_count) {
    Lanes x[Formula::arity];
    for (int j = 0; j < Formula::arity; ++j) {
      x[j] = operands[j].template at<Lanes>(i, into.count);
    }
    const Lanes result =
        passed<Lanes>([&] [[gnu::always_inline]] () { return apply_lanes<Formula, Lanes>(x, parameters); });
    put_lanes(result, into, i);
    if (Lanes::left_out(result)) [[unlikely]] {
      elementwise<Formula, TrackedLanes>(operands, parameters, i, i + lane_count, into);
    }
  }
}

template <class Formula, class Lanes>
[[gnu::flatten, gnu::noinline]] void updated(const Operand* operands, std::int64_t begin, std::int64_t end,
                                             Elements& into) {
  constexpr int inputs = Formula::arity - 1;
  Lanes h[Formula::hyperparameters];
  for (int j = 0; j < Formula::hyperparameters; ++j) {
    h[j] = Lanes(splat(operands[inputs].data[j]));
  }
  for (std::int64_t i = begin; i < end; i += lane_count) {
    Lanes x[std::size_t{inputs}];
    for (int j = 0; j < inputs; ++j) {
      x[j] = operands[j].template at<Lanes>(i, into.count);
    }
    const Lanes result = passed<Lanes>([&] [[gnu::always_inline]] () { return Formula::template apply<Lanes>(x, h); });
    put_lanes(result, into, i);
    if (Lanes::left_out(result)) [[unlikely]] {
      updated<Formula, TrackedLanes>(operands, i, i + lane_count, into);
    }
  }
}

class FormulaSource final : public Expectation::Source {
 public:
  explicit FormulaSource(const Use& use) : use_(use) {
    // An update's hyperparameters are no operand to broadcast; they may have more axes than the rest.
    for (std::size_t j = 0; j < use.inputs.size() && use.op.family != Family::update; ++j) {
      windows_.push_back(broadcast_window(use.inputs[j]->type.shape, use.type.shape));
    }
    std::copy(use.attributes.reals.begin(), use.attributes.reals.end(), parameters_.p);
  }

  void compute(Elements& into) const override {
    const RoundingScope scope(arithmetic_bits(use_.op, use_.type.dtype, use_.model), use_.model);
    const bool plain = FloatArithmetic::current();
    if (use_.op.family == Family::update) {
      std::vector<Operand> operands;
      for (const Array<double>* input : use_.inputs) {
        operands.push_back({input->data.data() + (input == use_.inputs.back() ? 0 : into.begin), false});
      }
      for_formula<formulas::UpdateFormulas>(use_.op.kernel, [&]<class Formula>() {
        plain ? updated<Formula, FloatLanes>(operands.data(), 0, into.count, into)
              : updated<Formula, TrackedLanes>(operands.data(), 0, into.count, into);
      });
    } else {
      std::vector<std::vector<double>> shown(use_.inputs.size());
      std::vector<Operand> operands;
      for (std::size_t j = 0; j < use_.inputs.size(); ++j) {
        operands.push_back(operand(j, into, shown[j]));
      }
      for_formula<formulas::Formulas>(use_.op.kernel, [&]<class Formula>() {
        plain ? elementwise<Formula, FloatLanes>(operands.data(), parameters_, 0, into.count, into)
              : elementwise<Formula, TrackedLanes>(operands.data(), parameters_, 0, into.count, into);
      });
    }
    round_to_storage(use_, into);
  }

 private:
  Operand operand(std::size_t j, const Elements& piece, std::vector<double>& shown) const {
    const Array<double>& input = *use_.inputs[j];
    if (input.size() == 1) {
      return {input.data.data(), true};
    }
    if (input.size() == numel(use_.type.shape)) {
      return {input.data.data() + piece.begin, false};
    }
    shown.reserve(static_cast<std::size_t>(piece.count));
    for_each_element(
        use_.type.shape, std::span(&windows_[j], 1), piece.begin, piece.begin + piece.count,
        [&](std::int64_t, const auto& offsets) { shown.push_back(input.data[static_cast<std::size_t>(offsets[0])]); });
    return {shown.data(), false};
  }

  Use use_;
  std::vector<Window> windows_;
  formulas::Parameters parameters_{};
};

}  // namespace

std::unique_ptr<Expectation::Source> formula_source(const Use& use) {
  return std::make_unique<FormulaSource>(use);
}

void round_to_storage(const Use& use, Elements& elements) {
  const Dtype dtype = use.type.dtype;
  const int bits = significant_bits(dtype);
  if (bits == 0) {
    for (std::int64_t i = 0; i < elements.count; ++i) {
      elements.value[static_cast<std::size_t>(i)] = wrapped(elements.value[static_cast<std::size_t>(i)], dtype);
    }
    elements.exact = true;
  } else if (bits < arithmetic_bits(use.op, dtype, use.model)) {
    const RoundingScope scope(dtype, one_by_one(use.model));
    for (std::int64_t i = 0; i < elements.count; i += lane_count) {
      const TrackedLanes x = lanes_at(elements, i);
      put_lanes(TrackedLanes::unary(x, x.value, splat(1), 0.5), elements, i);
    }
  }
}

}  // namespace twingrad::check
