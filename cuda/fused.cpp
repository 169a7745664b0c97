#include "cuda/fused.h"

#include "cuda/check.h"
#include "cuda/fused_patterns.h"
#include "cuda/fused_plan.h"
#include "cuda/fused_text.h"

#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace twingrad::cuda {

/// One of the library's own kernels, or one that was compiled at run time.
struct FusedKernels::Loaded {
  FusedPattern pattern = nullptr;
#if CUDART_VERSION >= 12080
  cudaLibrary_t library = nullptr;
  cudaKernel_t kernel = nullptr;
#endif

  Loaded() = default;
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
#if CUDART_VERSION >= 12080
  ~Loaded() {
    if (library != nullptr) {
      (void)cudaLibraryUnload(library);
    }
  }

  cudaError_t queue(dim3 blocks, dim3 threads, void** arguments, cudaStream_t stream) const {
    return pattern != nullptr
               ? pattern(blocks, arguments, stream)
               : cudaLaunchKernel(reinterpret_cast<const void*>(kernel), blocks, threads, arguments, 0, stream);
  }
#else
  cudaError_t queue(dim3 blocks, dim3, void** arguments, cudaStream_t stream) const {
    return pattern(blocks, arguments, stream);
  }
#endif
};

namespace {

constexpr auto threads = static_cast<unsigned>(fused_threads);

/// The first toolkit whose runtime loads kernels from memory.
#if CUDART_VERSION >= 12080
constexpr bool loads_kernels = true;
#else
constexpr bool loads_kernels = false;
#endif

/// One chain, or several of one type as Merged<chain, members>.
class FusedKernel final : public PreparedKernel {
 public:
  FusedKernel(const std::vector<FusedPlan>& plans, std::size_t members, std::shared_ptr<FusedKernels::Loaded> kernel,
              std::string name, Context& context)
      : kernel_(std::move(kernel)), name_(std::move(name)), context_(context) {
    const std::size_t one = plans.front().arguments.size();
    const std::size_t head = members > 1 ? members * sizeof(unsigned) : 0;
    arguments_.resize(head + members * one);
    std::vector<unsigned> first_block(members, 0xffffffffU);
    std::int64_t blocks = 0;
    for (std::size_t i = 0; i < plans.size(); ++i) {
      const FusedPlan& plan = plans[i];
      const std::size_t start = head + i * one;
      std::memcpy(arguments_.data() + start, plan.arguments.data(), one);
      members_.push_back({start, plan.alignment});
      first_block[i] = static_cast<unsigned>(blocks);
      blocks += plan.blocks;
      if (blocks > 0x7fffffff) {
        throw ShapeError(name_ + ": a kernel over " + std::to_string(plan.count) +
                         " elements is beyond what one launch can do");
      }
    }
    std::memcpy(arguments_.data(), first_block.data(), head);
    blocks_ = dim3(static_cast<unsigned>(blocks));
  }

  void run(std::span<void* const> addresses, const std::source_location& /*where*/) override {
    check(cudaSetDevice(context_.device), "cudaSetDevice");
    for (const Member& member : members_) {
      const std::span<void* const> own = addresses.first(member.alignment.size());
      addresses = addresses.subspan(own.size());
      std::int64_t aligned = 1;
      for (std::size_t i = 0; i < own.size(); ++i) {
        aligned = reinterpret_cast<std::uintptr_t>(own[i]) % member.alignment[i] == 0 ? aligned : 0;
      }
      std::byte* const bytes = arguments_.data() + member.start;
      std::memcpy(bytes + aligned_position, &aligned, sizeof aligned);
      std::memcpy(bytes + data_position, own.data(), own.size_bytes());
    }
    void* arguments[] = {arguments_.data()};
    check(kernel_->queue(blocks_, dim3(threads), arguments, context_.stream), "launch of a fused kernel", name_);
  }

 private:
  struct Member {
    std::size_t start;  ///< of its arguments
    std::vector<std::size_t> alignment;
  };

  std::vector<std::byte> arguments_;
  std::vector<Member> members_;
  std::shared_ptr<FusedKernels::Loaded> kernel_;
  std::string name_;
  Context& context_;
  dim3 blocks_;
};

/// "exp + mul + sub"
std::string name_of(const Fusion& fusion) {
  std::string name;
  for (const Fusion::Part& part : fusion.parts) {
    name += (name.empty() ? "" : " + ") + std::string(part.call.op->name);
  }
  return name;
}

}  // namespace

std::string fused_source(const std::string& text) {
  return "#include \"cuda/fused_sums.cuh\"\n\nusing namespace twingrad;\nusing namespace twingrad::cuda::fused;\n\n"
         "using Chain = " +
         text + ";\n\nextern \"C\" __global__ void __launch_bounds__(threads) " + fused_entry +
         "(const __grid_constant__ Chain::Arguments arguments) {\n  Chain::run(arguments);\n}\n";
}

FusedKernels::FusedKernels(int capability) : capability_(capability), cache_(KernelCache::user_directory()) {}
FusedKernels::~FusedKernels() = default;

RuntimeCompiler& FusedKernels::compiler() const {
  if (compiler_ == nullptr) {
    compiler_ = std::make_unique<RuntimeCompiler>(capability_);
  }
  return *compiler_;
}

std::string FusedKernels::description() const {
  if (!loads_kernels) {
    return "fusion of common chains only: built with a CUDA toolkit older than 12.8";
  }
  if (!compiler().is_there()) {
    return "fusion of common chains only: " + compiler().description();
  }
  return "fusion by " + compiler().description() + ", kernels " +
         (cache_.directory().empty() ? "not kept" : "kept on disk");
}

std::unique_ptr<PreparedKernel> FusedKernels::fuse(const Fusion& fusion, Context& context) {
  std::optional<FusedPlan> plan = plan_fusion(fusion);
  if (!plan) {
    return nullptr;
  }
  std::shared_ptr<Loaded> kernel = find(plan->text, plan->exact);
  return kernel == nullptr ? nullptr
                           : std::make_unique<FusedKernel>(std::vector{*std::move(plan)}, 1, std::move(kernel),
                                                           name_of(fusion), context);
}

std::unique_ptr<PreparedKernel> FusedKernels::merge(std::span<const Fusion> fusions, Context& context) {
  std::vector<FusedPlan> plans;
  for (const Fusion& fusion : fusions) {
    std::optional<FusedPlan> plan = plan_fusion(fusion);
    if (!plan || (!plans.empty() && plan->text != plans.front().text)) {
      return nullptr;
    }
    plans.push_back(*std::move(plan));
  }
  const int members = most_merged(plans.front());
  if (static_cast<int>(plans.size()) > members) {
    return nullptr;
  }
  std::shared_ptr<Loaded> kernel = find(fused_text::merged(plans.front().text, members), plans.front().exact);
  return kernel == nullptr ? nullptr
                           : std::make_unique<FusedKernel>(plans, static_cast<std::size_t>(members), std::move(kernel),
                                                           name_of(fusions.front()), context);
}

std::shared_ptr<FusedKernels::Loaded> FusedKernels::find(const std::string& text, bool is_exact) {
  if (const auto known = kernels_.find(text); known != kernels_.end()) {
    return known->second;
  }
  std::shared_ptr<Loaded> kernel;
  if (const FusedPattern pattern = find_fused_pattern(text)) {
    kernel = std::make_shared<Loaded>();
    kernel->pattern = pattern;
  } else if (loads_kernels && compiler().is_there() && (is_exact || compiler().is_twin())) {
    kernel = compile(text);
  } else {
    return nullptr;
  }
  if (kernels_.size() >= capacity) {
    kernels_.clear();
  }
  return kernels_.emplace(text, std::move(kernel)).first->second;
}

std::shared_ptr<FusedKernels::Loaded> FusedKernels::compile([[maybe_unused]] const std::string& text) const {
#if CUDART_VERSION >= 12080
  const std::string source = fused_source(text);
  const std::string key = std::string(fused_headers_key()) + "\n" + compiler().key() + "\n" + source;
  std::optional<std::string> image = cache_.find(key);
  auto loaded = std::make_shared<Loaded>();
  const auto load = [&] {
    const cudaError_t status =
        cudaLibraryLoadData(&loaded->library, image->data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
    return status != cudaSuccess ? status : cudaLibraryGetKernel(&loaded->kernel, loaded->library, fused_entry);
  };
  if (image && load() == cudaSuccess) {
    return loaded;
  }
  (void)cudaGetLastError();  // a file that is whole and yet no kernel: as good as none
  image = compiler().compile(source, fused_headers());
  loaded = std::make_shared<Loaded>();
  check(load(), "loading a fused kernel (TWINGRAD_NVRTC=off runs without such kernels)");
  cache_.store(key, *image);
  return loaded;
#else
  return nullptr;
#endif
}

}  // namespace twingrad::cuda
