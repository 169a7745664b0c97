// A generator of seeds: each call takes the next stream of one key, so that a program draws the same numbers in the
// same order on every device.
#pragma once

#include <twingrad/ops.h>

namespace twingrad {

class Generator {
 public:
  explicit Generator(std::int64_t key = 0) : key_(key) {}
  Seed next() { return {key_, stream_++}; }
  std::int64_t key() const { return key_; }
  std::int64_t stream() const { return stream_; }
  void set_stream(std::int64_t stream) { stream_ = stream; }

 private:
  std::int64_t key_;
  std::int64_t stream_ = 0;
};

}  // namespace twingrad
