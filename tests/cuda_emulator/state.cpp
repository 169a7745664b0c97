#include "tests/cuda_emulator/state.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace cuda_emulator {
namespace {

[[noreturn]] void refuse(std::string_view variable, std::string_view value, std::string_view takes) {
  std::fprintf(stderr, "cuda emulator: %.*s is '%.*s'; it takes %.*s\n", static_cast<int>(variable.size()),
               variable.data(), static_cast<int>(value.size()), value.data(), static_cast<int>(takes.size()),
               takes.data());
  std::exit(EXIT_FAILURE);
}

bool parse(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

struct State {
  std::recursive_mutex lock;
  Settings settings;
  std::mt19937_64 engine;
  Counters counters{};
  Outstanding handles{};
  cudaError_t status = cudaSuccess;
  std::string fault;

  State() {
    if (const char* text = std::getenv("TWINGRAD_EMULATOR_ORDER")) {
      const std::string_view value = text;
      constexpr std::string_view random = "random:";
      std::uint64_t seed = 0;
      if (value == "reverse") {
        settings.order = Order::reverse;
      } else if (value.starts_with(random) && parse(value.substr(random.size()), seed)) {
        settings.order = Order::random;
        engine.seed(seed);
      } else if (value != "forward") {
        refuse("TWINGRAD_EMULATOR_ORDER", value, "forward, reverse or random:N");
      }
    }
    if (const char* text = std::getenv("TWINGRAD_EMULATOR_STREAMS")) {
      const std::string_view value = text;
      if (value == "immediate") {
        settings.streams = Streams::immediate;
      } else if (value != "deferred") {
        refuse("TWINGRAD_EMULATOR_STREAMS", value, "deferred or immediate");
      }
    }
    if (const char* text = std::getenv("TWINGRAD_EMULATOR_MEMORY")) {
      std::uint64_t bytes = 0;
      if (!parse(text, bytes)) {
        refuse("TWINGRAD_EMULATOR_MEMORY", text, "a number of bytes");
      }
      settings.memory = bytes;
    }
  }
};

/// Never destroyed: programs free device memory in destructors of their own that run late.
State& state() {
  static State* const the_state = new State;
  return *the_state;
}

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

std::recursive_mutex& device_lock() {
  return state().lock;
}
Settings& settings() {
  return state().settings;
}
std::mt19937_64& random_engine() {
  return state().engine;
}
Counters& mutable_counters() {
  return state().counters;
}
Outstanding& handle_counts() {
  return state().handles;
}

void set_fault(cudaError_t error, const std::string& what) {
  if (state().status == cudaSuccess) {
    state().status = error;
    state().fault = what;
  }
}
cudaError_t device_status() {
  return state().status;
}
void forget_fault() {
  state().status = cudaSuccess;
  state().fault.clear();
}

cudaError_t give(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) {
    last_error = error;
  }
  return error;
}

void set_order(Order order, std::uint64_t seed) {
  const std::lock_guard lock(device_lock());
  settings().order = order;
  random_engine().seed(seed);
}
void set_streams(Streams streams) {
  const std::lock_guard lock(device_lock());
  settings().streams = streams;
}
std::string last_fault() {
  const std::lock_guard lock(device_lock());
  return state().fault;
}
Counters counters() {
  const std::lock_guard lock(device_lock());
  return state().counters;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard lock(device_lock());
  return device_status() != cudaSuccess ? device_status() : last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
#define ERROR_TEXT(error, text) \
  ErrorText {                   \
    error, #error, text         \
  }
constexpr ErrorText error_texts[] = {
    ERROR_TEXT(cudaSuccess, "no error"),
    ERROR_TEXT(cudaErrorInvalidValue, "invalid argument"),
    ERROR_TEXT(cudaErrorMemoryAllocation, "out of memory"),
    ERROR_TEXT(cudaErrorInitializationError, "initialization error"),
    ERROR_TEXT(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR_TEXT(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    ERROR_TEXT(cudaErrorInvalidDeviceFunction, "invalid device function"),
    ERROR_TEXT(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR_TEXT(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR_TEXT(cudaErrorInvalidKernelImage, "device kernel image is invalid"),
    ERROR_TEXT(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR_TEXT(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    ERROR_TEXT(cudaErrorSymbolNotFound, "named symbol not found"),
    ERROR_TEXT(cudaErrorNotReady, "device not ready"),
    ERROR_TEXT(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR_TEXT(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR_TEXT(cudaErrorNotPermitted, "operation not permitted"),
    ERROR_TEXT(cudaErrorNotSupported, "operation not supported"),
    ERROR_TEXT(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR_TEXT(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    ERROR_TEXT(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences"),
    ERROR_TEXT(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    ERROR_TEXT(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ERROR_TEXT(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    ERROR_TEXT(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing one"),
    ERROR_TEXT(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
    ERROR_TEXT(cudaErrorStreamCaptureWrongThread, "attempt to end a stream capture from another thread"),
    ERROR_TEXT(cudaErrorGraphExecUpdateFailure,
               "the graph update was not performed: it had changes that cannot be made"),
    ERROR_TEXT(cudaErrorUnknown, "unknown error"),
};
#undef ERROR_TEXT

const ErrorText* find(cudaError_t error) {
  for (const ErrorText& entry : error_texts) {
    if (entry.error == error) {
      return &entry;
    }
  }
  return nullptr;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* entry = find(error);
  return entry == nullptr ? "unrecognized error code" : entry->name;
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* entry = find(error);
  if (entry == nullptr) {
    return "unrecognized error code";
  }
  thread_local std::string text;
  const std::lock_guard lock(device_lock());
  if (error == cudaSuccess || error != device_status()) {
    return entry->text;
  }
  text = std::string(entry->text) + " (emulator: " + last_fault() + ")";
  return text.c_str();
}
