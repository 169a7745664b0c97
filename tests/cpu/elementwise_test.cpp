// Every formula and update, on every dtype it takes, in every layout, against the formula applied to single values.
#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <array>
#include <source_location>
#include <tuple>

#include "cpu/elementwise_loops.h"
#include "cpu/lane.h"
#include "tests/cpu/kernel_fixture.h"

namespace twingrad {
namespace {

using namespace formulas;

/// One formula on one dtype: the only code instantiated per pair, so that this file compiles in reasonable time.
struct Instance {
  std::string_view name;
  int kernel;
  int arity;
  bool first_is_bool;
  Dtype dtype;
  Dtype gives;
  double (*apply)(const double* x, const Parameters& parameters);
};

/// The formula on single values. In float32 the CPU has its own mathematical functions, those of cpu::Lane, which
/// tests/cpu/lane_math_test.cpp compares with the C library's.
template <class Formula, class T>
double apply(const double* x, const Parameters& p) {
  const auto at = [x](int i) { return static_cast<compute_t<T>>(x[i]); };
  if constexpr (cpu::is_function<Formula> && std::is_same_v<compute_t<T>, float>) {
    const auto lane = [at](int i) { return cpu::Lane(at(i)); };
    if constexpr (Formula::arity == 1) {
      return static_cast<double>(Formula::apply(lane(0), p).value);
    } else {
      return static_cast<double>(Formula::apply(lane(0), lane(1), p).value);
    }
  } else if constexpr (std::is_same_v<Formula, Where>) {
    return static_cast<double>(Formula::apply(x[0] != 0.0, at(1), at(2), p));
  } else if constexpr (Formula::arity == 1) {
    return static_cast<double>(Formula::apply(at(0), p));
  } else {
    return static_cast<double>(Formula::apply(at(0), at(1), p));
  }
}

template <class Formula>
void add_instances(std::vector<Instance>& instances) {
  for (const Dtype dtype : all_dtypes) {
    visit(dtype, [&]<class T>(Type<T>) {
      if constexpr (accepts<T>(Formula::takes)) {
        instances.push_back({Formula::name, index_in<Formula, Formulas>::value, Formula::arity,
                             std::is_same_v<Formula, Where>, dtype, Formula::gives == Gives::boolean ? boolean : dtype,
                             &apply<Formula, T>});
      }
    });
  }
}

std::vector<Instance> all_instances() {
  std::vector<Instance> instances;
  [&]<class... Formula>(std::tuple<Formula...>*) {
    (add_instances<Formula>(instances), ...);
  }(static_cast<Formulas*>(nullptr));
  return instances;
}

class CpuElementwise : public KernelTest {
 protected:
  static Dtype input_dtype(const Instance& f, int i) { return f.first_is_bool && i == 0 ? boolean : f.dtype; }

  void check(const Instance& f, const std::vector<KernelOperand>& x, const Shape& shape, const std::string& what) {
    const Attributes attributes{.ints = {}, .reals = {0.25, 1.5, 0.0, 0.0}};
    const Parameters parameters{{0.25, 1.5, 0.0, 0.0}};
    std::vector<TensorView> views;
    for (const KernelOperand& input : x) {
      views.push_back(input.view);
    }
    const Result result = run(op(Family::elementwise, f.kernel), views, f.gives, shape, attributes);
    for (std::size_t i = 0; i < result.values.size(); ++i) {
      double element[3] = {};
      for (std::size_t k = 0; k < x.size(); ++k) {
        element[k] = x[k].values[i];
      }
      double expected = 0.0;
      store(&expected, f.gives, 0, f.apply(element, parameters));
      ASSERT_PRED2(same, result.values[i], load(&expected, f.gives, 0))
          << f.name << " of " << name(f.dtype) << ", " << what << ", shape " << to_string(shape) << ", element " << i;
    }
  }

  /// Operands of which number `odd` has the layout; all have it when odd is -1.
  std::vector<KernelOperand> operands(const Instance& f, const Shape& shape, Layout layout, int odd = -1) {
    std::vector<KernelOperand> x;
    for (int i = 0; i < f.arity; ++i) {
      x.push_back(operand(input_dtype(f, i), shape, odd == -1 || odd == i ? layout : Layout::contiguous));
    }
    return x;
  }

  /// Operands of which those in the set (bits) are broadcast along the axis, or along all axes when it is 3.
  std::vector<KernelOperand> broadcast_operands(const Instance& f, const Shape& shape, unsigned set, int axis) {
    std::vector<KernelOperand> x;
    for (int i = 0; i < f.arity; ++i) {
      Shape small = shape;
      for (int d = 0; d < 3; ++d) {
        small[d] = ((set >> i) & 1U) != 0 && (axis == d || axis == 3) ? 1 : shape[d];
      }
      x.push_back(operand(input_dtype(f, i), small));
      for (int d = 2; d >= 0; --d) {
        if (small[d] != shape[d]) {
          broadcast(x.back(), d, shape[d]);
        }
      }
    }
    return x;
  }
};

TEST_F(CpuElementwise, EveryFormulaOnEveryDtypeAndSize) {
  for (const Instance& f : all_instances()) {
    for (const std::int64_t n : {1, 7, 31, 33, 255, 257, 1025}) {
      check(f, operands(f, {n}, Layout::contiguous), {n}, "contiguous");
    }
  }
}

TEST_F(CpuElementwise, EveryFormulaOnEveryDtypeAndLayout) {
  const Shape shape{5, 3, 33};
  for (const Instance& f : all_instances()) {
    for (const Layout layout : all_layouts) {
      for (int odd = -1; odd < f.arity; ++odd) {
        check(f, operands(f, shape, layout, odd), shape,
              "layout " + std::to_string(static_cast<int>(layout)) + " of operand " + std::to_string(odd));
      }
    }
  }
}

TEST_F(CpuElementwise, EveryFormulaOnEveryDtypeAndBroadcast) {
  const Shape shape{5, 3, 33};
  for (const Instance& f : all_instances()) {
    for (unsigned set = 1; set < 1U << f.arity; ++set) {
      for (int axis = 0; axis < 4; ++axis) {
        check(f, broadcast_operands(f, shape, set, axis), shape,
              "operands " + std::to_string(set) + " broadcast along " + std::to_string(axis));
      }
    }
  }
}

TEST_F(CpuElementwise, LargeEnoughForAllThreads) {
  const std::int64_t n = 300007;
  for (const Dtype dtype : {f32, bf16}) {
    const KernelOperand x = operand(dtype, {n});
    const KernelOperand y = operand(dtype, {n}, Layout::reversed);
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
  const KernelOperand x = operand(f32, {257, 311});
  const KernelOperand y = operand(f32, {257, 311}, Layout::transposed);
  const Result result = run(op(Family::elementwise, index_in<Mul, Formulas>::value), {x.view, y.view}, f32, {257, 311});
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    ASSERT_EQ(result.values[i], static_cast<double>(static_cast<float>(x.values[i] * y.values[i]))) << "element " << i;
  }
}

TEST_F(CpuElementwise, OutputMayBeAnInput) {
  for (const Dtype dtype : float_dtypes) {
    KernelOperand x = operand(dtype, {1025});
    const KernelOperand y = operand(dtype, {1025});
    std::vector<std::byte> prepared = x.memory;
    KernelCall call;
    const Op row = op(Family::elementwise, index_in<Add, Formulas>::value);
    call.op = &row;
    call.inputs = {x.view, y.view};
    call.output = x.view;
    backend_->run(call);
    backend_->prepare(call)->run(std::array<void*, 3>{prepared.data(), y.view.data, prepared.data()},
                                 std::source_location::current());
    EXPECT_EQ(prepared, x.memory) << name(dtype);
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
    const KernelOperand x = operand(dtype, {4}, Layout::contiguous, {nan, 1.0, nan, -0.0});
    const KernelOperand y = operand(dtype, {4}, Layout::contiguous, {1.0, nan, nan, -1.0});
    const Result largest =
        run(op(Family::elementwise, index_in<Maximum, Formulas>::value), {x.view, y.view}, dtype, {4});
    EXPECT_TRUE(std::isnan(largest.values[0]) && std::isnan(largest.values[1]) && std::isnan(largest.values[2]));
    const Result relu = run(op(Family::elementwise, index_in<Relu, Formulas>::value), {x.view}, dtype, {4});
    EXPECT_TRUE(std::isnan(relu.values[0]));
    EXPECT_EQ(relu.values[1], 1.0);
  }
}

TEST_F(CpuElementwise, RefusesDtypesTheFormulaDoesNotTake) {
  const KernelOperand x = operand(i32, {3});
  EXPECT_THROW(run(op(Family::elementwise, index_in<Exp, Formulas>::value), {x.view}, i32, {3}), DtypeError);
  const KernelOperand flag = operand(boolean, {3});
  EXPECT_THROW(run(op(Family::elementwise, index_in<Neg, Formulas>::value), {flag.view}, boolean, {3}), DtypeError);
}

class CpuUpdate : public KernelTest {
 protected:
  template <class Formula>
  void check() {
    constexpr auto inputs = static_cast<std::size_t>(Formula::arity - 1);
    for (const Dtype dtype : float_dtypes) {
      for (const std::int64_t n : {1, 33, 1025, 100003}) {
        std::vector<KernelOperand> x;
        std::vector<TensorView> views;
        for (std::size_t k = 0; k < inputs; ++k) {
          x.push_back(operand(dtype, {n}, Layout::contiguous, 0.1, 2.0));
        }
        x.push_back(operand(dtype, {Formula::hyperparameters}, Layout::contiguous, 0.1, 0.9));
        for (const KernelOperand& input : x) {
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
