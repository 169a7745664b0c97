// Stacks to run on, and the switch between them: each thread of a block that waits keeps one. Private to the emulator.
#pragma once

#include <cstddef>

namespace cuda_emulator {

/// Where some code stands that does not run now. The thread that switches away fills it in.
struct Context {
  void* stack_pointer = nullptr;
  const void* bottom = nullptr;  ///< of its stack, which the address sanitizer wants to know
  std::size_t size = 0;
};

/// Goes on in `to`; returns when somebody switches back to `from`. `caller` gets bottom and size of whose stack was
/// left to come here, when that is not a fiber's.
void switch_context(Context& from, const Context& to, Context* caller);

/// A stack of its own with a page behind it that nobody may touch.
class Fiber {
 public:
  explicit Fiber(void (*entry)());
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  Context& context() { return context_; }
  /// Forgets what ran here: the next switch begins at `entry`, which must begin with begin_fiber().
  void restart();

 private:
  void (*entry_)();
  std::byte* memory_ = nullptr;
  Context context_;
};

/// First call on a new fiber.
void begin_fiber(Context& caller);

}  // namespace cuda_emulator
