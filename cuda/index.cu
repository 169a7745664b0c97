// index_select and gather: reads by index.
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/index.h"
#include "cuda/index_check.cuh"
#include "cuda/launch.h"
#include "cuda/strided.h"

#include <twingrad/kernels.h>

#include <cstdint>

namespace twingrad::cuda {
namespace {

/// out (outer, count, inner) = x[o, index[j], i], in words. Reads the chosen slices and writes once; limit: memory
/// bandwidth where a slice is long, sectors of 32 bytes where it is short.
template <class Word, class I>
__global__ void __launch_bounds__(default_threads)
    select(const Word* x, const I* index, Word* out, std::int64_t total, Divisor64 inner, Divisor64 count,
           const __grid_constant__ IndexCheck check) {
  const std::int64_t e = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (e >= total) {
    return;
  }
  const std::int64_t slice = inner.quotient(e);
  const std::int64_t outer = count.quotient(slice);
  const std::int64_t chosen = checked_index(index, slice - outer * count.size(), check);
  out[e] = chosen < 0 ? Word{} : x[(outer * check.limit + chosen) * inner.size() + (e - slice * inner.size())];
}

/// out[e] = x at the line of e, at index[e] along the axis. Reads index once and one sector of x per element.
template <class Word, class I>
__global__ void __launch_bounds__(default_threads)
    gather(const Word* x, const I* index, Word* out, std::int64_t total, const __grid_constant__ Offsets64<1> line,
           std::int64_t step, const __grid_constant__ IndexCheck check) {
  const std::int64_t e = std::int64_t{blockIdx.x} * default_threads + threadIdx.x;
  if (e >= total) {
    return;
  }
  const std::int64_t chosen = checked_index(index, e, check);
  out[e] = chosen < 0 ? Word{} : x[line.offset(e) + chosen * step];
}

/// Calls function(Type<Word>) with the unsigned type of so many bytes.
template <class Function>
void visit_word(std::int64_t bytes, const Function& function) {
  switch (bytes) {
    case 1:
      return function(Type<std::uint8_t>{});
    case 2:
      return function(Type<std::uint16_t>{});
    case 4:
      return function(Type<std::uint32_t>{});
    case 8:
      return function(Type<std::uint64_t>{});
    default:
      return function(Type<uint4>{});
  }
}

template <class I>
void run_select(const KernelCall& call, Context& context) {
  const TensorView& x = call.inputs[0];
  const TensorView& index = call.inputs[1];
  const Around around(x.shape, static_cast<int>(call.attributes.ints[0]));
  auto word = static_cast<std::int64_t>(size_of(x.dtype));
  const auto starts = reinterpret_cast<std::uintptr_t>(x.data) | reinterpret_cast<std::uintptr_t>(call.output.data);
  std::int64_t inner = around.inner;
  while (word < 16 && inner % 2 == 0 && starts % static_cast<std::uintptr_t>(2 * word) == 0) {
    word *= 2;
    inner /= 2;
  }
  const std::int64_t count = index.numel();
  const std::int64_t total = around.outer * count * inner;
  const IndexCheck check = make_index_check(call, index, around.length, context);
  visit_word(word, [&]<class Word>(Type<Word>) {
    launch(context, call.op->name, select<Word, I>, blocks_for(total), default_threads,
           static_cast<const Word*>(x.data), static_cast<const I*>(index.data), call.output.as<Word>(), total,
           Divisor64(inner), Divisor64(count), check);
  });
}

template <class I>
void run_gather(const KernelCall& call, Context& context) {
  const TensorView& x = call.inputs[0];
  const TensorView& index = call.inputs[1];
  const auto axis = static_cast<int>(call.attributes.ints[0]);
  const Strides strides = contiguous_strides(x.shape);
  Strides of_line = strides;
  of_line[axis] = 0;
  const Offsets64<1> line(make_box<1>(index.shape, {of_line}));
  const std::int64_t total = index.numel();
  const IndexCheck check = make_index_check(call, index, x.shape[axis], context);
  visit_word(static_cast<std::int64_t>(size_of(x.dtype)), [&]<class Word>(Type<Word>) {
    if constexpr (sizeof(Word) < 16) {
      launch(context, call.op->name, gather<Word, I>, blocks_for(total), default_threads,
             static_cast<const Word*>(x.data), static_cast<const I*>(index.data), call.output.as<Word>(), total, line,
             strides[axis], check);
    }
  });
}

/// No launch has the number 0.
__global__ void seal(IndexError* record) {
  if (record->found != 0) {
    record->launch = 0;
  }
}

template <class I>
void run_by(const KernelCall& call, Context& context) {
  switch (static_cast<Index>(call.op->kernel)) {
    case Index::index_select:
      return run_select<I>(call, context);
    case Index::index_add:
      return run_index_add(call, context);
    case Index::gather:
      return run_gather<I>(call, context);
    case Index::scatter_add:
      return run_scatter_add(call, context);
  }
}

}  // namespace

void seal_index_record(Context& context) {
  launch(context, "index record", seal, dim3(1), 1, context.index_error);
}

void run_index(const KernelCall& call, Context& context) {
  const bool index_first = static_cast<Index>(call.op->kernel) == Index::index_add;
  const Dtype dtype = call.inputs[index_first ? 0 : 1].dtype;
  if (dtype == Dtype::i64) {
    return run_by<std::int64_t>(call, context);
  }
  if (dtype == Dtype::i32) {
    return run_by<std::int32_t>(call, context);
  }
  throw DtypeError(std::string(call.op->name) + ": an index is int64 or int32, not " + std::string(name(dtype)));
}

}  // namespace twingrad::cuda
