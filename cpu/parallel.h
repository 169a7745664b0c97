// The one place of the CPU backend that starts threads. Every kernel that splits its work calls parallel_for, so that
// small work stays on the calling thread and exceptions come back to it.
//
//   parallel_for(n, 0.2, [&](std::int64_t begin, std::int64_t end) { ... });   // 0.2 ns per item, about
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>

namespace twingrad::cpu {

/// Below this much work per thread, waking another one costs more than it saves.
inline constexpr double nanoseconds_per_thread = 20000.0;

/// How many threads `count` items of `nanoseconds` each are worth; at least 1.
inline int threads_for(std::int64_t count, double nanoseconds) {
  if (omp_in_parallel() != 0) {
    return 1;
  }
  const double worth = static_cast<double>(count) * nanoseconds / nanoseconds_per_thread;
  const auto most = static_cast<double>(std::min<std::int64_t>(omp_get_max_threads(), count));
  return std::max(1, static_cast<int>(std::min(worth, most)));
}

/// Calls body(begin, end) on disjoint ranges that cover [0, count), one per thread. `nanoseconds` is a guess of one
/// item's time. Which ranges there are depends on the number of threads: a body's result must not. The first
/// exception thrown by a body is thrown again here.
template <class Body>
void parallel_for(std::int64_t count, double nanoseconds, const Body& body) {
  const int threads = threads_for(count, nanoseconds);
  if (threads == 1) {
    body(std::int64_t{0}, count);
    return;
  }
  std::exception_ptr error;
#pragma omp parallel num_threads(threads)
  {
    // The runtime may give fewer threads than asked for.
    const std::int64_t parts = omp_get_num_threads();
    const std::int64_t part = omp_get_thread_num();
    const std::int64_t begin = count / parts * part + std::min(part, count % parts);
    const std::int64_t end = begin + count / parts + (part < count % parts ? 1 : 0);
    try {
      if (begin < end) {
        body(begin, end);
      }
    } catch (...) {
#pragma omp critical(twingrad_parallel_error)
      if (!error) {
        error = std::current_exception();
      }
    }
  }
  if (error) {
    std::rethrow_exception(error);
  }
}

/// While it lives, what this thread calls, parallel_for() or a library, starts at most `count`
/// threads; then the number is what it was before.
class LimitThreads {
 public:
  explicit LimitThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  LimitThreads(const LimitThreads&) = delete;
  LimitThreads& operator=(const LimitThreads&) = delete;
  ~LimitThreads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace twingrad::cpu
