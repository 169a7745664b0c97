// Optimizer updates: every formula of UpdateFormulas in one pass over parameters and buffers.
#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"

#include <twingrad/update_formulas.h>

#include <array>
#include <cstdint>

namespace twingrad::cuda {
namespace {

/// All inputs but the hyperparameters.
template <class Formula>
struct Operands {
  const void* data[Formula::arity - 1];
};

/// Reads each operand once and writes the output once, Lanes elements per access (16 bytes where all are aligned);
/// limit: memory bandwidth. The hyperparameters come from the cache. The output may be operand 0.
template <class Formula, class T, int Lanes>
__global__ void __launch_bounds__(default_threads)
    update_kernel(Operands<Formula> operands, const T* hyperparameters, T* out, std::int64_t count) {
  constexpr int inputs = Formula::arity - 1;
  const std::int64_t first = (std::int64_t{blockIdx.x} * default_threads + threadIdx.x) * Lanes;
  if (first >= count) {
    return;
  }
  compute_t<T> h[Formula::hyperparameters];
#pragma unroll
  for (int i = 0; i < Formula::hyperparameters; ++i) {
    h[i] = to_compute(hyperparameters[i]);
  }
  if (count - first >= Lanes) {
    using Lane = Vector<T, Lanes>;
    Lane in[inputs];
#pragma unroll
    for (int n = 0; n < inputs; ++n) {
      in[n] = *reinterpret_cast<const Lane*>(static_cast<const T*>(operands.data[n]) + first);
    }
    Lane result;
#pragma unroll
    for (int lane = 0; lane < Lanes; ++lane) {
      compute_t<T> x[inputs];
#pragma unroll
      for (int n = 0; n < inputs; ++n) {
        x[n] = to_compute(in[n].lane[lane]);
      }
      result.lane[lane] = from_compute<T>(Formula::apply(x, h));
    }
    *reinterpret_cast<Lane*>(out + first) = result;
    return;
  }
  for (std::int64_t i = first; i < count; ++i) {
    compute_t<T> x[inputs];
#pragma unroll
    for (int n = 0; n < inputs; ++n) {
      x[n] = to_compute(static_cast<const T*>(operands.data[n])[i]);
    }
    out[i] = from_compute<T>(Formula::apply(x, h));
  }
}

bool aligned(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % 16 == 0;
}

template <class Formula, class T>
void run(const KernelCall& call, Context& context) {
  Operands<Formula> operands;
  bool vectors = aligned(call.output.data);
  for (int n = 0; n < Formula::arity - 1; ++n) {
    operands.data[n] = call.inputs[static_cast<std::size_t>(n)].data;
    vectors = vectors && aligned(operands.data[n]);
  }
  const auto* h = static_cast<const T*>(call.inputs.back().data);
  const std::int64_t count = call.output.numel();
  constexpr int lanes = lanes_of<T>;
  if (vectors) {
    launch(context, call.op->name, update_kernel<Formula, T, lanes>, blocks_for(count, default_threads * lanes),
           default_threads, operands, h, call.output.as<T>(), count);
  } else {
    launch(context, call.op->name, update_kernel<Formula, T, 1>, blocks_for(count), default_threads, operands, h,
           call.output.as<T>(), count);
  }
}

using Runner = void (*)(const KernelCall&, Context&);

/// Runners by floating dtype, in the order of Dtype.
template <class... Formulas>
constexpr std::array<std::array<Runner, 4>, sizeof...(Formulas)> make_table(const std::tuple<Formulas...>*) {
  return {std::array<Runner, 4>{&run<Formulas, float>, &run<Formulas, double>, &run<Formulas, bfloat16>,
                                &run<Formulas, float16>}...};
}

}  // namespace

void run_update(const KernelCall& call, Context& context) {
  static constexpr auto table = make_table(static_cast<const formulas::UpdateFormulas*>(nullptr));
  const Dtype dtype = call.output.dtype;
  if (!is_floating(dtype)) {
    throw DtypeError(std::string(call.op->name) + ": takes floating dtypes, not " + std::string(name(dtype)));
  }
  table.at(static_cast<std::size_t>(call.op->kernel)).at(static_cast<std::size_t>(dtype))(call, context);
}

}  // namespace twingrad::cuda
