// cuBLASLt's descriptors as the emulator keeps them inside the opaque structs, and its algorithms. Private to the
// emulator.
#pragma once

#include <cublasLt.h>

#include <cstring>
#include <type_traits>

namespace cuda_emulator {

struct Layout {
  std::uint64_t rows, columns;
  std::int64_t leading;
  std::int64_t batch_stride;
  std::int32_t type;
  std::int32_t order;
  std::int32_t batch;
  std::uint32_t mark;  ///< that it was initialised
};

struct Operation {
  std::int32_t compute, scale;
  std::int32_t pointer_mode;
  std::int32_t transposed_a, transposed_b;
  std::uint32_t epilogue;
  const void* bias;
  std::int64_t bias_batch_stride;
  std::int32_t bias_type;  ///< -1: that of d
  std::int32_t padding;
  void* mask;  ///< CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER
  std::int64_t mask_leading, mask_batch_stride;
  std::uint32_t mark;
};

struct Preference {
  std::uint64_t workspace_bytes;
  std::uint32_t search_mode;
  std::uint32_t reductions;
  std::uint32_t alignment[4];  ///< of a, b, c, d
  std::uint32_t mark;
};

/// The ways to add up a sum that the emulator offers. Every one has bits of its own.
enum class Summation : std::int32_t {
  vectors,     ///< four interleaved partial sums, and asks that all is aligned to 16 bytes
  sequential,  ///< one term after the other
  split        ///< halves of K, kept in the workspace and added at the end
};

struct Algorithm {
  Summation summation;
  std::int32_t splits;
  std::uint32_t alignment;  ///< bytes, of pointers, leading dimensions and batch strides
  std::uint32_t mark;
};

inline constexpr std::uint32_t initialised = 0x54474c54;

/// The struct inside an opaque one.
template <class Inside, class Opaque>
Inside open(const Opaque& opaque) {
  static_assert(sizeof(Inside) <= sizeof(Opaque) && std::is_trivially_copyable_v<Inside>);
  Inside inside;
  std::memcpy(&inside, &opaque, sizeof inside);
  return inside;
}
template <class Inside, class Opaque>
void close(Opaque& opaque, const Inside& inside) {
  static_assert(sizeof(Inside) <= sizeof(Opaque));
  std::memcpy(&opaque, &inside, sizeof inside);
}

/// One product as descriptors put it, checked.
struct Task {
  Operation operation;
  Layout a, b, c, d;
  std::uint64_t m, n, k;
};

std::size_t bytes_of(std::int32_t type);

/// Reads and checks the descriptors: sizes that fit each other, types that go together, what an epilogue needs.
cublasStatus_t make_task(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, Task& task);
/// Whether the algorithm can do it with memory aligned to `alignment` bytes (of a, b, c, d).
bool takes(const Algorithm& algorithm, const Task& task, const std::uint32_t (&alignment)[4]);
std::size_t workspace_of(const Algorithm& algorithm, const Task& task);
/// The algorithms for the task, the preferred one first.
cublasStatus_t choose(const Task& task, const Preference& preference, int most,
                      cublasLtMatmulHeuristicResult_t results[], int* found);
Preference default_preference();

bool has_bias(std::uint32_t epilogue);
bool writes_bias(std::uint32_t epilogue);
bool has_mask(std::uint32_t epilogue);

}  // namespace cuda_emulator

struct cublasLtContext {
  std::uint32_t mark = cuda_emulator::initialised;
};
