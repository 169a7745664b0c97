// How the emulator calls a kernel that it holds as an address: the sizes of its parameters, and a function that knows
// their types. Included by cuda_runtime.h.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace cuda_emulator {

struct Parameter {
  std::size_t bytes;
  std::size_t alignment;
};

/// What all kernels of one signature share.
struct Signature {
  const Parameter* parameters;
  std::size_t count;
  /// Runs one thread of the kernel at `function`; `arguments` points at one value per parameter.
  void (*call)(const void* function, void* const* arguments);
};

/// Tells the emulator the signature of the kernel at `function`. A kernel that it was never told of cannot be launched.
void know_kernel(const void* function, const Signature& signature);

namespace detail {

template <class... Parameters, std::size_t... n>
void call_kernel(const void* function, void* const* arguments, std::index_sequence<n...>) {
  (void)arguments;  // of a kernel without parameters
  reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(function))(*static_cast<Parameters*>(arguments[n])...);
}

template <class... Parameters>
void call_kernel(const void* function, void* const* arguments) {
  call_kernel<Parameters...>(function, arguments, std::index_sequence_for<Parameters...>{});
}

}  // namespace detail

template <class... Parameters>
const void* know_kernel(void (*kernel)(Parameters...)) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a launch copies its arguments byte by byte");
  static constexpr Parameter parameters[] = {{sizeof(Parameters), alignof(Parameters)}..., {0, 1}};
  static constexpr Signature signature{parameters, sizeof...(Parameters), &detail::call_kernel<Parameters...>};
  const void* function = reinterpret_cast<const void*>(kernel);
  know_kernel(function, signature);
  return function;
}

}  // namespace cuda_emulator
