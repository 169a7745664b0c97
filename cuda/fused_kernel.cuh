// Several elementwise ops and optimizer updates as one kernel: a chain of parts as a type. Values stay in registers
// from part to part, each rounded to its own dtype, so the bits are those of the parts one by one. fused_patterns.cu
// compiles the common chains; for the others the backend writes the type down and has this very file compiled at run
// time, which is why it includes nothing of the toolkit or beyond formulas.
//
//   // relu(x) + row, float32, x dense, row broadcast along the first axis
//   using Chain = Kernel<Axis32, 4, 3, 0, 2,
//                        Elementwise<formula of relu, float, -1, -1, Dense<0, float>>,
//                        Elementwise<formula of add, float, -1, 2, Result<0>, Row<1, float, 0, 2>>>;
//   extern "C" __global__ void name(const __grid_constant__ Chain::Arguments a) { Chain::run(a); }
#pragma once

#include "cuda/divisor.h"
#include "cuda/element.cuh"

#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <cstdint>
#include <tuple>
#include <type_traits>

namespace twingrad::cuda::fused {

using formulas::Parameters;

/// Threads of a block.
inline constexpr unsigned threads = 256;

/// One axis of a strided operand: coordinate = index mod size. For tensors within 2^31 elements, and beyond.
struct Axis32 {
  using Index = std::uint32_t;
  using Offset = std::int32_t;
  Divisor32 size;
  std::int32_t stride = 0;

  __device__ __forceinline__ Offset coordinate(Index index, Index quotient) const {
    return static_cast<Offset>(index - quotient * size.divisor);
  }
};
struct Axis64 {
  using Index = std::int64_t;
  using Offset = std::int64_t;
  Divisor64 size;
  std::int64_t stride = 0;

  __device__ __forceinline__ Offset coordinate(Index index, Index quotient) const {
    return index - quotient * size.size();
  }
};

/// What a kernel gets, laid out so that the host can write it without knowing the type: see fused_plan.h.
template <class Axis, int addresses, int parameter_sets, int axes>
struct Arguments {
  std::int64_t count;    ///< elements of every part
  std::int64_t aligned;  ///< whether every operand moved in vectors lies on a multiple of its vector
  void* data[addresses];
  Parameters parameters[parameter_sets > 0 ? parameter_sets : 1];
  Axis axis[axes > 0 ? axes : 1];
};

/// A part's result.
template <int part, class T, int Lanes>
struct Slot {
  Vector<T, Lanes> value;
};
template <int Lanes, int part, class... Parts>
struct Slots {};
template <int Lanes, int part, class Part, class... Rest>
struct Slots<Lanes, part, Part, Rest...> : Slot<part, typename Part::Out, Lanes>, Slots<Lanes, part + 1, Rest...> {};

template <int part, class T, int Lanes>
__device__ __forceinline__ Vector<T, Lanes>& result_of(Slot<part, T, Lanes>& slot) {
  return slot.value;
}

/// Where one thread works: `lanes` neighbours from `first` on.
template <class Arguments, class Index, class Results>
struct Place {
  const Arguments& arguments;
  Results& results;
  Index first;
  int lanes;
  bool whole;  ///< all lanes, in vectors
};

// Operands. load() gives the lanes there are; what the others hold is never stored.

/// Memory in the part's own order: one access for all lanes.
template <int address, class T>
struct Dense {
  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<T, Lanes> load(const Place& place) {
    const T* data = static_cast<const T*>(place.arguments.data[address]) + place.first;
    if (place.whole) {
      return *reinterpret_cast<const Vector<T, Lanes>*>(data);
    }
    Vector<T, Lanes> out;
#pragma unroll
    for (int lane = 0; lane < Lanes; ++lane) {
      out.lane[lane] = lane < place.lanes ? data[lane] : T();
    }
    return out;
  }
};

/// The same value in all lanes.
template <class T, int Lanes>
__device__ __forceinline__ Vector<T, Lanes> spread(T value) {
  Vector<T, Lanes> out;
#pragma unroll
  for (int lane = 0; lane < Lanes; ++lane) {
    out.lane[lane] = value;
  }
  return out;
}

/// One value in memory for all elements.
template <int address, class T>
struct Single {
  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<T, Lanes> load(const Place& place) {
    return spread<T, Lanes>(*static_cast<const T*>(place.arguments.data[address]));
  }
};

/// Where element `index` of a strided operand lies. Its axes are `rank` of the arguments', from `first_axis` on.
template <int first_axis, int rank, class Arguments, class Index>
__device__ __forceinline__ auto offset_of(const Arguments& arguments, Index index) {
  using Offset = decltype(arguments.axis[0].stride);
  std::remove_const_t<Offset> offset = 0;
#pragma unroll
  for (int i = rank - 1; i > 0; --i) {
    const auto& axis = arguments.axis[first_axis + i];
    const auto quotient = static_cast<Index>(axis.size.quotient(index));
    offset += axis.coordinate(index, quotient) * axis.stride;
    index = quotient;
  }
  return static_cast<std::remove_const_t<Offset>>(offset +
                                                  static_cast<Offset>(index) * arguments.axis[first_axis].stride);
}

/// Memory at any strides: one access per lane.
template <int address, class T, int first_axis, int rank>
struct Strided {
  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<T, Lanes> load(const Place& place) {
    const T* data = static_cast<const T*>(place.arguments.data[address]);
    Vector<T, Lanes> out;
#pragma unroll
    for (int lane = 0; lane < Lanes; ++lane) {
      const auto index = place.first + static_cast<decltype(place.first)>(lane);
      out.lane[lane] = lane < place.lanes ? data[offset_of<first_axis, rank>(place.arguments, index)] : T();
    }
    return out;
  }
};

/// Strided memory whose innermost axis is dense and a multiple of the lanes: they are neighbours.
template <int address, class T, int first_axis, int rank>
struct Row {
  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<T, Lanes> load(const Place& place) {
    const T* data = static_cast<const T*>(place.arguments.data[address]) +
                    offset_of<first_axis, rank>(place.arguments, place.first);
    if (place.whole) {
      return *reinterpret_cast<const Vector<T, Lanes>*>(data);
    }
    Vector<T, Lanes> out;
#pragma unroll
    for (int lane = 0; lane < Lanes; ++lane) {
      out.lane[lane] = data[lane];
    }
    return out;
  }
};

/// Strided memory whose innermost axis repeats one element for a multiple of the lanes.
template <int address, class T, int first_axis, int rank>
struct Repeated {
  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<T, Lanes> load(const Place& place) {
    return spread<T, Lanes>(static_cast<const T*>(
        place.arguments.data[address])[offset_of<first_axis, rank>(place.arguments, place.first)]);
  }
};

/// What an earlier part gave.
template <int part>
struct Result {
  template <int Lanes, class Place>
  __device__ __forceinline__ static auto load(const Place& place) {
    return result_of<part>(place.results);
  }
};

/// Element `n` of a list of formulas.
template <int n, class List>
struct formula_at;
template <class First, class... Rest>
struct formula_at<0, std::tuple<First, Rest...>> {
  using type = First;
};
template <int n, class First, class... Rest>
struct formula_at<n, std::tuple<First, Rest...>> : formula_at<n - 1, std::tuple<Rest...>> {};

// Parts. `stored`: the address of the result, -1 where only other parts read it.

/// An elementwise op on elements of T (the dtype of its last input). `parameters`: which set, -1 where all are 0.
template <int formula, class T, int parameters, int stored, class... Operands>
struct Elementwise {
  using Formula = typename formula_at<formula, formulas::Formulas>::type;
  using Out = std::conditional_t<Formula::gives == formulas::Gives::boolean, bool, T>;
  static constexpr int address = stored;

  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<Out, Lanes> compute(const Place& place) {
    if constexpr (parameters < 0) {
      return apply<Lanes>(Parameters{}, Operands::template load<Lanes>(place)...);
    } else {
      return apply<Lanes>(place.arguments.parameters[parameters], Operands::template load<Lanes>(place)...);
    }
  }

 private:
  template <int Lanes, class... Values>
  __device__ __forceinline__ static Vector<Out, Lanes> apply(const Parameters& given, const Values&... values) {
    Vector<Out, Lanes> out;
#pragma unroll
    for (int lane = 0; lane < Lanes; ++lane) {
      out.lane[lane] = from_compute<Out>(Formula::apply(to_compute(values.lane[lane])..., given));
    }
    return out;
  }
};

/// An optimizer update. `hyper`: the address of the hyperparameters.
template <int formula, class T, int hyper, int stored, class... Operands>
struct Update {
  using Formula = typename formula_at<formula, formulas::UpdateFormulas>::type;
  using Out = T;
  static constexpr int address = stored;

  template <int Lanes, class Place>
  __device__ __forceinline__ static Vector<T, Lanes> compute(const Place& place) {
    const T* memory = static_cast<const T*>(place.arguments.data[hyper]);
    compute_t<T> h[Formula::hyperparameters];
#pragma unroll
    for (int i = 0; i < Formula::hyperparameters; ++i) {
      h[i] = to_compute(memory[i]);
    }
    return apply<Lanes>(h, Operands::template load<Lanes>(place)...);
  }

 private:
  template <int Lanes, class... Values>
  __device__ __forceinline__ static Vector<T, Lanes> apply(const compute_t<T>* h, const Values&... values) {
    Vector<T, Lanes> out;
#pragma unroll
    for (int lane = 0; lane < Lanes; ++lane) {
      const compute_t<T> x[] = {to_compute(values.lane[lane])...};
      out.lane[lane] = from_compute<T>(Formula::apply(x, h));
    }
    return out;
  }
};

template <int part, int Lanes, class Place>
__device__ __forceinline__ void compute_from(const Place&) {}
template <int part, int Lanes, class Place, class Part, class... Rest>
__device__ __forceinline__ void compute_from(const Place& place) {
  result_of<part>(place.results) = Part::template compute<Lanes>(place);
  compute_from<part + 1, Lanes, Place, Rest...>(place);
}

template <int part, int Lanes, class Place>
__device__ __forceinline__ void store_from(const Place&) {}
template <int part, int Lanes, class Place, class Part, class... Rest>
__device__ __forceinline__ void store_from(const Place& place) {
  if constexpr (Part::address >= 0) {
    using T = typename Part::Out;
    T* data = static_cast<T*>(place.arguments.data[Part::address]) + place.first;
    const Vector<T, Lanes>& value = result_of<part>(place.results);
    if (place.whole) {
      *reinterpret_cast<Vector<T, Lanes>*>(data) = value;
    } else {
#pragma unroll
      for (int lane = 0; lane < Lanes; ++lane) {
        if (lane < place.lanes) {
          data[lane] = value.lane[lane];
        }
      }
    }
  }
  store_from<part + 1, Lanes, Place, Rest...>(place);
}

/// The chain. Each operand in memory is read once and each stored result written once, 16 bytes per access of the
/// widest element in memory; limit: memory bandwidth. Results are stored after the last load, so that loads need not
/// wait for stores; one may lie on an operand that is read element for element.
template <class Axis, int Lanes, int addresses, int parameter_sets, int axes, class... Parts>
struct Kernel {
  using Arguments = fused::Arguments<Axis, addresses, parameter_sets, axes>;

  __device__ __forceinline__ static void run(const Arguments& arguments, unsigned block = blockIdx.x) {
    using Index = typename Axis::Index;
    using Results = Slots<Lanes, 0, Parts...>;
    const Index first = (static_cast<Index>(block) * threads + threadIdx.x) * Lanes;
    const auto count = static_cast<Index>(arguments.count);
    if (first >= count) {
      return;
    }
    const Index rest = count - first;
    const bool full = rest >= static_cast<Index>(Lanes);
    Results results;
    const Place<Arguments, Index, Results> place{arguments, results, first, full ? Lanes : static_cast<int>(rest),
                                                 full && arguments.aligned != 0};
    compute_from<0, Lanes, decltype(place), Parts...>(place);
    store_from<0, Lanes, decltype(place), Parts...>(place);
  }
};

/// The same chain on several lists of operands, each with blocks of its own: one launch for many small tensors.
template <class Chain, int members>
struct Merged {
  struct Arguments {
    unsigned first_block[members];  ///< ascending from 0; those that are not there: beyond the last block
    typename Chain::Arguments member[members];
  };

  __device__ __forceinline__ static void run(const Arguments& arguments) {
    int i = 0;
    while (i + 1 < members && blockIdx.x >= arguments.first_block[i + 1]) {
      ++i;
    }
    Chain::run(arguments.member[i], blockIdx.x - arguments.first_block[i]);
  }
};

}  // namespace twingrad::cuda::fused
