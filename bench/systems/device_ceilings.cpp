#include "bench/systems/device_ceilings.h"

#include <twingrad/backend.h>
#include <twingrad/twingrad.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "bench/systems/fastest.h"
#include "bench/systems/precision.h"

namespace tg = twingrad;

namespace bench {
double device_product_ceiling(const std::string& device_name, const std::string& precision_name) {
  constexpr std::int64_t smallest = 256;
  constexpr std::int64_t largest = 8192;
  constexpr double long_enough = 0.1;
  const tg::Device device = tg::Device::parse(device_name);
  const tg::Precision precision = precision_of(precision_name);
  const tg::NoGrad no_gradients;
  double best = 0;
  for (std::int64_t n = smallest; n <= largest; n *= 2) {
    // Random values: zeros draw less power, and so run faster.
    const tg::TensorOptions options{.dtype = tg::product_dtype(precision), .device = device};
    const tg::Tensor a = tg::random_normal({n, n}, {.key = 1, .stream = 1}, options);
    const tg::Tensor b = tg::random_normal({n, n}, {.key = 1, .stream = 2}, options);
    tg::eval({a, b});
    tg::synchronize(device);
    constexpr int products = 4;
    const double seconds = fastest(0.2, [&] {
      const tg::AutocastScope scope(precision);
      for (int i = 0; i < products; ++i) {
        tg::matmul(a, b).eval();
      }
      tg::synchronize(device);
    });
    const auto size = static_cast<double>(n);
    best = std::max(best, products * 2 * size * size * size / seconds);
    if (seconds > long_enough) {
      break;
    }
  }
  return best;
}

double device_copy_ceiling(const std::string& device_name, std::size_t bytes) {
  const tg::Device device = tg::Device::parse(device_name);
  tg::Backend& backend = tg::backend(device);
  const auto free = [&](void* memory) { backend.deallocate(memory, bytes); };
  const std::unique_ptr<void, decltype(free)> from(backend.allocate(bytes), free);
  const std::unique_ptr<void, decltype(free)> to(backend.allocate(bytes), free);
  if (from == nullptr || to == nullptr) {
    throw std::runtime_error("no memory on " + device_name + " for a copy of " + std::to_string(bytes) + " bytes");
  }
  constexpr std::size_t bytes_in_a_row = std::size_t{1} << 28;
  const std::size_t times = std::max<std::size_t>(1, bytes_in_a_row / bytes);
  const double seconds = fastest(0.1, [&] {
    for (std::size_t i = 0; i < times; ++i) {
      backend.copy(to.get(), from.get(), bytes);
    }
    backend.synchronize();
  });
  return 2.0 * static_cast<double>(bytes) * static_cast<double>(times) / seconds;
}

}  // namespace bench
