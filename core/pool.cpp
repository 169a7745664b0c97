#include <twingrad/pool.h>

#include <array>
#include <bit>
#include <new>
#include <utility>

namespace twingrad {
namespace {

// Multiples of 64 bytes up to 1 KiB, then powers of two up to 64 KiB; larger blocks are the heap's.
constexpr std::size_t grain = 64;
constexpr std::size_t fine_limit = 1024;
constexpr std::size_t fine_classes = fine_limit / grain;
constexpr std::size_t coarse_limit = std::size_t{64} << 10;
constexpr std::size_t classes = fine_classes + 6;

constexpr std::size_t class_of(std::size_t bytes) {
  return bytes <= fine_limit ? (bytes + grain - 1) / grain - (bytes == 0 ? 0 : 1)
                             : fine_classes + static_cast<std::size_t>(std::bit_width((bytes - 1) / fine_limit)) - 1;
}
constexpr std::size_t size_of_class(std::size_t which) {
  return which < fine_classes ? (which + 1) * grain : (fine_limit * 2) << (which - fine_classes);
}
static_assert(class_of(1) == 0 && class_of(64) == 0 && class_of(65) == 1 && class_of(fine_limit) == fine_classes - 1);
static_assert(class_of(fine_limit + 1) == fine_classes && class_of(coarse_limit) == classes - 1);
static_assert(size_of_class(class_of(fine_limit + 1)) == 2 * fine_limit && size_of_class(classes - 1) == coarse_limit);

struct Block {
  Block* next;
};

// Trivial, so that the compiler need not ask at each use whether it has been made.
struct Cache {
  std::array<Block*, classes> free;
  std::size_t bytes;
  bool watched;  ///< CacheEnd waits for the thread's end
  bool closed;   ///< the thread ends
};
constinit thread_local Cache cache{};

/// Gives a thread's blocks back when it ends. Objects that die later, at the thread's or the program's end, find the
/// pool closed.
struct CacheEnd {
  ~CacheEnd() {
    cache.closed = true;
    for (Block*& head : cache.free) {
      while (head != nullptr) {
        ::operator delete(std::exchange(head, head->next));
      }
    }
    cache.bytes = 0;
  }
};

void watch_end() {
  static thread_local const CacheEnd end;
  cache.watched = true;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool pooled = false;
#else
constexpr bool pooled = true;
#endif

}  // namespace

void* pool_allocate(std::size_t bytes) {
  if (!pooled || bytes > coarse_limit) {
    return ::operator new(bytes);
  }
  const std::size_t which = class_of(bytes);
  Block*& head = cache.free[which];
  if (head == nullptr) {
    return ::operator new(size_of_class(which));
  }
  Block* const block = head;
  head = block->next;
  cache.bytes -= size_of_class(which);
  return block;
}

void pool_release(void* memory, std::size_t bytes) noexcept {
  if (!pooled || bytes > coarse_limit) {
    ::operator delete(memory);
    return;
  }
  const std::size_t which = class_of(bytes);
  const std::size_t size = size_of_class(which);
  if (cache.closed || cache.bytes + size > pool_bytes_per_thread) {
    ::operator delete(memory);
    return;
  }
  if (!cache.watched) {
    watch_end();
  }
  Block*& head = cache.free[which];
  head = ::new (memory) Block{head};
  cache.bytes += size;
}

}  // namespace twingrad
