// A generator of seeds: each call takes the next stream of one key, so that a program draws the same numbers in the
// same order on every device.
#pragma once

#include <twingrad/ops.h>

#include <memory>

namespace twingrad {

/// A copy goes on from where the original stands, on its own.
class Generator {
 public:
  explicit Generator(std::int64_t key = 0) : state_(std::make_shared<State>(State{key, 0})) {}
  Generator(const Generator& other) : state_(std::make_shared<State>(*other.state_)) {}
  Generator& operator=(const Generator& other) {
    if (this != &other) {
      *state_ = *other.state_;
    }
    return *this;
  }
  ~Generator() = default;

  /// Inside a compiled step every replay takes the next one.
  Seed next();
  std::int64_t key() const { return state_->key; }
  std::int64_t stream() const { return state_->stream; }
  void set_stream(std::int64_t stream) { state_->stream = stream; }

  struct State {
    std::int64_t key;
    std::int64_t stream;
    Seed next() { return {key, stream++}; }
  };

 private:
  std::shared_ptr<State> state_;
};

}  // namespace twingrad
