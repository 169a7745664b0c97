// Family::elementwise, any call by itself: operands that are strided, and the 16-bit floats, are brought block by block
// into a small buffer in the first-level cache, so that everything runs through the dense loops of elementwise_loops.h.
// Plans run it only where fused.cpp does not take the call: 16-bit floats, and large operands that lie across memory.
#include <twingrad/formulas.h>
#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/contiguous.h"
#include "cpu/convert.h"
#include "cpu/elementwise_loops.h"
#include "cpu/families.h"
#include "cpu/gather.h"
#include "cpu/parallel.h"
#include "cpu/strided.h"

namespace twingrad::cpu {
namespace {

using formulas::Parameters;

constexpr std::int64_t block = 512;  // elements; 4 KiB of the widest type per operand

/// Brings an operand into a dense buffer, in the type the formula computes in.
void gather(Dtype dtype, void* target, const void* source, std::int64_t offset, std::int64_t stride, std::int64_t n) {
  visit(dtype, [&]<class T>(Type<T>) {
    gather_run(static_cast<const T*>(source) + offset, stride, n, static_cast<compute_t<T>*>(target));
  });
}

/// Rounds a block of float32 into a 16-bit float.
void scatter(Dtype dtype, void* target, const float* source, std::int64_t n) {
  if (dtype == Dtype::bf16) {
    std::transform(source, source + n, static_cast<bfloat16*>(target), convert<bfloat16, float>);
  } else {
    std::transform(source, source + n, static_cast<float16*>(target), convert<float16, float>);
  }
}

/// What the runs of one call have in common.
class Runner {
 public:
  Runner(const KernelCall& call, const std::vector<TensorView>& inputs, const Row& row, DenseLoop loop)
      : call_(call),
        inputs_(inputs),
        row_(row),
        loop_(loop),
        narrow_output_(!is_direct(call.output.dtype)),
        output_bytes_(size_of(call.output.dtype)) {
    std::copy(call.attributes.reals.begin(), call.attributes.reals.end(), parameters_.p);
  }

  /// Computes output elements flat .. flat + n - 1 of a run with these offsets and strides.
  void run(std::int64_t flat, const std::array<std::int64_t, max_arity>& offsets,
           const std::array<std::int64_t, max_arity>& strides, std::int64_t n) const {
    const auto arity = static_cast<std::size_t>(row_.arity);
    Operands operands{};
    unsigned scalars = 0;
    bool whole = !narrow_output_;
    for (std::size_t i = 0; i < arity; ++i) {
      const TensorView& input = inputs_[i];
      operands[i] =
          static_cast<const std::byte*>(input.data) + offsets[i] * static_cast<std::int64_t>(size_of(input.dtype));
      whole = whole && is_direct(input.dtype) && (strides[i] == 0 || strides[i] == 1);
      scalars |= strides[i] == 0 ? 1U << i : 0U;
    }
    // A run of one element may count as dense or as single values.
    if (whole && (n == 1 || row_.takes(scalars))) {
      loop_(n, target(flat), operands, n == 1 ? 0U : scalars, parameters_);
      return;
    }
    for (std::int64_t done = 0; done < n; done += block) {
      run_block(flat + done, offsets, strides, done, std::min(block, n - done));
    }
  }

 private:
  std::byte* target(std::int64_t flat) const {
    return static_cast<std::byte*>(call_.output.data) + flat * static_cast<std::int64_t>(output_bytes_);
  }

  void run_block(std::int64_t flat, const std::array<std::int64_t, max_arity>& offsets,
                 const std::array<std::int64_t, max_arity>& strides, std::int64_t done, std::int64_t n) const {
    alignas(64) std::array<std::array<std::byte, block * 8>, max_arity> buffers;
    alignas(64) std::array<float, block> result;
    Operands operands{};
    for (std::size_t i = 0; i < static_cast<std::size_t>(row_.arity); ++i) {
      const TensorView& input = inputs_[i];
      const std::int64_t offset = offsets[i] + done * strides[i];
      if (strides[i] == 1 && is_direct(input.dtype)) {
        operands[i] =
            static_cast<const std::byte*>(input.data) + offset * static_cast<std::int64_t>(size_of(input.dtype));
      } else {
        gather(input.dtype, buffers[i].data(), input.data, offset, strides[i], n);
        operands[i] = buffers[i].data();
      }
    }
    if (narrow_output_) {
      loop_(n, result.data(), operands, 0, parameters_);
      scatter(call_.output.dtype, target(flat), result.data(), n);
    } else {
      loop_(n, target(flat), operands, 0, parameters_);
    }
  }

  const KernelCall& call_;
  const std::vector<TensorView>& inputs_;
  const Row& row_;
  DenseLoop loop_;
  bool narrow_output_;
  std::size_t output_bytes_;
  Parameters parameters_{};
};

}  // namespace

void elementwise(const KernelCall& call) {
  const Row& row = row_of(call.op->kernel);
  const Dtype dtype = call.inputs.back().dtype;
  const Dtype computed = is_direct(dtype) ? dtype : Dtype::f32;
  const DenseLoop loop = row.loop(computed);
  if (loop == nullptr) {
    refuse_dtype(call, dtype);
  }
  std::vector<TensorView> inputs = call.inputs;
  std::array<std::vector<std::byte>, max_arity> copies;
  std::array<const Strides*, max_arity> strides{};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (call.output.numel() >= worth_a_copy && lies_across(inputs[i])) {
      inputs[i] = contiguous_copy(inputs[i], copies.at(i));
    }
    strides.at(i) = &inputs[i].strides;
  }
  const StridedLoop<max_arity> walk(call.output.shape, strides);
  const std::array<std::int64_t, max_arity> inner{walk.inner_stride(0), walk.inner_stride(1), walk.inner_stride(2)};
  const Runner runner(call, inputs, row, loop);
  parallel_for(walk.numel(), row.cost(computed), [&](std::int64_t begin, std::int64_t end) {
    walk.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
      runner.run(flat, offsets, inner, n);
    });
  });
}

}  // namespace twingrad::cpu
