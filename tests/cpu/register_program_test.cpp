// Chains of float32 whose values stay in vector registers: every op and update in every place among the operands, all
// lengths, special values, results on operands and several threads, against the ops one by one.
#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "cpu/fused.h"
#include "cpu/parallel.h"
#include "cpu/register_program.h"
#include "tests/cpu/kernel_fixture.h"
#include "tests/parts_one_by_one.h"

namespace twingrad {
namespace {

using cpu::registers::strip;

/// What the tests need to know of a formula.
struct Row {
  std::string name;
  int arity;
  formulas::Takes takes;
  bool gives_bool;
  bool has_condition;
};
template <class... Formula>
std::vector<Row> rows_of(std::tuple<Formula...>*) {
  return {Row{std::string(Formula::name), Formula::arity, Formula::takes, Formula::gives == formulas::Gives::boolean,
              std::is_same_v<Formula, formulas::Where>}...};
}
const std::vector<Row> rows = rows_of(static_cast<formulas::Formulas*>(nullptr));
template <class Formula>
constexpr int kernel_of = formulas::index_in<Formula, formulas::Formulas>::value;

struct UpdateRow {
  std::string name;
  int operands;
  int hyperparameters;
};
template <class... Formula>
std::vector<UpdateRow> update_rows_of(std::tuple<Formula...>*) {
  return {UpdateRow{std::string(Formula::name), Formula::arity - 1, Formula::hyperparameters}...};
}
const std::vector<UpdateRow> update_rows = update_rows_of(static_cast<formulas::UpdateFormulas*>(nullptr));

bool takes_float(const Row& row) {
  return row.takes == formulas::Takes::floats || row.takes == formulas::Takes::numbers ||
         row.takes == formulas::Takes::any;
}
bool takes_bool(const Row& row) {
  return row.takes == formulas::Takes::bools || row.takes == formulas::Takes::any;
}

/// How an operand in memory lies there: an element each, one for all, one row for all rows, every second element.
enum class Lie { dense, single, row, gapped };

/// A fusion under construction, with its memory.
class Chain {
 public:
  Chain(std::int64_t count, std::mt19937_64& generator) : count_(count), generator_(generator) {}

  /// An operand that is the result of part `from`, or in memory.
  struct Operand {
    int from = -1;
    Lie lie = Lie::dense;
    Dtype dtype = Dtype::f32;
  };

  /// Adds a part and returns its number.
  int add(const Op& row, const std::vector<Operand>& operands, Dtype result, bool stored,
          const std::array<double, 4>& reals = {}) {
    Fusion::Part part{.call = {}, .from = {}, .stored = stored};
    part.call.op = &row;
    part.call.attributes.reals = reals;
    for (const Operand& operand : operands) {
      part.call.inputs.push_back(operand.from >= 0 ? dense_view(operand.dtype) : in_memory(operand));
      part.from.push_back(operand.from);
    }
    return add(std::move(part), result);
  }

  /// The same for an update; its hyperparameters come last.
  int add_update(const Op& row, const std::vector<Operand>& operands, int hyperparameters, bool stored) {
    Fusion::Part part{.call = {}, .from = {}, .stored = stored};
    part.call.op = &row;
    for (const Operand& operand : operands) {
      part.call.inputs.push_back(operand.from >= 0 ? dense_view(f32) : in_memory(operand));
      part.from.push_back(operand.from);
    }
    std::vector<float> hyper;
    for (int k = 0; k < hyperparameters; ++k) {
      hyper.push_back(std::uniform_real_distribution<float>(0.01F, 0.9F)(generator_));
    }
    part.call.inputs.push_back({nullptr, f32, Shape{hyperparameters}, Strides{1}});
    part.from.push_back(-1);
    memory_.push_back(bytes_of(hyper));
    return add(std::move(part), f32);
  }

  /// The result of the last part lies on the operand that was added at `memory`-th.
  void write_over(std::size_t memory) { over_ = memory; }

  /// Runs the fusion as one kernel and part by part, and compares all that is in memory afterwards.
  void expect_bits_of_single_ops(Backend& backend, const std::string& what) {
    std::vector<std::vector<std::byte>> fused = memory_;
    std::vector<std::vector<std::byte>> single = memory_;
    const std::unique_ptr<PreparedKernel> kernel = cpu::fuse_elementwise(fusion_);
    ASSERT_NE(kernel, nullptr) << what;
    kernel->run(addresses(fused), std::source_location::current());
    tests::PartsOneByOne(backend, fusion_).run(addresses(single), std::source_location::current());
    for (std::size_t m = 0; m < memory_.size(); ++m) {
      for (std::size_t at = 0; at < memory_[m].size(); at += sizeof(float)) {
        // Bools may end within a float; the guard behind them goes on.
        const std::size_t bytes = std::min(sizeof(float), memory_[m].size() - at);
        float values[2] = {};
        std::memcpy(&values[0], fused[m].data() + at, bytes);
        std::memcpy(&values[1], single[m].data() + at, bytes);
        const bool equal = std::memcmp(&values[0], &values[1], sizeof(float)) == 0;
        // Of two NaN with different bits a sum is one or the other, by the order in which the compiler names them.
        ASSERT_TRUE(equal || (std::isnan(values[0]) && std::isnan(values[1])))
            << what << ", " << count_ << " elements: byte " << at << " of memory " << m << ", as floats " << values[0]
            << " and " << values[1];
      }
    }
  }

 private:
  /// Results are guarded by as many bytes behind them.
  static constexpr std::size_t guard = 64;

  template <class T>
  static std::vector<std::byte> bytes_of(const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T) + guard, std::byte{0x55});
    std::memcpy(bytes.data(), values.data(), values.size() * sizeof(T));
    return bytes;
  }

  TensorView dense_view(Dtype dtype) const { return {nullptr, dtype, Shape{count_}, Strides{1}}; }

  TensorView in_memory(const Operand& operand) {
    TensorView view = dense_view(operand.dtype);
    std::int64_t elements = count_;
    if (operand.lie == Lie::single) {
      view.strides = Strides{0};
      elements = 1;
    } else if (operand.lie == Lie::row && count_ % 3 == 0) {
      view.shape = Shape{3, count_ / 3};
      view.strides = Strides{0, 1};
    } else if (operand.lie == Lie::gapped) {
      view.strides = Strides{2};
      elements = 2 * count_;
    }
    if (operand.dtype == boolean) {
      std::vector<std::uint8_t> values(static_cast<std::size_t>(elements));
      std::generate(values.begin(), values.end(), [&] { return static_cast<std::uint8_t>(generator_() & 1U); });
      memory_.push_back(bytes_of(values));
    } else {
      std::vector<float> values(static_cast<std::size_t>(elements));
      std::generate(values.begin(), values.end(), [&] { return draw(); });
      memory_.push_back(bytes_of(values));
    }
    return view;
  }

  /// Every fourth one special, the others between -4 and 4.
  float draw() {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    constexpr std::array<float, 16> special{0.0F,  -0.0F,     infinity,   -infinity, nan_,    1.0F,
                                            -1.0F, 0x1p-149F, -0x1p-130F, 0x1p-126F, 3.4e38F, -3.4e38F,
                                            1e20F, 88.7F,     -104.5F,    1e6F};
    const std::uint64_t bits = generator_();
    return bits % 4 == 0
               ? special.at(bits / 4 % special.size())
               : static_cast<float>(static_cast<std::int64_t>(bits >> 32) - (std::int64_t{1} << 31)) * 0x1p-29F;
  }

  int add(Fusion::Part part, Dtype result) {
    part.call.output = dense_view(result);
    // All windows of a part have one shape.
    for (const TensorView& input : part.call.inputs) {
      if (input.shape.size() == 2) {
        part.call.output.shape = input.shape;
        part.call.output.strides = contiguous_strides(input.shape);
      }
    }
    for (TensorView& input : part.call.inputs) {
      if (part.call.output.shape.size() == 2 && input.shape.size() == 1 && input.shape[0] == count_) {
        const std::int64_t stride = input.strides[0];
        input.shape = part.call.output.shape;
        input.strides = Strides{stride * input.shape[1], stride};
      }
    }
    if (part.stored) {
      const std::size_t bytes = static_cast<std::size_t>(count_) * size_of(result);
      memory_.emplace_back(bytes + guard, std::byte{0x55});
    }
    fusion_.parts.push_back(std::move(part));
    return static_cast<int>(fusion_.parts.size()) - 1;
  }

  std::vector<void*> addresses(std::vector<std::vector<std::byte>>& memory) const {
    std::vector<void*> result;
    for (std::vector<std::byte>& block : memory) {
      result.push_back(block.data());
    }
    if (over_ < result.size()) {
      result.back() = result[over_];
    }
    return result;
  }

  static constexpr float nan_ = std::numeric_limits<float>::quiet_NaN();
  std::int64_t count_;
  std::mt19937_64& generator_;
  Fusion fusion_;
  std::vector<std::vector<std::byte>> memory_;  // in the order of the addresses
  std::size_t over_ = std::numeric_limits<std::size_t>::max();
};

class CpuRegisterProgram : public KernelTest {
 protected:
  CpuRegisterProgram() {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      ops_.push_back(op(Family::elementwise, k));
    }
    for (std::size_t k = 0; k < update_rows.size(); ++k) {
      updates_.push_back(op(Family::update, k));
    }
  }

  template <class Formula>
  const Op& op_of() const {
    return ops_[kernel_of<Formula>];
  }

  /// x in memory, of floats or bools, negated: a value that lies in the registers.
  int start(Chain& chain, Dtype dtype) const {
    return dtype == boolean ? chain.add(op_of<formulas::LogicalNot>(), {{.dtype = boolean}}, boolean, false)
                            : chain.add(op_of<formulas::Neg>(), {{}}, f32, false);
  }

  static constexpr std::array<double, 4> reals{-0.4, 1.7, 0.0, 0.0};
  std::vector<Op> ops_;
  std::vector<Op> updates_;
};

TEST_F(CpuRegisterProgram, EveryOpHasAStepForEveryPositionOfItsOperands) {
  for (std::size_t k = 0; k < rows.size(); ++k) {
    for (std::size_t position = 0; position < static_cast<std::size_t>(rows[k].arity); ++position) {
      if (takes_float(rows[k])) {
        for (unsigned singles = 0; singles < 1U << rows[k].arity; ++singles) {
          if ((singles >> position & 1U) == 0 && !(rows[k].has_condition && (singles & 1U) != 0)) {
            EXPECT_NE(cpu::registers::formula_step(static_cast<int>(k), f32, position, singles), nullptr)
                << rows[k].name << ", position " << position << ", singles " << singles;
          }
        }
      }
      if (takes_bool(rows[k])) {
        EXPECT_NE(cpu::registers::formula_step(static_cast<int>(k), boolean, position, 0), nullptr) << rows[k].name;
      }
    }
    EXPECT_EQ(cpu::registers::formula_step(static_cast<int>(k), f64, 0, 0), nullptr);
  }
  for (std::size_t k = 0; k < update_rows.size(); ++k) {
    for (std::size_t position = 0; position < static_cast<std::size_t>(update_rows[k].operands); ++position) {
      EXPECT_NE(cpu::registers::update_step(static_cast<int>(k), f32, position), nullptr) << update_rows[k].name;
    }
    EXPECT_EQ(cpu::registers::update_step(static_cast<int>(k), f64, 0), nullptr);
  }
}

TEST_F(CpuRegisterProgram, EveryOpWithTheCurrentValuesAsAnyOperand) {
  for (std::size_t k = 0; k < rows.size(); ++k) {
    for (const Dtype dtype : {f32, boolean}) {
      if (dtype == f32 ? !takes_float(rows[k]) : !takes_bool(rows[k])) {
        continue;
      }
      for (int position = -1; position < rows[k].arity; ++position) {
        for (const Lie lie : {Lie::dense, Lie::single, Lie::row, Lie::gapped}) {
          Chain chain(6 * strip + 21, generator_);
          const auto dtype_of_operand = [&](int j) { return rows[k].has_condition && j == 0 ? boolean : dtype; };
          const int first = start(chain, dtype_of_operand(std::max(position, 0)));
          std::vector<Chain::Operand> operands;
          for (int j = 0; j < rows[k].arity; ++j) {
            operands.push_back({.from = j == position ? first : -1, .lie = lie, .dtype = dtype_of_operand(j)});
          }
          chain.add(ops_[k], operands, rows[k].gives_bool ? boolean : dtype, true, reals);
          chain.expect_bits_of_single_ops(*backend_, rows[k].name + ", operand " + std::to_string(position));
        }
      }
    }
  }
}

TEST_F(CpuRegisterProgram, EveryUpdateWithTheCurrentValuesAsAnyOperand) {
  for (std::size_t k = 0; k < update_rows.size(); ++k) {
    for (int position = -1; position < update_rows[k].operands; ++position) {
      for (const bool over : {false, true}) {
        Chain chain(5 * strip + 13, generator_);
        const int first = start(chain, f32);
        std::vector<Chain::Operand> operands(static_cast<std::size_t>(update_rows[k].operands));
        if (position >= 0) {
          operands[static_cast<std::size_t>(position)].from = first;
        }
        chain.add_update(updates_[k], operands, update_rows[k].hyperparameters, true);
        if (over) {
          chain.write_over(1);
        }
        chain.expect_bits_of_single_ops(*backend_, update_rows[k].name + ", operand " + std::to_string(position));
      }
    }
  }
}

TEST_F(CpuRegisterProgram, EveryLength) {
  for (std::int64_t count = 1; count <= 3 * strip + 1; ++count) {
    Chain chain(count, generator_);
    const int first = start(chain, f32);
    const int sum = chain.add(op_of<formulas::Add>(), {{.from = first}, {}}, f32, true);
    const int less = chain.add(op_of<formulas::Less>(), {{.from = sum}, {.from = first}}, boolean, true);
    chain.add(op_of<formulas::Where>(), {{.from = less, .dtype = boolean}, {.lie = Lie::single}, {.from = sum}}, f32,
              true);
    chain.expect_bits_of_single_ops(*backend_, "every length");
  }
}

TEST_F(CpuRegisterProgram, AResultMayLieOnAnOperand) {
  for (const std::int64_t count : {strip, 2 * strip + 5, 100 * strip}) {
    Chain chain(count, generator_);
    const int first = start(chain, f32);
    const int square = chain.add(op_of<formulas::Mul>(), {{.from = first}, {.from = first}}, f32, false);
    chain.add(op_of<formulas::Sub>(), {{.lie = Lie::single}, {.from = square}}, f32, true);
    chain.write_over(0);
    chain.expect_bits_of_single_ops(*backend_, "in place");
  }
}

// Part after part with random ops, operands from anywhere, and results that are wanted at random.
TEST_F(CpuRegisterProgram, RandomGraphsOnOneAndTwoThreads) {
  for (int trial = 0; trial < 400; ++trial) {
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(generator_() % n); };
    const cpu::LimitThreads threads(1 + trial % 2);
    // Some are worth a second thread.
    const std::int64_t count = trial % 20 == 1 ? 60000 : 1 + static_cast<std::int64_t>(below(4 * strip));
    Chain chain(count, generator_);
    std::array<std::vector<int>, 2> made;  // floats, bools
    const std::size_t parts = 2 + below(15);
    std::string what = "trial " + std::to_string(trial) + ":";
    for (std::size_t p = 0; p < parts; ++p) {
      const bool last = p + 1 == parts;
      const auto operand = [&](Dtype dtype) {
        const std::vector<int>& candidates = made.at(dtype == boolean ? 1 : 0);
        if (!candidates.empty() && below(4) != 0) {
          return Chain::Operand{.from = below(2) == 0 ? candidates.back() : candidates[below(candidates.size())],
                                .dtype = dtype};
        }
        constexpr std::array<Lie, 6> lies{Lie::dense, Lie::dense, Lie::dense, Lie::single, Lie::row, Lie::gapped};
        return Chain::Operand{.lie = lies.at(below(lies.size())), .dtype = dtype};
      };
      if (below(8) == 0) {
        const std::size_t k = below(update_rows.size());
        std::vector<Chain::Operand> operands;
        for (int j = 0; j < update_rows[k].operands; ++j) {
          operands.push_back(operand(f32));
          operands.back().lie = Lie::dense;
        }
        what += " " + update_rows[k].name;
        made[0].push_back(
            chain.add_update(updates_[k], operands, update_rows[k].hyperparameters, last || below(3) == 0));
        continue;
      }
      const std::size_t k = below(rows.size());
      const Dtype dtype = takes_float(rows[k]) && (!takes_bool(rows[k]) || below(4) != 0) ? f32 : boolean;
      std::vector<Chain::Operand> operands;
      for (int j = 0; j < rows[k].arity; ++j) {
        operands.push_back(operand(rows[k].has_condition && j == 0 ? boolean : dtype));
      }
      const Dtype result = rows[k].gives_bool ? boolean : dtype;
      what += " " + rows[k].name;
      made.at(result == boolean ? 1 : 0).push_back(chain.add(ops_[k], operands, result, last || below(3) == 0, reals));
    }
    ASSERT_NO_FATAL_FAILURE(chain.expect_bits_of_single_ops(*backend_, what));
  }
}

// A kernel streams only what the last-level cache does not hold, which may be more than a test should take.
TEST_F(CpuRegisterProgram, ResultsThatGoAroundTheCachesHaveTheSameBits) {
  using Kind = cpu::RegisterPart::Operand::Kind;
  constexpr auto count = static_cast<std::size_t>(4 * strip);
  constexpr auto begin = static_cast<std::size_t>(strip);
  constexpr std::size_t end = 3 * begin;
  // y = -x, and where y < x
  const std::array<cpu::RegisterPart, 2> parts{
      {{.kernel = kernel_of<formulas::Neg>, .operands = {{.kind = Kind::memory, .index = 0, .far = true}}, .result = 1},
       {.kernel = kernel_of<formulas::Less>,
        .gives_bool = true,
        .operands = {{.kind = Kind::part, .index = 0}, {.kind = Kind::memory, .index = 0, .far = true}},
        .result = 2}}};
  const auto program = cpu::RegisterProgram::translate(parts, 3);
  ASSERT_TRUE(program.has_value());
  ASSERT_EQ(program->scratch_bytes(), 0);
  alignas(cpu::registers::vector_bytes) std::array<float, count> x{};
  alignas(cpu::registers::vector_bytes) std::array<float, count> y{};
  std::array<std::uint8_t, count> less{};
  for (std::size_t i = 0; i < count; ++i) {
    x.at(i) = static_cast<float>(i) - 1.5F * static_cast<float>(begin);
  }
  constexpr float untouched = 0.5F;
  y.fill(untouched);
  less.fill(2);
  cpu::registers::Frame frame{.bases = {}, .streams = true};
  frame.bases[0] = reinterpret_cast<std::byte*>(x.data());
  frame.bases[1] = reinterpret_cast<std::byte*>(y.data());
  frame.bases[2] = reinterpret_cast<std::byte*>(less.data());
  program->run(frame, nullptr, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
  for (std::size_t i = 0; i < count; ++i) {
    const bool written = begin <= i && i < end;
    ASSERT_EQ(y.at(i), written ? -x.at(i) : untouched) << i;
    ASSERT_EQ(less.at(i), written ? (-x.at(i) < x.at(i) ? 1 : 0) : 2) << i;
  }
}

// More than the second-level cache, so operands are fetched ahead; the longer one is more than most last-level caches,
// so results go around those where their memory is aligned.
TEST_F(CpuRegisterProgram, BeyondTheCaches) {
  for (const std::int64_t count : {std::int64_t{1} << 19, (std::int64_t{1} << 22) + 77}) {
    Chain chain(count, generator_);
    const int first = start(chain, f32);
    const int sum = chain.add(op_of<formulas::Add>(), {{.from = first}, {}}, f32, true);
    chain.add(op_of<formulas::Maximum>(), {{.from = sum}, {.from = first}}, f32, true);
    chain.expect_bits_of_single_ops(*backend_, "beyond the caches");
  }
}

}  // namespace
}  // namespace twingrad
