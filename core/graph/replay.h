// Which runs of a plan are one replay of a recording instead of kernels queued one by one. A recording holds addresses,
// so there is one for each set of addresses that the plan's runs come back to; run.cpp asks here for every run on a
// device that records.
//
//   Replays::Variant* variant = plan.replays.choose(plan, graph, memory);   // whose addresses this run can have again
//   ... memory is taken, the variant's blocks first ...
//   Replays::Variant& now = plan.replays.settle(plan, graph, memory, variant);
//
// Recordings hold no memory: the blocks go back to the device's cache after a run as ever, and the next run takes the
// same ones if they are free. When the cache gives memory back to the device, all recordings are dropped. A plan whose
// inputs or results lie elsewhere each time has these copied: inputs to fixed places before its kernels, results from
// there after them, by two kernels of the recording that read the addresses from the upload of the literals.
#pragma once

#include <twingrad/backend.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad {

struct Graph;
struct Plan;
class MemoryCache;

class Replays {
 public:
  /// The kernel that a family takes may depend on how its operands are aligned, up to this many bytes.
  static constexpr std::uintptr_t widest_access = 16;

  /// Words of a key: three blocks, then one per slot.
  static constexpr std::size_t arena = 0;
  static constexpr std::size_t literals = 1;
  static constexpr std::size_t places = 2;
  static constexpr std::size_t slots = 3;

  /// One set of addresses.
  struct Variant {
    std::vector<std::uintptr_t> key;  ///< see write_key() in replay.cpp
    bool seen = false;                ///< whether a run had it
    std::unique_ptr<Recording> recording;

    const void* at(std::size_t i) const { return reinterpret_cast<const void*>(key[i]); }
  };
  /// An input or result that is copied, since it lies elsewhere each time.
  struct Copied {
    std::size_t slot = 0;
    std::size_t first = 0;  ///< bytes of the slot that the plan reads or writes
    std::size_t bytes = 0;
    std::size_t offset = 0;  ///< bytes from the start of the fixed places
    bool result = false;
  };

  /// Whether the plan has so many kernels that a replay is quicker than queuing them.
  static bool is_worthwhile(const Plan& plan);

  /// The variant whose blocks are all free and whose inputs are where this run's are; nullptr when there is none.
  Variant* choose(const Plan& plan, const Graph& graph, const MemoryCache& memory);
  /// Where no variant was chosen, a block for word `i` of the key that another one had and that is free, or nullptr: so
  /// that runs come back to the same few sets of addresses soon.
  const void* familiar(std::size_t i, std::size_t bytes, const MemoryCache& memory) const;
  /// What this run has, its memory bound: `chosen`, or a variant that has not been seen before.
  Variant& settle(const Plan& plan, const Graph& graph, const MemoryCache& memory, Variant* chosen);
  /// Whether a recording of `variant` is to be made now.
  bool is_due(const Variant& variant) const;
  void count_recording() { ++recorded_; }
  void count_replay() { ++replayed_; }
  std::uint64_t replayed() const { return replayed_; }
  /// From now on kernels are queued one by one, because of `why`.
  void stop(std::string why);
  bool stopped() const { return !why_.empty(); }

  /// Inputs first, then results.
  const std::vector<Copied>& copied() const { return copied_; }
  std::size_t places_bytes() const { return places_bytes_; }
  bool is_copied(std::size_t slot) const { return slot < is_copied_.size() && is_copied_[slot] != 0; }

  /// What becomes of the plan's runs on a device that records, without a stop.
  std::string in_words(const Plan& plan) const;

 private:
  bool fits(const Variant& variant, const Plan& plan, const Graph& graph, const MemoryCache& memory) const;
  void write_key(const Plan& plan, const Graph& graph);
  void give_way(const Plan& plan);

  std::vector<Variant> variants_;    ///< the latest used first
  std::vector<std::uintptr_t> key_;  ///< of the run that is going on
  std::vector<Copied> copied_;
  std::vector<char> is_copied_;  ///< per slot; empty: none
  std::size_t places_bytes_ = 0;
  std::uint64_t returns_ = 0;  ///< MemoryCache::returns() when the variants were seen
  int misses_ = 0;             ///< runs in a row with addresses that were not seen before
  std::uint64_t recorded_ = 0;
  std::uint64_t replayed_ = 0;
  std::string why_;  ///< why nothing is recorded; empty: it is
};

}  // namespace twingrad
