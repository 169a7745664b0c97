// Family::matmul. float32 runs our own kernels (float32_gemm.h) or oneDNN's, whichever was measured to be faster at the
// shape; the 16-bit floats run oneDNN's where the processor has them and float32 elsewhere; float64 runs gemm.h.
#pragma once

#include <twingrad/backend.h>
#include <twingrad/error_model.h>
#include <twingrad/kernel_call.h>

#include <memory>
#include <string>

namespace twingrad::cpu {

class OnednnMatmul;

class Matmul {
 public:
  Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;
  ~Matmul();

  /// Throws DtypeError for integers, ShapeError for a layout that Family::matmul does not allow, and DeviceError where
  /// the CPU has no such product or oneDNN fails.
  void run(const KernelCall& call);

  /// The same with everything decided but the addresses. Refers to this object.
  std::unique_ptr<PreparedKernel> prepare(const KernelCall& call);

  /// A float32 product and relu, or relu_grad of a saved output in memory, as one kernel with the bits of the two;
  /// nullptr for any other fusion, and for relu_grad where oneDNN runs the product.
  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion);

  /// How the call's terms are summed; not known where oneDNN sums them.
  static SumOrder order(const KernelCall& call);

  /// "oneDNN 2.6.3".
  static std::string library();

 private:
  std::unique_ptr<OnednnMatmul> onednn_;  ///< what all products of one backend share
};

}  // namespace twingrad::cpu
