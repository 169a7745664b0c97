#include "tests/cuda_emulator/grid.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "tests/cuda_emulator/shared_memory.h"
#include "tests/cuda_emulator/state.h"

namespace cuda_emulator {

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace {

/// So many failed attempts at an atomic in a row, with nothing else to run, are a wait without end.
constexpr std::size_t patience = 1'000'000;

}  // namespace

Grid& grid() {
  static Grid* const the_grid = new Grid;
  return *the_grid;
}

std::string Grid::run(const KernelWork& kernel) {
  kernel_ = &kernel;
  threads_ = kernel.block.x * kernel.block.y * kernel.block.z;
  gridDim = kernel.grid;
  blockDim = kernel.block;
  error_.clear();
  lanes_.resize(threads_);
  order_.resize(threads_);
  draw_order(order_);
  ++mutable_counters().kernels;
  const auto [known, is_new] = uses_shared_.try_emplace(kernel.function, true);
  const std::uint64_t blocks = std::uint64_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z;
  mutable_counters().threads += blocks * threads_;
  std::vector<unsigned> shuffled;
  if (settings().order == Order::random) {
    shuffled.resize(blocks);
    draw_order(shuffled);
  }
  for (std::uint64_t i = 0; i < blocks && error_.empty(); ++i) {
    std::uint64_t block = settings().order == Order::reverse ? blocks - 1 - i : i;
    if (!shuffled.empty()) {
      block = shuffled[i];
    }
    blockIdx.x = static_cast<unsigned>(block % kernel.grid.x);
    blockIdx.y = static_cast<unsigned>(block / kernel.grid.x % kernel.grid.y);
    blockIdx.z = static_cast<unsigned>(block / kernel.grid.x / kernel.grid.y);
    if (known->second) {
      spoil_shared_memory();
    }
    run_block();
    if (is_new && i == 0) {
      known->second = shared_memory_was_written();
    }
  }
  return error_;
}

void Grid::draw_order(std::vector<unsigned>& order) {
  std::iota(order.begin(), order.end(), 0U);
  if (settings().order == Order::reverse) {
    std::reverse(order.begin(), order.end());
  } else if (settings().order == Order::random) {
    std::shuffle(order.begin(), order.end(), random_engine());
  }
}

void Grid::run_block() {
  for (Lane& lane : lanes_) {
    lane.phase = Phase::fresh;
  }
  begun_ = 0;
  ready_.clear();
  ready_at_ = 0;
  done_ = 0;
  at_barrier_ = 0;
  failures_ = 0;
  while (done_ < threads_ && error_.empty()) {
    if (choose_fresh()) {
      begin_fresh();
    } else if (ready_at_ < ready_.size()) {
      if (settings().order == Order::random) {
        std::swap(ready_[ready_at_], ready_[ready_at_ + random_engine()() % (ready_.size() - ready_at_)]);
      }
      const unsigned thread = ready_[ready_at_++];
      if (ready_at_ == ready_.size()) {
        ready_.clear();
        ready_at_ = 0;
      }
      enter(thread);
      ++mutable_counters().switches;
      resume(lanes_[thread].fiber);
    } else {
      error_ = describe_waiting();
    }
  }
  if (!error_.empty()) {
    // Whoever stands somewhere in the kernel stays there: its stack is taken from under it.
    free_fibers_.clear();
    for (unsigned i = 0; i < fibers_.size(); ++i) {
      fibers_[i]->restart();
      free_fibers_.push_back(i);
    }
  }
}

bool Grid::choose_fresh() {
  if (begun_ == threads_) {
    return false;
  }
  if (settings().order != Order::random || ready_at_ == ready_.size()) {
    return true;
  }
  return random_engine()() % 2 == 0;
}

void Grid::begin_fresh() {
  if (free_fibers_.empty()) {
    free_fibers_.push_back(static_cast<unsigned>(fibers_.size()));
    fibers_.push_back(std::make_unique<Fiber>(&Grid::fiber_main));
  }
  const unsigned fiber = free_fibers_.back();
  free_fibers_.pop_back();
  resume(fiber);
}

void Grid::resume(unsigned fiber) {
  current_fiber_ = fiber;
  switch_context(host_, fibers_[fiber]->context(), nullptr);
}

void Grid::enter(unsigned thread) {
  current_ = thread;
  threadIdx.x = thread % blockDim.x;
  threadIdx.y = thread / blockDim.x % blockDim.y;
  threadIdx.z = thread / blockDim.x / blockDim.y;
}

/// A fiber's life: threads that have not begun, one after the other; then sleep until there are some again.
void Grid::fiber_main() {
  Grid& self = grid();
  begin_fiber(self.host_);
  const unsigned me = self.current_fiber_;
  for (;;) {
    while (self.begun_ < self.threads_) {
      const unsigned thread = self.order_[self.begun_++];
      self.enter(thread);
      self.lanes_[thread].phase = Phase::runs;
      self.kernel_->signature.call(self.kernel_->function, self.kernel_->arguments.places());
      self.thread_ended();
    }
    self.free_fibers_.push_back(me);
    switch_context(self.fibers_[me]->context(), self.host_, &self.host_);
  }
}

void Grid::thread_ended() {
  lanes_[current_].phase = Phase::done;
  ++done_;
  failures_ = 0;
}

void Grid::release(unsigned thread) {
  lanes_[thread].phase = Phase::runs;
  ready_.push_back(thread);
}

void Grid::leave() {
  lanes_[current_].fiber = current_fiber_;
  switch_context(fibers_[current_fiber_]->context(), host_, &host_);
}

void Grid::abandon() {
  Context nowhere;
  switch_context(nowhere, host_, &host_);
  std::abort();  // nobody comes back here
}

void Grid::pause(bool must) {
  if (must && ++failures_ > patience) {
    error_ = "a thread tries an atomic operation again and again, and nobody lets it succeed";
    abandon();
  }
  if (!must) {
    if (settings().order != Order::random || random_engine()() % 8 != 0) {
      return;
    }
  }
  release(current_);
  leave();
}

int block_barrier(Vote vote, bool predicate, Where where) {
  return grid().barrier(vote, predicate, where);
}
unsigned long long exchange(Exchange kind, unsigned mask, unsigned long long value, unsigned operand, int width,
                            Where where) {
  return grid().exchange(kind, mask, value, operand, width, where);
}
void pause_at_atomic() {
  grid().pause(false);
}
void pause_after_failure() {
  grid().pause(true);
}

}  // namespace cuda_emulator
