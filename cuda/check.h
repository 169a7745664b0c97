// Turns every failed CUDA or cuBLAS call into a DeviceError that says which call, what the driver answered, and for
// which op. Used by all files of the CUDA backend.
//
//   check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
#pragma once

#include <twingrad/error.h>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <string>
#include <string_view>

namespace twingrad::cuda {

[[noreturn]] inline void fail(std::string_view what, std::string_view answer, std::string_view op) {
  std::string text = op.empty() ? std::string() : std::string(op) + ": ";
  text += what;
  text += " failed: ";
  text += answer;
  throw DeviceError(text);
}

/// `op` is the name of the op at work, empty where there is none.
inline void check(cudaError_t status, std::string_view what, std::string_view op = {}) {
  if (status == cudaSuccess) {
    return;
  }
  (void)cudaGetLastError();  // so that the next call does not report this one's error
  fail(what, std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status), op);
}

inline void check(cublasStatus_t status, std::string_view what, std::string_view op = {}) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    fail(what, std::string(cublasLtGetStatusName(status)) + ": " + cublasLtGetStatusString(status), op);
  }
}

}  // namespace twingrad::cuda
