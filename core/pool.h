// Small blocks of memory for what a training step makes and lets go of again: nodes, handles, lists of tensors. A
// thread keeps the blocks that it lets go of, so that the next step asks the heap for nothing; at most
// `pool_bytes_per_thread` of them, the rest goes back at once. A block may be let go of on another thread than the one
// that took it. Under the address sanitizer there is no pool: it would hide uses of freed memory.
//
//   auto node = std::allocate_shared<Node>(PoolAllocator<Node>());
//   PoolVector<NodePtr> inputs;
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace twingrad {

/// What a thread keeps for itself at most.
inline constexpr std::size_t pool_bytes_per_thread = std::size_t{4} << 20;

/// Memory aligned as that of operator new. Throws std::bad_alloc.
void* pool_allocate(std::size_t bytes);
/// `bytes` as they were asked for.
void pool_release(void* memory, std::size_t bytes) noexcept;

/// The pool for standard containers and shared pointers.
template <class T>
struct PoolAllocator {
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using propagate_on_container_move_assignment = std::true_type;
  using is_always_equal = std::true_type;
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

  PoolAllocator() = default;
  template <class U>
  PoolAllocator(const PoolAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): what the standard asks

  T* allocate(std::size_t count) { return static_cast<T*>(pool_allocate(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t count) noexcept { pool_release(memory, count * sizeof(T)); }

  template <class U>
  bool operator==(const PoolAllocator<U>&) const noexcept {
    return true;
  }
};

template <class T>
using PoolVector = std::vector<T, PoolAllocator<T>>;

}  // namespace twingrad
