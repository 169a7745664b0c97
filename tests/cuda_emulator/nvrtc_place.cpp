// Says where the emulated NVRTC is, unless the user has said so. The run path would lead there, too, but the address
// sanitizer opens libraries in the program's place and does not look along it: then an NVRTC of the machine would be
// found, whose kernels are for a GPU.
#include <cstdlib>

namespace {

__attribute__((constructor)) void name_nvrtc() {
  constexpr int keep = 0;
  setenv("TWINGRAD_NVRTC", CUDA_EMULATOR_NVRTC, keep);
}

}  // namespace
