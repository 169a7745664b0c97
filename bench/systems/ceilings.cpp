// What this machine reaches at most, measured in the same run as the training steps: a large product in the given
// precision (oneDNN, cuBLAS), and a memory copy of a given size. Floors are computed from these, not from a data sheet.
//
//   bench_system_ceilings 2 1048576 float32 cpu  # threads, bytes to copy, precision, device;
//                                                # prints {"flops": ..., "copy": ...}
#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "bench/systems/device_ceilings.h"
#include "bench/systems/fastest.h"
#include "bench/systems/parallel_copy.h"
#include "bench/systems/serve.h"

namespace {

/// FLOP/s of (n, n) x (n, n).
double product_ceiling(dnnl::memory::data_type type) {
  constexpr std::int64_t n = 2048;
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc matrix({n, n}, type, memory::format_tag::ab);
  std::vector<memory> memories;
  for (int i = 0; i < 3; ++i) {
    memories.emplace_back(matrix, engine);
    // Bytes that are small numbers in either type; zeros might be quicker than others.
    auto* const bytes = static_cast<unsigned char*>(memories.back().get_data_handle());
    std::memset(bytes, 0x3c, matrix.get_size());
  }
  const dnnl::matmul product({{matrix, matrix, matrix}, engine});
  const double seconds = bench::fastest(0.3, [&] {
    product.execute(stream,
                    {{DNNL_ARG_SRC, memories[0]}, {DNNL_ARG_WEIGHTS, memories[1]}, {DNNL_ARG_DST, memories[2]}});
    stream.wait();
  });
  return 2.0 * n * n * n / seconds;
}

/// Bytes per second read and written by a copy of `bytes`, split over the threads when it is worth it.
double copy_ceiling(std::size_t bytes) {
  std::vector<char> from(bytes, 1);
  std::vector<char> to(bytes, 2);
  const std::size_t times = std::max<std::size_t>(1, (std::size_t{1} << 24) / bytes);
  const double seconds = bench::fastest(0.1, [&] { bench::parallel_copy(to.data(), from.data(), bytes, times); });
  return 2.0 * static_cast<double>(bytes) * static_cast<double>(times) / seconds;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 5) {
      throw std::runtime_error("give threads, bytes, a precision and a device");
    }
    const std::string precision = argv[3];
    const std::string device = argv[4];
    if (device != "cpu") {
      const auto bytes = static_cast<std::size_t>(bench::parse_count(argv[2], "bytes"));
      std::cout << nlohmann::json({{"flops", bench::device_product_ceiling(device, precision)},
                                   {"copy", bench::device_copy_ceiling(device, bytes)}})
                       .dump()
                << std::endl;
      return 0;
    }
    if (precision != "float32" && precision != "bfloat16") {
      throw std::runtime_error("there is no precision '" + precision + "' on the CPU; there are float32 and bfloat16");
    }
    const auto type = precision == "float32" ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
    omp_set_num_threads(static_cast<int>(bench::parse_count(argv[1], "threads")));
    const auto bytes = static_cast<std::size_t>(bench::parse_count(argv[2], "bytes"));
    std::cout << nlohmann::json({{"flops", product_ceiling(type)}, {"copy", copy_ceiling(bytes)}}).dump() << std::endl;
    return 0;
  } catch (const std::exception& error) {
    std::cout << nlohmann::json({{"error", error.what()}}).dump() << std::endl;
  }
  return 1;
}
