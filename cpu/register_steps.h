// The steps that a chain of float32 ops takes when its values stay in vector registers: each step is one function that
// gets the current values of a strip of elements in registers, does one part's work on them and calls the next step's
// function as its last act, which the compiler makes a jump, so that they never leave their registers in between.
// register_program.h strings steps together; they run the formulas of core/formulas.h on the lanes of a vector.
//
//   std::vector<Step> steps = {{load_step(), ...}, {formula_step(kernel, Dtype::f32, 0, 0), ...}, {end_step(), ...}};
//   run_steps(steps.data(), frame, 0, 4 * strip);   // four strips, elements 0 .. 4 * strip - 1
#pragma once

#include <twingrad/dtype.h>
#include <twingrad/formulas.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace twingrad::cpu::registers {

#if defined(__AVX512F__)
inline constexpr std::size_t vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t vector_bytes = 32;
#else
inline constexpr std::size_t vector_bytes = 16;
#endif
inline constexpr int vector_length = static_cast<int>(vector_bytes / sizeof(float));
/// As many as the calling convention passes in registers.
inline constexpr int vectors = 8;
/// The elements that are under way at a time.
inline constexpr std::int64_t strip = std::int64_t{vectors} * vector_length;

/// Lanes of float32, or bools as the whole numbers 0 and 1 of 32 bits.
typedef float Vector __attribute__((vector_size(vector_bytes)));

inline constexpr std::size_t most_operands = 3;
/// Addresses and slots of one program.
inline constexpr std::size_t most_bases = 128;

/// Where the program finds its operands and leaves its results. A slot holds one strip of lanes.
struct Frame {
  std::array<std::byte*, most_bases> bases;
  /// Whether stored float32 goes around the caches. Each strip of it must then lie at a multiple of vector_bytes.
  bool streams = false;
};

/// How far ahead of the current strip fetch_step() reads. On an AMD Zen 5 (AVX-512), for arrays beyond the caches, 2
/// KiB were slower, 16 KiB not faster.
inline constexpr std::int64_t fetch_distance = 4096;

/// One of the frame's bases. In memory element i lies i elements behind it; a slot or a single value stays where it is.
struct Place {
  std::uint32_t base = 0;
  std::int32_t moves = 0;  ///< -1: memory; 0: a slot or a single value
};

struct Step;
/// What a step does to elements at .. at + strip - 1, whose current values it gets; and then all the later ones.
using Code = void (*)(const Step* step, const Frame* frame, std::int64_t at, Vector, Vector, Vector, Vector, Vector,
                      Vector, Vector, Vector);

struct Step {
  Code code = nullptr;
  std::array<Place, most_operands> places{};
  formulas::Parameters parameters{};
};

// The current values become those at places[0]: float32 in memory or lanes in a slot, one float32, bools in memory, or
// one bool.
Code load_step();
Code load_single_step();
Code load_bools_step();
Code load_single_bool_step();

// The current values go to places[0]: float32 in memory, bools in memory, or lanes in a slot.
Code store_step();
Code store_bools_step();
Code keep_step();

/// Has the memory at places[0], whose elements are as wide as float32, brought near for a later strip; the current
/// values stay. Without it the processor waits for memory and computes in turns, as its own guesses begin late.
Code fetch_step();

/// The current values are operand `position` of the elementwise op and become its results; the others are at places[j],
/// bit j of `singles` set where operand j is one value. `dtype`: the last operand's. nullptr: there is no such step.
Code formula_step(int kernel, Dtype dtype, std::size_t position, unsigned singles);

/// The same for an update. The hyperparameters are at places[position].
Code update_step(int kernel, Dtype dtype, std::size_t position);

/// Gives control back. The last of every program.
Code end_step();

/// Runs the steps for every strip of elements begin .. end - 1, a whole number of strips.
void run_steps(const Step* first, const Frame& frame, std::int64_t begin, std::int64_t end);

}  // namespace twingrad::cpu::registers
