#include "cpu/matmul_problem.h"

#include <twingrad/op.h>

#include <span>
#include <string>

namespace twingrad::cpu {
namespace {

/// The matrix layout of a view's last two axes, with the strides of axes of length 1 made regular.
MatrixLayout layout_of(const KernelCall& call, const TensorView& view) {
  const int last = view.shape.size() - 1;
  const std::int64_t rows = view.shape[last - 1];
  const std::int64_t columns = view.shape[last];
  const std::int64_t row = view.strides[last - 1];
  const std::int64_t column = view.strides[last];
  if ((columns == 1 || column == 1) && (rows == 1 || row >= columns)) {
    return {.row = rows == 1 ? columns : row, .column = 1, .batch = 0};
  }
  if ((rows == 1 || row == 1) && (columns == 1 || column >= rows)) {
    return {.row = 1, .column = columns == 1 ? rows : column, .batch = 0};
  }
  throw ShapeError(std::string(call.op->name) + ": a matrix of shape " + to_string(view.shape) + " with strides " +
                   to_string(view.strides) + " is neither row-major nor column-major; copy it first");
}

/// The axes before the last two.
Dims batch_axes(const Dims& dims) {
  return Dims(std::span(dims.begin(), static_cast<std::size_t>(dims.size() - 2)));
}

}  // namespace

Batches describe(const KernelCall& call) {
  const TensorView& a = call.inputs[0];
  const TensorView& b = call.inputs[1];
  const int last = call.output.shape.size() - 1;
  Problem problem{.dtype = call.output.dtype,
                  .m = call.output.shape[last - 1],
                  .n = call.output.shape[last],
                  .k = a.shape[last],
                  .batch = 1,
                  .a = layout_of(call, a),
                  .b = layout_of(call, b),
                  .bias = call.inputs.size() == 3};
  const Strides a_strides = batch_axes(a.strides);
  const Strides b_strides = batch_axes(b.strides);
  const StridedLoop<2> walk(batch_axes(call.output.shape), {&a_strides, &b_strides});
  problem.batch = walk.length(walk.rank() - 1);
  problem.a.batch = walk.inner_stride(0);
  problem.b.batch = walk.inner_stride(1);
  const std::int64_t matrix = problem.m * problem.n;
  if (problem.batch > 1 && problem.b.batch == 0 && problem.a.column == 1 &&
      problem.a.batch == problem.m * problem.a.row) {
    problem.m *= problem.batch;
    problem.batch = 1;
    problem.a.batch = 0;
  }
  const bool repeats = problem.batch > 1 && problem.a.batch == 0 && problem.b.batch == 0;
  const std::int64_t copies = repeats ? problem.batch : 1;
  problem.batch = repeats ? 1 : problem.batch;
  return {.problem = problem, .copies = copies, .matrix = matrix, .walk = walk};
}

}  // namespace twingrad::cpu
