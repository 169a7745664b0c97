// The functions and variables that CUDA gives to kernels: where a thread is, barriers, warp exchanges, atomics, and
// the bits of numbers. As far as twingrad's kernels use them, and a little around. Included by cuda_runtime.h, and by
// kernels that are compiled at run time, which have no standard library: so nothing of it is used here.
#pragma once

#include "../vector_types.h"

namespace cuda_emulator {

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

/// A line of a kernel.
struct Where {
  const char* file;
  unsigned line;
};

enum class Exchange : unsigned char { index, up, down, across, ballot, sync };
enum class Vote : unsigned char { none, count, all, any };

/// Waits until all threads of the block are at this line. Gives what `vote` makes of their predicates.
int block_barrier(Vote vote, bool predicate, Where where);
/// Waits until all lanes in `mask` are at this line; gives the value of the lane that `operand` chooses, or the lanes
/// whose value is not 0 (ballot).
unsigned long long exchange(Exchange kind, unsigned mask, unsigned long long value, unsigned operand, int width,
                            Where where);
/// A point at which other threads may run: in a random order sometimes they do.
void pause_at_atomic();
/// The same after an attempt that failed: others do run, since one of them must end the wait.
void pause_after_failure();

template <class T>
T exchange_value(Exchange kind, unsigned mask, T value, unsigned operand, int width, Where where) {
  static_assert(__is_trivially_copyable(T) && (sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 2));
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = exchange(kind, mask, bits, operand, width, where);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

/// One read, change and write that no other thread comes between.
template <class T, class Change>
T update_atomically(T* place, const Change& change) {
  pause_at_atomic();
  const T before = *place;
  *place = static_cast<T>(change(before));
  return before;
}

template <class To, class From>
To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  __builtin_memcpy(&result, &value, sizeof value);
  return result;
}

}  // namespace cuda_emulator

inline void __syncthreads(cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  cuda_emulator::block_barrier(cuda_emulator::Vote::none, false, where);
}
inline int __syncthreads_count(int predicate, cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::block_barrier(cuda_emulator::Vote::count, predicate != 0, where);
}
inline int __syncthreads_and(int predicate, cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::block_barrier(cuda_emulator::Vote::all, predicate != 0, where);
}
inline int __syncthreads_or(int predicate, cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::block_barrier(cuda_emulator::Vote::any, predicate != 0, where);
}

inline void __syncwarp(unsigned mask = 0xffffffffU, cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  cuda_emulator::exchange(cuda_emulator::Exchange::sync, mask, 0, 0, 32, where);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::exchange_value(cuda_emulator::Exchange::index, mask, value, static_cast<unsigned>(lane), width,
                                       where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::exchange_value(cuda_emulator::Exchange::up, mask, value, distance, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::exchange_value(cuda_emulator::Exchange::down, mask, value, distance, width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return cuda_emulator::exchange_value(cuda_emulator::Exchange::across, mask, value, static_cast<unsigned>(lanes),
                                       width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return static_cast<unsigned>(
      cuda_emulator::exchange(cuda_emulator::Exchange::ballot, mask, predicate != 0 ? 1 : 0, 0, 32, where));
}
inline int __any_sync(unsigned mask, int predicate, cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return __ballot_sync(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, cuda_emulator::Where where = {__builtin_FILE(), __builtin_LINE()}) {
  return __ballot_sync(mask, predicate, where) == mask ? 1 : 0;
}

/// Threads run on one processor: their writes are seen in order.
inline void __threadfence() {
  cuda_emulator::pause_at_atomic();
}
inline void __threadfence_block() {
  cuda_emulator::pause_at_atomic();
}

template <class T>
T atomicAdd(T* place, T value) {
  return cuda_emulator::update_atomically(place, [value](T before) { return before + value; });
}
template <class T>
T atomicMax(T* place, T value) {
  return cuda_emulator::update_atomically(place, [value](T before) { return before < value ? value : before; });
}
template <class T>
T atomicMin(T* place, T value) {
  return cuda_emulator::update_atomically(place, [value](T before) { return value < before ? value : before; });
}
template <class T>
T atomicOr(T* place, T value) {
  return cuda_emulator::update_atomically(place, [value](T before) { return before | value; });
}
template <class T>
T atomicExch(T* place, T value) {
  return cuda_emulator::update_atomically(place, [value](T) { return value; });
}
template <class T>
T atomicCAS(T* place, T expected, T value) {
  const T before = cuda_emulator::update_atomically(
      place, [expected, value](T current) { return current == expected ? value : current; });
  if (before != expected) {
    cuda_emulator::pause_after_failure();
  }
  return before;
}

inline float __uint_as_float(unsigned value) {
  return cuda_emulator::bits_as<float>(value);
}
inline unsigned __float_as_uint(float value) {
  return cuda_emulator::bits_as<unsigned>(value);
}
inline float __int_as_float(int value) {
  return cuda_emulator::bits_as<float>(value);
}
inline int __float_as_int(float value) {
  return cuda_emulator::bits_as<int>(value);
}
inline double __longlong_as_double(long long value) {
  return cuda_emulator::bits_as<double>(value);
}
inline long long __double_as_longlong(double value) {
  return cuda_emulator::bits_as<long long>(value);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>((Wide{a} * b) >> 64);
}
template <class T>
T __ldg(const T* place) {
  return *place;
}
