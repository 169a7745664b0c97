// A replayed step asks the heap for nothing. The test binary's operator new counts while a test wants it.
#include <gtest/gtest.h>
#include <twingrad/twingrad.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

thread_local bool counts = false;
thread_local long allocations = 0;

void* counted(void* memory) {
  allocations += counts ? 1 : 0;
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

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

namespace twingrad {
namespace {

/// What `run` asks the heap for on this thread.
template <class Run>
long allocations_of(const Run& run) {
  allocations = 0;
  counts = true;
  run();
  counts = false;
  return allocations;
}

TEST(AllocationTest, TheCounterCounts) {
  EXPECT_GE(allocations_of([] { const Tensor x = ones({3}); }), 1);
}

TEST(AllocationTest, ACompiledStepAsksTheHeapForNothing) {
  for (const double dropout : {0.0, 0.5}) {
    nn::Mlp model({20, 33, 17, 5}, {.dropout = dropout, .seed = 1});
    optim::AdamW adam(model.parameters());
    CompiledStep step = compile([&](const Tensor& x, const Tensor& y) {
      Tensor loss = cross_entropy(model(x), y);
      adam.step(gradients(loss, model.parameters()));
      return loss;
    });
    const Tensor x = random_normal({40, 20}, {1, 0});
    const Tensor y = cast(random_uniform({40}, {2, 0}) * 5, i64);
    eval({x, y});
    Tensor loss = step(x, y);
    loss = step(x, y);
    const PlanCacheStats before = plan_cache_stats();
    EXPECT_EQ(allocations_of([&] {
                for (int i = 0; i < 20; ++i) {
                  loss = Tensor();
                  loss = step(x, y);
                }
              }),
              0)
        << "dropout " << dropout;
    EXPECT_EQ(plan_cache_stats().misses, before.misses);
  }
}

}  // namespace
}  // namespace twingrad
