#include "cpu/onednn_matmul.h"

#include <algorithm>

#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

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

}  // namespace

OnednnProduct::OnednnProduct(const Problem& problem, const dnnl::engine& engine, const dnnl::stream& stream)
    : stream_(stream) {
  using dnnl::memory;
  const memory::data_type type = data_type(problem.dtype);
  const auto matrices = [&](std::int64_t rows, std::int64_t columns, const MatrixLayout& layout) {
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
  primitive_ = dnnl::matmul(dnnl::matmul::primitive_desc(wanted, engine));
  const auto add = [&](int argument, const memory::desc& description) {
    const auto at = static_cast<std::size_t>(count_++);
    memories_[at] = memory(description, engine, nullptr);
    arguments_[at] = {argument, memories_[at].get()};
  };
  add(DNNL_ARG_SRC, a);
  add(DNNL_ARG_WEIGHTS, b);
  add(DNNL_ARG_DST, c);
  if (problem.bias) {
    add(DNNL_ARG_BIAS, bias);
  }
}

void OnednnProduct::run(void* a, void* b, void* bias, void* c) {
  const std::array<void*, 4> addresses{a, b, c, bias};
  for (std::size_t i = 0; i < static_cast<std::size_t>(count_); ++i) {
    memories_[i].set_data_handle(addresses[i]);
  }
  // The C++ call takes the arguments as a hash map and would build an array from it each time.
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream_.get(), count_, arguments_.data()),
                          "could not execute a primitive");
  stream_.wait();
}

bool OnednnMatmul::supports(Dtype dtype) {
  const auto at = static_cast<std::size_t>(dtype);
  if (support_.at(at) == Support::unknown) {
    try {
      get({.dtype = dtype, .m = 2, .n = 2, .k = 2, .batch = 1, .a = {2, 1, 0}, .b = {2, 1, 0}, .bias = false}, 1);
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

std::shared_ptr<OnednnProduct> OnednnMatmul::get(const Problem& problem, int threads) {
  const std::pair key(problem, threads);
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (entries_.size() >= capacity) {
      entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& x, const auto& y) {
        return x.second.last_use < y.second.last_use;
      }));
    }
    const LimitThreads limit(threads);
    found = entries_.emplace(key, Entry{std::make_shared<OnednnProduct>(problem, engine_, stream_), 0}).first;
  }
  found->second.last_use = ++uses_;
  return found->second.product;
}

}  // namespace twingrad::cpu
