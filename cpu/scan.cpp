// Family::scan: running sums along one axis, in order, each accumulated in compute_t<T> (integers in 64 bits) and
// rounded to the output's dtype on the way out.
#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cpu/convert.h"
#include "cpu/families.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

constexpr std::int64_t column_block = 64;

template <class T, class Out>
void scan_as(const KernelCall& call) {
  using C = std::conditional_t<std::is_integral_v<T>, std::uint64_t, compute_t<T>>;
  const TensorView& input = call.inputs[0];
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const bool from_end = call.attributes.ints[1] == 1;
  const std::int64_t length = input.shape[axis];
  std::int64_t inner = 1;
  for (int i = axis + 1; i < input.shape.size(); ++i) {
    inner *= input.shape[i];
  }
  const std::int64_t blocks = (inner + column_block - 1) / column_block;
  const std::int64_t outer = input.numel() / (length * inner);
  const T* in = input.as<const T>();
  Out* out = call.output.as<Out>();
  const double item = static_cast<double>(length) * (1.0 + 0.1 * static_cast<double>(std::min(inner, column_block)));
  parallel_for(outer * blocks, item, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i / blocks * length * inner + i % blocks * column_block;
      const std::int64_t width = std::min(column_block, inner - i % blocks * column_block);
      std::array<C, column_block> sums{};
      for (std::int64_t r = 0; r < length; ++r) {
        const std::int64_t row = first + (from_end ? length - 1 - r : r) * inner;
        for (std::int64_t j = 0; j < width; ++j) {
          C& sum = sums[static_cast<std::size_t>(j)];
          sum = sum + static_cast<C>(in[row + j]);
          out[row + j] = static_cast<Out>(sum);
        }
      }
    }
  });
}

}  // namespace

void scan(const KernelCall& call) {
  visit(call.inputs[0].dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_integral_v<T>) {
      if (call.output.dtype == Dtype::i64) {
        return scan_as<T, std::int64_t>(call);
      }
    }
    if (call.output.dtype != dtype_of_v<T>) {
      refuse_dtype(call, call.output.dtype);
    }
    scan_as<T, T>(call);
  });
}

}  // namespace twingrad::cpu
