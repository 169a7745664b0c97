#include "bench/step/systems.h"

#include <twingrad/error.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace stepbench {
namespace {

std::string binary(Program program) {
  switch (program) {
    case Program::twingrad:
      return "bench_system_twingrad";
    case Program::handwritten:
      return "bench_system_handwritten";
    case Program::libtorch:
      return "bench_system_libtorch";
    default:
      return "";
  }
}

std::string script(Program program) {
  return program == Program::torch ? "torch_step.py" : "jax_step.py";
}

/// Asks Python whether it finds the module, without the seconds that importing it takes.
bool python_has(const std::string& python, const std::string& module) {
  const std::string line = "'" + python + "' -c \"import importlib.util, sys; sys.exit(importlib.util.find_spec('" +
                           module + "') is None)\" >/dev/null 2>&1";
  return std::system(line.c_str()) == 0;
}

}  // namespace

const char* name(Role role) {
  constexpr const char* names[] = {"ours", "control", "limit", "peer"};
  return names[static_cast<int>(role)];
}

const std::vector<SystemSpec>& catalogue() {
  static const std::vector<SystemSpec> systems = {
      {.name = "twingrad",
       .role = Role::ours,
       .program = Program::twingrad,
       .mode = "plain",
       .description = "the plain training loop"},
      {.name = "twingrad-compile",
       .role = Role::ours,
       .program = Program::twingrad,
       .mode = "compile",
       .description = "compile(step): recorded once, replayed"},
      {.name = "twingrad-again",
       .role = Role::control,
       .program = Program::twingrad,
       .mode = "plain",
       .description = "the same once more: what differs is noise",
       .all_threads = true},
      {.name = "twingrad-unfused",
       .role = Role::control,
       .program = Program::twingrad,
       .mode = "unfused",
       .description = "planned, one kernel per op",
       .all_threads = true},
      {.name = "twingrad-uncaptured",
       .role = Role::control,
       .program = Program::twingrad,
       .mode = "uncaptured",
       .description = "planned, kernels queued one by one instead of one captured graph",
       .all_threads = true,
       .device = "cuda"},
      {.name = "twingrad-op-by-op",
       .role = Role::control,
       .program = Program::twingrad,
       .mode = "op-by-op",
       .description = "without plan, arena and in-place writes",
       .all_threads = true},
      {.name = "handwritten",
       .role = Role::limit,
       .program = Program::handwritten,
       .mode = "plain",
       .description = "plain C++ loops for this net alone",
       .one_thread = true,
       .work = "moons",
       .device = "cpu"},
      {.name = "libtorch",
       .role = Role::peer,
       .program = Program::libtorch,
       .mode = "adam",
       .description = "PyTorch from C++, torch::optim::Adam"},
      {.name = "libtorch-fused",
       .role = Role::peer,
       .program = Program::libtorch,
       .mode = "fused",
       .description = "PyTorch from C++, fused Adam kernel"},
      {.name = "torch-eager",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "eager",
       .description = "PyTorch, Adam as it comes"},
      {.name = "torch-eager-foreach",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "eager-foreach",
       .description = "PyTorch, Adam(foreach=True)"},
      {.name = "torch-eager-fused",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "eager-fused",
       .description = "PyTorch, Adam(fused=True)"},
      {.name = "torch-compile",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "compile",
       .description = "torch.compile of forward and loss, fused Adam"},
      {.name = "torch-compile-overhead",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "compile-overhead",
       .description = "the same with mode=\"reduce-overhead\": graphs of its own making",
       .device = "cuda"},
      {.name = "torch-compile-autotune",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "compile-autotune",
       .description = "torch.compile with mode=\"max-autotune\""},
      {.name = "torch-compile-step",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "compile-step",
       .description = "torch.compile of the whole step, Adam included"},
      {.name = "torch-graph",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "graph",
       .description = "PyTorch, the whole step captured by hand, one graph launch per step",
       .device = "cuda"},
      {.name = "torch-graph-epoch",
       .role = Role::peer,
       .program = Program::torch,
       .mode = "graph-epoch",
       .description = "PyTorch, the steps of all batches captured by hand in one graph",
       .device = "cuda"},
      {.name = "jax-jit",
       .role = Role::peer,
       .program = Program::jax,
       .mode = "jit",
       .description = "JAX, one jitted call per step, donated buffers"},
      {.name = "jax-scan",
       .role = Role::peer,
       .program = Program::jax,
       .mode = "scan",
       .description = "JAX, lax.scan: one call for all steps"},
  };
  return systems;
}

std::vector<SystemSpec> choose_systems(const std::vector<std::string>& names) {
  const std::vector<SystemSpec>& all = catalogue();
  for (const std::string& wanted : names) {
    if (std::none_of(all.begin(), all.end(), [&](const SystemSpec& spec) { return spec.name == wanted; })) {
      std::string known;
      for (const SystemSpec& spec : all) {
        known += (known.empty() ? "" : ", ") + spec.name;
      }
      throw twingrad::ArgumentError("there is no system '" + wanted + "'; there are " + known);
    }
  }
  std::vector<SystemSpec> chosen;
  for (const SystemSpec& spec : all) {
    if (names.empty() || std::find(names.begin(), names.end(), spec.name) != names.end()) {
      chosen.push_back(spec);
    }
  }
  return chosen;
}

std::string why_left_out(const SystemSpec& spec, const Places& places, const std::string& device) {
  if (!spec.device.empty() && spec.device != device) {
    return "it runs with --device " + spec.device + " alone";
  }
  if (const std::string file = binary(spec.program); !file.empty()) {
    const std::string path = places.binaries + "/" + file;
    if (std::filesystem::exists(path)) {
      return "";
    }
    return path + " is not built" +
           (spec.program == Program::libtorch ? "; configure with TWINGRAD_BENCH_TORCH=<folder of the torch package>"
                                              : "");
  }
  const std::string module = spec.program == Program::torch ? "torch" : "jax";
  if (places.python.empty()) {
    return "no Python was given (--python)";
  }
  return python_has(places.python, module) ? "" : places.python + " has no module " + module;
}

std::vector<std::string> command(const SystemSpec& spec, const Places& places, const std::string& work,
                                 const std::string& data, int threads, const std::string& device) {
  std::vector<std::string> words;
  if (const std::string file = binary(spec.program); !file.empty()) {
    words = {places.binaries + "/" + file};
  } else {
    words = {places.python, places.peers + "/" + script(spec.program)};
  }
  for (const std::string& word : {work, data, std::string("--mode"), spec.mode, std::string("--threads"),
                                  std::to_string(threads), std::string("--device"), device}) {
    words.push_back(word);
  }
  return words;
}

std::map<std::string, std::string> environment(int threads, const std::string& caches) {
  const std::string count = std::to_string(threads);
  return {{"OMP_NUM_THREADS", count},
          {"MKL_NUM_THREADS", count},
          {"OPENBLAS_NUM_THREADS", count},
          {"TORCHINDUCTOR_CACHE_DIR", caches + "/inductor"},
          {"TRITON_CACHE_DIR", caches + "/triton"},
          {"PYTHONDONTWRITEBYTECODE", "1"},
          // Else JAX takes most of a GPU's memory when it starts, and nobody else finds any.
          {"XLA_PYTHON_CLIENT_PREALLOCATE", "false"}};
}

}  // namespace stepbench
