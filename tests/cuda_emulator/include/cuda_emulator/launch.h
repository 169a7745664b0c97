// How the emulator calls a kernel that it holds as an address: the sizes of its parameters, and a function that knows
// their types. Included by cuda_runtime.h, and by kernels that are compiled at run time, so nothing of the standard
// library is used here.
#pragma once

namespace cuda_emulator {

using Size = decltype(sizeof(0));

struct Parameter {
  Size bytes;
  Size alignment;
};

/// What all kernels of one signature share.
struct Signature {
  const Parameter* parameters;
  Size count;
  /// Runs one thread of the kernel at `function`; `arguments` points at one value per parameter.
  void (*call)(const void* function, void* const* arguments);
};

/// Tells the emulator the signature of the kernel at `function`. A kernel that it was never told of cannot be launched.
void know_kernel(const void* function, const Signature& signature);

namespace detail {

template <unsigned... n>
struct Indices {};
template <unsigned count, unsigned... n>
struct MakeIndices : MakeIndices<count - 1, count - 1, n...> {};
template <unsigned... n>
struct MakeIndices<0, n...> {
  using type = Indices<n...>;
};

template <class... Parameters, unsigned... n>
void call_kernel(const void* function, void* const* arguments, Indices<n...>) {
  (void)arguments;  // of a kernel without parameters
  reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(function))(*static_cast<Parameters*>(arguments[n])...);
}

template <class... Parameters>
void call_kernel(const void* function, void* const* arguments) {
  call_kernel<Parameters...>(function, arguments, typename MakeIndices<sizeof...(Parameters)>::type{});
}

}  // namespace detail

template <class... Parameters>
const void* know_kernel(void (*kernel)(Parameters...)) {
  static_assert((__is_trivially_copyable(Parameters) && ...), "a launch copies its arguments byte by byte");
  static constexpr Parameter parameters[] = {{sizeof(Parameters), alignof(Parameters)}..., {0, 1}};
  static constexpr Signature signature{parameters, sizeof...(Parameters), &detail::call_kernel<Parameters...>};
  const void* function = reinterpret_cast<const void*>(kernel);
  know_kernel(function, signature);
  return function;
}

}  // namespace cuda_emulator
