// Takes the place of the CUDA backend in a build without CUDA, and says so when a GPU is asked for.
#include <twingrad/backend.h>

namespace twingrad {

int cuda_backend_device_count() {
  return 0;
}

std::unique_ptr<Backend> make_cuda_backend(int index) {
  throw DeviceError("cuda:" + std::to_string(index) +
                    ": this build of twingrad has no CUDA. Install the CUDA Toolkit (12 or later, with cuBLAS) and "
                    "configure again with -DTWINGRAD_CUDA=ON");
}

}  // namespace twingrad
