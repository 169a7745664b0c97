// Where the __shared__ variables of all kernels lie. The compiler puts them into sections named .noinit, which are
// found in the files of the program and of the libraries it has loaded. Private to the emulator.
#pragma once

namespace cuda_emulator {

/// Makes all shared memory unreadable as numbers, as a block finds it when it begins.
void spoil_shared_memory();

/// Whether anything was written there since.
bool shared_memory_was_written();

}  // namespace cuda_emulator
