// The emulated NVRTC: programs and what becomes of them. A library of its own, which is loaded by name as NVRTC is.
#include <nvrtc.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

#include "tests/cuda_emulator/nvrtc/compile.h"

#include <cuda_runtime_api.h>

using namespace cuda_emulator;

struct _nvrtcProgram {
  Source source;
  Compiled compiled;
  bool is_compiled = false;
};

namespace {

constexpr int architectures[] = {75, 80, 86, 89, 90, 100, 120};

bool is_architecture(std::string_view text) {
  return std::any_of(std::begin(architectures), std::end(architectures), [&](int one) {
    return text == "sm_" + std::to_string(one) || text == "compute_" + std::to_string(one);
  });
}

/// The rest of `option` behind `name` and "=", or nothing.
bool value_of(std::string_view option, std::string_view name, std::string_view& value) {
  if (!option.starts_with(name) || option.size() <= name.size() || option[name.size()] != '=') {
    return false;
  }
  value = option.substr(name.size() + 1);
  return true;
}

/// Adds what NVRTC's option means to the host's compiler. False for one that NVRTC, or the emulator, does not know.
bool translate(std::string_view option, std::vector<std::string>& flags) {
  std::string_view value;
  if (value_of(option, "--gpu-architecture", value) || value_of(option, "-arch", value)) {
    return is_architecture(value);
  }
  if (value_of(option, "--std", value) || value_of(option, "-std", value)) {
    flags.push_back("-std=" + std::string(value));
    return value == "c++17" || value == "c++20";
  }
  if (value_of(option, "--fmad", value) || value_of(option, "-fmad", value)) {
    return value == "true" || value == "false";  // no contraction here in either case
  }
  if (option.starts_with("-D") && option.size() > 2) {
    flags.emplace_back(option);
    return true;
  }
  constexpr std::string_view without_meaning[] = {"-default-device",    "--device-as-default-execution-space",
                                                  "--device-int128",    "-device-int128",
                                                  "--disable-warnings", "-w",
                                                  "-lineinfo",          "--generate-line-info"};
  return std::find(std::begin(without_meaning), std::end(without_meaning), option) != std::end(without_meaning);
}

nvrtcResult copy_size(nvrtcProgram program, std::size_t* bytes) {
  if (program == nullptr || !program->is_compiled || program->compiled.image.empty()) {
    return NVRTC_ERROR_INVALID_PROGRAM;
  }
  *bytes = program->compiled.image.size();
  return NVRTC_SUCCESS;
}
nvrtcResult copy_image(nvrtcProgram program, char* image) {
  std::size_t bytes = 0;
  const nvrtcResult result = copy_size(program, &bytes);
  if (result == NVRTC_SUCCESS) {
    std::memcpy(image, program->compiled.image.data(), bytes);
  }
  return result;
}

}  // namespace

const char* nvrtcGetErrorString(nvrtcResult result) {
  switch (result) {
    case NVRTC_SUCCESS:
      return "NVRTC_SUCCESS";
    case NVRTC_ERROR_OUT_OF_MEMORY:
      return "NVRTC_ERROR_OUT_OF_MEMORY";
    case NVRTC_ERROR_PROGRAM_CREATION_FAILURE:
      return "NVRTC_ERROR_PROGRAM_CREATION_FAILURE";
    case NVRTC_ERROR_INVALID_INPUT:
      return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_ERROR_INVALID_PROGRAM:
      return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_ERROR_INVALID_OPTION:
      return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_ERROR_COMPILATION:
      return "NVRTC_ERROR_COMPILATION";
    case NVRTC_ERROR_BUILTIN_OPERATION_FAILURE:
      return "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE";
    case NVRTC_ERROR_INTERNAL_ERROR:
      return "NVRTC_ERROR_INTERNAL_ERROR";
  }
  return "NVRTC_ERROR unknown";
}

nvrtcResult nvrtcVersion(int* major, int* minor) {
  *major = CUDART_VERSION / 1000;
  *minor = CUDART_VERSION % 1000 / 10;
  return NVRTC_SUCCESS;
}
nvrtcResult nvrtcGetNumSupportedArchs(int* count) {
  *count = static_cast<int>(std::size(architectures));
  return NVRTC_SUCCESS;
}
nvrtcResult nvrtcGetSupportedArchs(int* supported) {
  std::copy(std::begin(architectures), std::end(architectures), supported);
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram* program, const char* text, const char* name, int header_count,
                               const char* const* headers, const char* const* header_names) {
  if (program == nullptr || text == nullptr || header_count < 0) {
    return NVRTC_ERROR_INVALID_INPUT;
  }
  *program = new _nvrtcProgram;
  (*program)->source.name = name == nullptr ? "default_program" : name;
  (*program)->source.text = text;
  for (int i = 0; i < header_count; ++i) {
    (*program)->source.headers.emplace_back(header_names[i], headers[i]);
  }
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
  if (program == nullptr || *program == nullptr) {
    return NVRTC_ERROR_INVALID_PROGRAM;
  }
  delete *program;
  *program = nullptr;
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int option_count, const char* const* options) {
  if (program == nullptr) {
    return NVRTC_ERROR_INVALID_PROGRAM;
  }
  std::vector<std::string> flags;
  for (int i = 0; i < option_count; ++i) {
    if (!translate(options[i], flags)) {
      program->compiled.log = "unrecognized option " + std::string(options[i]);
      return NVRTC_ERROR_INVALID_OPTION;
    }
  }
  program->compiled = compile(program->source, flags);
  program->is_compiled = true;
  return program->compiled.image.empty() ? NVRTC_ERROR_COMPILATION : NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram program, std::size_t* bytes) {
  *bytes = program->compiled.log.size() + 1;
  return NVRTC_SUCCESS;
}
nvrtcResult nvrtcGetProgramLog(nvrtcProgram program, char* log) {
  std::memcpy(log, program->compiled.log.c_str(), program->compiled.log.size() + 1);
  return NVRTC_SUCCESS;
}
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, std::size_t* bytes) {
  return copy_size(program, bytes);
}
nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* image) {
  return copy_image(program, image);
}
nvrtcResult nvrtcGetPTXSize(nvrtcProgram program, std::size_t* bytes) {
  return copy_size(program, bytes);
}
nvrtcResult nvrtcGetPTX(nvrtcProgram program, char* image) {
  return copy_image(program, image);
}
