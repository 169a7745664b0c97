// Elementwise formulas, optimizer updates and copies that are exact or rounded once: equal on CPU and GPU.
#include <twingrad/formulas.h>
#include <twingrad/kernels.h>
#include <twingrad/update_formulas.h>

#include <set>
#include <tuple>

#include "tests/cuda/twin_fixture.h"

namespace twingrad {
namespace {

/// Formulas of + - * /, sqrt and choices: IEEE rounds them the same way everywhere.
const std::set<std::string_view> exact_formulas = {
    "neg",     "abs",           "sign",    "sqrt",        "rsqrt",       "square",    "reciprocal",
    "relu",    "clamp",         "add",     "leaky_relu",  "logical_not", "sub",       "mul",
    "div",     "maximum",       "minimum", "less",        "equal",       "not_equal", "less_equal",
    "greater", "greater_equal", "where",   "logical_and", "logical_or",  "relu_grad"};

const std::vector<Shape> shapes = {{}, {1}, {7}, {8}, {33}, {257}, {1025}, {3, 5}, {4, 8}, {5, 2, 16}, {2, 3, 1, 9}};

class CudaElementwiseTest : public CudaTwinTest {
 protected:
  template <class Formula>
  void run_formula(int kernel) {
    if (!exact_formulas.contains(Formula::name)) {
      return;
    }
    Op row = op(Family::elementwise, kernel);
    row.name = Formula::name;
    Attributes attributes;
    attributes.reals = {-0.5, 1.25};
    for (const Dtype dtype : all_dtypes) {
      const bool taken = visit(dtype, []<class T>(Type<T>) { return formulas::accepts<T>(Formula::takes); });
      if (!taken) {
        continue;
      }
      const Dtype out = Formula::gives == formulas::Gives::boolean ? boolean : dtype;
      for (const Shape& shape : shapes) {
        for (const Layout layout : all_layouts) {
          std::vector<TwinInput> inputs;
          for (int n = 0; n < Formula::arity; ++n) {
            const Dtype of_input = n == 0 && Formula::arity == 3 ? boolean : dtype;
            // The second operand has another layout, so that strides differ.
            inputs.push_back(operand(of_input, shape, n == 1 ? Layout::contiguous : layout));
          }
          expect_twins(row, inputs, out, shape, attributes, std::string(Formula::name));
        }
        if (shape.size() >= 2 && Formula::arity == 2) {
          Shape of_row = shape;
          of_row[0] = 1;
          KernelOperand x = operand(dtype, of_row);
          broadcast(x, 0, shape[0]);
          expect_twins(row, {x, operand(dtype, shape)}, out, shape, attributes, std::string(Formula::name));
        }
      }
    }
  }
  template <class... Formulas>
  void run_all(const std::tuple<Formulas...>*) {
    int kernel = 0;
    (run_formula<Formulas>(kernel++), ...);
  }
};

TEST_F(CudaElementwiseTest, ExactFormulasEqualTheCpu) {
  run_all(static_cast<const formulas::Formulas*>(nullptr));
}

TEST_F(CudaElementwiseTest, WritesOverAnInput) {
  for (const std::int64_t n : {1, 7, 1024, 100003}) {
    const KernelOperand x = operand(f32, {n});
    const KernelOperand y = operand(f32, {n});
    const Op row = op(Family::elementwise, formulas::index_in<formulas::Sub, formulas::Formulas>::value);
    const Result expected = run(row, {x.view, y.view}, f32, {n});
    KernelCall call;
    call.op = &row;
    call.inputs = {on_gpu(x), on_gpu(y)};
    call.output = call.inputs[1];
    gpu_->run(call);
    std::vector<float> out(static_cast<std::size_t>(n));
    gpu_->copy_to_host(out.data(), call.output.data, 4 * out.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(static_cast<double>(out[i]), expected.values[i]) << i;
    }
  }
}

TEST_F(CudaElementwiseTest, RefusesDtypesTheFormulaDoesNotTake) {
  const Op row = op(Family::elementwise, formulas::index_in<formulas::Exp, formulas::Formulas>::value);
  const KernelOperand x = operand(i32, {3});
  EXPECT_THROW(run_on_gpu(row, {on_gpu(x)}, i32, {3}, {}), DtypeError);
}

class CudaUpdateTest : public CudaTwinTest {
 protected:
  template <class Formula>
  void run_formula(int kernel) {
    const Op row = op(Family::update, kernel);
    for (const Dtype dtype : float_dtypes) {
      for (const std::int64_t n : {1, 7, 33, 1025}) {
        std::vector<TwinInput> inputs;
        for (int i = 0; i + 1 < Formula::arity; ++i) {
          inputs.push_back(operand(dtype, {n}, Layout::contiguous, 0.125, 2.0));  // second moments are positive
        }
        inputs.push_back(operand(dtype, {Formula::hyperparameters}, Layout::contiguous, 0.01, 0.99));
        expect_twins(row, inputs, dtype, {n}, {}, std::string(Formula::name));
      }
    }
  }
  template <class... Formulas>
  void run_all(const std::tuple<Formulas...>*) {
    int kernel = 0;
    (run_formula<Formulas>(kernel++), ...);
  }
};

TEST_F(CudaUpdateTest, EqualsTheCpu) {
  run_all(static_cast<const formulas::UpdateFormulas*>(nullptr));
}

class CudaCopyTest : public CudaTwinTest {};

TEST_F(CudaCopyTest, CastsEveryPairFromEveryLayout) {
  const Op row = op(Family::copy, Copy::cast);
  for (const Dtype from : all_dtypes) {
    for (const Dtype to : all_dtypes) {
      for (const Layout layout : all_layouts) {
        for (const Shape& shape : {Shape{}, Shape{1025}, Shape{37, 70}, Shape{3, 40, 33}, Shape{2, 3, 4, 16}}) {
          expect_twins(row, {operand(from, shape, layout, -120.0, 120.0)}, to, shape, {},
                       "cast from " + std::string(name(from)));
        }
      }
    }
  }
}

TEST_F(CudaCopyTest, CastsTheEdges) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const KernelOperand x =
      operand(f64, {9}, Layout::contiguous,
              {infinity, -infinity, std::nan(""), 1e30, -1e30, 2147483647.5, -0.75, 65520.0, 1e-45});
  for (const Dtype to : all_dtypes) {
    expect_twins(op(Family::copy, Copy::cast), {x}, to, {9}, {}, "cast of edges");
  }
}

TEST_F(CudaCopyTest, PutsInputsSideBySide) {
  const Op row = op(Family::copy, Copy::cat);
  for (const Dtype dtype : all_dtypes) {
    for (const Layout layout : all_layouts) {
      expect_twins(row, {operand(dtype, {4, 6, 8}, layout), operand(dtype, {4, 1, 8}), operand(dtype, {4, 0, 8})},
                   dtype, {4, 7, 8}, {.ints = {1}}, "cat");
      expect_twins(row, {operand(dtype, {40, 33}, layout), operand(dtype, {40, 2}, layout)}, dtype, {40, 35},
                   {.ints = {1}}, "cat");
    }
  }
}

TEST_F(CudaCopyTest, PlacesSlicesInZeros) {
  const Op row = op(Family::copy, Copy::slice_embed);
  for (const Dtype dtype : all_dtypes) {
    for (const Layout layout : all_layouts) {
      expect_twins(row, {operand(dtype, {5, 8}, layout)}, dtype, {5, 20}, {.ints = {1, 3, 2, 20}}, "slice_embed");
      expect_twins(row, {operand(dtype, {3, 8}, layout)}, dtype, {16, 8}, {.ints = {0, 4, 4, 16}}, "slice_embed");
    }
  }
}

TEST_F(CudaCopyTest, CountsLikeTheCpu) {
  for (const Dtype dtype : {f32, f64, bf16, f16, i32, i64}) {
    expect_twins(op(Family::copy, Copy::arange), {}, dtype, {1000}, {.reals = {0.1, 0.3}}, "arange");
  }
}

}  // namespace
}  // namespace twingrad
