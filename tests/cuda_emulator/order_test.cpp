// The library's own kernels in different orders of threads and blocks: a result that depends on it has a race. Sizes
// are such that every kind of loop is taken: several blocks, several chunks, rows per warp, per block and streamed,
// sorts.
#include <twingrad/backend.h>
#include <twingrad/twingrad.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/cuda_emulator/fixture.h"

namespace cuda_emulator {
namespace {

namespace tg = twingrad;

struct Case {
  std::string name;
  std::function<tg::Tensor()> run;
};

const tg::Device gpu = tg::Device::cuda(0);

tg::Tensor floats(const tg::Shape& shape, tg::Dtype dtype = tg::f32) {
  std::mt19937 engine(1);
  std::normal_distribution<double> draw;
  std::vector<double> values(static_cast<std::size_t>(tg::numel(shape)));
  for (double& value : values) {
    value = draw(engine);
  }
  return tg::reshape(tg::tensor(values, {.dtype = dtype, .device = gpu}), shape);
}

tg::Tensor indices(std::int64_t count, std::int64_t limit) {
  std::mt19937_64 engine(2);
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  for (std::int64_t& value : values) {
    value = static_cast<std::int64_t>(engine() % static_cast<std::uint64_t>(limit));
  }
  return tg::tensor(values, {.dtype = tg::i64, .device = gpu});
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const tg::Dtype dtype : {tg::f32, tg::bf16}) {
    const std::string type = " " + std::string(tg::name(dtype));
    const auto add = [&](const std::string& name, std::function<tg::Tensor()> run) {
      all.push_back({name + type, std::move(run)});
    };
    for (const tg::Shape& shape : {tg::Shape{2, 9000}, tg::Shape{1100, 9}, tg::Shape{40, 33}}) {
      const std::string of = " of " + to_string(shape);
      add("sum of all" + of, [=] { return tg::sum(floats(shape, dtype)); });
      add("sum of rows" + of, [=] { return tg::sum(floats(shape, dtype), {.axes = {1}}); });
      add("sum of columns" + of, [=] { return tg::sum(floats(shape, dtype), {.axes = {0}}); });
      add("argmax of rows" + of, [=] { return tg::argmax(floats(shape, dtype), 1); });
      add("argmin of columns" + of, [=] { return tg::argmin(floats(shape, dtype), 0); });
      add("softmax" + of, [=] { return tg::softmax(floats(shape, dtype)); });
      add("cumsum" + of, [=] { return tg::cumsum(floats(shape, dtype), 1); });
      add("cumsum of columns" + of, [=] { return tg::cumsum(floats(shape, dtype), 0, true); });
      add("transposed copy" + of, [=] { return tg::contiguous(tg::transpose(floats(shape, dtype))); });
      add("cast" + of, [=] { return tg::cast(floats(shape, dtype), tg::f64); });
      add("gelu of a broadcast sum" + of, [=] { return tg::gelu(floats(shape, dtype) + floats({shape[1]}, dtype)); });
    }
    for (const std::int64_t width : {31, 600, 3000, 9000}) {
      const std::string of = " of rows of " + std::to_string(width);
      add("layer_norm" + of, [=] {
        return tg::layer_norm(floats({4, width}, dtype), floats({width}, dtype), floats({width}, dtype));
      });
      add("logsumexp" + of, [=] { return tg::logsumexp(floats({4, width}, dtype), {.axes = {1}}); });
    }
    for (const std::int64_t count : {20, 1000}) {
      const std::string of = " of " + std::to_string(count) + " places";
      add("index_select" + of, [=] { return tg::index_select(floats({40, 5}, dtype), 0, indices(count, 40)); });
      add("index_add" + of, [=] { return tg::index_add(indices(count, 40), floats({count, 3}, dtype), 0, 40); });
      add("scatter_add" + of,
          [=] { return tg::scatter_add(floats({50}, dtype), 0, indices(count, 50), floats({count}, dtype)); });
    }
    add("matmul with bias", [=] {
      return tg::linear(floats({33, 20}, dtype), floats({18, 20}, dtype), floats({18}, dtype));
    });
    add("normal numbers", [=] { return tg::random_normal({1001}, {7, 0}, {.dtype = dtype, .device = gpu}); });
  }
  all.push_back({"permutation", [] { return tg::random_permutation(1000, {7, 0}, gpu); }});
  return all;
}

/// As float64, which holds every value exactly.
std::vector<double> run_in(const Case& one, Order order, std::uint64_t seed) {
  set_order(order, seed);
  std::vector<double> values = one.run().to_vector<double>();
  set_order(Order::forward);
  return values;
}

TEST(OrderTest, NoKernelDependsOnTheOrderOfItsThreads) {
  for (const Case& one : cases()) {
    const std::vector<double> forward = run_in(one, Order::forward, 0);
    EXPECT_EQ(run_in(one, Order::reverse, 0), forward) << one.name;
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      EXPECT_EQ(run_in(one, Order::random, seed), forward) << one.name << ", seed " << seed;
    }
  }
}

TEST(OrderTest, TheFirstBadIndexIsFoundInEveryOrder) {
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    set_order(order, 5);
    std::vector<std::int64_t> places(3000, 1);
    for (const std::size_t bad : {417U, 418U, 2900U}) {
      places[bad] = static_cast<std::int64_t>(bad);
    }
    const tg::Tensor index = tg::tensor(places, {.dtype = tg::i64, .device = gpu});
    try {
      tg::index_select(floats({10}), 0, index).to_vector<double>();
      ADD_FAILURE() << "indices beyond the end were accepted";
    } catch (const tg::NumericError& error) {
      EXPECT_NE(std::string(error.what()).find("index 417 at position 417"), std::string::npos) << error.what();
    }
  }
  set_order(Order::forward);
}

/// What a backend made is given back when it goes.
TEST(OrderTest, ABackendLeavesNothingBehind) {
  const Outstanding before = outstanding();
  {
    const auto backend = tg::make_cuda_backend(0);
    void* memory = backend->allocate(100);
    std::vector<std::byte> host(100);
    backend->copy_from_host(memory, host.data(), host.size());
    backend->copy_to_host(host.data(), memory, host.size());
    EXPECT_GT(outstanding().device_allocations, before.device_allocations);
    backend->deallocate(memory, 100);
  }
  const Outstanding after = outstanding();
  EXPECT_EQ(after.device_bytes, before.device_bytes);
  EXPECT_EQ(after.host_allocations, before.host_allocations);
  EXPECT_EQ(after.streams, before.streams);
  EXPECT_EQ(after.events, before.events);
  EXPECT_EQ(after.other, before.other);
}

}  // namespace
}  // namespace cuda_emulator
