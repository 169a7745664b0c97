#include "tests/cuda_emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "the CUDA emulator switches stacks on x86-64 only"
#endif

// Keeps what a function must keep by the System V calling convention (rbx, rbp, r12 to r15, the control words of both
// floating-point units), and the place to return to, on the stack that is left.
extern "C" void cuda_emulator_switch_stack(void** from, void* to);
asm(R"(
.text
.p2align 4
.globl cuda_emulator_switch_stack
.hidden cuda_emulator_switch_stack
.type cuda_emulator_switch_stack, @function
cuda_emulator_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_emulator_switch_stack, .-cuda_emulator_switch_stack
)");

namespace cuda_emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t stack_bytes = std::size_t{512} << 10;  // instrumented frames are several times as large
#else
constexpr std::size_t stack_bytes = std::size_t{128} << 10;
#endif
constexpr std::size_t guard_bytes = 4096;

struct Registers {
  std::uint32_t mxcsr;
  std::uint16_t x87;
  std::uint16_t padding;
  std::uint64_t kept[6];
  void (*entry)();
  std::uint64_t end;  ///< where a caller's address would be: entry never returns
};

}  // namespace

void switch_context(Context& from, const Context& to, Context* caller) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  const void* left_bottom = nullptr;
  std::size_t left_size = 0;
  __sanitizer_start_switch_fiber(&fake_stack, to.bottom, to.size);
  cuda_emulator_switch_stack(&from.stack_pointer, to.stack_pointer);
  __sanitizer_finish_switch_fiber(fake_stack, &left_bottom, &left_size);
  if (caller != nullptr) {
    caller->bottom = left_bottom;
    caller->size = left_size;
  }
#else
  (void)caller;
  cuda_emulator_switch_stack(&from.stack_pointer, to.stack_pointer);
#endif
}

void begin_fiber(Context& caller) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &caller.bottom, &caller.size);
#else
  (void)caller;
#endif
}

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  void* memory = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  mprotect(memory, guard_bytes, PROT_NONE);
  memory_ = static_cast<std::byte*>(memory);
  context_.bottom = memory_ + guard_bytes;
  context_.size = stack_bytes;
  restart();
}

Fiber::~Fiber() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(memory_ + guard_bytes, stack_bytes);
#endif
  munmap(memory_, guard_bytes + stack_bytes);
}

void Fiber::restart() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(memory_ + guard_bytes, stack_bytes);
#endif
  auto* registers = reinterpret_cast<Registers*>(memory_ + guard_bytes + stack_bytes - sizeof(Registers));
  *registers = Registers{};
  asm volatile("stmxcsr %0" : "=m"(registers->mxcsr));
  asm volatile("fnstcw %0" : "=m"(registers->x87));
  registers->entry = entry_;
  context_.stack_pointer = registers;
}

}  // namespace cuda_emulator
