// The test binary's operator new counts what a test asks it to. It stands in a file of its own, so that the compiler
// does not see through it.
//
//   EXPECT_EQ(allocations_of([&] { step(x, y); }), 0);
#pragma once

namespace twingrad::tests {

/// False under the sanitizers, whose heap it is then.
bool heap_is_counted();
/// From now on allocations of this thread are counted, from 0.
void start_counting();
/// How many there were.
long stop_counting();

/// What `run` asks the heap for on this thread.
template <class Run>
long allocations_of(const Run& run) {
  start_counting();
  run();
  return stop_counting();
}

}  // namespace twingrad::tests
