// What a backend's transfers keep to: a copy comes after the work that was queued before begin(), and before the work
// that is queued after finish().
#include <gtest/gtest.h>
#include <twingrad/graph/node.h>
#include <twingrad/graph/runtime.h>
#include <twingrad/twingrad.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/cpu_forwarding_backend.h"
#include "tests/devices.h"

namespace twingrad::tests {
namespace {

class TransferTest : public DeviceTest {};
INSTANTIATE_ON_DEVICES(TransferTest);

std::vector<std::byte> pattern(std::size_t bytes, std::size_t seed) {
  std::vector<std::byte> values(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    values[i] = static_cast<std::byte>((i * 7 + seed * 13 + i / 251) % 256);
  }
  return values;
}

/// Many times: the block is copied to its history on the device, refilled by another thread, and copied again.
void check_order(Backend& backend, const Device& device, std::size_t bytes) {
  const Buffer block(device, bytes);
  constexpr std::size_t rounds = 40;
  const Buffer history(device, rounds * bytes);
  const std::unique_ptr<Transfer> transfer = backend.make_transfer(bytes);
  auto* const past = static_cast<std::byte*>(history.data);
  for (std::size_t round = 0; round < rounds; ++round) {
    transfer->begin();
    std::thread([&] {
      transfer->wait();
      const std::vector<std::byte> values = pattern(bytes, round);
      std::memcpy(transfer->host(block.data), values.data(), bytes);
      transfer->copy(block.data, bytes);
    }).join();
    transfer->finish();
    backend.copy(past + round * bytes, block.data, bytes);
  }
  std::vector<std::byte> back(bytes);
  for (std::size_t round = 0; round < rounds; ++round) {
    backend.copy_to_host(back.data(), past + round * bytes, bytes);
    EXPECT_EQ(back, pattern(bytes, round)) << "round " << round << " of " << bytes << " bytes";
  }
}

TEST_P(TransferTest, KeepsItsPlaceAmongQueuedWork) {
  DeviceRuntime& state = runtime(device());
  const std::lock_guard lock(state.mutex);
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{4099}, std::size_t{1} << 20}) {
    check_order(*state.backend, device(), bytes);
  }
}

TEST_P(TransferTest, MayBeLetGoWithoutACopyOrWithOneUnderWay) {
  DeviceRuntime& state = runtime(device());
  const std::lock_guard lock(state.mutex);
  const Buffer block(device(), 4096);
  state.backend->make_transfer(16);
  const std::unique_ptr<Transfer> transfer = state.backend->make_transfer(4096);
  transfer->begin();
  transfer->wait();
  const std::vector<std::byte> values = pattern(4096, 3);
  std::memcpy(transfer->host(block.data), values.data(), 4096);
  transfer->copy(block.data, 4096);
  transfer->finish();
  std::vector<std::byte> back(4096);
  state.backend->copy_to_host(back.data(), block.data, back.size());
  EXPECT_EQ(back, values);
  transfer->begin();
  transfer->copy(block.data, 4096);
}

TEST_P(TransferTest, IsNotMadeInsideARecording) {
  DeviceRuntime& state = runtime(device());
  const std::lock_guard lock(state.mutex);
  if (!state.backend->records()) {
    GTEST_SKIP() << "this device records nothing";
  }
  EXPECT_THROW(state.backend->record([&] { state.backend->make_transfer(512); }), DeviceError);
}

class PlainBackend final : public CpuForwardingBackend {
  std::string description() const override { return "the CPU without transfers of its own"; }
};

TEST(QueuedTransferTest, IsWhatABackendHasThatMakesNone) {
  auto own = std::make_unique<PlainBackend>();
  Backend& backend = *own;
  const Device device = register_backend(std::move(own));
  DeviceRuntime& state = runtime(device);
  const std::lock_guard lock(state.mutex);
  check_order(backend, device, 1000);
}

}  // namespace
}  // namespace twingrad::tests
