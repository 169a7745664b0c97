// Products by oneDNN: its compiled primitives, kept from call to call in a bounded cache. matmul.cpp takes them for
// large float32 products and the 16-bit floats.
//
//   std::shared_ptr<OnednnProduct> product = onednn.get(problem, threads);
//   product->run(a, b, bias, c);
#pragma once

#include <dnnl.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "cpu/matmul_problem.h"

namespace twingrad::cpu {

/// One compiled primitive with the memory objects it is run on.
class OnednnProduct {
 public:
  OnednnProduct(const Problem& problem, const dnnl::engine& engine, const dnnl::stream& stream);

  /// Throws dnnl::error.
  void run(void* a, void* b, void* bias, void* c);

 private:
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::array<dnnl::memory, 4> memories_;
  std::array<dnnl_exec_arg_t, 4> arguments_{};
  int count_ = 0;
};

class OnednnMatmul {
 public:
  OnednnMatmul() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  /// Whether oneDNN multiplies this dtype on this processor.
  bool supports(Dtype dtype);

  /// The primitive compiled for `threads` threads. It may be dropped from the cache while it is in use.
  std::shared_ptr<OnednnProduct> get(const Problem& problem, int threads);

 private:
  struct Entry {
    std::shared_ptr<OnednnProduct> product;
    std::uint64_t last_use = 0;
  };
  enum class Support : std::uint8_t { unknown, yes, no };
  static constexpr std::size_t capacity = 256;

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<std::pair<Problem, int>, Entry> entries_;
  std::uint64_t uses_ = 0;
  std::array<Support, 8> support_{};
};

}  // namespace twingrad::cpu
