// A copy split over OpenMP's threads: the memory ceiling of the training steps, and what chains of elementwise ops are
// held against.
//
//   bench::parallel_copy(to.data(), from.data(), bytes);
#pragma once

#include <omp.h>

#include <cstddef>
#include <cstring>

namespace bench {

/// Copies `bytes` from `from` to `to`, `times` times, on as many threads as OpenMP has; on one where less is copied
/// than is worth a thread.
inline void parallel_copy(void* to, const void* from, std::size_t bytes, std::size_t times = 1) {
  constexpr std::size_t worth_a_thread = std::size_t{1} << 18;
  const int threads = bytes < worth_a_thread ? 1 : omp_get_max_threads();
#pragma omp parallel num_threads(threads)
  {
    const auto part = static_cast<std::size_t>(omp_get_thread_num());
    const auto parts = static_cast<std::size_t>(omp_get_num_threads());
    const std::size_t begin = bytes / parts * part;
    const std::size_t end = part + 1 == parts ? bytes : begin + bytes / parts;
    for (std::size_t i = 0; i < times; ++i) {
      std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin, end - begin);
      // Tells the compiler that the copy is looked at, so that it stays.
      asm volatile("" : : "r"(to) : "memory");
    }
  }
}

}  // namespace bench
