// The CUDA backend: one GPU, one stream, and one beside it for the copies of transfers. All other work is queued on the
// stream in order; only copy_to_host() and synchronize() wait. run() neither waits nor, once its scratch memory has
// grown to what a call needs, allocates, so a sequence of calls that ran once can be captured: record().
#include "cuda/check.h"
#include "cuda/families.h"
#include "cuda/fused.h"
#include "cuda/graph.h"
#include "cuda/index.h"
#include "cuda/matmul_plans.h"
#include "cuda/matmul_tuner.h"
#include "cuda/queue_mark.h"
#include "cuda/staging.h"
#include "cuda/transfer.h"

#include <twingrad/backend.h>
#include <twingrad/op.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace twingrad {
namespace cuda {
namespace {

/// Results up to this size come back through pinned memory, together with the index record.
constexpr std::size_t small_result_bytes = std::size_t{64} << 10;

/// Pinned memory that the device answers into.
struct Answer {
  IndexError index_error;
  std::byte result[small_result_bytes];
};

using Runner = void (*)(const KernelCall&, Context&);

void run_custom(const KernelCall& call, Context& context) {
  if (call.op->custom_cuda == nullptr) {
    throw DeviceError(std::string(call.op->name) +
                      ": this op has no CUDA kernel; set custom_cuda in its row or run it on the CPU");
  }
  call.op->custom_cuda(call, context.stream);
  check(cudaGetLastError(), "custom kernel", call.op->name);
}

/// The function that runs the op's family.
Runner runner_of(const Op& op) {
  switch (op.family) {
    case Family::view:
      throw DeviceError(std::string(op.name) + ": a view reached the CUDA backend; it has nothing to compute");
    case Family::elementwise:
      return &run_elementwise;
    case Family::update:
      return &run_update;
    case Family::reduce:
      return &run_reduce;
    case Family::arg_reduce:
      return &run_arg_reduce;
    case Family::scan:
      return &run_scan;
    case Family::matmul:
      return &run_matmul;
    case Family::rows:
      return &run_rows;
    case Family::index:
      return &run_index;
    case Family::random:
      return &run_random;
    case Family::copy:
      return &run_copy;
    case Family::custom:
      return &run_custom;
  }
  throw DeviceError(std::string(op.name) + ": unknown kernel family");
}

/// A call kept with its runner, its addresses set anew each time.
class PreparedCall final : public PreparedKernel {
 public:
  PreparedCall(const KernelCall& call, Context& context)
      : call_(call), runner_(runner_of(*call.op)), context_(context) {}

  void run(std::span<void* const> addresses, const std::source_location& where) override {
    check(cudaSetDevice(context_.device), "cudaSetDevice");
    for (std::size_t j = 0; j < call_.inputs.size(); ++j) {
      call_.inputs[j].data = addresses[j];
    }
    call_.output.data = addresses.back();
    call_.where = where;
    runner_(call_, context_);
  }

 private:
  KernelCall call_;
  Runner runner_;
  Context& context_;
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index) {
    context_.device = index;
    check(cudaSetDevice(index), "cudaSetDevice");
    check(cudaGetDeviceProperties(&properties_, index), "cudaGetDeviceProperties");
    check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    void* memory = nullptr;
    check(cudaMalloc(&memory, sizeof(IndexError)), "cudaMalloc of the index record");
    context_.index_error = static_cast<IndexError*>(memory);
    check(cudaMemsetAsync(memory, 0, sizeof(IndexError), context_.stream), "cudaMemsetAsync");
    check(cudaMallocHost(&memory, sizeof(Answer)), "cudaMallocHost");
    answer_ = static_cast<Answer*>(memory);
    context_.matmul_plans = std::make_unique<MatmulPlans>();
    if (const char* path = std::getenv("TWINGRAD_PRODUCT_CHOICES"); path != nullptr && *path != '\0') {
      context_.matmul_tuner = std::make_unique<MatmulTuner>(path, properties_.name);
    }
    staging_ = std::make_unique<Staging>(context_.stream);
    fused_ = std::make_unique<FusedKernels>(10 * properties_.major + properties_.minor);
  }
  ~CudaBackend() override {
    (void)cudaSetDevice(context_.device);
    (void)cudaStreamSynchronize(context_.stream);
    staging_.reset();
    (void)cudaFreeHost(answer_);
    if (copies_ != nullptr) {
      (void)cudaStreamDestroy(copies_);
    }
  }

  std::string description() const override {
    int driver = 0;
    int runtime = 0;
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    char text[512];
    std::snprintf(text, sizeof text, "%s, %.1f GiB, compute capability %d.%d, CUDA driver %d.%d, runtime %d.%d",
                  properties_.name, static_cast<double>(properties_.totalGlobalMem) / (1024.0 * 1024.0 * 1024.0),
                  properties_.major, properties_.minor, driver / 1000, driver % 1000 / 10, runtime / 1000,
                  runtime % 1000 / 10);
    const std::string products =
        context_.matmul_tuner == nullptr ? "" : ", products measured, choices in " + context_.matmul_tuner->path();
    return std::string(text) + ", " + fused_->description() + products;
  }

  void* allocate(std::size_t bytes) override {
    enter();
    refuse_while_recording("an allocation");
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      return nullptr;
    }
    check(status, "cudaMalloc");
    return memory;
  }

  // cudaFree waits for work that is queued; what it could report was or will be reported by the call that failed.
  void deallocate(void* memory, std::size_t) noexcept override {
    (void)cudaSetDevice(context_.device);
    (void)cudaFree(memory);
  }

  void copy_from_host(void* target, const void* source, std::size_t bytes) override {
    enter();
    refuse_while_recording("a copy from the host");
    staging_->copy_from_host(target, source, bytes);
  }

  void copy_to_host(void* target, const void* source, std::size_t bytes) override {
    enter();
    refuse_while_recording("a copy to the host");
    const bool small = bytes <= small_result_bytes;
    void* landing = small ? answer_->result : target;
    if (bytes > 0) {
      check(cudaMemcpyAsync(landing, source, bytes, cudaMemcpyDeviceToHost, context_.stream),
            "cudaMemcpyAsync to the host");
    }
    wait();
    if (small && bytes > 0) {
      std::memcpy(target, landing, bytes);
    }
  }

  void copy(void* target, const void* source, std::size_t bytes) override {
    enter();
    if (bytes > 0) {
      check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, context_.stream),
            "cudaMemcpyAsync on the device");
    }
  }

  std::unique_ptr<Transfer> make_transfer(std::size_t bytes) override {
    enter();
    refuse_while_recording("an allocation");
    if (copies_ == nullptr) {
      check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }
    return std::make_unique<PinnedTransfer>(context_.device, context_.stream, copies_, bytes);
  }

  void run(const KernelCall& call) override {
    enter();
    runner_of (*call.op)(call, context_);
  }

  std::unique_ptr<PreparedKernel> prepare(const KernelCall& call) override {
    if (call.op->family == Family::elementwise) {
      return prepare_elementwise(call, context_);
    }
    return std::make_unique<PreparedCall>(call, context_);
  }

  bool records() const override { return true; }

  std::unique_ptr<Recording> record(const std::function<void()>& queue) override {
    enter();
    refuse_while_recording("a recording");
    // Once outside, so that its kernel is loaded.
    seal_index_record(context_);
    const std::int64_t checks = context_.index_launches;
    StreamCapture capture(context_.stream);
    const RecordingMark mark(recording_);
    queue();
    if (context_.index_launches != checks) {
      seal_index_record(context_);
    }
    return std::make_unique<GraphRecording>(capture.end(), context_.device, context_.stream);
  }

  void copy_listed(const ListedCopy* list, std::size_t count, std::size_t longest) override {
    enter();
    run_listed_copies(list, count, longest, context_);
  }

  std::unique_ptr<QueueMark> mark() override {
    enter();
    refuse_while_recording("a mark");
    return std::make_unique<EventMark>(context_.device, context_.stream);
  }

  std::unique_ptr<PreparedKernel> fuse(const Fusion& fusion) override {
    enter();
    return fusion.parts.front().call.op->family == Family::matmul ? fuse_product(fusion, context_)
                                                                  : fused_->fuse(fusion, context_);
  }

  bool merges() const override { return true; }

  std::unique_ptr<PreparedKernel> merge(std::span<const Fusion> fusions) override {
    enter();
    return fused_->merge(fusions, context_);
  }

  ErrorModel error_model(const KernelCall& call) const override { return cuda::error_model(call); }

  void synchronize() override {
    enter();
    refuse_while_recording("a wait");
    wait();
  }

 private:
  /// The current device is the thread's: another backend or the user may have changed it.
  void enter() const { check(cudaSetDevice(context_.device), "cudaSetDevice"); }

  /// True while it lives.
  class RecordingMark {
   public:
    explicit RecordingMark(bool& mark) : mark_(mark) { mark_ = true; }
    RecordingMark(const RecordingMark&) = delete;
    RecordingMark& operator=(const RecordingMark&) = delete;
    ~RecordingMark() { mark_ = false; }

   private:
    bool& mark_;
  };

  void refuse_while_recording(std::string_view what) const {
    if (recording_) {
      throw DeviceError(std::string(what) + " while work is recorded: only kernels and copies on the device can be");
    }
  }

  void wait() {
    const bool looks = context_.index_launches > 0;
    if (looks) {
      check(cudaMemcpyAsync(&answer_->index_error, context_.index_error, sizeof(IndexError), cudaMemcpyDeviceToHost,
                            context_.stream),
            "cudaMemcpyAsync of the index record");
    }
    check(cudaStreamSynchronize(context_.stream), "cudaStreamSynchronize");
    if (!looks || answer_->index_error.found == 0) {
      return;
    }
    check(cudaMemsetAsync(context_.index_error, 0, sizeof(IndexError), context_.stream), "cudaMemsetAsync");
    throw NumericError(context_.index_places.message(answer_->index_error));
  }

  Context context_;
  cudaDeviceProp properties_{};
  Answer* answer_ = nullptr;
  cudaStream_t copies_ = nullptr;  ///< of transfers; made with the first
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<FusedKernels> fused_;
  bool recording_ = false;
};

}  // namespace
}  // namespace cuda

int cuda_backend_device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    (void)cudaGetLastError();  // no driver, or none that is new enough: no device
    return 0;
  }
  return count;
}

std::unique_ptr<Backend> make_cuda_backend(int index) {
  const int count = cuda_backend_device_count();
  if (index < 0 || index >= count) {
    throw DeviceError("cuda:" + std::to_string(index) + " is not there: the CUDA driver shows " +
                      std::to_string(count) + " device(s)");
  }
  return std::make_unique<cuda::CudaBackend>(index);
}

}  // namespace twingrad
