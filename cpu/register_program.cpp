#include "cpu/register_program.h"

#include <algorithm>
#include <utility>

namespace twingrad::cpu {
namespace {

using registers::Place;
using registers::Step;
using Operand = RegisterPart::Operand;

bool is_bools_in_memory(const Operand& operand) {
  return operand.is_bool && operand.kind != Operand::Kind::part;
}

/// Writes the steps of one part after the other.
class Translator {
 public:
  Translator(std::span<const RegisterPart> parts, std::size_t addresses)
      : parts_(parts),
        addresses_(addresses),
        kept_(parts.size(), false),
        last_reader_(parts.size(), 0),
        slot_of_(parts.size(), 0) {
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const std::optional<std::size_t> passed = passed_on(p);
      for (std::size_t j = 0; j < parts[p].operands.size(); ++j) {
        if (const Operand& operand = parts[p].operands[j]; operand.kind == Operand::Kind::part && passed != j) {
          kept_[operand.index] = true;
          last_reader_[operand.index] = p;
        }
      }
    }
  }

  /// False when a part has no step.
  bool write() {
    write_fetches();
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      if (!write_part(p)) {
        return false;
      }
    }
    steps_.push_back({.code = registers::end_step()});
    return addresses_ + slots_ <= registers::most_bases;
  }

  std::vector<Step>& steps() { return steps_; }
  std::size_t slots() const { return slots_; }

 private:
  /// The operand that part `p` finds in the registers, where the part before it left it. Bools in memory get into lanes
  /// there, so then nothing stays.
  std::optional<std::size_t> passed_on(std::size_t p) const {
    const std::vector<Operand>& operands = parts_[p].operands;
    if (std::any_of(operands.begin(), operands.end(), is_bools_in_memory)) {
      return std::nullopt;
    }
    for (std::size_t j = 0; j < operands.size(); ++j) {
      if (operands[j].kind == Operand::Kind::part && operands[j].index + 1 == p) {
        return j;
      }
    }
    return std::nullopt;
  }

  void write_fetches() {
    for (const RegisterPart& part : parts_) {
      for (const Operand& operand : part.operands) {
        if (operand.far && !operand.is_bool) {
          emit(registers::fetch_step(), place_of(operand));
        }
      }
    }
  }

  bool write_part(std::size_t p) {
    const RegisterPart& part = parts_[p];
    Step step{.parameters = part.parameters};
    std::vector<std::size_t> freed;
    std::optional<std::size_t> position = passed_on(p);
    for (std::size_t j = 0; j < part.operands.size(); ++j) {
      if (const Operand& operand = part.operands[j]; is_bools_in_memory(operand)) {
        if (position.has_value()) {
          const std::size_t slot = take_slot();
          step.places.at(*position) = place_of_slot(slot);
          emit(registers::keep_step(), place_of_slot(slot));
          freed.push_back(slot);
        }
        load(operand);
        position = j;
      }
    }
    if (!position.has_value()) {
      position = first_to_load(part.operands);
      load(part.operands[*position]);
    }
    unsigned singles = 0;
    for (std::size_t j = 0; j < part.operands.size(); ++j) {
      const Operand& operand = part.operands[j];
      if (j == *position || is_bools_in_memory(operand)) {
        continue;
      }
      step.places.at(j) = place_of(operand);
      singles |= operand.kind == Operand::Kind::single ? 1U << j : 0U;
    }
    if (part.updates) {
      step.places.at(*position) = {.base = static_cast<std::uint32_t>(part.hyper), .moves = 0};
    }
    step.code = part.updates ? registers::update_step(part.kernel, part.dtype, *position)
                             : registers::formula_step(part.kernel, part.dtype, *position, singles);
    if (step.code == nullptr) {
      return false;
    }
    steps_.push_back(step);
    for (std::size_t q = 0; q < p; ++q) {
      if (kept_[q] && last_reader_[q] == p) {
        freed.push_back(slot_of_[q]);
      }
    }
    free_.insert(free_.end(), freed.begin(), freed.end());
    if (kept_[p]) {
      slot_of_[p] = take_slot();
      emit(registers::keep_step(), place_of_slot(slot_of_[p]));
    }
    if (part.result.has_value()) {
      emit(part.gives_bool ? registers::store_bools_step() : registers::store_step(), place_of_address(*part.result));
    }
    return true;
  }

  /// One with a value per element: others can then be read where they are.
  static std::size_t first_to_load(const std::vector<Operand>& operands) {
    const auto found = std::find_if(operands.begin(), operands.end(),
                                    [](const Operand& operand) { return operand.kind != Operand::Kind::single; });
    return found == operands.end() ? 0 : static_cast<std::size_t>(found - operands.begin());
  }

  void load(const Operand& operand) {
    const bool single = operand.kind == Operand::Kind::single;
    if (is_bools_in_memory(operand)) {
      emit(single ? registers::load_single_bool_step() : registers::load_bools_step(), place_of(operand));
    } else {
      emit(single ? registers::load_single_step() : registers::load_step(), place_of(operand));
    }
  }

  Place place_of(const Operand& operand) const {
    switch (operand.kind) {
      case Operand::Kind::memory:
        return place_of_address(operand.index);
      case Operand::Kind::single:
        return {.base = static_cast<std::uint32_t>(operand.index), .moves = 0};
      case Operand::Kind::part:
        return place_of_slot(slot_of_[operand.index]);
    }
    return {};
  }
  static Place place_of_address(std::size_t address) {
    return {.base = static_cast<std::uint32_t>(address), .moves = -1};
  }
  Place place_of_slot(std::size_t slot) const {
    return {.base = static_cast<std::uint32_t>(addresses_ + slot), .moves = 0};
  }

  void emit(registers::Code code, Place place) { steps_.push_back({.code = code, .places = {place}}); }

  std::size_t take_slot() {
    if (free_.empty()) {
      return slots_++;
    }
    const std::size_t slot = free_.back();
    free_.pop_back();
    return slot;
  }

  std::span<const RegisterPart> parts_;
  std::size_t addresses_;
  std::vector<bool> kept_;                // by part: whether its result waits in a slot
  std::vector<std::size_t> last_reader_;  // by part: the last part that reads it there
  std::vector<std::size_t> slot_of_;      // by part
  std::vector<std::size_t> free_;
  std::vector<Step> steps_;
  std::size_t slots_ = 0;
};

}  // namespace

std::optional<RegisterProgram> RegisterProgram::translate(std::span<const RegisterPart> parts, std::size_t addresses) {
  Translator translator(parts, addresses);
  if (!translator.write()) {
    return std::nullopt;
  }
  RegisterProgram program;
  program.steps_ = std::move(translator.steps());
  program.addresses_ = addresses;
  program.slots_ = translator.slots();
  return program;
}

void RegisterProgram::run(registers::Frame& frame, std::byte* scratch, std::int64_t begin, std::int64_t end) const {
  for (std::size_t s = 0; s < slots_; ++s) {
    frame.bases[addresses_ + s] = scratch + s * sizeof(float) * static_cast<std::size_t>(registers::strip);
  }
  registers::run_steps(steps_.data(), frame, begin, end);
}

}  // namespace twingrad::cpu
