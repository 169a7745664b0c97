// Tests that run on every device there is: the CPU, the fake device, and each GPU. Without a GPU one placeholder stands
// in its place and skips loudly, so that the summary counts it.
//
//   class ReluTest : public DeviceTest {};
//   TEST_P(ReluTest, KeepsNaN) { Tensor x = tensor(values, {.device = device()}); ... }
//   INSTANTIATE_ON_DEVICES(ReluTest);
#pragma once

#include <gtest/gtest.h>
#include <twingrad/device.h>

#include <string>
#include <vector>

#include "tests/fake_device.h"

namespace twingrad::tests {

inline std::vector<Device> test_devices() {
  std::vector<Device> devices = {Device::cpu(), fake_device()};
  for (int i = 0; i < cuda_device_count(); ++i) {
    devices.push_back(Device::cuda(i));
  }
  return devices;
}

/// The devices to instantiate for: test_devices(), and cuda:0 also where there is none.
inline std::vector<Device> device_parameters() {
  std::vector<Device> devices = test_devices();
  if (cuda_device_count() == 0) {
    devices.push_back(Device::cuda(0));
  }
  return devices;
}

/// Of these, the ones that can record queued work (Backend::record): not the CPU.
inline std::vector<Device> recording_devices() {
  std::vector<Device> devices = device_parameters();
  std::erase(devices, Device::cpu());
  return devices;
}

inline std::string device_label(Device device) {
  switch (device.kind()) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda" + std::to_string(device.index());
    case DeviceKind::plugin:
      return "fake";
  }
  return "?";
}

class DeviceTest : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (!device().available()) {
      GTEST_SKIP() << "no CUDA device: this test waits for a GPU";
    }
  }
  Device device() const { return GetParam(); }
};

#define INSTANTIATE_ON_DEVICES(suite)                                                                 \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, testing::ValuesIn(::twingrad::tests::device_parameters()), \
                           [](const auto& device) { return ::twingrad::tests::device_label(device.param); })

}  // namespace twingrad::tests
