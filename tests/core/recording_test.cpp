// What a backend that records keeps to: nothing that a graph cannot hold goes in, what is recorded is not run, and
// listed copies read their list when they run.
#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/twingrad.h>

#include <functional>
#include <memory>
#include <vector>

#include "tests/devices.h"

namespace twingrad::tests {
namespace {

class RecordingTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, RecordingTest, testing::ValuesIn(recording_devices()),
                         [](const auto& device) { return device_label(device.param); });

TEST_P(RecordingTest, ABackendRefusesInsideARecordingWhatAGraphCannotHold) {
  DeviceRuntime& state = runtime(device());
  const std::lock_guard lock(state.mutex);
  Backend& device_backend = *state.backend;
  const Tensor x = ones({8}, {.device = device()});
  x.eval();
  void* const memory = x.node()->buffer->data;
  float host[8] = {};
  for (const std::function<void()>& forbidden : std::vector<std::function<void()>>{
           [&] { device_backend.allocate(512); },
           [&] { device_backend.copy_from_host(memory, host, sizeof host); },
           [&] { device_backend.copy_to_host(host, memory, sizeof host); },
           [&] { device_backend.synchronize(); },
       }) {
    EXPECT_THROW(device_backend.record(forbidden), DeviceError);
  }
  EXPECT_THROW(device_backend.record([] { throw ShapeError("in the middle"); }), ShapeError);
  // It goes on as before.
  EXPECT_EQ((x + 1).to_vector<float>(), std::vector<float>(8, 2.0F));
  const Tensor y = zeros({8}, {.device = device()}) + 5;
  y.eval();
  void* const target = y.node()->buffer->data;
  const std::unique_ptr<Recording> recording =
      device_backend.record([&] { device_backend.copy(target, memory, sizeof host); });
  EXPECT_EQ(recording->size(), 1U);
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(8, 5.0F));  // recorded is not run
  recording->replay();
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(8, 1.0F));
}

TEST_P(RecordingTest, ListedCopiesReadTheirListWhenTheyRun) {
  DeviceRuntime& state = runtime(device());
  const std::lock_guard lock(state.mutex);
  Backend& device_backend = *state.backend;
  const Tensor source = cast(arange(5000, 0, 1, {.device = device()}), f32);
  const Tensor target = zeros({5000}, {.device = device()}) + 0;
  eval({source, target});
  auto* const from = static_cast<float*>(source.node()->buffer->data);
  auto* const to = static_cast<float*>(target.node()->buffer->data);
  const Buffer list(device(), 2 * sizeof(ListedCopy));
  const auto write = [&](std::vector<ListedCopy> copies) {
    device_backend.copy_from_host(list.data, copies.data(), copies.size() * sizeof(ListedCopy));
  };
  write({{to, from, 4}, {to + 1, from + 1, 4}});
  const auto queue = [&] { device_backend.copy_listed(static_cast<const ListedCopy*>(list.data), 2, 4099 * 4); };
  queue();
  const std::unique_ptr<Recording> recording = device_backend.record(queue);
  // One of many blocks, aligned, with a rest; one that is not aligned.
  write({{to + 16, from + 32, 4099 * 4}, {to + 4501, from + 2, 13}});
  recording->replay();
  const std::vector<float> values = target.to_vector<float>();
  std::vector<float> expected(5000, 0.0F);
  expected[1] = 1;
  for (std::size_t i = 0; i < 4099; ++i) {
    expected[16 + i] = static_cast<float>(32 + i);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    expected[4501 + i] = static_cast<float>(2 + i);
  }
  // Of the last number one byte came along, the lowest.
  const float last = values[4504];
  expected[4504] = last;
  EXPECT_EQ(values, expected);
}

TEST(FakeRecordingTest, MemoryThatWasGivenBackIsNoticed) {
  FakeBackend fake(7);
  void* const a = fake.allocate(512);
  void* const b = fake.allocate(512);
  const std::unique_ptr<Recording> recording = fake.record([&] { fake.copy(a, b, 512); });
  recording->replay();
  fake.deallocate(b, 512);
  EXPECT_THROW(recording->replay(), DeviceError);
  EXPECT_THROW(fake.record([&] { fake.deallocate(a, 512); }), DeviceError);
  fake.synchronize();
}

}  // namespace
}  // namespace twingrad::tests
