// Family::update: an optimizer's new parameter or buffer in one pass over memory, limited by that memory: (inputs + 1)
// times the elements' bytes.
#include <twingrad/op.h>
#include <twingrad/update_formulas.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cpu/families.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

template <class Formula, class T>
void update_loop(const KernelCall& call) {
  using C = compute_t<T>;
  constexpr auto operands = static_cast<std::size_t>(Formula::arity) - 1;
  constexpr auto hypers = static_cast<std::size_t>(Formula::hyperparameters);
  std::array<const T*, operands> in;
  for (std::size_t k = 0; k < operands; ++k) {
    in[k] = call.inputs[k].as<const T>();
  }
  std::array<C, hypers> h;
  for (std::size_t k = 0; k < hypers; ++k) {
    h[k] = static_cast<C>(call.inputs[operands].as<const T>()[k]);
  }
  T* out = call.output.as<T>();
  parallel_for(call.output.numel(), 0.4, [&, in, h](std::int64_t begin, std::int64_t end) {
    const auto inputs = in;
    const auto hyper = h;
#pragma GCC ivdep
    for (std::int64_t i = begin; i < end; ++i) {
      C x[operands];
      for (std::size_t k = 0; k < operands; ++k) {
        x[k] = static_cast<C>(inputs[k][i]);
      }
      out[i] = static_cast<T>(Formula::apply(x, hyper.data()));
    }
  });
}

using Loop = void (*)(const KernelCall&);

template <class T, class... Formula>
Loop find(int kernel, std::tuple<Formula...>*) {
  static constexpr std::array<Loop, sizeof...(Formula)> loops{&update_loop<Formula, T>...};
  return loops.at(static_cast<std::size_t>(kernel));
}

}  // namespace

void update(const KernelCall& call) {
  const Dtype dtype = call.output.dtype;
  visit(dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      find<T>(call.op->kernel, static_cast<formulas::UpdateFormulas*>(nullptr))(call);
    } else {
      refuse_dtype(call, dtype);
    }
  });
}

}  // namespace twingrad::cpu
