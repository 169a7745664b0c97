// The emulated device's memory and the pinned memory of the host: who allocated what. Private to the emulator.
#pragma once

#include <cstddef>
#include <string>

namespace cuda_emulator {

enum class Memory : unsigned char { pageable, pinned, device };

/// What `pointer` points into; pageable is all that the emulator did not allocate.
Memory kind_of(const void* pointer);

/// Whether all of [pointer, pointer + bytes) lies in one allocation of the device (or of pinned memory).
bool within_allocation(const void* pointer, std::size_t bytes);

/// Empty, or which allocation's surroundings were written to. Under the address sanitizer that tells by itself.
std::string damaged_guard();

/// Frees all device memory.
void free_device_memory();

}  // namespace cuda_emulator
