// Family::elementwise: one dense loop per formula and element type, which the compiler vectorises. Operands that are
// strided, and the 16-bit floats, are brought block by block into a small buffer in the first-level cache, so that
// they run through the same loops.
#include <twingrad/formulas.h>
#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/contiguous.h"
#include "cpu/convert.h"
#include "cpu/families.h"
#include "cpu/parallel.h"
#include "cpu/strided.h"

namespace twingrad::cpu {
namespace {

using namespace formulas;

constexpr std::size_t max_arity = 3;
constexpr std::int64_t block = 512;  // elements; 4 KiB of the widest type per operand
/// From this many elements on a transposed operand is made contiguous first.
constexpr std::int64_t worth_a_copy = 4096;

using Operands = std::array<const void*, max_arity>;

/// output[i] = formula(operands[i]...) for i < n. Bit i of `scalars`: operand i is one value.
using DenseLoop = void (*)(std::int64_t n, void* output, const Operands& operands, unsigned scalars,
                           const Parameters& parameters);

template <class Formula, class T>
using output_t = std::conditional_t<Formula::gives == Gives::boolean, bool, T>;
template <class Formula, class T, std::size_t I>
using input_t = std::conditional_t<std::is_same_v<Formula, Where> && I == 0, bool, T>;

template <class Formula, class T, unsigned Scalars, std::size_t... I>
void dense_loop(std::int64_t n, void* output, const Operands& operands, const Parameters& parameters,
                std::index_sequence<I...>) {
  auto* out = static_cast<output_t<Formula, T>*>(output);
  const auto in = std::make_tuple(static_cast<const input_t<Formula, T, I>*>(operands[I])...);
  // Read before the loop: the compiler cannot know that the output leaves single values alone.
  const auto first = std::make_tuple(*std::get<I>(in)...);
  const Parameters p = parameters;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = Formula::apply((((Scalars >> I) & 1U) != 0 ? std::get<I>(first) : std::get<I>(in)[i])..., p);
  }
}

template <class Formula, class T>
void dense(std::int64_t n, void* output, const Operands& operands, unsigned scalars, const Parameters& parameters) {
  constexpr std::make_index_sequence<static_cast<std::size_t>(Formula::arity)> all;
  if constexpr (Formula::arity == 1) {
    dense_loop<Formula, T, 0>(n, output, operands, parameters, all);
  } else if constexpr (Formula::arity == 2) {
    switch (scalars) {
      case 1:
        return dense_loop<Formula, T, 1>(n, output, operands, parameters, all);
      case 2:
        return dense_loop<Formula, T, 2>(n, output, operands, parameters, all);
      default:
        return dense_loop<Formula, T, 0>(n, output, operands, parameters, all);
    }
  } else {
    switch (scalars) {
      case 2:
        return dense_loop<Formula, T, 2>(n, output, operands, parameters, all);
      case 4:
        return dense_loop<Formula, T, 4>(n, output, operands, parameters, all);
      case 6:
        return dense_loop<Formula, T, 6>(n, output, operands, parameters, all);
      default:
        return dense_loop<Formula, T, 0>(n, output, operands, parameters, all);
    }
  }
}

/// Whether dense() has a loop for this pattern of single values.
bool has_pattern(int arity, unsigned scalars) {
  return arity == 1 ? scalars == 0 : (arity == 2 ? scalars != 3 : (scalars & 1U) == 0);
}

struct Row {
  std::array<DenseLoop, 8> loops{};  // by dtype; null where the formula does not take it
  int arity = 0;
  bool gives_bool = false;
  bool first_is_bool = false;
  double nanoseconds = 0.2;
};

template <class Formula>
inline constexpr bool calls_library =
    index_in<Formula, std::tuple<Exp, Expm1, Log, Log1p, Sin, Cos, Tanh, Sigmoid, LogSigmoid, Elu, Gelu, GeluTanh, Silu,
                                 Softplus, Erf, PowScalar, Pow, Formula>>::value < 17;

template <class Formula, class T>
constexpr void enter(Row& row) {
  if constexpr (accepts<T>(Formula::takes)) {
    row.loops[static_cast<std::size_t>(dtype_of_v<T>)] = &dense<Formula, T>;
  }
}

template <class Formula>
constexpr Row row_of() {
  Row row;
  enter<Formula, float>(row);
  enter<Formula, double>(row);
  enter<Formula, std::int32_t>(row);
  enter<Formula, std::int64_t>(row);
  enter<Formula, std::uint8_t>(row);
  enter<Formula, bool>(row);
  row.arity = Formula::arity;
  row.gives_bool = Formula::gives == Gives::boolean;
  row.first_is_bool = std::is_same_v<Formula, Where>;
  row.nanoseconds = calls_library<Formula> ? 5.0 : 0.2;
  return row;
}

template <class... Formula>
constexpr std::array<Row, sizeof...(Formula)> rows_of(std::tuple<Formula...>*) {
  return {row_of<Formula>()...};
}
constexpr auto table = rows_of(static_cast<Formulas*>(nullptr));

// Bringing operands into a dense buffer, in the type the formula computes in.

template <class T>
void gather(void* target, const void* source, std::int64_t offset, std::int64_t stride, std::int64_t n) {
  auto* out = static_cast<compute_t<T>*>(target);
  const T* in = static_cast<const T*>(source) + offset;
  if (stride == 1) {
    for (std::int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<compute_t<T>>(in[i]);
    }
  } else if (stride == 0) {
    std::fill_n(out, n, static_cast<compute_t<T>>(*in));
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<compute_t<T>>(in[i * stride]);
    }
  }
}

void gather(Dtype dtype, void* target, const void* source, std::int64_t offset, std::int64_t stride, std::int64_t n) {
  visit(dtype, [&]<class T>(Type<T>) { gather<T>(target, source, offset, stride, n); });
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
        narrow_output_(call.output.dtype == Dtype::bf16 || call.output.dtype == Dtype::f16),
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
      whole = whole && direct(input.dtype) && (strides[i] == 0 || strides[i] == 1);
      scalars |= strides[i] == 0 ? 1U << i : 0U;
    }
    // A run of one element may count as dense or as single values.
    if (whole && (n == 1 || has_pattern(row_.arity, scalars))) {
      loop_(n, target(flat), operands, n == 1 ? 0U : scalars, parameters_);
      return;
    }
    for (std::int64_t done = 0; done < n; done += block) {
      run_block(flat + done, offsets, strides, done, std::min(block, n - done));
    }
  }

 private:
  static bool direct(Dtype dtype) { return dtype != Dtype::bf16 && dtype != Dtype::f16; }
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
      if (strides[i] == 1 && direct(input.dtype)) {
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
  const Row& row = table.at(static_cast<std::size_t>(call.op->kernel));
  const Dtype dtype = call.inputs.back().dtype;
  const Dtype computed = dtype == Dtype::bf16 || dtype == Dtype::f16 ? Dtype::f32 : dtype;
  const DenseLoop loop = row.loops[static_cast<std::size_t>(computed)];
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
  parallel_for(walk.numel(), row.nanoseconds, [&](std::int64_t begin, std::int64_t end) {
    walk.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
      runner.run(flat, offsets, inner, n);
    });
  });
}

}  // namespace twingrad::cpu
