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
#include "cpu/update_loops.h"

namespace twingrad::cpu {
namespace {

template <class Formula, class T>
void loop(std::int64_t n, void* output, const void* const* operands, const void* hyper) {
  using C = compute_t<T>;
  constexpr auto count = static_cast<std::size_t>(Formula::arity) - 1;
  constexpr auto hypers = static_cast<std::size_t>(Formula::hyperparameters);
  std::array<const T*, count> in;
  for (std::size_t k = 0; k < count; ++k) {
    in[k] = static_cast<const T*>(operands[k]);
  }
  std::array<C, hypers> h;
  for (std::size_t k = 0; k < hypers; ++k) {
    h[k] = static_cast<C>(static_cast<const T*>(hyper)[k]);
  }
  T* const out = static_cast<T*>(output);
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    C x[count];
    for (std::size_t k = 0; k < count; ++k) {
      x[k] = static_cast<C>(in[k][i]);
    }
    out[i] = static_cast<T>(Formula::apply(x, h.data()));
  }
}

template <class T, class... Formula>
UpdateLoop find(int kernel, std::tuple<Formula...>*) {
  static constexpr std::array<UpdateLoop, sizeof...(Formula)> loops{&loop<Formula, T>...};
  return loops.at(static_cast<std::size_t>(kernel));
}

}  // namespace

UpdateLoop update_loop(int kernel, Dtype dtype) {
  return visit(dtype, [&]<class T>(Type<T>) -> UpdateLoop {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      return find<T>(kernel, static_cast<formulas::UpdateFormulas*>(nullptr));
    } else {
      return nullptr;
    }
  });
}

void update(const KernelCall& call) {
  const UpdateLoop loop = update_loop(call.op->kernel, call.output.dtype);
  if (loop == nullptr) {
    refuse_dtype(call, call.output.dtype);
  }
  const std::size_t operands = call.inputs.size() - 1;
  const auto width = static_cast<std::int64_t>(size_of(call.output.dtype));
  parallel_for(call.output.numel(), update_nanoseconds, [&](std::int64_t begin, std::int64_t end) {
    std::array<const void*, 4> in{};
    for (std::size_t k = 0; k < operands; ++k) {
      in.at(k) = call.inputs[k].as<const std::byte>() + begin * width;
    }
    loop(end - begin, call.output.as<std::byte>() + begin * width, in.data(), call.inputs[operands].data);
  });
}

}  // namespace twingrad::cpu
