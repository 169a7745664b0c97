// A fusion run part by part on a backend, as a kernel: what a device's own kernel must equal, and a stand-in for one on
// devices that have none.
#pragma once

#include <twingrad/backend.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace twingrad::tests {

/// Results that are not stored lie in memory of the host.
class PartsOneByOne final : public PreparedKernel {
 public:
  PartsOneByOne(Backend& backend, Fusion fusion) : backend_(backend), fusion_(std::move(fusion)) {}

  void run(std::span<void* const> addresses, const std::source_location& where) override {
    std::size_t next = 0;
    std::vector<void*> results;
    std::vector<std::unique_ptr<std::byte[]>> scratch;
    for (const Fusion::Part& part : fusion_.parts) {
      KernelCall call = part.call;
      for (std::size_t j = 0; j < call.inputs.size(); ++j) {
        call.inputs[j].data = part.from[j] < 0 ? addresses[next++] : results[static_cast<std::size_t>(part.from[j])];
      }
      if (part.stored) {
        call.output.data = addresses[next++];
      } else {
        const auto bytes = static_cast<std::size_t>(call.output.numel()) * size_of(call.output.dtype);
        scratch.push_back(std::make_unique<std::byte[]>(bytes));
        call.output.data = scratch.back().get();
      }
      results.push_back(call.output.data);
      call.where = where;
      backend_.run(call);
    }
  }

  /// How many addresses run() takes.
  std::size_t addresses() const {
    std::size_t count = 0;
    for (const Fusion::Part& part : fusion_.parts) {
      count += part.stored ? 1U : 0U;
      for (const int from : part.from) {
        count += from < 0 ? 1U : 0U;
      }
    }
    return count;
  }

 private:
  Backend& backend_;
  Fusion fusion_;
};

}  // namespace twingrad::tests
