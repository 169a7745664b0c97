// Family::matmul. float32 and the 16-bit floats run oneDNN's matmul, whose compiled primitives are kept from call to
// call in a bounded cache; float64 runs gemm.h.
#pragma once

#include <twingrad/kernel_call.h>

#include <memory>
#include <string>

namespace twingrad::cpu {

class Matmul {
 public:
  Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;
  ~Matmul();

  /// Throws DtypeError for integers and ShapeError for a layout that Family::matmul does not allow.
  void run(const KernelCall& call);

  /// "oneDNN 2.6.3".
  static std::string library();

 private:
  class Primitives;
  std::unique_ptr<Primitives> primitives_;
};

}  // namespace twingrad::cpu
