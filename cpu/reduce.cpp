// Family::reduce and Family::arg_reduce. The order of a sum is that of lanes.h for every layout: rows are reduced
// along memory, columns side by side with one set of lanes per column. Both read the input once.
#include <twingrad/kernels.h>
#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu/convert.h"
#include "cpu/families.h"
#include "cpu/lanes.h"
#include "cpu/parallel.h"
#include "cpu/strided.h"

namespace twingrad::cpu {
namespace {

constexpr std::int64_t column_block = 64;

/// The input's axes, parted into those kept and those reduced.
struct Parts {
  Parts(const TensorView& input, const Dims& reduced) : kept_shape{}, reduced_shape{} {
    for (int axis = 0; axis < input.shape.size(); ++axis) {
      const bool reduces = reduced.contains(axis);
      (reduces ? reduced_shape : kept_shape).push_back(input.shape[axis]);
      (reduces ? reduced_strides : kept_strides).push_back(input.strides[axis]);
    }
  }
  Shape kept_shape, reduced_shape;
  Strides kept_strides, reduced_strides;
};

/// Reduces to `finish(accumulated)` in the output.
template <class Step, class C, class T, class Out, class Finish>
class Reducer {
 public:
  Reducer(const T* input, const Parts& parts, Out* output, Finish finish)
      : input_(input),
        output_(output),
        finish_(finish),
        kept_(parts.kept_shape, {&parts.kept_strides}),
        reduced_(parts.reduced_shape, {&parts.reduced_strides}),
        chunks_(std::max<std::int64_t>(1, (reduced_.numel() + chunk - 1) / chunk)) {}

  void run() const {
    const std::int64_t along = std::abs(reduced_.inner_stride(0));
    const std::int64_t across = std::abs(kept_.inner_stride(0));
    if (kept_.length(kept_.rank() - 1) > 1 && (reduced_.numel() <= 1 || across < along)) {
      columns();
    } else {
      rows();
    }
  }

 private:
  static constexpr double nanoseconds = sizeof(T) * 0.08;

  /// One chunk of one output element.
  C row_chunk(const T* base, std::int64_t c) const {
    const std::int64_t begin = c * chunk;
    const std::int64_t end = std::min(begin + chunk, reduced_.numel());
    if (reduced_.rank() == 1) {
      const std::int64_t stride = reduced_.inner_stride(0);
      const T* first = base + begin * stride;
      if (stride == 1) {
        return reduce_chunk<Step, C>(end - begin, [first](std::int64_t r) { return first[r]; });
      }
      return reduce_chunk<Step, C>(end - begin, [first, stride](std::int64_t r) { return first[r * stride]; });
    }
    std::array<C, chunk> gathered;
    reduced_.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) {
        gathered[static_cast<std::size_t>(flat - begin + i)] =
            static_cast<C>(base[offsets[0] + i * reduced_.inner_stride(0)]);
      }
    });
    return reduce_chunk<Step, C>(end - begin, [&](std::int64_t r) { return gathered[static_cast<std::size_t>(r)]; });
  }

  void rows() const {
    // Items are chunks of outputs, so that one long row is shared between the threads too.
    std::vector<C> partial(chunks_ == 1 ? 0 : static_cast<std::size_t>(kept_.numel() * chunks_));
    const double item = 8.0 + nanoseconds * static_cast<double>(std::min(chunk, reduced_.numel()));
    parallel_for(kept_.numel() * chunks_, item, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t last = (end + chunks_ - 1) / chunks_;
      kept_.for_each_run(begin / chunks_, last, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
        for (std::int64_t i = flat; i < flat + n; ++i) {
          const T* base = input_ + offsets[0] + (i - flat) * kept_.inner_stride(0);
          if (chunks_ == 1) {
            output_[i] = finish_(row_chunk(base, 0));
            continue;
          }
          const std::int64_t to = std::min(end, (i + 1) * chunks_);
          for (std::int64_t item_index = std::max(begin, i * chunks_); item_index < to; ++item_index) {
            partial[static_cast<std::size_t>(item_index)] = row_chunk(base, item_index - i * chunks_);
          }
        }
      });
    });
    if (chunks_ > 1) {
      parallel_for(kept_.numel(), static_cast<double>(chunks_), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          output_[i] = finish_(fold_chunks<Step>(partial.data() + i * chunks_, chunks_));
        }
      });
    }
  }

  /// One chunk of `width` neighbouring outputs: result[c] for column c.
  void column_chunk(const T* base, std::int64_t width, std::int64_t c, C* result) const {
    alignas(64) C lane[lanes * column_block];
    std::fill_n(lane, lanes * column_block, Step::template neutral<C>());
    const std::int64_t across = kept_.inner_stride(0);
    const std::int64_t along = reduced_.inner_stride(0);
    const std::int64_t begin = c * chunk;
    const std::int64_t end = std::min(begin + chunk, reduced_.numel());
    reduced_.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
      for (std::int64_t r = 0; r < n; ++r) {
        const T* row = base + offsets[0] + r * along;
        C* sums = lane + (flat + r) % lanes * column_block;
        if (across == 1) {
          for (std::int64_t j = 0; j < width; ++j) {
            sums[j] = Step::combine(sums[j], static_cast<C>(row[j]));
          }
        } else {
          for (std::int64_t j = 0; j < width; ++j) {
            sums[j] = Step::combine(sums[j], static_cast<C>(row[j * across]));
          }
        }
      }
    });
    for (std::int64_t half = lanes / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l < half; ++l) {
        C* low = lane + l * column_block;
        const C* high = lane + (l + half) * column_block;
        for (std::int64_t j = 0; j < width; ++j) {
          low[j] = Step::combine(low[j], high[j]);
        }
      }
    }
    std::copy_n(lane, width, result);
  }

  void columns() const {
    const std::int64_t length = kept_.length(kept_.rank() - 1);
    const std::int64_t blocks = (length + column_block - 1) / column_block;
    const std::int64_t outer = kept_.numel() / length;
    // Partial results of one output are `kept` elements apart.
    std::vector<C> partial(chunks_ == 1 ? 0 : static_cast<std::size_t>(kept_.numel() * chunks_));
    const double item =
        500.0 + nanoseconds * static_cast<double>(std::min(chunk, reduced_.numel()) * std::min(length, column_block));
    parallel_for(outer * blocks * chunks_, item, [&](std::int64_t begin, std::int64_t end) {
      std::array<C, column_block> result;
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t c = i / (outer * blocks);
        const std::int64_t first = i / blocks % outer * length + i % blocks * column_block;
        const std::int64_t width = std::min(column_block, length - i % blocks * column_block);
        std::int64_t offset = 0;
        kept_.for_each_run(first, first + 1,
                           [&](std::int64_t, const auto& offsets, std::int64_t) { offset = offsets[0]; });
        column_chunk(input_ + offset, width, c, result.data());
        for (std::int64_t j = 0; j < width; ++j) {
          if (chunks_ == 1) {
            output_[first + j] = finish_(result[static_cast<std::size_t>(j)]);
          } else {
            partial[static_cast<std::size_t>(c * kept_.numel() + first + j)] = result[static_cast<std::size_t>(j)];
          }
        }
      }
    });
    if (chunks_ > 1) {
      parallel_for(kept_.numel(), static_cast<double>(chunks_), [&](std::int64_t begin, std::int64_t end) {
        fold_chunk_rows<Step>(partial.data() + begin, chunks_, end - begin, kept_.numel());
        for (std::int64_t i = begin; i < end; ++i) {
          output_[i] = finish_(partial[static_cast<std::size_t>(i)]);
        }
      });
    }
  }

  const T* input_;
  Out* output_;
  Finish finish_;
  StridedLoop<1> kept_;
  StridedLoop<1> reduced_;
  std::int64_t chunks_;
};

template <class Step, class C, class T, class Out, class Finish>
void run_reducer(const KernelCall& call, Finish finish) {
  const Parts parts(call.inputs[0], call.attributes.ints);
  Reducer<Step, C, T, Out, Finish>(call.inputs[0].as<const T>(), parts, call.output.as<Out>(), finish).run();
}

/// Sums and products: integers wrap in 64 bits, floats accumulate in compute_t<T>.
template <class Step, class T>
void accumulate(const KernelCall& call) {
  if constexpr (std::is_integral_v<T>) {
    run_reducer<Step, std::uint64_t, T, std::int64_t>(
        call, [](std::uint64_t value) { return static_cast<std::int64_t>(value); });
  } else {
    run_reducer<Step, compute_t<T>, T, T>(call, [](compute_t<T> value) { return static_cast<T>(value); });
  }
}

template <class T>
void mean(const KernelCall& call) {
  if constexpr (std::is_integral_v<T>) {
    refuse_dtype(call, dtype_of_v<T>);
  } else {
    using C = compute_t<T>;
    std::int64_t count = 1;
    for (const std::int64_t axis : call.attributes.ints) {
      count *= call.inputs[0].shape[static_cast<int>(axis)];
    }
    const auto divisor = static_cast<C>(count);
    run_reducer<AddStep, C, T, T>(call, [divisor](C value) { return static_cast<T>(value / divisor); });
  }
}

template <class Step, class T>
void extreme(const KernelCall& call) {
  // Bytes stand in for bool: partial results of neighbours must not share one.
  using C = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, compute_t<T>>;
  run_reducer<Step, C, T, T>(call, [](C value) { return static_cast<T>(value); });
}

template <class T>
void reduce_as(const KernelCall& call) {
  switch (static_cast<Reduce>(call.op->kernel)) {
    case Reduce::sum:
      return accumulate<AddStep, T>(call);
    case Reduce::mean:
      return mean<T>(call);
    case Reduce::prod:
      return accumulate<MultiplyStep, T>(call);
    case Reduce::amax:
      return extreme<MaximumStep, T>(call);
    case Reduce::amin:
      return extreme<MinimumStep, T>(call);
  }
}

/// Whether x takes the place of the best one so far. A NaN is better than any number and stays.
template <bool Largest, class C>
bool better(C x, C best) {
  return (Largest ? x > best : x < best) || (x != x && best == best);
}

template <bool Largest, class T>
void arg_reduce_as(const KernelCall& call) {
  using C = compute_t<T>;
  const TensorView& input = call.inputs[0];
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const std::int64_t length = input.shape[axis];
  const std::int64_t stride = input.strides[axis];
  const Parts parts(input, Dims{axis});
  const StridedLoop<1> kept(parts.kept_shape, {&parts.kept_strides});
  auto* out = call.output.as<std::int64_t>();
  parallel_for(kept.numel(), 1.0 * static_cast<double>(length), [&](std::int64_t begin, std::int64_t end) {
    std::array<C, column_block> best;
    kept.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
      const std::int64_t across = kept.inner_stride(0);
      for (std::int64_t done = 0; done < n; done += column_block) {
        // Some outputs side by side, so that columns are read along memory.
        const std::int64_t width = stride == 1 ? 1 : std::min(column_block, n - done);
        const std::int64_t last = stride == 1 ? std::min(column_block, n - done) : 1;
        for (std::int64_t part = 0; part < last; ++part) {
          const T* base = input.as<const T>() + offsets[0] + (done + part) * across;
          std::int64_t* found = out + flat + done + part;
          for (std::int64_t j = 0; j < width; ++j) {
            best[static_cast<std::size_t>(j)] = static_cast<C>(base[j * across]);
            found[j] = 0;
          }
          for (std::int64_t r = 1; r < length; ++r) {
            for (std::int64_t j = 0; j < width; ++j) {
              const C x = static_cast<C>(base[r * stride + j * across]);
              if (better<Largest>(x, best[static_cast<std::size_t>(j)])) {
                best[static_cast<std::size_t>(j)] = x;
                found[j] = r;
              }
            }
          }
        }
      }
    });
  });
}

}  // namespace

void reduce(const KernelCall& call) {
  visit(call.inputs[0].dtype, [&]<class T>(Type<T>) { reduce_as<T>(call); });
}

void arg_reduce(const KernelCall& call) {
  visit(call.inputs[0].dtype, [&]<class T>(Type<T>) {
    switch (static_cast<ArgReduce>(call.op->kernel)) {
      case ArgReduce::argmax:
        return arg_reduce_as<true, T>(call);
      case ArgReduce::argmin:
        return arg_reduce_as<false, T>(call);
    }
  });
}

}  // namespace twingrad::cpu
