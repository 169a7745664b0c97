// Handles that were given out and are not destroyed yet. Private to the emulator.
#pragma once

#include <set>

#include "tests/cuda_emulator/state.h"

namespace cuda_emulator {

/// Those of one type. Never destroyed themselves: programs destroy handles in destructors of their own that run late.
template <class Object>
class Handles {
 public:
  /// `counter`: where outstanding() counts them.
  explicit Handles(std::size_t Outstanding::*counter) : counter_(counter) {}

  Object* add(Object* object) {
    alive_.insert(object);
    ++(handle_counts().*counter_);
    return object;
  }
  bool contains(Object* handle) const { return alive_.contains(handle); }
  /// Whether there was such a handle.
  bool destroy(Object* handle) {
    if (alive_.erase(handle) == 0) {
      return false;
    }
    --(handle_counts().*counter_);
    delete handle;
    return true;
  }
  auto begin() const { return alive_.begin(); }
  auto end() const { return alive_.end(); }

 private:
  std::size_t Outstanding::*counter_;
  std::set<Object*> alive_;
};

}  // namespace cuda_emulator
