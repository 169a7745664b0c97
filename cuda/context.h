// What the kernels of one device share: the stream all work is queued on, scratch memory, the cuBLASLt plans, and the
// record of the first index out of range. CudaBackend owns one; every family's entry point gets it.
#pragma once

#include <twingrad/kernel_call.h>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twingrad::cuda {

/// Scratch memory that only grows. Blocks that were outgrown are kept until the end: queued work or a captured graph
/// may still use them. Growth doubles, so they are never more than the block in use.
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace();

  /// At least `bytes`, aligned to 256. Valid for the kernels of one call: the next call gets the same memory. Throws
  /// OutOfMemoryError. Allocates only when it grows, so a call that ran once can be captured.
  std::byte* take(std::size_t bytes, std::string_view op);

 private:
  std::vector<void*> blocks_;
  std::size_t size_ = 0;
};

/// Cuts one workspace into aligned parts: first add() all of them, then take() the sum.
class Carver {
 public:
  /// Where a part of `bytes` starts.
  std::size_t add(std::size_t bytes) {
    const std::size_t start = size_;
    size_ += (bytes + 255) / 256 * 256;
    return start;
  }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_ = 0;
};

/// The first index out of range, as kernels write it. Lies in device memory, all zero when there is none.
struct IndexError {
  int lock;
  int found;
  std::int64_t launch;  ///< of the kernel that found it: a later launch does not replace an earlier one's
  std::int64_t place;   ///< IndexPlaces' number of the op and line
  std::int64_t position;
  std::int64_t value;
  std::int64_t limit;
};

/// Numbers for "which op, on which line, with which index": kernels can write a number, and the host knows what it
/// stands for.
class IndexPlaces {
 public:
  /// `index` is the call's index input.
  std::int64_t number(const KernelCall& call, const TensorView& index);
  /// "gather at model.cpp:12: index 7 at position (1, 2) is out of range; axis 0 takes 0 to 4 (its length is 5)".
  std::string message(const IndexError& error) const;

 private:
  struct Place {
    std::string op;
    std::int64_t axis;
    Shape shape;  ///< the index's
  };
  std::map<std::string, std::int64_t> numbers_;
  std::vector<Place> places_;
};

class MatmulPlans;
class MatmulTuner;

struct Context {
  int device = 0;
  cudaStream_t stream = nullptr;
  Workspace workspace;
  IndexError* index_error = nullptr;  ///< device memory
  IndexPlaces index_places;
  std::int64_t index_launches = 0;  ///< once above 0, synchronize() looks at index_error
  std::unique_ptr<MatmulPlans> matmul_plans;
  std::unique_ptr<MatmulTuner> matmul_tuner;  ///< nullptr: the heuristic's choices are taken

  Context();
  ~Context();
};

}  // namespace twingrad::cuda
