#include "cuda/runtime_compiler.h"

#include <twingrad/error.h>

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nvrtc.h>

#include <algorithm>
#include <cstdlib>

namespace twingrad::cuda {
namespace {

constexpr int built_with_major = CUDART_VERSION / 1000;
constexpr int built_with_minor = CUDART_VERSION % 1000 / 10;

/// dlopen() keeps the library until dlclose().
struct Closer {
  void operator()(void* library) const { (void)dlclose(library); }
};
using Handle = std::unique_ptr<void, Closer>;

template <class Function>
bool look_up(const Handle& handle, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(handle.get(), name));
  return function != nullptr;
}

}  // namespace

struct RuntimeCompiler::Library {
  Handle handle;
  decltype(nvrtcVersion)* version = nullptr;
  decltype(nvrtcGetErrorString)* error_string = nullptr;
  decltype(nvrtcGetNumSupportedArchs)* target_count = nullptr;
  decltype(nvrtcGetSupportedArchs)* targets = nullptr;
  decltype(nvrtcCreateProgram)* create = nullptr;
  decltype(nvrtcDestroyProgram)* destroy = nullptr;
  decltype(nvrtcCompileProgram)* compile = nullptr;
  decltype(nvrtcGetProgramLogSize)* log_size = nullptr;
  decltype(nvrtcGetProgramLog)* log = nullptr;
  decltype(nvrtcGetCUBINSize)* cubin_size = nullptr;
  decltype(nvrtcGetCUBIN)* cubin = nullptr;
  decltype(nvrtcGetPTXSize)* ptx_size = nullptr;
  decltype(nvrtcGetPTX)* ptx = nullptr;

  bool open(const std::string& name) {
    handle.reset(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
    return handle != nullptr && look_up(handle, "nvrtcVersion", version) &&
           look_up(handle, "nvrtcGetErrorString", error_string) &&
           look_up(handle, "nvrtcGetNumSupportedArchs", target_count) &&
           look_up(handle, "nvrtcGetSupportedArchs", targets) && look_up(handle, "nvrtcCreateProgram", create) &&
           look_up(handle, "nvrtcDestroyProgram", destroy) && look_up(handle, "nvrtcCompileProgram", compile) &&
           look_up(handle, "nvrtcGetProgramLogSize", log_size) && look_up(handle, "nvrtcGetProgramLog", log) &&
           look_up(handle, "nvrtcGetCUBINSize", cubin_size) && look_up(handle, "nvrtcGetCUBIN", cubin) &&
           look_up(handle, "nvrtcGetPTXSize", ptx_size) && look_up(handle, "nvrtcGetPTX", ptx);
  }

  void check(nvrtcResult result, const std::string& what) const {
    if (result != NVRTC_SUCCESS) {
      throw DeviceError(what + " failed: " + error_string(result));
    }
  }

  /// The GPU itself, or the newest one that its driver can take the PTX of. Empty where there is none.
  std::string target_for(int capability) const {
    int count = 0;
    check(target_count(&count), "nvrtcGetNumSupportedArchs");
    std::vector<int> known(static_cast<std::size_t>(count));
    check(targets(known.data()), "nvrtcGetSupportedArchs");
    if (std::find(known.begin(), known.end(), capability) != known.end()) {
      return "sm_" + std::to_string(capability);
    }
    int newest = 0;
    for (const int one : known) {
      newest = one < capability ? std::max(newest, one) : newest;
    }
    return newest == 0 ? std::string() : "compute_" + std::to_string(newest);
  }
};

RuntimeCompiler::RuntimeCompiler(int capability) {
  const char* wish = std::getenv("TWINGRAD_NVRTC");
  const std::string own = "libnvrtc.so." + std::to_string(built_with_major);
  std::vector<std::string> names{own, "libnvrtc.so"};
  if (wish != nullptr && *wish != '\0') {
    if (std::string(wish) == "off") {
      description_ = "no NVRTC (TWINGRAD_NVRTC=off)";
      return;
    }
    names = {wish};
  }
  auto library = std::make_unique<Library>();
  if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return library->open(name); })) {
    if (names.front() != own) {
      throw DeviceError("TWINGRAD_NVRTC=" + names.front() +
                        " is no NVRTC that can be loaded; give the path of libnvrtc.so, or off");
    }
    description_ = "no NVRTC (" + names.front() + " cannot be loaded)";
    return;
  }
  library->check(library->version(&major_, &minor_), "nvrtcVersion");
  const std::string version = "NVRTC " + std::to_string(major_) + "." + std::to_string(minor_);
  target_ = library->target_for(capability);
  if (target_.empty()) {
    description_ = "no NVRTC for this GPU (" + version + " is too new for it)";
    return;
  }
  library_ = std::move(library);
  description_ = version + " for " + target_;
  if (!is_twin()) {
    description_ += " (this library was compiled by " + std::to_string(built_with_major) + "." +
                    std::to_string(built_with_minor) + ", so chains of math functions run op by op)";
  }
}

RuntimeCompiler::~RuntimeCompiler() = default;

bool RuntimeCompiler::is_twin() const {
  return major_ == built_with_major && minor_ == built_with_minor;
}

std::vector<std::string> RuntimeCompiler::options() const {
  // Contraction is off as in all kernels of elementwise ops and updates: see sources.cmake. What has no execution space
  // is for the device, so that headers of the host can be read as they are.
  return {"--gpu-architecture=" + target_,
          "--std=c++20",
          "--fmad=false",
          "-default-device",
          "--device-int128",
          "-D__extension__=",
          "--disable-warnings"};
}

std::string RuntimeCompiler::key() const {
  std::string text = "nvrtc " + std::to_string(major_) + "." + std::to_string(minor_);
  for (const std::string& option : options()) {
    text += " " + option;
  }
  return text;
}

std::string RuntimeCompiler::compile(const std::string& text, const std::vector<Header>& headers) const {
  const Library& nvrtc = *library_;
  std::vector<const char*> names;
  std::vector<const char*> texts;
  for (const Header& header : headers) {
    names.push_back(header.name);
    texts.push_back(header.text);
  }
  nvrtcProgram program = nullptr;
  nvrtc.check(
      nvrtc.create(&program, text.c_str(), "fused.cu", static_cast<int>(headers.size()), texts.data(), names.data()),
      "nvrtcCreateProgram");
  const auto destroy = [&](nvrtcProgram* one) { (void)nvrtc.destroy(one); };
  const std::unique_ptr<nvrtcProgram, decltype(destroy)> owner(&program, destroy);

  const std::vector<std::string> list = options();
  std::vector<const char*> arguments;
  for (const std::string& option : list) {
    arguments.push_back(option.c_str());
  }
  const nvrtcResult result = nvrtc.compile(program, static_cast<int>(arguments.size()), arguments.data());
  if (result != NVRTC_SUCCESS) {
    std::size_t size = 0;
    std::string words;
    if (nvrtc.log_size(program, &size) == NVRTC_SUCCESS && size > 0) {
      words.resize(size);
      (void)nvrtc.log(program, words.data());
      words.resize(size - 1);
    }
    throw DeviceError("compiling a fused kernel with " + description_ + " failed: " + nvrtc.error_string(result) +
                      "; set TWINGRAD_NVRTC=off to run without such kernels, and report this:\n" + words + "\n" + text);
  }
  const bool is_ptx = target_.starts_with("compute_");
  std::size_t size = 0;
  nvrtc.check(is_ptx ? nvrtc.ptx_size(program, &size) : nvrtc.cubin_size(program, &size), "size of a compiled kernel");
  std::string image(size, '\0');
  nvrtc.check(is_ptx ? nvrtc.ptx(program, image.data()) : nvrtc.cubin(program, image.data()), "a compiled kernel");
  return image;
}

}  // namespace twingrad::cuda
