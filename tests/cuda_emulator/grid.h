// Runs the blocks of a grid, and of each block the threads: one after the other on one stack as long as none waits, on
// stacks of their own where they do. Private to the emulator.
#pragma once

#include <cuda_emulator/device_functions.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/cuda_emulator/fiber.h"
#include "tests/cuda_emulator/work.h"

namespace cuda_emulator {

/// What a thread of the block does.
enum class Phase : unsigned char {
  fresh,     ///< has not begun
  runs,      ///< the one that runs, or may go on
  barrier,   ///< waits for the block
  exchange,  ///< waits for lanes of its warp
  done
};

struct Lane {
  Phase phase = Phase::fresh;
  unsigned fiber = 0;  ///< where it stands, while it waits
  Where where{};
  // Of the barrier or exchange it waits for:
  Exchange kind{};
  Vote vote{};
  std::uint32_t mask = 0;
  std::uint32_t operand = 0;
  int width = 0;
  std::uint64_t value = 0;  ///< given, then got
};

/// The block that runs. There is one: everything happens under the device's lock.
class Grid {
 public:
  /// Runs the whole launch. Empty, or what went wrong inside.
  std::string run(const KernelWork& kernel);

  /// Another kernel may come to lie there.
  void forget(const void* function) { uses_shared_.erase(function); }

  // From inside a kernel:
  int barrier(Vote vote, bool predicate, Where where);
  std::uint64_t exchange(Exchange kind, std::uint32_t mask, std::uint64_t value, std::uint32_t operand, int width,
                         Where where);
  void pause(bool must);

 private:
  void run_block();
  void draw_order(std::vector<unsigned>& order);
  /// Makes a waiting thread one that may go on.
  void release(unsigned thread);
  /// Leaves the thread that runs for another; returns when somebody released it and its turn has come.
  void leave();
  bool choose_fresh();
  void resume(unsigned fiber);
  void begin_fresh();
  void thread_ended();
  void complete_barrier();
  void complete_exchange(unsigned first, std::uint32_t mask);
  /// Leaves the kernel for good, error_ says why. Nothing on the stack is destroyed, so nothing on it may own memory.
  [[noreturn]] void abandon();
  std::string describe_waiting() const;
  void enter(unsigned thread);
  static void fiber_main();

  const KernelWork* kernel_ = nullptr;
  unsigned threads_ = 0;
  std::vector<Lane> lanes_;
  std::vector<unsigned> order_;  ///< of the threads of a block
  std::size_t begun_ = 0;        ///< how many of order_ have begun
  std::vector<unsigned> ready_;  ///< threads that may go on, first ready_at_
  std::size_t ready_at_ = 0;
  unsigned done_ = 0;
  unsigned at_barrier_ = 0;
  unsigned current_ = 0;
  unsigned current_fiber_ = 0;
  std::unordered_map<const void*, bool> uses_shared_;  ///< of kernels that ran
  std::size_t failures_ = 0;  ///< attempts at atomics that failed since something else happened
  std::string error_;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<unsigned> free_fibers_;
  Context host_;
};

Grid& grid();

}  // namespace cuda_emulator
