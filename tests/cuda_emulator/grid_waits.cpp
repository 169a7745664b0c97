// Where threads of a block wait for one another: barriers, exchanges within a warp, and what is wrong when they never
// meet.
#include <algorithm>
#include <cstring>
#include <map>

#include "tests/cuda_emulator/grid.h"
#include "tests/cuda_emulator/state.h"

namespace cuda_emulator {
namespace {

constexpr unsigned warp_size = 32;

std::string text(Where where) {
  const std::string file = where.file;
  const std::size_t slash = file.find_last_of('/');
  return (slash == std::string::npos ? file : file.substr(slash + 1)) + ":" + std::to_string(where.line);
}

bool same(Where a, Where b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

std::string_view name(Exchange kind) {
  switch (kind) {
    case Exchange::index:
      return "__shfl_sync";
    case Exchange::up:
      return "__shfl_up_sync";
    case Exchange::down:
      return "__shfl_down_sync";
    case Exchange::across:
      return "__shfl_xor_sync";
    case Exchange::ballot:
      return "a vote of the warp";
    case Exchange::sync:
      return "__syncwarp";
  }
  return "?";
}

/// The lane that an exchange reads; the reader's own where CUDA says so.
unsigned source_lane(const Lane& lane, unsigned reader) {
  const auto width = static_cast<unsigned>(lane.width);
  const unsigned start = reader & ~(width - 1);
  const unsigned end = start + width;
  switch (lane.kind) {
    case Exchange::index:
      return start | (lane.operand & (width - 1));
    case Exchange::up:
      return reader < start + lane.operand ? reader : reader - lane.operand;
    case Exchange::down:
      return lane.operand >= end - reader ? reader : reader + lane.operand;
    case Exchange::across: {
      const unsigned source = reader ^ lane.operand;
      return source >= end ? reader : source;
    }
    case Exchange::ballot:
    case Exchange::sync:
      break;
  }
  return reader;
}

}  // namespace

int Grid::barrier(Vote vote, bool predicate, Where where) {
  Lane& lane = lanes_[current_];
  lane.where = where;
  lane.vote = vote;
  lane.value = predicate ? 1 : 0;
  lane.phase = Phase::barrier;
  failures_ = 0;
  if (++at_barrier_ == threads_) {
    complete_barrier();
  }
  leave();
  return static_cast<int>(lane.value);
}

void Grid::complete_barrier() {
  const Lane& first = lanes_[0];
  std::uint64_t count = 0;
  for (const Lane& lane : lanes_) {
    if (!same(lane.where, first.where)) {
      error_ = "divergent barriers: threads of one block wait at " + text(first.where) + " and at " + text(lane.where);
      abandon();
    }
    count += lane.value;
  }
  const std::uint64_t votes[] = {0, count, count == threads_ ? 1U : 0U, count > 0 ? 1U : 0U};
  at_barrier_ = 0;
  draw_order(order_);
  for (const unsigned thread : order_) {
    lanes_[thread].value = votes[static_cast<std::size_t>(lanes_[thread].vote)];
    release(thread);
  }
}

std::uint64_t Grid::exchange(Exchange kind, std::uint32_t mask, std::uint64_t value, std::uint32_t operand, int width,
                             Where where) {
  const unsigned warp = current_ / warp_size * warp_size;
  const unsigned me = current_ - warp;
  const auto at = [&] { return std::string(name(kind)) + " at " + text(where); };
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    error_ = at() + ": a width of " + std::to_string(width) + ", which is no power of two up to 32";
    abandon();
  }
  if ((mask >> me & 1U) == 0) {
    error_ = at() + ": lane " + std::to_string(me) + " is not in the mask that it gives";
    abandon();
  }
  Lane& lane = lanes_[current_];
  lane = Lane{Phase::exchange, current_fiber_, where, kind, lane.vote, mask, operand, width, value};
  failures_ = 0;
  bool complete = true;
  for (unsigned other = 0; other < warp_size; ++other) {
    if ((mask >> other & 1U) == 0) {
      continue;
    }
    const unsigned thread = warp + other;
    if (thread >= threads_ || lanes_[thread].phase == Phase::done) {
      error_ = at() + ": its mask names lane " + std::to_string(other) +
               (thread >= threads_ ? ", and the block has no such thread" : ", which has ended");
      abandon();
    }
    const Lane& theirs = lanes_[thread];
    complete = complete && theirs.phase == Phase::exchange && theirs.kind == kind && theirs.mask == mask &&
               theirs.width == width && same(theirs.where, where);
  }
  if (complete) {
    complete_exchange(warp, mask);
  }
  leave();
  return lane.value;
}

void Grid::complete_exchange(unsigned first, std::uint32_t mask) {
  std::uint64_t given[warp_size] = {};
  std::uint64_t ballot = 0;
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      given[lane] = lanes_[first + lane].value;
      ballot |= std::uint64_t{given[lane] != 0 ? 1U : 0U} << lane;
    }
  }
  for (unsigned i = 0; i < warp_size; ++i) {
    const unsigned lane = settings().order == Order::reverse ? warp_size - 1 - i : i;
    if ((mask >> lane & 1U) == 0) {
      continue;
    }
    Lane& reader = lanes_[first + lane];
    if (reader.kind == Exchange::ballot) {
      reader.value = ballot;
    } else {
      const unsigned source = source_lane(reader, lane);
      if ((mask >> source & 1U) == 0) {
        error_ = std::string(name(reader.kind)) + " at " + text(reader.where) + ": lane " + std::to_string(lane) +
                 " reads lane " + std::to_string(source) + ", which is not in the mask";
        abandon();
      }
      reader.value = given[source];
    }
    release(first + lane);
  }
}

std::string Grid::describe_waiting() const {
  std::map<std::string, unsigned> places;
  for (const Lane& lane : lanes_) {
    if (lane.phase == Phase::done) {
      ++places["have ended"];
    } else if (lane.phase == Phase::barrier) {
      ++places["wait for the block at " + text(lane.where)];
    } else {
      ++places["wait for their warp in " + std::string(name(lane.kind)) + " at " + text(lane.where)];
    }
  }
  std::string result = "the threads of a block never meet:";
  std::string_view separator = " ";
  for (const auto& [place, count] : places) {
    result += std::string(separator) + std::to_string(count) + " " + place;
    separator = ", ";
  }
  return result;
}

}  // namespace cuda_emulator
