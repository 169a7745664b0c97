// Faults that no kernel's formula shows: what is left in memory, overwritten, read too early or placed twice.
#include <twingrad/check/faults_list.h>
#include <twingrad/graph/plan.h>

#include <algorithm>

namespace twingrad::check {
namespace {

/// The first input that is an array like the output; -1 when there is none.
int input_like_output(const KernelCall& call) {
  for (std::size_t j = 0; j < call.inputs.size(); ++j) {
    const TensorView& input = call.inputs[j];
    if (input.dtype == call.output.dtype && input.shape == call.output.shape && input.contiguous() &&
        input.numel() > 1 && (input.data != call.output.data || input.data == nullptr)) {
      return static_cast<int>(j);
    }
  }
  return -1;
}

/// The first step after `begin` that reads `slot` as `writer` left it, or -1.
int reader_of(const Plan& plan, int slot, int writer, std::size_t begin) {
  for (std::size_t s = begin; s < plan.steps.size(); ++s) {
    const Plan::Step& step = plan.steps[s];
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      if (step.inputs[j].slot == slot && step.producers[j] == writer) {
        return static_cast<int>(s);
      }
    }
  }
  return -1;
}

bool uses(const Plan::Step& step, int slot) {
  return step.output.slot == slot ||
         std::any_of(step.inputs.begin(), step.inputs.end(), [&](const auto& place) { return place.slot == slot; });
}

bool is_first_use(const Plan& plan, int slot, std::size_t step) {
  return std::none_of(plan.steps.begin(), plan.steps.begin() + static_cast<std::ptrdiff_t>(step),
                      [&](const Plan::Step& earlier) { return uses(earlier, slot); });
}

/// Puts the result of a step on the memory of an earlier result that a later step still reads.
int alias(Plan& plan) {
  const auto slot_of = [&](int slot) -> Plan::Slot& { return plan.slots[static_cast<std::size_t>(slot)]; };
  for (std::size_t writer = plan.steps.size() / 3; writer < plan.steps.size(); ++writer) {
    const int victim = plan.steps[writer].output.slot;
    if (slot_of(victim).kind != Plan::Slot::Kind::arena) {
      continue;
    }
    for (std::size_t between = writer + 1; between < plan.steps.size(); ++between) {
      const Plan::Step& step = plan.steps[between];
      Plan::Slot& moved = slot_of(step.output.slot);
      const int reader = reader_of(plan, victim, static_cast<int>(writer), between + 1);
      if (reader < 0) {
        break;
      }
      if (moved.kind == Plan::Slot::Kind::arena && !uses(step, victim) &&
          is_first_use(plan, step.output.slot, between) && moved.bytes > 0 && moved.bytes <= slot_of(victim).bytes &&
          is_floating(step.call.output.dtype) && is_floating(plan.steps[writer].call.output.dtype)) {
        moved.offset = slot_of(victim).offset;
        return plan.steps[static_cast<std::size_t>(reader)].node;
      }
    }
  }
  return -1;
}

bool is_large_float(const KernelCall& call) {
  return gives_float(call) && call.output.numel() > 1;
}

}  // namespace

std::vector<Fault> memory_faults() {
  return {
      {.name = "stale_buffer",
       .family = "any",
       .description = "the kernel does not run: the output keeps what its memory held",
       .applies = is_large_float,
       .plant = [](FaultCall& fault) { fault.output = fault.before; }},
      {.name = "saved_tensor_overwritten",
       .family = "elementwise",
       .description = "the kernel writes its result over an input as well, which a later kernel needs",
       .kind = Fault::Kind::overwrites,
       .applies =
           [](const KernelCall& call) {
             return call.op->family == Family::elementwise && is_large_float(call) && input_like_output(call) >= 0;
           },
       .plant = [](FaultCall& fault) { fault.written_input = input_like_output(fault.call); }},
      {.name = "missing_wait",
       .family = "queue",
       .description = "the next kernel does not wait for this one's result",
       .kind = Fault::Kind::late,
       .applies = is_large_float},
      {.name = "arena_alias",
       .family = "plan",
       .description = "two results that live at the same time lie on the same memory",
       .kind = Fault::Kind::plan,
       .tamper = alias},
  };
}

}  // namespace twingrad::check
