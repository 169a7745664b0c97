// One use of one op with hard shapes, layouts and values, drawn from a seed: what the check of all ops runs. The same
// op, number and seed give the same case everywhere. Private to the cross-check.
//
//   OpCase drawn = make_case(op, 17, seed, {});
//   PlacedCase placed = place(drawn, Device::cpu());
#pragma once

#include <twingrad/check/draws.h>
#include <twingrad/op.h>
#include <twingrad/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twingrad::check {

/// What the floating-point inputs hold.
enum class Values : std::uint8_t {
  domain,        ///< drawn in the row's domain
  whole,         ///< small whole numbers: sums and products are exact
  odd,           ///< odd numbers of 12 and 13 bits, which TF32 cannot hold, or of all of a 16-bit dtype's bits, times
                 ///< small ones
  cancellation,  ///< 1e8, 1, -1e8, ...
  positive,      ///< near 1: roundings of sums do not cancel
  outlier,       ///< one 1e30
  signed_zeros,
  subnormals,
  largest,     ///< one at the end of the range
  not_finite,  ///< infinities and NaN in single positions
  kinks,       ///< where a derivative jumps, and one unit in the last place to each side
  ties,        ///< few different numbers
  same_rows,   ///< rows of the last axis alike
  steep,       ///< +-1e4, and rows of -infinity
};
inline constexpr int value_kinds = 14;
std::string_view name(Values values);

/// How an input lies in memory.
enum class Placement : std::uint8_t { contiguous, transposed, offset, stepped, reversed, expanded };
std::string_view name(Placement placement);

struct CaseInput {
  TensorType type;
  std::vector<double> values;
  std::vector<std::int64_t> integers{};  ///< a random op's seed
  Placement placement = Placement::contiguous;
  int axis = 0;      ///< of the placement
  int same_as = -1;  ///< the very tensor that an earlier input is
};

struct OpCase {
  const Op* op = nullptr;
  std::int64_t number = 0;
  std::uint64_t seed = 0;
  Dtype dtype = Dtype::f32;
  Values values = Values::domain;
  Attributes attributes;
  std::vector<CaseInput> inputs;
  TensorType output;
};

/// Narrows what is drawn.
struct CaseFilter {
  std::optional<Shape> shape{};  ///< of the first input
  std::optional<Dtype> dtype{};
  bool tf32 = false;  ///< products of float32 are asked for in TF32
};

/// The element dtypes that the op takes: its own where it has one, floating-point ones first.
std::vector<Dtype> dtypes_of(const Op& op);

/// Throws ArgumentError when the filter leaves nothing that the op takes.
OpCase make_case(const Op& op, std::int64_t number, std::uint64_t seed, const CaseFilter& filter);

/// "add((7, 5) float32 transposed, (5) float32), outlier".
std::string describe(const OpCase& drawn);

/// The case's tensors on a device: leaves, and what is shown of them.
struct PlacedCase {
  std::vector<Tensor> leaves;  ///< distinct
  std::vector<Tensor> inputs;
};
PlacedCase place(const OpCase& drawn, Device device);

/// `count` numbers of the given kind in `dtype`, row-major with rows of `row`. `which`: the input's position.
std::vector<double> draw_values(const Op& op, Values values, Dtype dtype, std::int64_t count, std::int64_t row,
                                std::size_t which, Draws& draws);
/// Distinct whole numbers around 0 where `values` asks for exact results, else numbers in [-1, 1].
std::vector<double> draw_cotangent(Values values, Dtype dtype, std::int64_t count, Draws& draws);

}  // namespace twingrad::check
