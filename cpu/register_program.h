// Elementwise ops and updates of float32 as a list of steps whose values stay in vector registers from one op to the
// next (register_steps.h). Only what is needed more than once, or not at once, waits in a slot in the first-level
// cache. Fused kernels (fused.cpp) translate their parts when they are prepared and run the steps on whole strips.
//
//   std::optional<RegisterProgram> program = RegisterProgram::translate(parts, addresses);
//   registers::Frame frame;                        // frame.bases[k]: where address k begins
//   program->run(frame, scratch, 0, count / registers::strip * registers::strip);
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cpu/register_steps.h"

namespace twingrad::cpu {

/// One op of a program.
struct RegisterPart {
  struct Operand {
    enum class Kind : std::uint8_t { memory, single, part };
    Kind kind = Kind::memory;
    std::size_t index = 0;  ///< of the address, or of the earlier part whose result it is
    bool is_bool = false;
    bool far = false;  ///< memory beyond the second-level cache
  };
  bool updates = false;  ///< an update; otherwise an elementwise op
  int kernel = 0;
  Dtype dtype = Dtype::f32;  ///< the last operand's
  bool gives_bool = false;
  std::vector<Operand> operands;      ///< without the hyperparameters
  std::size_t hyper = 0;              ///< an update's hyperparameters' address
  std::optional<std::size_t> result;  ///< the address of the result, if it is stored
  formulas::Parameters parameters{};
};

class RegisterProgram {
 public:
  /// The parts as steps, with the bits that their dense loops give. nullopt: one has no step, because its elements are
  /// neither float32 nor bool, or there are more addresses and slots than a frame takes.
  static std::optional<RegisterProgram> translate(std::span<const RegisterPart> parts, std::size_t addresses);

  /// Runs elements begin .. end - 1, a whole number of strips. Element i of address k lies at frame.bases[k] + i
  /// elements. `scratch`: scratch_bytes(), aligned to a vector; bases behind the addresses are set here.
  void run(registers::Frame& frame, std::byte* scratch, std::int64_t begin, std::int64_t end) const;

  std::int64_t scratch_bytes() const {
    return static_cast<std::int64_t>(slots_) * registers::strip * static_cast<std::int64_t>(sizeof(float));
  }

 private:
  std::vector<registers::Step> steps_;
  std::size_t addresses_ = 0;
  std::size_t slots_ = 0;
};

}  // namespace twingrad::cpu
