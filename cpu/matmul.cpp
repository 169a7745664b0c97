#include "cpu/matmul.h"

#include <twingrad/formulas.h>
#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/convert.h"
#include "cpu/families.h"
#include "cpu/float32_gemm.h"
#include "cpu/gemm.h"
#include "cpu/matmul_problem.h"
#include "cpu/onednn_matmul.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {

using float32::Activation;

namespace {

Float32Product product_of(const Problem& problem) {
  return {.m = problem.m,
          .n = problem.n,
          .k = problem.k,
          .a_row = problem.a.row,
          .a_column = problem.a.column,
          .b_row = problem.b.row,
          .b_column = problem.b.column};
}

/// Addresses as PreparedKernel::run() gets them: a, b, the bias if there is one, what an activation saved, the result.
struct Addresses {
  Addresses(std::span<void* const> all, bool with_bias, bool with_saved)
      : a(all[0]),
        b(all[1]),
        bias(with_bias ? all[2] : nullptr),
        saved(with_saved ? all[with_bias ? 3 : 2] : nullptr),
        c(all.back()) {}
  void* a;
  void* b;
  void* bias;
  void* saved;
  void* c;
};

/// Calls product(i) for every one of `count` products: one thread each when there are many, else all threads on each.
template <class Product>
void for_each_product(std::int64_t count, double nanoseconds, const Product& product) {
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      product(i);
    }
  };
  if (count == 1 || threads_for(count, nanoseconds) > count / 2) {
    some(0, count);
  } else {
    parallel_for(count, nanoseconds, some);
  }
}

/// Whether memory lies between the rows (or columns) of a matrix.
bool has_gaps(const MatrixLayout& layout, std::int64_t rows, std::int64_t columns) {
  return layout.column == 1 ? layout.row > columns : layout.column > rows;
}

/// oneDNN multiplies bfloat16 in pairs along K. Where K is odd and an operand has gaps, or there are several products,
/// it takes the last element of the operand twice and the second time times 0: an infinity there gives NaN.
bool is_wrong_in_pairs(const KernelCall& call, const Problem& problem) {
  return problem.dtype == Dtype::bf16 && problem.k % 2 == 1 &&
         (call.output.shape.size() > 2 || has_gaps(problem.a, problem.m, problem.k) ||
          has_gaps(problem.b, problem.k, problem.n));
}

double multiply_adds(const Problem& problem) {
  return static_cast<double>(problem.m) * static_cast<double>(problem.n) * static_cast<double>(problem.k);
}

class OwnFloat32 final : public PreparedKernel {
 public:
  OwnFloat32(const Batches& batches, Activation activation)
      : batches_(batches),
        gemm_(product_of(batches.problem), activation),
        with_saved_(activation == Activation::relu_grad) {}

  void run(std::span<void* const> addresses, const std::source_location&) override {
    const Addresses at(addresses, batches_.problem.bias, with_saved_);
    const auto multiply = [&](void* a, void* b, void* c) {
      gemm_.run({.a = static_cast<const float*>(a),
                 .b = static_cast<const float*>(b),
                 .bias = static_cast<const float*>(at.bias),
                 .saved = static_cast<const float*>(at.saved),
                 .c = static_cast<float*>(c)});
    };
    if (batches_.single()) {
      multiply(at.a, at.b, at.c);
      return;
    }
    const Problem& problem = batches_.problem;
    batches_.for_each(at.a, at.b, at.c, [&](void* a, void* b, void* c) {
      for_each_product(problem.batch, 0.01 * multiply_adds(problem), [&](std::int64_t i) {
        multiply(element(a, f32, i * problem.a.batch), element(b, f32, i * problem.b.batch),
                 element(c, f32, i * problem.m * problem.n));
      });
    });
  }

 private:
  Batches batches_;
  Float32Gemm gemm_;
  bool with_saved_;
};

class Float64 final : public PreparedKernel {
 public:
  explicit Float64(const Batches& batches) : batches_(batches) {}

  void run(std::span<void* const> addresses, const std::source_location&) override {
    const Problem& problem = batches_.problem;
    const Addresses at(addresses, problem.bias, false);
    batches_.for_each(at.a, at.b, at.c, [&](void* a, void* b, void* c) {
      for_each_product(problem.batch, 0.02 * multiply_adds(problem), [&](std::int64_t i) {
        Gemm::run(problem.m, problem.n, problem.k,
                  {static_cast<const double*>(a) + i * problem.a.batch, problem.a.row, problem.a.column},
                  {static_cast<const double*>(b) + i * problem.b.batch, problem.b.row, problem.b.column},
                  static_cast<const double*>(at.bias), static_cast<double*>(c) + i * problem.m * problem.n);
      });
    });
  }

 private:
  Batches batches_;
};

class ByOnednn final : public PreparedKernel {
 public:
  ByOnednn(const Batches& batches, Activation activation, OnednnMatmul& onednn, const Op& op)
      : batches_(batches), one_(batches.problem), activation_(activation), onednn_(onednn), op_(op) {
    // oneDNN has no negative strides: a reversed batch goes one by one.
    if (one_.a.batch < 0 || one_.b.batch < 0) {
      one_.batch = 1;
      one_.a.batch = one_.b.batch = 0;
    }
    work_ = one_.batch * one_.m * one_.n * one_.k;
    compile();
  }

  void run(std::span<void* const> addresses, const std::source_location&) override {
    const Addresses at(addresses, one_.bias, false);
    if (threads_for(work_, multiplication) != threads_) {
      compile();
    }
    try {
      if (threads_ == omp_get_max_threads()) {
        multiply(at);
      } else {
        const LimitThreads limit(threads_);
        multiply(at);
      }
    } catch (const dnnl::error& error) {
      fail(error);
    }
    if (activation_ == Activation::relu) {
      apply_relu(static_cast<float*>(at.c));
    }
  }

 private:
  /// Nanoseconds, times the five that waking threads for oneDNN is cheaper than parallel_for assumes.
  static constexpr double multiplication = 0.04;

  void compile() {
    threads_ = threads_for(work_, multiplication);
    try {
      product_ = onednn_.get(one_, threads_);
    } catch (const dnnl::error& error) {
      fail(error);
    }
  }

  [[noreturn]] void fail(const dnnl::error& error) const {
    throw DeviceError(std::string(op_.name) + ": oneDNN failed: " + error.what());
  }

  void multiply(const Addresses& at) {
    const Problem& problem = batches_.problem;
    batches_.for_each(at.a, at.b, at.c, [&](void* a, void* b, void* c) {
      for (std::int64_t i = 0; i < problem.batch; i += one_.batch) {
        product_->run(element(a, problem.dtype, i * problem.a.batch), element(b, problem.dtype, i * problem.b.batch),
                      at.bias, element(c, problem.dtype, i * problem.m * problem.n));
      }
    });
  }

  /// oneDNN's own relu turns NaN into 0.
  void apply_relu(float* c) const {
    parallel_for(batches_.problem.m * batches_.problem.n, 0.2, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        c[i] = formulas::Relu::apply(c[i], formulas::Parameters{});
      }
    });
  }

  Batches batches_;
  Problem one_;
  Activation activation_;
  OnednnMatmul& onednn_;
  const Op& op_;
  std::int64_t work_ = 0;
  int threads_ = 0;
  std::shared_ptr<OnednnProduct> product_;
};

/// The output for K = 0.
template <class T>
class Empty final : public PreparedKernel {
 public:
  explicit Empty(const KernelCall& call)
      : count_(call.output.numel()), columns_(call.output.shape.back()), bias_(call.inputs.size() == 3) {}

  void run(std::span<void* const> addresses, const std::source_location&) override {
    const Addresses at(addresses, bias_, false);
    T* out = static_cast<T*>(at.c);
    for (std::int64_t i = 0; i < count_; ++i) {
      out[i] = bias_ ? static_cast<const T*>(at.bias)[i % columns_] : static_cast<T>(compute_t<T>(0));
    }
  }

 private:
  std::int64_t count_;
  std::int64_t columns_;
  bool bias_;
};

/// A 16-bit product in float32: products of such numbers are exact there, so this rounds once, as a native one would.
template <class T>
class Widened final : public PreparedKernel {
 public:
  Widened(const KernelCall& call, Matmul& matmul) : inputs_(call.inputs), count_(call.output.numel()) {
    KernelCall wide = call;
    for (TensorView& view : wide.inputs) {
      view = widened(view);
    }
    wide.output.dtype = f32;
    product_ = matmul.prepare(wide);
    storage_.resize(inputs_.size() + 1);
  }

  void run(std::span<void* const> addresses, const std::source_location& where) override {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      widen(inputs_[i], static_cast<const T*>(addresses[i]), storage_[i]);
    }
    storage_.back().resize(static_cast<std::size_t>(count_));
    std::array<void*, 4> wide{};
    std::transform(storage_.begin(), storage_.end(), wide.begin(), [](std::vector<float>& one) { return one.data(); });
    product_->run(std::span(wide.data(), storage_.size()), where);
    T* out = static_cast<T*>(addresses.back());
    parallel_for(count_, 1.0, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        out[i] = convert<T>(storage_.back()[static_cast<std::size_t>(i)]);
      }
    });
  }

 private:
  /// What is stored of a view: one element along axes of stride 0.
  static Shape stored(const TensorView& view) {
    Shape shape = view.shape;
    for (int axis = 0; axis < view.shape.size(); ++axis) {
      shape[axis] = view.strides[axis] == 0 ? 1 : view.shape[axis];
    }
    return shape;
  }

  /// The view on the same elements in float32, contiguous but for axes of stride 0.
  static TensorView widened(const TensorView& view) {
    TensorView wide = view;
    wide.dtype = f32;
    wide.strides = contiguous_strides(stored(view));
    for (int axis = 0; axis < view.shape.size(); ++axis) {
      wide.strides[axis] = view.strides[axis] == 0 ? 0 : wide.strides[axis];
    }
    return wide;
  }

  static void widen(const TensorView& view, const T* from, std::vector<float>& to) {
    const StridedLoop<1> walk(stored(view), {&view.strides});
    to.resize(static_cast<std::size_t>(walk.numel()));
    parallel_for(walk.numel(), 1.0, [&](std::int64_t begin, std::int64_t end) {
      walk.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) {
          to[static_cast<std::size_t>(flat + i)] = static_cast<float>(from[offsets[0] + i * walk.inner_stride(0)]);
        }
      });
    });
  }

  std::vector<TensorView> inputs_;
  std::int64_t count_;
  std::unique_ptr<PreparedKernel> product_;
  std::vector<std::vector<float>> storage_;
};

/// The activation that a fusion's second part is of a float32 product in its first; none: it is something else.
Activation activation_of(const Fusion& fusion) {
  if (fusion.parts.size() != 2) {
    return Activation::none;
  }
  const Fusion::Part& product = fusion.parts[0];
  const Fusion::Part& next = fusion.parts[1];
  if (product.call.op->family != Family::matmul || product.stored || product.call.output.dtype != f32 ||
      !product.call.attributes.ints.empty() || next.call.op->family != Family::elementwise || !next.stored ||
      next.call.output.dtype != f32) {
    return Activation::none;
  }
  using formulas::Formulas;
  constexpr int relu = formulas::index_in<formulas::Relu, Formulas>::value;
  constexpr int relu_grad = formulas::index_in<formulas::ReluGrad, Formulas>::value;
  if (next.call.op->kernel == relu && next.from == std::vector<int>{0}) {
    return Activation::relu;
  }
  const bool masks = next.call.op->kernel == relu_grad && next.from == std::vector<int>{-1, 0};
  return masks && next.call.inputs[0].contiguous() ? Activation::relu_grad : Activation::none;
}

}  // namespace

Matmul::Matmul() : onednn_(std::make_unique<OnednnMatmul>()) {}
Matmul::~Matmul() = default;

void Matmul::run(const KernelCall& call) {
  std::array<void*, 4> addresses{};
  std::transform(call.inputs.begin(), call.inputs.end(), addresses.begin(),
                 [](const TensorView& view) { return view.data; });
  addresses.at(call.inputs.size()) = call.output.data;
  prepare(call)->run(std::span(addresses.data(), call.inputs.size() + 1), call.where);
}

std::unique_ptr<PreparedKernel> Matmul::prepare(const KernelCall& call) {
  const Dtype dtype = call.output.dtype;
  if (!is_floating(dtype)) {
    refuse_dtype(call, dtype);
  }
  if (dtype == f32 && !call.attributes.ints.empty()) {
    throw DeviceError(std::string(call.op->name) + ": asked for in TF32, and the CPU has none; take fp32 or bf16");
  }
  if (call.inputs[0].shape.back() == 0) {
    return visit(dtype,
                 [&]<class T>(Type<T>) -> std::unique_ptr<PreparedKernel> { return std::make_unique<Empty<T>>(call); });
  }
  const Batches batches = describe(call);
  if (dtype != f64 && dtype != f32 && (!onednn_->supports(dtype) || is_wrong_in_pairs(call, batches.problem))) {
    return visit(dtype, [&]<class T>(Type<T>) -> std::unique_ptr<PreparedKernel> {
      return std::make_unique<Widened<T>>(call, *this);
    });
  }
  if (dtype == f64) {
    return std::make_unique<Float64>(batches);
  }
  if (dtype == f32 && Float32Gemm::suits(product_of(batches.problem))) {
    return std::make_unique<OwnFloat32>(batches, Activation::none);
  }
  return std::make_unique<ByOnednn>(batches, Activation::none, *onednn_, *call.op);
}

std::unique_ptr<PreparedKernel> Matmul::fuse(const Fusion& fusion) {
  const Activation activation = activation_of(fusion);
  const KernelCall& call = fusion.parts.front().call;
  if (activation == Activation::none || call.inputs[0].shape.back() == 0) {
    return nullptr;
  }
  const Batches batches = describe(call);
  if (!batches.single()) {
    return nullptr;
  }
  const Float32Product product = product_of(batches.problem);
  if (Float32Gemm::suits(product)) {
    return Float32Gemm::suits(product, activation) ? std::make_unique<OwnFloat32>(batches, activation) : nullptr;
  }
  // oneDNN's product would be written over a saved output that shares its memory before that is read.
  return activation == Activation::relu ? std::make_unique<ByOnednn>(batches, activation, *onednn_, *call.op) : nullptr;
}

SumOrder Matmul::order(const KernelCall& call) {
  if (call.output.dtype == f32 && call.inputs[0].shape.back() > 0) {
    const Float32Product product = product_of(describe(call).problem);
    if (Float32Gemm::suits(product)) {
      return Float32Gemm(product).order();
    }
  }
  return {.known = false};
}

std::string Matmul::library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

}  // namespace twingrad::cpu
