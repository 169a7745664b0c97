#include "cpu/fused.h"

#include <twingrad/op.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "cpu/contiguous.h"
#include "cpu/elementwise_loops.h"
#include "cpu/gather.h"
#include "cpu/parallel.h"
#include "cpu/register_program.h"
#include "cpu/strided.h"
#include "cpu/update_loops.h"

namespace twingrad::cpu {
namespace {

constexpr std::size_t most_operands = 4;
/// What the parts of one block may fill: half of a small first-level cache, the rest is for the operands in memory.
constexpr std::int64_t scratch_bytes = 16384;
constexpr std::int64_t smallest_block = 64;
constexpr std::int64_t largest_block = 4096;
/// What they may fill in the smallest block, on the stack of every thread: 64 parts of 8 bytes an element.
constexpr std::int64_t largest_scratch = 32768;

/// What elementwise ops are guessed to take (Row) is mostly memory's share, which in registers the first one alone has.
constexpr double memory_nanoseconds = 0.15;
/// More than most processors have per core.
constexpr std::int64_t second_level_cache = 2 << 20;

/// Bytes of the cache that memory is behind, for one core: what sysconf() tells may be all caches of a machine
/// together.
std::int64_t last_level_cache() {
  static const std::int64_t found = [] {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
    std::int64_t kibibytes = 0;
    char unit = 0;
    constexpr std::int64_t usual = 32 << 20;
    return file >> kibibytes >> unit && unit == 'K' && kibibytes > 0 ? kibibytes << 10 : usual;
  }();
  return found;
}

/// Where a part's operand comes from.
struct Source {
  enum class Kind : std::uint8_t {
    dense,    ///< memory: element i of the part is element i from the address on
    single,   ///< memory: one value for all elements
    strided,  ///< memory: brought into scratch by `walk`
    part,     ///< an earlier part's result
  };
  Kind kind = Kind::dense;
  std::size_t address = 0;  ///< which one
  std::size_t part = 0;
  std::int64_t width = 0;  ///< bytes of an element
  std::int64_t scratch = 0;
  std::optional<StridedLoop<1>> walk;
};

struct Piece {
  DenseLoop loop = nullptr;     ///< elementwise
  UpdateLoop update = nullptr;  ///< or update
  std::size_t hyper = 0;        ///< update: the hyperparameters' address
  std::size_t operands = 0;
  std::array<Source, most_operands> sources;
  unsigned singles = 0;
  formulas::Parameters parameters{};
  bool stored = true;
  std::size_t address = 0;  ///< of the stored result
  std::int64_t scratch = 0;
  std::int64_t width = 0;
};

template <class T>
void gather_as(const StridedLoop<1>& walk, std::int64_t begin, std::int64_t end, const void* source, void* target) {
  const T* in = static_cast<const T*>(source);
  T* out = static_cast<T*>(target);
  walk.for_each_run(begin, end, [&](std::int64_t flat, const auto& offsets, std::int64_t n) {
    gather_run(in + offsets[0], walk.inner_stride(0), n, out + (flat - begin));
  });
}

void gather(const Source& source, std::int64_t begin, std::int64_t end, const void* memory, void* target) {
  switch (source.width) {
    case 1:
      return gather_as<std::uint8_t>(*source.walk, begin, end, memory, target);
    case 4:
      return gather_as<std::uint32_t>(*source.walk, begin, end, memory, target);
    default:
      return gather_as<std::uint64_t>(*source.walk, begin, end, memory, target);
  }
}

class FusedKernel final : public PreparedKernel {
 public:
  /// False when the parts are not for this kernel.
  bool build(const Fusion& fusion) {
    count_ = fusion.parts.front().call.output.numel();
    return std::all_of(fusion.parts.begin(), fusion.parts.end(), [&](const Fusion::Part& part) { return add(part); });
  }

  /// False when the parts need more scratch than there is.
  bool finish() {
    share_scratch();
    if (per_element_ * smallest_block > largest_scratch) {
      return false;
    }
    block_ = count_;
    if (pieces_.size() > 1 || per_element_ > 0) {
      const std::int64_t fits =
          per_element_ > 0 ? scratch_bytes / per_element_ / smallest_block * smallest_block : largest_block;
      block_ = std::clamp(fits, smallest_block, largest_block);
    }
    // Areas in bytes of a block; it is a multiple of 64 elements, so each begins at a cache line.
    for (Piece& piece : pieces_) {
      piece.scratch *= block_;
      for (Source& source : piece.sources) {
        source.scratch *= block_;
      }
    }
    prepare_registers();
    return true;
  }

  /// Gives every result and every gathered operand an area of scratch, in bytes per element, that another one may have
  /// as soon as it is read for the last time: a chain needs one. A result may lie on an operand of its own part.
  void share_scratch() {
    std::vector<std::size_t> last_reader(pieces_.size(), 0);
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
      for (std::size_t j = 0; j < pieces_[p].operands; ++j) {
        if (const Source& source = pieces_[p].sources[j]; source.kind == Source::Kind::part) {
          last_reader[source.part] = p;
        }
      }
    }
    std::vector<std::pair<std::int64_t, std::int64_t>> free;  // width, area
    const auto take = [&](std::int64_t width) {
      const auto found = std::find_if(free.begin(), free.end(), [&](const auto& area) { return area.first == width; });
      if (found == free.end()) {
        per_element_ += width;
        return per_element_ - width;
      }
      const std::int64_t area = found->second;
      free.erase(found);
      return area;
    };
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
      Piece& piece = pieces_[p];
      for (std::size_t j = 0; j < piece.operands; ++j) {
        if (piece.sources[j].kind == Source::Kind::strided) {
          piece.sources[j].scratch = take(piece.sources[j].width);
        }
      }
      for (std::size_t j = 0; j < piece.operands; ++j) {
        const Source& source = piece.sources[j];
        if (source.kind == Source::Kind::strided) {
          free.emplace_back(source.width, source.scratch);
        } else if (source.kind == Source::Kind::part && !pieces_[source.part].stored && last_reader[source.part] == p) {
          free.emplace_back(source.width, pieces_[source.part].scratch);
          last_reader[source.part] = pieces_.size();  // the same result twice is given back once
        }
      }
      if (!piece.stored) {
        piece.scratch = take(piece.width);
      }
    }
  }

  void run(std::span<void* const> addresses, const std::source_location& /*where*/) override {
    // Each thread but the last one gets whole strips.
    constexpr std::int64_t strip = registers::strip;
    const std::int64_t strips = (count_ + strip - 1) / strip;
    parallel_for(strips, nanoseconds_ * static_cast<double>(strip), [&](std::int64_t first, std::int64_t last) {
      static_assert(scratch_bytes <= largest_scratch);
      alignas(64) std::byte scratch[largest_scratch];
      std::int64_t begin = first * strip;
      const std::int64_t end = std::min(last * strip, count_);
      if (program_.has_value() && end - begin >= strip) {
        const std::int64_t whole = end - (end - begin) % strip;
        run_registers(addresses, begin, whole, scratch);
        begin = whole;
      }
      for (std::int64_t at = begin; at < end; at += block_) {
        run_block(addresses, at, std::min(end, at + block_), scratch);
      }
    });
  }

 private:
  bool add(const Fusion::Part& part) {
    const KernelCall& call = part.call;
    Piece piece;
    const bool updates = call.op->family == Family::update;
    if ((!updates && call.op->family != Family::elementwise) || !is_direct(call.output.dtype)) {
      return false;
    }
    if (updates) {
      piece.update = update_loop(call.op->kernel, call.output.dtype);
      nanoseconds_ += update_nanoseconds;
      register_nanoseconds_ += update_nanoseconds;
    } else {
      const Row& row = row_of(call.op->kernel);
      piece.loop = row.loop(call.inputs.back().dtype);
      const double cost = row.cost(call.inputs.back().dtype);
      nanoseconds_ += cost;
      register_nanoseconds_ += pieces_.empty() ? cost : cost - memory_nanoseconds;
      std::copy(call.attributes.reals.begin(), call.attributes.reals.end(), piece.parameters.p);
    }
    if (piece.loop == nullptr && piece.update == nullptr) {
      return false;
    }
    RegisterPart in_registers;
    in_registers.updates = updates;
    in_registers.kernel = call.op->kernel;
    in_registers.dtype = call.inputs.back().dtype;
    in_registers.gives_bool = call.output.dtype == Dtype::boolean;
    in_registers.parameters = piece.parameters;
    piece.operands = call.inputs.size() - (updates ? 1 : 0);
    for (std::size_t j = 0; j < piece.operands; ++j) {
      if (!add_source(piece, j, call.inputs[j], part.from[j], call.output.shape)) {
        return false;
      }
      in_registers.operands.push_back(register_operand(piece.sources.at(j), call.inputs[j].dtype));
      if (piece.sources.at(j).kind == Source::Kind::strided) {
        gathered_.push_back({.piece = pieces_.size(), .operand = j, .scratch = gathered_per_element_});
        gathered_per_element_ += piece.sources.at(j).width;
      }
    }
    if (!updates && !row_of(call.op->kernel).takes(piece.singles)) {
      // No loop for all operands single: the first one is spread out.
      Source& first = piece.sources[0];
      spread(first, call.inputs[0], call.output.shape);
      piece.singles &= ~1U;
    }
    if (updates) {
      piece.hyper = addresses_++;
      in_registers.hyper = piece.hyper;
    }
    piece.stored = part.stored;
    piece.width = static_cast<std::int64_t>(size_of(call.output.dtype));
    if (part.stored) {
      piece.address = addresses_++;
      in_registers.result = piece.address;
    }
    parts_.push_back(std::move(in_registers));
    pieces_.push_back(std::move(piece));
    return true;
  }

  bool add_source(Piece& piece, std::size_t j, const TensorView& view, int from, const Shape& shape) {
    Source& source = piece.sources.at(j);
    source.width = static_cast<std::int64_t>(size_of(view.dtype));
    if (!is_direct(view.dtype)) {
      return false;
    }
    if (from >= 0) {
      source.kind = Source::Kind::part;
      source.part = static_cast<std::size_t>(from);
      return true;
    }
    source.address = addresses_++;
    if (view.contiguous()) {
      source.kind = Source::Kind::dense;
    } else if (std::all_of(view.strides.begin(), view.strides.end(), [](std::int64_t stride) { return stride == 0; })) {
      source.kind = Source::Kind::single;
      piece.singles |= 1U << j;
    } else if (count_ >= worth_a_copy && lies_across(view)) {
      return false;
    } else {
      spread(source, view, shape);
    }
    return true;
  }

  void spread(Source& source, const TensorView& view, const Shape& shape) {
    source.kind = Source::Kind::strided;
    source.walk.emplace(shape, std::array<const Strides*, 1>{&view.strides});
  }

  /// Dense operands count as far until prepare_registers() knows better.
  static RegisterPart::Operand register_operand(const Source& source, Dtype dtype) {
    using Kind = RegisterPart::Operand::Kind;
    const bool is_bool = dtype == Dtype::boolean;
    switch (source.kind) {
      case Source::Kind::part:
        return {.kind = Kind::part, .index = source.part, .is_bool = is_bool};
      case Source::Kind::single:
        return {.kind = Kind::single, .index = source.address, .is_bool = is_bool};
      case Source::Kind::dense:
        return {.kind = Kind::memory, .index = source.address, .is_bool = is_bool, .far = true};
      case Source::Kind::strided:
        break;
    }
    return {.kind = Kind::memory, .index = source.address, .is_bool = is_bool};
  }

  /// Translates the parts for vector registers, if they are for that.
  void prepare_registers() {
    std::int64_t moved = 0;
    for (const RegisterPart& part : parts_) {
      for (const RegisterPart::Operand& operand : part.operands) {
        moved += operand.far ? count_ * (operand.is_bool ? 1 : 4) : 0;
      }
      moved += part.result.has_value() ? count_ * (part.gives_bool ? 1 : 4) : 0;
    }
    const bool far = moved > second_level_cache;
    for (RegisterPart& part : parts_) {
      for (RegisterPart::Operand& operand : part.operands) {
        operand.far = operand.far && far;
      }
    }
    streams_ = moved > last_level_cache();
    // One op whose memory the caches hold is faster without being called strip by strip.
    if (pieces_.size() > 1 || streams_) {
      program_ = RegisterProgram::translate(parts_, addresses_);
    }
    parts_.clear();
    if (program_.has_value() && !fit_registers()) {
      program_.reset();
    }
    if (program_.has_value()) {
      nanoseconds_ = register_nanoseconds_;
    }
  }

  /// Shares the scratch out between slots and gathered operands. False when it is too little.
  bool fit_registers() {
    gathered_area_ = program_->scratch_bytes();
    const std::int64_t bytes = largest_scratch - gathered_area_;
    if (bytes < gathered_per_element_ * registers::strip) {
      return false;
    }
    if (gathered_per_element_ > 0) {
      const std::int64_t fits = std::min(bytes, scratch_bytes) / gathered_per_element_ / registers::strip;
      gathered_block_ = std::clamp(fits * registers::strip, registers::strip, largest_block);
    }
    return true;
  }

  /// Whether results may go around the caches. What lies on an operand is near already.
  bool may_stream(std::span<void* const> addresses) const {
    const auto result_of = [&](const Piece& piece) { return addresses[piece.address]; };
    return std::all_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) {
      return !piece.stored || (reinterpret_cast<std::uintptr_t>(result_of(piece)) % registers::vector_bytes == 0 &&
                               std::count(addresses.begin(), addresses.end(), result_of(piece)) == 1);
    });
  }

  /// Whole strips, through the registers.
  void run_registers(std::span<void* const> addresses, std::int64_t begin, std::int64_t end, std::byte* scratch) const {
    registers::Frame frame;
    for (std::size_t k = 0; k < addresses_; ++k) {
      frame.bases[k] = static_cast<std::byte*>(addresses[k]);
    }
    frame.streams = streams_ && may_stream(addresses);
    const std::int64_t block = gathered_.empty() ? end - begin : gathered_block_;
    for (std::int64_t at = begin; at < end; at += block) {
      const std::int64_t stop = std::min(end, at + block);
      for (const Gathered& gathered : gathered_) {
        const Source& source = pieces_[gathered.piece].sources[gathered.operand];
        std::byte* const area = scratch + gathered_area_ + gathered.scratch * block;
        gather(source, at, stop, addresses[source.address], area);
        frame.bases[source.address] = area - at * source.width;
      }
      program_->run(frame, scratch, at, stop);
    }
  }

  void run_block(std::span<void* const> addresses, std::int64_t begin, std::int64_t end, std::byte* scratch) const {
    const std::int64_t n = end - begin;
    for (const Piece& piece : pieces_) {
      std::array<const void*, most_operands> operands{};
      for (std::size_t j = 0; j < piece.operands; ++j) {
        operands[j] = operand(addresses, piece.sources[j], begin, end, scratch);
      }
      void* const output = result(addresses, piece, begin, scratch);
      if (piece.update != nullptr) {
        piece.update(n, output, operands.data(), addresses[piece.hyper]);
      } else {
        piece.loop(n, output, {operands[0], operands[1], operands[2]}, piece.singles, piece.parameters);
      }
    }
  }

  const void* operand(std::span<void* const> addresses, const Source& source, std::int64_t begin, std::int64_t end,
                      std::byte* scratch) const {
    switch (source.kind) {
      case Source::Kind::dense:
        return static_cast<const std::byte*>(addresses[source.address]) + begin * source.width;
      case Source::Kind::single:
        return addresses[source.address];
      case Source::Kind::strided:
        gather(source, begin, end, addresses[source.address], scratch + source.scratch);
        return scratch + source.scratch;
      case Source::Kind::part:
        return result(addresses, pieces_[source.part], begin, scratch);
    }
    return nullptr;
  }

  static void* result(std::span<void* const> addresses, const Piece& piece, std::int64_t begin, std::byte* scratch) {
    return piece.stored ? static_cast<std::byte*>(addresses[piece.address]) + begin * piece.width
                        : scratch + piece.scratch;
  }

  /// An operand that is brought into scratch for the registers' steps.
  struct Gathered {
    std::size_t piece = 0;
    std::size_t operand = 0;
    std::int64_t scratch = 0;  ///< bytes per element before its area
  };

  std::vector<Piece> pieces_;
  std::vector<RegisterPart> parts_;  // until they are translated
  std::optional<RegisterProgram> program_;
  bool streams_ = false;  // unless the addresses forbid it
  std::vector<Gathered> gathered_;
  std::int64_t gathered_per_element_ = 0;
  std::int64_t gathered_area_ = 0;
  std::int64_t gathered_block_ = 0;
  std::size_t addresses_ = 0;
  std::int64_t count_ = 0;
  std::int64_t block_ = 0;
  std::int64_t per_element_ = 0;
  double nanoseconds_ = 0;
  double register_nanoseconds_ = 0;
};

}  // namespace

std::unique_ptr<PreparedKernel> fuse_elementwise(const Fusion& fusion) {
  auto kernel = std::make_unique<FusedKernel>();
  if (!kernel->build(fusion) || !kernel->finish()) {
    return nullptr;
  }
  return kernel;
}

}  // namespace twingrad::cpu
