#include "tests/counting_heap.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

thread_local bool counts = false;
thread_local long allocations = 0;

[[maybe_unused]] void* counted(void* memory) {
  allocations += counts ? 1 : 0;
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

// The sanitizers have an operator new of their own in all its forms, which must not be mixed with another one.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t bytes) {
  return counted(std::malloc(bytes == 0 ? 1 : bytes));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(step, (bytes + step - 1) / step * step));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

#endif

namespace twingrad::tests {

bool heap_is_counted() {
  start_counting();
  operator delete(operator new(1));
  return stop_counting() == 1;
}

void start_counting() {
  allocations = 0;
  counts = true;
}

long stop_counting() {
  counts = false;
  return allocations;
}

}  // namespace twingrad::tests
