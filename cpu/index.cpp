// Family::index. All indices are checked before anything is written. Duplicates are added in the order of the index by
// one thread each: the work is split over the other axes only. Sums into 16-bit floats are kept in float32 and
// rounded once.
#include <twingrad/kernels.h>
#include <twingrad/op.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu/families.h"
#include "cpu/parallel.h"
#include "cpu/strided.h"

namespace twingrad::cpu {
namespace {

constexpr std::int64_t column_block = 256;

/// The position of element `flat` of a row-major shape: "3" or "(1, 2)".
std::string position(const Shape& shape, std::int64_t flat) {
  Dims at = shape;
  for (int axis = shape.size() - 1; axis >= 0; --axis) {
    at[axis] = flat % shape[axis];
    flat /= shape[axis];
  }
  return at.size() == 1 ? std::to_string(at[0]) : to_string(at);
}

template <class I>
void check_range(const KernelCall& call, const TensorView& index, std::int64_t length) {
  const I* values = index.as<const I>();
  const std::int64_t n = index.numel();
  for (std::int64_t i = 0; i < n; ++i) {
    if (values[i] < 0 || values[i] >= length) {
      throw NumericError(std::string(call.op->name) + " at " + to_string(call.where) + ": index " +
                         std::to_string(values[i]) + " at position " + position(index.shape, i) +
                         " is out of range; axis " + std::to_string(call.attributes.ints[0]) + " takes 0 to " +
                         std::to_string(length - 1) + " (its length is " + std::to_string(length) + ")");
    }
  }
}

/// Sizes of (outer, length, inner) around `axis`.
struct Around {
  Around(const Shape& shape, int axis) {
    for (int i = 0; i < shape.size(); ++i) {
      (i < axis ? outer : (i == axis ? length : inner)) *= shape[i];
    }
  }
  std::int64_t outer = 1;
  std::int64_t length = 1;
  std::int64_t inner = 1;
};

template <class I>
void index_select(const KernelCall& call) {
  const TensorView& x = call.inputs[0];
  const Around around(x.shape, static_cast<int>(call.attributes.ints[0]));
  const I* index = call.inputs[1].as<const I>();
  const std::int64_t count = call.inputs[1].numel();
  const std::int64_t bytes = around.inner * static_cast<std::int64_t>(size_of(x.dtype));
  const auto* in = x.as<const std::byte>();
  auto* out = call.output.as<std::byte>();
  check_range<I>(call, call.inputs[1], around.length);
  parallel_for(around.outer * count, 3.0 + 0.1 * static_cast<double>(bytes), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / count * around.length + static_cast<std::int64_t>(index[i % count]);
      std::memcpy(out + i * bytes, in + row * bytes, static_cast<std::size_t>(bytes));
    }
  });
}

/// Addition that wraps for integers; bool adds by or.
template <class C>
C add(C a, C b) {
  if constexpr (std::is_same_v<C, bool>) {
    return a || b;
  } else if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  } else {
    return a + b;
  }
}

/// A place to add up the output: the output itself, or float32 beside it when it holds 16-bit floats.
template <class T>
class Sums {
 public:
  using C = compute_t<T>;
  explicit Sums(const TensorView& output) : output_(output) {
    if constexpr (!std::is_same_v<T, C>) {
      wide_.resize(static_cast<std::size_t>(output.numel()));
    }
  }
  C* data() {
    if constexpr (std::is_same_v<T, C>) {
      return output_.as<C>();
    } else {
      return wide_.data();
    }
  }
  void round() {
    if constexpr (!std::is_same_v<T, C>) {
      parallel_for(output_.numel(), 1.0, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          output_.as<T>()[i] = static_cast<T>(wide_[static_cast<std::size_t>(i)]);
        }
      });
    }
  }

 private:
  const TensorView& output_;
  std::vector<C> wide_;
};

template <class T, class I>
void index_add(const KernelCall& call) {
  using C = compute_t<T>;
  const Around around(call.output.shape, static_cast<int>(call.attributes.ints[0]));
  const I* index = call.inputs[0].as<const I>();
  const std::int64_t count = call.inputs[0].numel();
  const T* source = call.inputs[1].as<const T>();
  check_range<I>(call, call.inputs[0], around.length);
  Sums<T> sums(call.output);
  C* out = sums.data();
  parallel_for(call.output.numel(), 0.1,
               [&](std::int64_t begin, std::int64_t end) { std::fill(out + begin, out + end, C(0)); });
  const std::int64_t blocks = (around.inner + column_block - 1) / column_block;
  const std::int64_t widest = std::min(around.inner, column_block);
  const double item = static_cast<double>(count) * (2.0 + 0.2 * static_cast<double>(widest));
  parallel_for(around.outer * blocks, item, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t o = i / blocks;
      const std::int64_t first = i % blocks * column_block;
      const std::int64_t width = std::min(column_block, around.inner - first);
      for (std::int64_t j = 0; j < count; ++j) {
        C* target = out + (o * around.length + static_cast<std::int64_t>(index[j])) * around.inner + first;
        const T* from = source + (o * count + j) * around.inner + first;
#pragma GCC ivdep
        for (std::int64_t k = 0; k < width; ++k) {
          target[k] = add(target[k], static_cast<C>(from[k]));
        }
      }
    }
  });
  sums.round();
}

/// The lines of `index` along the axis, with where each begins in x: the other axes of x may be longer.
struct Lines {
  Lines(const TensorView& x, const TensorView& index, int axis)
      : x_strides(contiguous_strides(x.shape)), index_strides(contiguous_strides(index.shape)) {
    x_step = x_strides[axis];
    index_step = index_strides[axis];
    count = index.shape[axis];
    shape = index.shape;
    shape[axis] = 1;
  }
  /// body(first element of the line in x, in index) for every line.
  template <class Body>
  void for_each(const Body& body) const {
    const StridedLoop<2> walk(shape, {&x_strides, &index_strides});
    parallel_for(walk.numel(), 2.0 * static_cast<double>(count), [&](std::int64_t begin, std::int64_t end) {
      walk.for_each_run(begin, end, [&](std::int64_t, const auto& offsets, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) {
          body(offsets[0] + i * walk.inner_stride(0), offsets[1] + i * walk.inner_stride(1));
        }
      });
    });
  }

  Strides x_strides, index_strides;
  Shape shape;
  std::int64_t x_step = 0;
  std::int64_t index_step = 0;
  std::int64_t count = 0;
};

template <class Word, class I>
void gather_words(const KernelCall& call) {
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const Lines lines(call.inputs[0], call.inputs[1], axis);
  const auto* x = call.inputs[0].as<const Word>();
  const I* index = call.inputs[1].as<const I>();
  auto* out = call.output.as<Word>();
  check_range<I>(call, call.inputs[1], call.inputs[0].shape[axis]);
  lines.for_each([&](std::int64_t in_x, std::int64_t in_index) {
    for (std::int64_t j = 0; j < lines.count; ++j) {
      const std::int64_t at = in_index + j * lines.index_step;
      out[at] = x[in_x + static_cast<std::int64_t>(index[at]) * lines.x_step];
    }
  });
}

template <class I>
void gather(const KernelCall& call) {
  switch (size_of(call.output.dtype)) {
    case 1:
      return gather_words<std::uint8_t, I>(call);
    case 2:
      return gather_words<std::uint16_t, I>(call);
    case 4:
      return gather_words<std::uint32_t, I>(call);
    default:
      return gather_words<std::uint64_t, I>(call);
  }
}

template <class T, class I>
void scatter_add(const KernelCall& call) {
  using C = compute_t<T>;
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const Lines lines(call.inputs[0], call.inputs[1], axis);
  const T* x = call.inputs[0].as<const T>();
  const I* index = call.inputs[1].as<const I>();
  const T* source = call.inputs[2].as<const T>();
  check_range<I>(call, call.inputs[1], call.inputs[0].shape[axis]);
  Sums<T> sums(call.output);
  C* out = sums.data();
  parallel_for(call.output.numel(), 0.2, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = static_cast<C>(x[i]);
    }
  });
  lines.for_each([&](std::int64_t in_x, std::int64_t in_index) {
    for (std::int64_t j = 0; j < lines.count; ++j) {
      const std::int64_t at = in_index + j * lines.index_step;
      C& target = out[in_x + static_cast<std::int64_t>(index[at]) * lines.x_step];
      target = add(target, static_cast<C>(source[at]));
    }
  });
  sums.round();
}

template <class I>
void index_by(const KernelCall& call) {
  switch (static_cast<Index>(call.op->kernel)) {
    case Index::index_select:
      return index_select<I>(call);
    case Index::index_add:
      return visit(call.output.dtype, [&]<class T>(Type<T>) { index_add<T, I>(call); });
    case Index::gather:
      return gather<I>(call);
    case Index::scatter_add:
      return visit(call.output.dtype, [&]<class T>(Type<T>) { scatter_add<T, I>(call); });
  }
}

}  // namespace

void index(const KernelCall& call) {
  const bool index_first = static_cast<Index>(call.op->kernel) == Index::index_add;
  const Dtype dtype = call.inputs[index_first ? 0 : 1].dtype;
  if (dtype == Dtype::i64) {
    index_by<std::int64_t>(call);
  } else if (dtype == Dtype::i32) {
    index_by<std::int32_t>(call);
  } else {
    refuse_dtype(call, dtype);
  }
}

}  // namespace twingrad::cpu
