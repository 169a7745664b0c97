// Every formula and update, on every dtype it takes, in every layout, against the formula applied to single values.
#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <tuple>

#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

using namespace formulas;

class CpuElementwise : public KernelTest {
 protected:
  template <class Formula, class T, std::size_t... I>
  void check(const std::vector<Operand>& x, const Shape& shape, const std::string& what, std::index_sequence<I...>) {
    using C = compute_t<T>;
    constexpr Dtype dtype = Formula::gives == Gives::boolean ? boolean : dtype_of_v<T>;
    const Attributes attributes{.ints = {}, .reals = {0.25, 1.5, 0.0, 0.0}};
    const Parameters parameters{{0.25, 1.5, 0.0, 0.0}};
    const Op row = op(Family::elementwise, index_in<Formula, Formulas>::value);
    const Result result = run(row, {x[I].view...}, dtype, shape, attributes);
    for (std::size_t i = 0; i < result.values.size(); ++i) {
      double expected = 0.0;
      store(&expected, dtype, 0,
            static_cast<double>(Formula::apply(argument<Formula, C, I>(x[I].values[i])..., parameters)));
      expected = load(&expected, dtype, 0);
      ASSERT_PRED2(same, result.values[i], expected) << Formula::name << " of " << name(dtype_of_v<T>) << ", " << what
                                                     << ", shape " << to_string(shape) << ", element " << i;
    }
  }

  template <class Formula, class C, std::size_t I>
  static auto argument(double value) {
    if constexpr (std::is_same_v<Formula, Where> && I == 0) {
      return value != 0.0;
    } else {
      return static_cast<C>(value);
    }
  }

  template <class Formula, std::size_t I>
  static Dtype input_dtype(Dtype dtype) {
    return std::is_same_v<Formula, Where> && I == 0 ? boolean : dtype;
  }

  template <class Formula, class T, std::size_t... I>
  void check_layouts(std::index_sequence<I...> all) {
    const Dtype dtype = dtype_of_v<T>;
    for (const std::int64_t n : {1, 7, 31, 33, 255, 257, 1025}) {
      check<Formula, T>({operand(input_dtype<Formula, I>(dtype), {n})...}, {n}, "contiguous", all);
    }
    const Shape shape{5, 3, 33};
    for (const Layout layout : all_layouts) {
      const std::string what = "layout " + std::to_string(static_cast<int>(layout));
      check<Formula, T>({operand(input_dtype<Formula, I>(dtype), shape, layout)...}, shape, what, all);
      // Each operand in turn against contiguous ones.
      for (std::size_t odd = 0; odd < sizeof...(I); ++odd) {
        check<Formula, T>({operand(input_dtype<Formula, I>(dtype), shape, I == odd ? layout : Layout::contiguous)...},
                          shape, what + " of operand " + std::to_string(odd), all);
      }
    }
    // Every set of operands broadcast along every axis, and along all.
    for (unsigned set = 1; set < 1U << sizeof...(I); ++set) {
      for (int axis = 0; axis < 4; ++axis) {
        std::vector<Operand> x;
        const auto add = [&](std::size_t i, Dtype type) {
          Shape small = shape;
          const bool chosen = ((set >> i) & 1U) != 0;
          for (int d = 0; d < 3; ++d) {
            small[d] = chosen && (axis == d || axis == 3) ? 1 : shape[d];
          }
          x.push_back(operand(type, small));
          for (int d = 2; d >= 0; --d) {
            if (small[d] != shape[d]) {
              broadcast(x.back(), d, shape[d]);
            }
          }
        };
        (add(I, input_dtype<Formula, I>(dtype)), ...);
        check<Formula, T>(x, shape, "broadcast " + std::to_string(set) + " along " + std::to_string(axis), all);
      }
    }
  }

  template <class Formula>
  void check_formula() {
    for (const Dtype dtype : all_dtypes) {
      visit(dtype, [&]<class T>(Type<T>) {
        if constexpr (accepts<T>(Formula::takes)) {
          check_layouts<Formula, T>(std::make_index_sequence<static_cast<std::size_t>(Formula::arity)>{});
        }
      });
    }
  }
};

TEST_F(CpuElementwise, EveryFormulaOnEveryDtypeAndLayout) {
  [&]<class... Formula>(std::tuple<Formula...>*) { (check_formula<Formula>(), ...); }(static_cast<Formulas*>(nullptr));
}

TEST_F(CpuElementwise, LargeEnoughForAllThreads) {
  const std::int64_t n = 300007;
  for (const Dtype dtype : {f32, bf16}) {
    const Operand x = operand(dtype, {n});
    const Operand y = operand(dtype, {n}, Layout::reversed);
    const Op row = op(Family::elementwise, index_in<Sub, Formulas>::value);
    const Result result = run(row, {x.view, y.view}, dtype, {n});
    for (std::size_t i = 0; i < result.values.size(); ++i) {
      double expected = 0.0;
      store(&expected, dtype, 0, x.values[i] - y.values[i]);
      ASSERT_EQ(result.values[i], load(&expected, dtype, 0)) << "element " << i;
    }
  }
}

TEST_F(CpuElementwise, LargeTransposedOperand) {
  const Operand x = operand(f32, {257, 311});
  const Operand y = operand(f32, {257, 311}, Layout::transposed);
  const Result result = run(op(Family::elementwise, index_in<Mul, Formulas>::value), {x.view, y.view}, f32, {257, 311});
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    ASSERT_EQ(result.values[i], static_cast<double>(static_cast<float>(x.values[i] * y.values[i]))) << "element " << i;
  }
}

TEST_F(CpuElementwise, OutputMayBeAnInput) {
  for (const Dtype dtype : float_dtypes) {
    Operand x = operand(dtype, {1025});
    const Operand y = operand(dtype, {1025});
    KernelCall call;
    const Op row = op(Family::elementwise, index_in<Add, Formulas>::value);
    call.op = &row;
    call.inputs = {x.view, y.view};
    call.output = x.view;
    backend_->run(call);
    for (std::int64_t i = 0; i < 1025; ++i) {
      double expected = 0.0;
      store(&expected, dtype, 0, x.values[static_cast<std::size_t>(i)] + y.values[static_cast<std::size_t>(i)]);
      ASSERT_EQ(load(x.view.data, dtype, i), load(&expected, dtype, 0)) << name(dtype) << ", element " << i;
    }
  }
}

TEST_F(CpuElementwise, NanPassesThroughReluAndMaximum) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Dtype dtype : float_dtypes) {
    const Operand x = operand(dtype, {4}, Layout::contiguous, {nan, 1.0, nan, -0.0});
    const Operand y = operand(dtype, {4}, Layout::contiguous, {1.0, nan, nan, -1.0});
    const Result largest =
        run(op(Family::elementwise, index_in<Maximum, Formulas>::value), {x.view, y.view}, dtype, {4});
    EXPECT_TRUE(std::isnan(largest.values[0]) && std::isnan(largest.values[1]) && std::isnan(largest.values[2]));
    const Result relu = run(op(Family::elementwise, index_in<Relu, Formulas>::value), {x.view}, dtype, {4});
    EXPECT_TRUE(std::isnan(relu.values[0]));
    EXPECT_EQ(relu.values[1], 1.0);
  }
}

TEST_F(CpuElementwise, RefusesDtypesTheFormulaDoesNotTake) {
  const Operand x = operand(i32, {3});
  EXPECT_THROW(run(op(Family::elementwise, index_in<Exp, Formulas>::value), {x.view}, i32, {3}), DtypeError);
  const Operand flag = operand(boolean, {3});
  EXPECT_THROW(run(op(Family::elementwise, index_in<Neg, Formulas>::value), {flag.view}, boolean, {3}), DtypeError);
}

class CpuUpdate : public KernelTest {
 protected:
  template <class Formula>
  void check() {
    constexpr auto inputs = static_cast<std::size_t>(Formula::arity - 1);
    for (const Dtype dtype : float_dtypes) {
      for (const std::int64_t n : {1, 33, 1025, 100003}) {
        std::vector<Operand> x;
        std::vector<TensorView> views;
        for (std::size_t k = 0; k < inputs; ++k) {
          x.push_back(operand(dtype, {n}, Layout::contiguous, 0.1, 2.0));
        }
        x.push_back(operand(dtype, {Formula::hyperparameters}, Layout::contiguous, 0.1, 0.9));
        for (const Operand& input : x) {
          views.push_back(input.view);
        }
        const Result result = run(op(Family::update, index_in<Formula, UpdateFormulas>::value), views, dtype, {n});
        visit(dtype, [&]<class T>(Type<T>) {
          if constexpr (std::is_floating_point_v<compute_t<T>>) {
            std::vector<compute_t<T>> h;
            for (const double value : x.back().values) {
              h.push_back(static_cast<compute_t<T>>(value));
            }
            for (std::size_t i = 0; i < result.values.size(); ++i) {
              compute_t<T> element[inputs];
              for (std::size_t k = 0; k < inputs; ++k) {
                element[k] = static_cast<compute_t<T>>(x[k].values[i]);
              }
              double expected = 0.0;
              store(&expected, dtype, 0, static_cast<double>(Formula::apply(element, h.data())));
              ASSERT_EQ(result.values[i], load(&expected, dtype, 0)) << Formula::name << ' ' << name(dtype) << ' ' << i;
            }
          }
        });
      }
    }
  }
};

TEST_F(CpuUpdate, EveryUpdateOnEveryDtype) {
  [&]<class... Formula>(std::tuple<Formula...>*) { (check<Formula>(), ...); }(static_cast<UpdateFormulas*>(nullptr));
}

}  // namespace
}  // namespace twingrad
