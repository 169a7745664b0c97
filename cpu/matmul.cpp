#include "cpu/matmul.h"

#include <twingrad/op.h>
#include <dnnl.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cpu/convert.h"
#include "cpu/families.h"
#include "cpu/gemm.h"
#include "cpu/parallel.h"
#include "cpu/strided.h"

namespace twingrad::cpu {
namespace {

/// One operand's matrices: strides of a row, a column and of the innermost batch axis.
struct Layout {
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::int64_t batch = 0;
  friend auto operator<=>(const Layout&, const Layout&) = default;
};

/// What a primitive is compiled for.
struct Problem {
  Dtype dtype = Dtype::f32;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;
  Layout a, b;
  bool bias = false;
  friend auto operator<=>(const Problem&, const Problem&) = default;
};

/// The matrix layout of a view's last two axes, with the strides of axes of length 1 made regular.
Layout layout_of(const KernelCall& call, const TensorView& view) {
  const int last = view.shape.size() - 1;
  const std::int64_t rows = view.shape[last - 1];
  const std::int64_t columns = view.shape[last];
  const std::int64_t row = view.strides[last - 1];
  const std::int64_t column = view.strides[last];
  if ((columns == 1 || column == 1) && (rows == 1 || row >= columns)) {
    return {.row = rows == 1 ? columns : row, .column = 1, .batch = 0};
  }
  if ((rows == 1 || row == 1) && (columns == 1 || column >= rows)) {
    return {.row = 1, .column = columns == 1 ? rows : column, .batch = 0};
  }
  throw ShapeError(std::string(call.op->name) + ": a matrix of shape " + to_string(view.shape) + " with strides " +
                   to_string(view.strides) + " is neither row-major nor column-major; copy it first");
}

dnnl::memory::data_type data_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return dnnl::memory::data_type::bf16;
    case Dtype::f16:
      return dnnl::memory::data_type::f16;
    default:
      return dnnl::memory::data_type::f32;
  }
}

std::byte* element(void* data, Dtype dtype, std::int64_t offset) {
  return static_cast<std::byte*>(data) + offset * static_cast<std::int64_t>(size_of(dtype));
}

/// The axes before the last two.
Dims batch_axes(const Dims& dims) {
  return Dims(std::span(dims.begin(), static_cast<std::size_t>(dims.size() - 2)));
}

/// calls product(problem, a's, b's and the output's first element) for every innermost batch axis. Batch axes that
/// can be merged are; a batch against one matrix b becomes more rows of a.
template <class Product>
void for_each_batch(const KernelCall& call, const Product& product) {
  const TensorView& a = call.inputs[0];
  const TensorView& b = call.inputs[1];
  const int last = call.output.shape.size() - 1;
  Problem problem{.dtype = call.output.dtype,
                  .m = call.output.shape[last - 1],
                  .n = call.output.shape[last],
                  .k = a.shape[last],
                  .batch = 1,
                  .a = layout_of(call, a),
                  .b = layout_of(call, b),
                  .bias = call.inputs.size() == 3};
  const Strides a_strides = batch_axes(a.strides);
  const Strides b_strides = batch_axes(b.strides);
  const StridedLoop<2> walk(batch_axes(call.output.shape), {&a_strides, &b_strides});
  problem.batch = walk.length(walk.rank() - 1);
  problem.a.batch = walk.inner_stride(0);
  problem.b.batch = walk.inner_stride(1);
  const bool more_rows = problem.batch > 1 && problem.b.batch == 0 && problem.a.column == 1 &&
                         problem.a.batch == problem.m * problem.a.row;
  const std::int64_t matrix = problem.m * problem.n;
  if (more_rows) {
    problem.m *= problem.batch;
    problem.batch = 1;
    problem.a.batch = 0;
  }
  // The same product many times: computed once and copied.
  const bool repeats = problem.batch > 1 && problem.a.batch == 0 && problem.b.batch == 0;
  const std::int64_t copies = repeats ? problem.batch : 1;
  problem.batch = repeats ? 1 : problem.batch;
  walk.for_each_run(0, walk.numel(), [&](std::int64_t flat, const auto& offsets, std::int64_t) {
    std::byte* output = element(call.output.data, call.output.dtype, flat * matrix);
    product(problem, element(a.data, a.dtype, offsets[0]), element(b.data, b.dtype, offsets[1]), output);
    const std::int64_t bytes = matrix * static_cast<std::int64_t>(size_of(call.output.dtype));
    for (std::int64_t copy = 1; copy < copies; ++copy) {
      std::memcpy(output + copy * bytes, output, static_cast<std::size_t>(bytes));
    }
  });
}

void float64_product(const Problem& problem, const void* a, const void* b, const void* bias, void* c) {
  const double one = 0.02 * static_cast<double>(problem.m * problem.n * problem.k);
  const auto batches = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Gemm::run(problem.m, problem.n, problem.k,
                {static_cast<const double*>(a) + i * problem.a.batch, problem.a.row, problem.a.column},
                {static_cast<const double*>(b) + i * problem.b.batch, problem.b.row, problem.b.column},
                static_cast<const double*>(bias), static_cast<double*>(c) + i * problem.m * problem.n);
    }
  };
  // Many products: one thread each. Few: each uses all threads.
  if (threads_for(problem.batch, one) > problem.batch / 2) {
    batches(0, problem.batch);
  } else {
    parallel_for(problem.batch, one, batches);
  }
}

/// The output for K = 0.
template <class T>
void empty_product(const KernelCall& call) {
  const std::int64_t n = call.output.shape.back();
  T* out = call.output.as<T>();
  for (std::int64_t i = 0; i < call.output.numel(); ++i) {
    out[i] = call.inputs.size() == 3 ? call.inputs[2].as<const T>()[i % n] : static_cast<T>(compute_t<T>(0));
  }
}

}  // namespace

/// oneDNN's engine and the primitives compiled on it.
class Matmul::Primitives {
 public:
  Primitives() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  /// Whether oneDNN multiplies this dtype on this processor.
  bool supports(Dtype dtype) {
    const auto at = static_cast<std::size_t>(dtype);
    if (support_.at(at) == Support::unknown) {
      try {
        get({.dtype = dtype, .m = 2, .n = 2, .k = 2, .batch = 1, .a = {2, 1, 0}, .b = {2, 1, 0}, .bias = false});
        support_[at] = Support::yes;
      } catch (const dnnl::error& error) {
        if (error.status != dnnl_unimplemented) {
          throw;
        }
        support_[at] = Support::no;
      }
    }
    return support_[at] == Support::yes;
  }

  void run(const Problem& problem, void* a, void* b, void* bias, void* c) {
    const LimitThreads limit(threads_for(problem.batch * problem.m * problem.n * problem.k, multiplication));
    Entry& entry = get(problem);
    entry.memories.at(DNNL_ARG_SRC).set_data_handle(a);
    entry.memories.at(DNNL_ARG_WEIGHTS).set_data_handle(b);
    entry.memories.at(DNNL_ARG_DST).set_data_handle(c);
    if (problem.bias) {
      entry.memories.at(DNNL_ARG_BIAS).set_data_handle(bias);
    }
    entry.primitive.execute(stream_, entry.memories);
    stream_.wait();
  }

 private:
  struct Entry {
    dnnl::matmul primitive;
    std::unordered_map<int, dnnl::memory> memories;
    std::uint64_t last_use = 0;
  };
  enum class Support : std::uint8_t { unknown, yes, no };
  static constexpr std::size_t capacity = 256;
  /// Nanoseconds, times the five that waking threads for oneDNN is cheaper than parallel_for assumes.
  static constexpr double multiplication = 0.04;

  Entry& get(const Problem& problem) {
    auto found = entries_.find(problem);
    if (found == entries_.end()) {
      if (entries_.size() >= capacity) {
        entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& x, const auto& y) {
          return x.second.last_use < y.second.last_use;
        }));
      }
      found = entries_.emplace(problem, compile(problem)).first;
    }
    found->second.last_use = ++uses_;
    return found->second;
  }

  Entry compile(const Problem& problem) const {
    using dnnl::memory;
    const memory::data_type type = data_type(problem.dtype);
    const auto matrices = [&](std::int64_t rows, std::int64_t columns, const Layout& layout) {
      if (problem.batch == 1) {
        return memory::desc({rows, columns}, type, memory::dims{layout.row, layout.column});
      }
      // A batch axis of stride 0 is one matrix that oneDNN broadcasts.
      const bool shared = layout.batch == 0;
      return memory::desc({shared ? 1 : problem.batch, rows, columns}, type,
                          memory::dims{shared ? rows * columns : layout.batch, layout.row, layout.column});
    };
    const memory::desc a = matrices(problem.m, problem.k, problem.a);
    const memory::desc b = matrices(problem.k, problem.n, problem.b);
    const memory::desc c =
        matrices(problem.m, problem.n, {.row = problem.n, .column = 1, .batch = problem.m * problem.n});
    const memory::desc bias = problem.batch == 1
                                  ? memory::desc({1, problem.n}, type, memory::dims{problem.n, 1})
                                  : memory::desc({1, 1, problem.n}, type, memory::dims{problem.n, problem.n, 1});
    const dnnl::matmul::desc wanted = problem.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
    Entry entry;
    entry.primitive = dnnl::matmul(dnnl::matmul::primitive_desc(wanted, engine_));
    entry.memories.emplace(DNNL_ARG_SRC, memory(a, engine_, nullptr));
    entry.memories.emplace(DNNL_ARG_WEIGHTS, memory(b, engine_, nullptr));
    entry.memories.emplace(DNNL_ARG_DST, memory(c, engine_, nullptr));
    if (problem.bias) {
      entry.memories.emplace(DNNL_ARG_BIAS, memory(bias, engine_, nullptr));
    }
    return entry;
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<Problem, Entry> entries_;
  std::uint64_t uses_ = 0;
  std::array<Support, 8> support_{};
};

namespace {

/// Whether memory lies between the rows (or columns) of a matrix.
bool has_gaps(const KernelCall& call, const TensorView& view) {
  const int last = view.shape.size() - 1;
  const Layout layout = layout_of(call, view);
  return layout.column == 1 ? layout.row > view.shape[last] : layout.column > view.shape[last - 1];
}

/// oneDNN multiplies bfloat16 in pairs along K. Where K is odd and an operand has gaps, or there are several products,
/// it takes the last element of the operand twice and the second time times 0: an infinity there gives NaN.
bool is_wrong_in_pairs(const KernelCall& call) {
  return call.output.dtype == Dtype::bf16 && call.inputs[0].shape.back() % 2 == 1 &&
         (call.output.shape.size() > 2 || has_gaps(call, call.inputs[0]) || has_gaps(call, call.inputs[1]));
}

/// A view's elements in float32, contiguous, with a new view on them. Axes of stride 0 stay so.
template <class T>
TensorView widen(const TensorView& view, std::vector<float>& storage) {
  TensorView wide = view;
  wide.dtype = Dtype::f32;
  Shape stored = view.shape;
  for (int axis = 0; axis < view.shape.size(); ++axis) {
    stored[axis] = view.strides[axis] == 0 ? 1 : view.shape[axis];
  }
  wide.strides = contiguous_strides(stored);
  for (int axis = 0; axis < view.shape.size(); ++axis) {
    wide.strides[axis] = view.strides[axis] == 0 ? 0 : wide.strides[axis];
  }
  const StridedLoop<1> walk(stored, {&view.strides});
  storage.resize(static_cast<std::size_t>(walk.numel()));
  parallel_for(walk.numel(), 1.0, [&](std::int64_t begin, std::int64_t end) {
    walk.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) {
        storage[static_cast<std::size_t>(flat + i)] =
            static_cast<float>(view.as<const T>()[offsets[0] + i * walk.inner_stride(0)]);
      }
    });
  });
  wide.data = storage.data();
  return wide;
}

}  // namespace

Matmul::Matmul() : primitives_(std::make_unique<Primitives>()) {}
Matmul::~Matmul() = default;

void Matmul::run(const KernelCall& call) {
  const Dtype dtype = call.output.dtype;
  if (!is_floating(dtype)) {
    refuse_dtype(call, dtype);
  }
  if (dtype == Dtype::f32 && !call.attributes.ints.empty()) {
    throw DeviceError(std::string(call.op->name) + ": asked for in TF32, and the CPU has none; take fp32 or bf16");
  }
  if (call.inputs[0].shape.back() == 0) {
    visit(dtype, [&]<class T>(Type<T>) { empty_product<T>(call); });
    return;
  }
  if (dtype != Dtype::f64 && dtype != Dtype::f32 && (!primitives_->supports(dtype) || is_wrong_in_pairs(call))) {
    // float32 products of 16-bit numbers are exact, so this rounds once, as the native product would.
    visit(dtype, [&]<class T>(Type<T>) {
      std::array<std::vector<float>, 4> storage;
      KernelCall wide = call;
      for (std::size_t i = 0; i < call.inputs.size(); ++i) {
        wide.inputs[i] = widen<T>(call.inputs[i], storage[i]);
      }
      storage[3].resize(static_cast<std::size_t>(call.output.numel()));
      wide.output.dtype = Dtype::f32;
      wide.output.data = storage[3].data();
      run(wide);
      parallel_for(call.output.numel(), 1.0, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          call.output.as<T>()[i] = convert<T>(storage[3][static_cast<std::size_t>(i)]);
        }
      });
    });
    return;
  }
  void* bias = call.inputs.size() == 3 ? call.inputs[2].data : nullptr;
  for_each_batch(call, [&](const Problem& problem, void* a, void* b, void* c) {
    if (dtype == Dtype::f64) {
      float64_product(problem, a, b, bias, c);
    } else {
      try {
        if (problem.a.batch >= 0 && problem.b.batch >= 0) {
          primitives_->run(problem, a, b, bias, c);
          return;
        }
        // oneDNN has no negative strides: a reversed batch goes one by one.
        Problem one = problem;
        one.batch = 1;
        one.a.batch = one.b.batch = 0;
        for (std::int64_t i = 0; i < problem.batch; ++i) {
          primitives_->run(one, element(a, dtype, i * problem.a.batch), element(b, dtype, i * problem.b.batch), bias,
                           element(c, dtype, i * problem.m * problem.n));
        }
      } catch (const dnnl::error& error) {
        throw DeviceError(std::string(call.op->name) + ": oneDNN failed: " + error.what());
      }
    }
  });
}

std::string Matmul::library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

}  // namespace twingrad::cpu
