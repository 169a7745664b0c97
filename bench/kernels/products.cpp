// Products alone: every matrix product of the works' training steps, as our backend runs it inside a plan, beside the
// oneDNN primitive for the same shapes and layouts.
//
//   bench_kernels --benchmark_filter=product/mnist
#include <benchmark/benchmark.h>
#include <omp.h>
#include <twingrad/backend.h>
#include <twingrad/op.h>

#include <algorithm>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <set>
#include <string>
#include <vector>

#include "bench/kernels/registry.h"

namespace tg = twingrad;

namespace kernelbench {
namespace {

/// c (m, n) = a (m, k) * b (k, n); an operand that is transposed lies in memory the other way round.
struct Product {
  std::string name;
  std::int64_t m, n, k;
  bool a_transposed, b_transposed;
};

std::vector<Product> products_of(const stepbench::Work& work) {
  std::vector<Product> products;
  for (std::size_t l = 1; l < work.sizes.size(); ++l) {
    const std::int64_t in = work.sizes[l - 1];
    const std::int64_t out = work.sizes[l];
    const std::string prefix = work.name + "/" + std::to_string(in) + "x" + std::to_string(out);
    products.push_back({prefix + "/forward", work.batch, out, in, false, true});
    products.push_back({prefix + "/weight_gradient", out, in, work.batch, true, false});
    if (l > 1) {
      products.push_back({prefix + "/input_gradient", work.batch, in, out, false, false});
    }
  }
  return products;
}

/// Operands and result of one product, in memory of their own.
struct Operands {
  explicit Operands(const Product& product)
      : a(static_cast<std::size_t>(product.m * product.k)),
        b(static_cast<std::size_t>(product.k * product.n)),
        c(static_cast<std::size_t>(product.m * product.n)) {
    for (std::vector<float>* values : {&a, &b}) {
      for (std::size_t i = 0; i < values->size(); ++i) {
        (*values)[i] = static_cast<float>(i % 17) * 0.1F - 0.8F;
      }
    }
  }
  std::vector<float> a, b, c;
};

const tg::Op& matmul_op() {
  const std::vector<const tg::Op*> ops = tg::all_ops();
  return **std::find_if(ops.begin(), ops.end(),
                        [](const tg::Op* op) { return op->name == std::string_view("matmul"); });
}

tg::TensorView view(std::vector<float>& values, std::int64_t rows, std::int64_t columns, bool transposed) {
  return {.data = values.data(),
          .dtype = tg::Dtype::f32,
          .shape = {rows, columns},
          .strides = transposed ? tg::Strides{1, rows} : tg::Strides{columns, 1}};
}

void count_flops(benchmark::State& state, const Product& product) {
  const double flops = 2.0 * static_cast<double>(product.m * product.n * product.k);
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

void run_ours(benchmark::State& state, const Product& product) {
  Operands operands(product);
  tg::KernelCall call;
  call.op = &matmul_op();
  call.inputs = {view(operands.a, product.m, product.k, product.a_transposed),
                 view(operands.b, product.k, product.n, product.b_transposed)};
  call.output = view(operands.c, product.m, product.n, false);
  const std::unique_ptr<tg::PreparedKernel> kernel = tg::backend(tg::Device::cpu()).prepare(call);
  const std::vector<void*> addresses = {operands.a.data(), operands.b.data(), operands.c.data()};
  for (auto _ : state) {
    kernel->run(addresses, call.where);
  }
  count_flops(state, product);
}

void run_onednn(benchmark::State& state, const Product& product) {
  using dnnl::memory;
  Operands operands(product);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto desc = [](std::int64_t rows, std::int64_t columns, bool transposed) {
    return memory::desc({rows, columns}, memory::data_type::f32,
                        transposed ? memory::format_tag::ba : memory::format_tag::ab);
  };
  const memory::desc a = desc(product.m, product.k, product.a_transposed);
  const memory::desc b = desc(product.k, product.n, product.b_transposed);
  const memory::desc c = desc(product.m, product.n, false);
  const dnnl::matmul primitive({{a, b, c}, engine});
  const std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, memory(a, engine, operands.a.data())},
                                                     {DNNL_ARG_WEIGHTS, memory(b, engine, operands.b.data())},
                                                     {DNNL_ARG_DST, memory(c, engine, operands.c.data())}};
  for (auto _ : state) {
    primitive.execute(stream, arguments);
    stream.wait();
  }
  count_flops(state, product);
}

}  // namespace

void register_products(const std::vector<stepbench::Work>& works) {
  std::set<std::string> seen;
  for (const stepbench::Work& work : works) {
    for (const Product& product : products_of(work)) {
      if (!seen.insert(product.name).second) {
        continue;  // equal layers of one net
      }
      benchmark::RegisterBenchmark(("product/" + product.name + "/ours").c_str(), [product](benchmark::State& state) {
        run_ours(state, product);
      })->UseRealTime();
      benchmark::RegisterBenchmark(("product/" + product.name + "/onednn").c_str(), [product](benchmark::State& state) {
        run_onednn(state, product);
      })->UseRealTime();
    }
  }
}

}  // namespace kernelbench
