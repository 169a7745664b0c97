// Loops for every elementwise formula. Two kernels: one moves 16 bytes per operand and thread and serves contiguous
// tensors, scalars and broadcast rows; the other one element, at any strides.
#pragma once

// Formulas compare with 0 whatever the type; for uint8 the compiler finds that pointless.
#pragma nv_diagnostic push
#pragma nv_diag_suppress 186
#include <twingrad/formulas.h>
#pragma nv_diagnostic pop

#include "cuda/element.cuh"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/strided.h"

#include <twingrad/op.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace twingrad::cuda::elementwise {

using formulas::Parameters;

/// The operands' memory; 0 is the output.
template <std::size_t N>
struct Pointers {
  void* data[N];
};

/// Element type of operand n: T, but for a boolean output and for the condition of a formula of three inputs.
template <class Formula, class T, std::size_t n>
using Operand = std::conditional_t<n == 0, std::conditional_t<Formula::gives == formulas::Gives::boolean, bool, T>,
                                   std::conditional_t<n == 1 && Formula::arity == 3, bool, T>>;

/// The formula on elements: rounded to the output's type.
template <class Formula, class T>
__device__ __forceinline__ auto evaluate(T x, const Parameters& parameters) {
  return from_compute<T>(Formula::apply(to_compute(x), parameters));
}
template <class Formula, class T>
__device__ __forceinline__ auto evaluate(T x, T y, const Parameters& parameters) {
  if constexpr (Formula::gives == formulas::Gives::boolean) {
    return Formula::apply(to_compute(x), to_compute(y), parameters);
  } else {
    return from_compute<T>(Formula::apply(to_compute(x), to_compute(y), parameters));
  }
}
template <class Formula, class T>
__device__ __forceinline__ auto evaluate(bool condition, T x, T y, const Parameters& parameters) {
  return from_compute<T>(Formula::apply(condition, to_compute(x), to_compute(y), parameters));
}

/// `Lanes` neighbours of one operand whose innermost stride is 1 (one access) or 0 (the same element in all lanes).
template <class E, int Lanes>
__device__ __forceinline__ Vector<E, Lanes> load_lanes(const void* data, std::int32_t offset, std::int32_t stride) {
  const E* place = static_cast<const E*>(data) + offset;
  if (stride != 0) {
    return *reinterpret_cast<const Vector<E, Lanes>*>(place);
  }
  const E value = *place;
  Vector<E, Lanes> out;
#pragma unroll
  for (int lane = 0; lane < Lanes; ++lane) {
    out.lane[lane] = value;
  }
  return out;
}

/// One element at each operand's offset. The output may be an input's memory: each thread reads before it writes.
template <class Formula, class T, std::size_t N, std::size_t... n>
__device__ __forceinline__ void apply_one(const Pointers<N>& pointers, const std::int32_t (&offset)[N],
                                          const Parameters& parameters, std::index_sequence<n...>) {
  static_cast<Operand<Formula, T, 0>*>(pointers.data[0])[offset[0]] = evaluate<Formula>(
      static_cast<const Operand<Formula, T, n + 1>*>(pointers.data[n + 1])[offset[n + 1]]..., parameters);
}

template <class Formula, class T, int Lanes, std::size_t N, std::size_t... n>
__device__ __forceinline__ void apply_lanes(const Pointers<N>& pointers, const std::int32_t (&offset)[N],
                                            const Offsets32<N>& offsets, const Parameters& parameters,
                                            std::index_sequence<n...>) {
  const int inner = offsets.rank - 1;
  const auto operands = std::tuple(load_lanes<Operand<Formula, T, n + 1>, Lanes>(pointers.data[n + 1], offset[n + 1],
                                                                                 offsets.stride[n + 1][inner])...);
  using Out = Operand<Formula, T, 0>;
  Vector<Out, Lanes> out;
#pragma unroll
  for (int lane = 0; lane < Lanes; ++lane) {
    out.lane[lane] = evaluate<Formula>(std::get<n>(operands).lane[lane]..., parameters);
  }
  *reinterpret_cast<Vector<Out, Lanes>*>(static_cast<Out*>(pointers.data[0]) + offset[0]) = out;
}

/// Reads every input once and writes the output once, 16 bytes of T per access; limit: memory bandwidth. A broadcast
/// row or scalar comes from the cache. Where the innermost axis is no multiple of `Lanes` the box has one axis, and the
/// last thread takes the rest one by one.
template <class Formula, class T, int Lanes>
__global__ void __launch_bounds__(default_threads)
    vector_kernel(const __grid_constant__ Offsets32<Formula::arity + 1> offsets, Pointers<Formula::arity + 1> pointers,
                  std::uint32_t count, Parameters parameters) {
  constexpr std::size_t N = Formula::arity + 1;
  constexpr auto inputs = std::make_index_sequence<Formula::arity>();
  const std::uint32_t first = (blockIdx.x * default_threads + threadIdx.x) * Lanes;
  if (first >= count) {
    return;
  }
  std::int32_t offset[N];
  offsets.locate(first, offset);
  if (count - first >= Lanes) {
    apply_lanes<Formula, T, Lanes>(pointers, offset, offsets, parameters, inputs);
    return;
  }
  for (std::uint32_t i = first; i < count; ++i) {
    apply_one<Formula, T>(pointers, offset, parameters, inputs);
    for (std::size_t n = 0; n < N; ++n) {
      offset[n] += offsets.stride[n][0];
    }
  }
}

/// One element per thread: index arithmetic and, at inner strides other than 0 and 1, partly used memory sectors are
/// the limit.
template <class Formula, class T>
__global__ void __launch_bounds__(default_threads)
    element_kernel(const __grid_constant__ Offsets32<Formula::arity + 1> offsets, Pointers<Formula::arity + 1> pointers,
                   std::uint32_t count, Parameters parameters) {
  const std::uint32_t index = blockIdx.x * default_threads + threadIdx.x;
  if (index >= count) {
    return;
  }
  std::int32_t offset[Formula::arity + 1];
  offsets.locate(index, offset);
  apply_one<Formula, T>(pointers, offset, parameters, std::make_index_sequence<Formula::arity>());
}

/// Whether vector_kernel can walk the box where all its operands are aligned: `lanes` neighbours of every operand are
/// one access or one element.
template <std::size_t N>
bool takes_vectors(const Box<N>& box, int lanes) {
  const int inner = box.rank - 1;
  if (inner < 0 || box.stride[0][inner] != 1 || (inner > 0 && box.size[inner] % lanes != 0)) {
    return false;
  }
  for (std::size_t n = 0; n < N; ++n) {
    if (box.stride[n][inner] == 0) {
      continue;
    }
    if (box.stride[n][inner] != 1) {
      return false;
    }
    for (int axis = 0; axis < inner; ++axis) {
      if (box.stride[n][axis] % lanes != 0) {
        return false;
      }
    }
  }
  return true;
}

template <class Formula, class T, std::size_t... n>
constexpr std::array<std::size_t, sizeof...(n)> operand_sizes(std::index_sequence<n...>) {
  return {sizeof(Operand<Formula, T, n>)...};
}

/// One formula over one set of shapes and strides: what they decide is decided, and a run looks at addresses alone.
template <class Formula, class T>
class Prepared final : public PreparedKernel {
 public:
  static constexpr std::size_t N = Formula::arity + 1;

  Prepared(const KernelCall& call, Context& context) : name_(call.op->name), context_(context) {
    std::array<Strides, N> strides;
    strides[0] = contiguous_strides(call.output.shape);
    for (std::size_t n = 1; n < N; ++n) {
      strides[n] = call.inputs[n - 1].strides;
    }
    for (std::size_t i = 0; i < 4; ++i) {
      parameters_.p[i] = call.attributes.reals[i];
    }
    for_each_part<N>(make_box<N>(call.output.shape, strides), [&](const Box<N>& box, const Elements<N>& start) {
      Part part{.offsets = Offsets32<N>(box), .start = {}, .count = static_cast<std::uint32_t>(box.numel())};
      for (std::size_t n = 0; n < N; ++n) {
        part.start[n] = start[n] * static_cast<std::int64_t>(sizes[n]);
        part.wide[n] = box.rank > 0 && box.stride[n][box.rank - 1] != 0;
      }
      part.vectors = takes_vectors<N>(box, lanes_of<T>);
      parts_.push_back(part);
    });
  }

  void run(std::span<void* const> addresses, const std::source_location& /*where*/) override {
    check(cudaSetDevice(context_.device), "cudaSetDevice");
    for (const Part& part : parts_) {
      Pointers<N> pointers;
      pointers.data[0] = static_cast<std::byte*>(addresses[N - 1]) + part.start[0];
      for (std::size_t n = 1; n < N; ++n) {
        pointers.data[n] = static_cast<std::byte*>(addresses[n - 1]) + part.start[n];
      }
      queue(part, pointers);
    }
  }

 private:
  /// A part of the box that 32-bit arithmetic can walk.
  struct Part {
    Offsets32<N> offsets;
    std::array<std::int64_t, N> start;  ///< of each operand, in bytes
    std::uint32_t count = 0;
    bool vectors = false;           ///< where aligned
    std::array<bool, N> wide = {};  ///< per operand: read in vectors, not as one element for all lanes
  };

  static constexpr std::array<std::size_t, N> sizes = operand_sizes<Formula, T>(std::make_index_sequence<N>());

  void queue(const Part& part, const Pointers<N>& pointers) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      constexpr int lanes = lanes_of<T>;
      bool vectors = part.vectors;
      for (std::size_t n = 0; vectors && n < N; ++n) {
        vectors = !part.wide[n] || reinterpret_cast<std::uintptr_t>(pointers.data[n]) % (sizes[n] * lanes) == 0;
      }
      if (vectors) {
        launch(context_, name_, vector_kernel<Formula, T, lanes>, blocks_for(part.count, default_threads * lanes),
               default_threads, part.offsets, pointers, part.count, parameters_);
        return;
      }
    }
    launch(context_, name_, element_kernel<Formula, T>, blocks_for(part.count), default_threads, part.offsets, pointers,
           part.count, parameters_);
  }

  std::string_view name_;
  Context& context_;
  Parameters parameters_;
  std::vector<Part> parts_;
};

template <class Formula, class T>
std::unique_ptr<PreparedKernel> make(const KernelCall& call, Context& context) {
  return std::make_unique<Prepared<Formula, T>>(call, context);
}
using Maker = std::unique_ptr<PreparedKernel> (*)(const KernelCall&, Context&);

/// What makes the formula's kernel for each dtype of its last input, in the order of Dtype; nullptr where it is not
/// taken.
using MakersByDtype = std::array<Maker, 8>;

template <class Formula, class T>
constexpr Maker maker() {
  if constexpr (formulas::accepts<T>(Formula::takes)) {
    return &make<Formula, T>;
  } else {
    return nullptr;
  }
}

template <class Formula, bool wanted>
constexpr MakersByDtype makers() {
  if constexpr (wanted) {
    return {maker<Formula, float>(),        maker<Formula, double>(),       maker<Formula, bfloat16>(),
            maker<Formula, float16>(),      maker<Formula, std::int32_t>(), maker<Formula, std::int64_t>(),
            maker<Formula, std::uint8_t>(), maker<Formula, bool>()};
  } else {
    return {};
  }
}

/// One row per formula; rows of formulas whose arity is not in [low, high] are empty and compile nothing.
template <int low, int high, class... Formulas>
constexpr std::array<MakersByDtype, sizeof...(Formulas)> make_table(const std::tuple<Formulas...>*) {
  return {makers < Formulas, low <= Formulas::arity && Formulas::arity <= high > ()...};
}

template <std::size_t rows>
std::unique_ptr<PreparedKernel> dispatch(const std::array<MakersByDtype, rows>& table, const KernelCall& call,
                                         Context& context) {
  const Dtype dtype = call.inputs.back().dtype;
  const Maker maker = table.at(static_cast<std::size_t>(call.op->kernel)).at(static_cast<std::size_t>(dtype));
  if (maker == nullptr) {
    throw DtypeError(std::string(call.op->name) + ": does not take " + std::string(name(dtype)));
  }
  return maker(call, context);
}

}  // namespace twingrad::cuda::elementwise
