// Chains of elementwise ops and optimizer updates as one kernel: compiled with the library where the chain is a common
// one, else by NVRTC, once per structure, in memory and on disk. The backend's fuse() calls it.
#pragma once

#include "cuda/context.h"
#include "cuda/kernel_cache.h"
#include "cuda/runtime_compiler.h"

#include <twingrad/backend.h>

#include <map>
#include <memory>
#include <span>
#include <string>

namespace twingrad::cuda {

class FusedKernels {
 public:
  /// A kernel that is ready to be queued.
  struct Loaded;

  /// `capability`: 10 * major + minor of the GPU.
  explicit FusedKernels(int capability);
  ~FusedKernels();

  /// nullptr when a part is neither elementwise nor an update, when the chain is not among the compiled ones and there
  /// is no NVRTC, or one that may round its functions otherwise than the library does. Each part's bits are those of
  /// run_elementwise() and run_update(). Throws DeviceError when a kernel cannot be compiled or loaded, and what
  /// RuntimeCompiler throws.
  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion, Context& context);

  /// The same for several fusions whose kernels are of one type, as one kernel; nullptr where they are not, or are too
  /// many for its arguments.
  std::unique_ptr<PreparedKernel> merge(std::span<const Fusion> fusions, Context& context);

  /// "fusion by NVRTC 13.0 for sm_90, kernels kept on disk" or why chains are run op by op.
  std::string description() const;

 private:
  /// Beyond this the kernels are forgotten, all but those that plans hold.
  static constexpr std::size_t capacity = 1024;

  std::shared_ptr<Loaded> find(const std::string& text, bool is_exact);
  std::shared_ptr<Loaded> compile(const std::string& text) const;

  RuntimeCompiler& compiler() const;

  int capability_;
  mutable std::unique_ptr<RuntimeCompiler> compiler_;  // loaded when it is first asked for
  KernelCache cache_;
  std::map<std::string, std::shared_ptr<Loaded>> kernels_;  // by FusedPlan::text
};

/// The whole text that NVRTC is given for a kernel of type `text`; its name there is fused_entry.
std::string fused_source(const std::string& text);
inline constexpr const char* fused_entry = "twingrad_fused";

}  // namespace twingrad::cuda
