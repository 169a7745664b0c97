// The CPU with recordings that ask the heap for nothing when they are replayed, so that what the core asks for shows;
// and that forget their last kernel on request, so that the checks can be seen to notice.
//
//   const Device device = register_backend(std::make_unique<tests::RecordingCpu>());
#pragma once

#include <twingrad/error.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/cpu_forwarding_backend.h"

namespace twingrad::tests {

class RecordingCpu final : public CpuForwardingBackend {
 public:
  std::string description() const override { return "the CPU, recording"; }
  bool records() const override { return true; }
  std::unique_ptr<PreparedKernel> prepare(const KernelCall& call) override {
    return std::make_unique<Kernel>(*this, cpu_->prepare(call));
  }
  std::unique_ptr<Recording> record(const std::function<void()>& queue) override {
    auto tape = std::make_unique<Tape>();
    recording_ = tape.get();
    queue();
    recording_ = nullptr;
    if (forgetful) {
      tape->pieces.pop_back();
    }
    return tape;
  }
  void copy_listed(const ListedCopy*, std::size_t, std::size_t) override {
    throw DeviceError("the recording CPU copies nothing by list");
  }

  bool forgetful = false;

 private:
  struct Tape final : Recording {
    struct Piece {
      PreparedKernel* kernel;
      std::vector<void*> addresses;
      std::source_location where;
    };
    void replay() override {
      for (const Piece& piece : pieces) {
        piece.kernel->run(piece.addresses, piece.where);
      }
    }
    std::size_t size() const override { return pieces.size(); }
    std::vector<Piece> pieces;
  };
  class Kernel final : public PreparedKernel {
   public:
    Kernel(RecordingCpu& backend, std::unique_ptr<PreparedKernel> kernel)
        : backend_(backend), kernel_(std::move(kernel)) {}
    void run(std::span<void* const> addresses, const std::source_location& where) override {
      if (backend_.recording_ != nullptr) {
        backend_.recording_->pieces.push_back({kernel_.get(), {addresses.begin(), addresses.end()}, where});
      } else {
        kernel_->run(addresses, where);
      }
    }

   private:
    RecordingCpu& backend_;
    std::unique_ptr<PreparedKernel> kernel_;
  };

  Tape* recording_ = nullptr;
};

}  // namespace twingrad::tests
