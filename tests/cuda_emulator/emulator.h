// How tests steer the emulator, and ask it what it saw. Programs that only use CUDA need none of this: the same
// settings come from the environment.
//
//   TWINGRAD_EMULATOR_ORDER    forward (threads and blocks by number; default), reverse, or random:N with seed N
//   TWINGRAD_EMULATOR_STREAMS  deferred (queued work runs when somebody waits for it; default) or immediate
//   TWINGRAD_EMULATOR_MEMORY   bytes of device memory; default 8 GiB
//   TWINGRAD_EMULATOR_LEAKS    report: say at the end of the program what was never freed
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cuda_emulator {

enum class Order : std::uint8_t { forward, reverse, random };
enum class Streams : std::uint8_t { deferred, immediate };

/// The order in which threads of a block and blocks of a grid run, as far as barriers leave it open. A kernel whose
/// result depends on it has a race.
void set_order(Order order, std::uint64_t seed = 0);
void set_streams(Streams streams);

/// What the emulator saw when the sticky error came about; empty while there is none.
std::string last_fault();

/// What was made and not yet freed.
struct Outstanding {
  std::size_t device_allocations;
  std::size_t device_bytes;
  std::size_t host_allocations;
  std::size_t streams;
  std::size_t events;
  std::size_t graphs;  ///< and executable graphs
  std::size_t other;   ///< handles of cuBLASLt, modules
};
Outstanding outstanding();

/// Since the start: a measure of how much ran.
struct Counters {
  std::uint64_t kernels;
  std::uint64_t threads;
  std::uint64_t switches;  ///< from one thread of a block to another that had begun
  std::uint64_t products;  ///< of cuBLASLt
  std::uint64_t compilations;
};
Counters counters();

}  // namespace cuda_emulator
