#include "cuda/context.h"

#include "cuda/check.h"
#include "cuda/matmul_plans.h"
#include "cuda/matmul_tuner.h"

#include <twingrad/op.h>

#include <algorithm>

namespace twingrad::cuda {

Workspace::~Workspace() {
  for (void* block : blocks_) {
    (void)cudaFree(block);
  }
}

std::byte* Workspace::take(std::size_t bytes, std::string_view op) {
  if (bytes > size_ || blocks_.empty()) {
    const std::size_t wanted = std::max({bytes, 2 * size_, std::size_t{1} << 20});
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, wanted);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw OutOfMemoryError(std::string(op) + ": no " + std::to_string(wanted) +
                             " bytes of scratch memory on the GPU (" + std::to_string(size_) +
                             " held); release cached memory or use smaller tensors");
    }
    check(status, "cudaMalloc of scratch memory", op);
    blocks_.push_back(block);
    size_ = wanted;
  }
  return static_cast<std::byte*>(blocks_.back());
}

std::int64_t IndexPlaces::number(const KernelCall& call, const TensorView& index) {
  Place place{std::string(call.op->name), call.attributes.ints[0], index.shape};
  if (call.where.line() > 0) {
    place.op += " at " + to_string(call.where);
  }
  const std::string key = place.op + " axis " + std::to_string(place.axis) + " " + to_string(place.shape);
  const auto [entry, added] = numbers_.try_emplace(key, static_cast<std::int64_t>(places_.size()));
  if (added) {
    places_.push_back(std::move(place));
  }
  return entry->second;
}

std::string IndexPlaces::message(const IndexError& error) const {
  const Place& place = places_.at(static_cast<std::size_t>(error.place));
  Dims position = place.shape;
  std::int64_t rest = error.position;
  for (int axis = position.size() - 1; axis >= 0; --axis) {
    position[axis] = rest % place.shape[axis];
    rest /= place.shape[axis];
  }
  const std::string at = position.size() == 1 ? std::to_string(position[0]) : to_string(position);
  return place.op + ": index " + std::to_string(error.value) + " at position " + at + " is out of range; axis " +
         std::to_string(place.axis) + " takes 0 to " + std::to_string(error.limit - 1) + " (its length is " +
         std::to_string(error.limit) + ")";
}

Context::Context() = default;

Context::~Context() {
  if (stream != nullptr) {
    (void)cudaStreamSynchronize(stream);
  }
  (void)cudaFree(index_error);
  matmul_plans.reset();
  if (stream != nullptr) {
    (void)cudaStreamDestroy(stream);
  }
}

}  // namespace twingrad::cuda
