// The steps of register programs. What a step does is a Work: run() changes the current values. The loops over the
// lanes of one vector have a constant length, so the compiler makes each one instruction per operation of the formula;
// as each rounds as in the dense loops (elementwise_loops.cpp), they give the same bits. Only which of two NaN a sum or
// product hands on follows from the order of the instruction's operands, which is the compiler's here and there.
#include "cpu/register_steps.h"

#include <twingrad/update_formulas.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <bit>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cpu/elementwise_loops.h"
#include "cpu/lane.h"

namespace twingrad::cpu::registers {
namespace {

using formulas::Parameters;

/// The current values.
struct Values {
  Vector v[vectors];
};

template <class Work>
void step_of(const Step* step, const Frame* frame, std::int64_t at, Vector a, Vector b, Vector c, Vector d, Vector e,
             Vector f, Vector g, Vector h) {
  Values values{{a, b, c, d, e, f, g, h}};
  Work::run(*step, *frame, at, values);
  const Step* const next = step + 1;
  return next->code(next, frame, at, values.v[0], values.v[1], values.v[2], values.v[3], values.v[4], values.v[5],
                    values.v[6], values.v[7]);
}

/// Calls each(k) for the vectors, with k known to the compiler, so that values.v[k] is a register.
template <class Each>
TWINGRAD_LANE void for_each_vector(const Each& each) {
  [&]<int... K>(std::integer_sequence<int, K...>) {
    (each(std::integral_constant<int, K>{}), ...);
  }
  (std::make_integer_sequence<int, vectors>{});
}

template <class T>
TWINGRAD_LANE T* pointer(const Frame& frame, Place place, std::int64_t at) {
  return reinterpret_cast<T*>(frame.bases[place.base]) + (at & place.moves);
}
TWINGRAD_LANE Vector load(const float* from) {
  Vector result;
  std::memcpy(&result, from, sizeof(result));
  return result;
}
TWINGRAD_LANE void store(const Vector& value, float* to) {
  std::memcpy(to, &value, sizeof(value));
}
TWINGRAD_LANE Vector of_one(float value) {
  float lanes[vector_length];
  for (float& lane : lanes) {
    lane = value;
  }
  return load(lanes);
}

/// A number or bool as a lane, and back.
TWINGRAD_LANE float to_lane(float x) {
  return x;
}
TWINGRAD_LANE float to_lane(bool x) {
  return std::bit_cast<float>(x ? 1U : 0U);
}
template <class T>
TWINGRAD_LANE T from_lane(float lane) {
  if constexpr (std::is_same_v<T, bool>) {
    return std::bit_cast<std::uint32_t>(lane) != 0;
  } else {
    return lane;
  }
}

struct Load {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, Values& values) {
    const float* const from = pointer<const float>(frame, step.places[0], at);
    for_each_vector([&](auto k) { values.v[k] = load(from + k * vector_length); });
  }
};

struct LoadSingle {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, Values& values) {
    const Vector value = of_one(*pointer<const float>(frame, step.places[0], at));
    for_each_vector([&](auto k) { values.v[k] = value; });
  }
};

struct LoadBools {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, Values& values) {
    const auto* const from = pointer<const std::uint8_t>(frame, step.places[0], at);
    for_each_vector([&](auto k) {
      float lanes[vector_length];
      for (int i = 0; i < vector_length; ++i) {
        lanes[i] = std::bit_cast<float>(std::uint32_t{from[k * vector_length + i]});
      }
      values.v[k] = load(lanes);
    });
  }
};

struct LoadSingleBool {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, Values& values) {
    const Vector value = of_one(to_lane(*pointer<const bool>(frame, step.places[0], at)));
    for_each_vector([&](auto k) { values.v[k] = value; });
  }
};

/// Past the caches where the processor can.
TWINGRAD_LANE void stream(const Vector& value, float* to) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, value);
#elif defined(__AVX__)
  _mm256_stream_ps(to, value);
#elif defined(__SSE2__)
  _mm_stream_ps(to, value);
#else
  store(value, to);
#endif
}

struct Store {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, const Values& values) {
    float* const to = pointer<float>(frame, step.places[0], at);
    if (frame.streams) {
      for_each_vector([&](auto k) { stream(values.v[k], to + k * vector_length); });
    } else {
      for_each_vector([&](auto k) { store(values.v[k], to + k * vector_length); });
    }
  }
};

struct StoreBools {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, const Values& values) {
    auto* const to = pointer<std::uint8_t>(frame, step.places[0], at);
    for_each_vector([&](auto k) {
      float lanes[vector_length];
      store(values.v[k], lanes);
      for (int i = 0; i < vector_length; ++i) {
        to[k * vector_length + i] = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(lanes[i]));
      }
    });
  }
};

struct Fetch {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, const Values&) {
    constexpr std::int64_t line = 64;
    const auto* const from = pointer<const float>(frame, step.places[0], at);
    // An address beyond the array is no error.
    const auto ahead = reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(fetch_distance);
    for (std::int64_t byte = 0; byte < strip * static_cast<std::int64_t>(sizeof(float)); byte += line) {
      __builtin_prefetch(reinterpret_cast<const void*>(ahead + static_cast<std::uintptr_t>(byte)));
    }
  }
};

struct Keep {
  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, const Values& values) {
    float* const to = pointer<float>(frame, step.places[0], at);
    for_each_vector([&](auto k) { store(values.v[k], to + k * vector_length); });
  }
};

void end(const Step*, const Frame*, std::int64_t, Vector, Vector, Vector, Vector, Vector, Vector, Vector, Vector) {}

/// A formula with the current values as operand `position`; bits of `singles`: operands that are one value.
template <class Formula, class T, std::size_t position, unsigned singles>
struct Apply {
  static constexpr auto arity = static_cast<std::size_t>(Formula::arity);
  template <std::size_t J>
  using Input = std::conditional_t<std::is_same_v<Formula, formulas::Where> && J == 0, bool, T>;

  /// Operand J of element i of a vector or strip: `current` are the current values there, `others[j]` the others.
  template <std::size_t J>
  TWINGRAD_LANE static Input<J> input(const float* current, const std::array<const float*, arity>& others,
                                      const std::array<float, arity>& single, int i) {
    return from_lane<Input<J>>(J == position ? current[i] : (((singles >> J) & 1U) != 0 ? single[J] : others[J][i]));
  }

  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, Values& values) {
    std::array<const float*, arity> others{};
    std::array<float, arity> single{};
    for (std::size_t j = 0; j < arity; ++j) {
      if (j != position) {
        others[j] = pointer<const float>(frame, step.places[j], at);
        single[j] = ((singles >> j) & 1U) != 0 ? *others[j] : 0.0F;
      }
    }
    constexpr std::make_index_sequence<arity> all;
    if constexpr (is_function<Formula>) {
      whole_strip(values, others, single, step.parameters, all);
    } else {
      for_each_vector([&](auto k) {
        std::array<const float*, arity> here{};
        for (std::size_t j = 0; j < arity; ++j) {
          here[j] = j == position ? nullptr : others[j] + k * vector_length;
        }
        one_vector(values.v[k], here, single, step.parameters, all);
      });
    }
  }

  template <std::size_t... J>
  TWINGRAD_LANE static void one_vector(Vector& value, const std::array<const float*, arity>& others,
                                       const std::array<float, arity>& single, const Parameters& parameters,
                                       std::index_sequence<J...>) {
    float current[vector_length];
    store(value, current);
    float lanes[arity][vector_length];
    std::array<const float*, arity> read{};
    for (std::size_t j = 0; j < arity; ++j) {
      if (j != position && ((singles >> j) & 1U) == 0) {
        store(load(others[j]), lanes[j]);
      }
      read[j] = lanes[j];
    }
    const Parameters p = parameters;
    float result[vector_length];
    for (int i = 0; i < vector_length; ++i) {
      result[i] = to_lane(Formula::apply(input<J>(current, read, single, i)..., p));
    }
    value = load(result);
  }

  /// Functions take so many instructions that bringing values to memory and back costs nothing beside them; a loop over
  /// the strip is shorter than eight copies of them.
  template <std::size_t... J>
  TWINGRAD_LANE static void whole_strip(Values& values, const std::array<const float*, arity>& others,
                                        const std::array<float, arity>& single, const Parameters& parameters,
                                        std::index_sequence<J...>) {
    alignas(vector_bytes) float current[strip];
    for_each_vector([&](auto k) { store(values.v[k], current + k * vector_length); });
    const Parameters p = parameters;
    const auto loop = [&]<class Number>(Number*) {
#pragma GCC ivdep
      for (int i = 0; i < static_cast<int>(strip); ++i) {
        current[i] = Formula::apply(Number(input<J>(current, others, single, i))..., p).value;
      }
    };
    if constexpr (is_periodic<Formula>) {
      // Large arguments take three times as long.
      std::int32_t far = 0;
      for (const float x : current) {
        far |= lane_math::magnitude(x) >= lane_math::near_limit ? 1 : 0;
      }
      if (far == 0) {
        loop(static_cast<LaneOf<false>*>(nullptr));
      } else {
        loop(static_cast<Lane*>(nullptr));
      }
    } else {
      loop(static_cast<Lane*>(nullptr));
    }
    for_each_vector([&](auto k) { values.v[k] = load(current + k * vector_length); });
  }
};

template <class Formula, std::size_t position>
struct Update {
  static constexpr auto count = static_cast<std::size_t>(Formula::arity) - 1;
  static constexpr auto hypers = static_cast<std::size_t>(Formula::hyperparameters);

  TWINGRAD_LANE static void run(const Step& step, const Frame& frame, std::int64_t at, Values& values) {
    const float* from[count];
    for (std::size_t j = 0; j < count; ++j) {
      from[j] = pointer<const float>(frame, step.places[j], at);
    }
    float h[hypers];
    for (std::size_t j = 0; j < hypers; ++j) {
      h[j] = from[position][j];
    }
    for_each_vector([&](auto k) {
      float lanes[count][vector_length];
      for (std::size_t j = 0; j < count; ++j) {
        store(j == position ? values.v[k] : load(from[j] + k * vector_length), lanes[j]);
      }
      float result[vector_length];
      for (int i = 0; i < vector_length; ++i) {
        float x[count];
        for (std::size_t j = 0; j < count; ++j) {
          x[j] = lanes[j][i];
        }
        result[i] = Formula::apply(x, h);
      }
      values.v[k] = load(result);
    });
  }
};

/// By position of the current values and by `singles`.
using FormulaCodes = std::array<std::array<Code, 8>, most_operands>;

template <class Formula, class T, std::size_t position, unsigned singles>
constexpr void enter(FormulaCodes& codes) {
  // A choice moves lanes, whatever they mean.
  using Number = std::conditional_t<std::is_same_v<Formula, formulas::Where>, float, T>;
  // Single bools are spread before.
  constexpr unsigned may_be_single =
      std::is_same_v<T, bool> ? 0U : (std::is_same_v<Formula, formulas::Where> ? 6U : (1U << Formula::arity) - 1U);
  if constexpr (position < static_cast<std::size_t>(Formula::arity) && (singles & ~may_be_single & 7U) == 0 &&
                ((singles >> position) & 1U) == 0) {
    codes[position][singles] = &step_of<Apply<Formula, Number, position, singles>>;
  }
}
template <class Formula, class T>
constexpr FormulaCodes codes_of() {
  FormulaCodes codes{};
  if constexpr (formulas::accepts<T>(Formula::takes)) {
    [&]<unsigned... Singles>(std::integer_sequence<unsigned, Singles...>) {
      (enter<Formula, T, 0, Singles>(codes), ...);
      (enter<Formula, T, 1, Singles>(codes), ...);
      (enter<Formula, T, 2, Singles>(codes), ...);
    }
    (std::make_integer_sequence<unsigned, 8>{});
  }
  return codes;
}

template <class T, class... Formula>
constexpr std::array<FormulaCodes, sizeof...(Formula)> all_codes(std::tuple<Formula...>*) {
  return {codes_of<Formula, T>()...};
}
constexpr auto float_codes = all_codes<float>(static_cast<formulas::Formulas*>(nullptr));
constexpr auto bool_codes = all_codes<bool>(static_cast<formulas::Formulas*>(nullptr));

using UpdateCodes = std::array<Code, most_operands>;
template <class Formula>
constexpr UpdateCodes update_codes_of() {
  UpdateCodes codes{};
  codes[0] = &step_of<Update<Formula, 0>>;
  codes[1] = &step_of<Update<Formula, 1>>;
  if constexpr (Formula::arity > 3) {
    codes[2] = &step_of<Update<Formula, 2>>;
  }
  return codes;
}
template <class... Formula>
constexpr std::array<UpdateCodes, sizeof...(Formula)> all_update_codes(std::tuple<Formula...>*) {
  return {update_codes_of<Formula>()...};
}
constexpr auto update_codes = all_update_codes(static_cast<formulas::UpdateFormulas*>(nullptr));

}  // namespace

Code load_step() {
  return &step_of<Load>;
}
Code load_single_step() {
  return &step_of<LoadSingle>;
}
Code load_bools_step() {
  return &step_of<LoadBools>;
}
Code load_single_bool_step() {
  return &step_of<LoadSingleBool>;
}
Code store_step() {
  return &step_of<Store>;
}
Code store_bools_step() {
  return &step_of<StoreBools>;
}
Code keep_step() {
  return &step_of<Keep>;
}
Code fetch_step() {
  return &step_of<Fetch>;
}

Code formula_step(int kernel, Dtype dtype, std::size_t position, unsigned singles) {
  const auto at = static_cast<std::size_t>(kernel);
  if (dtype == Dtype::f32) {
    return float_codes.at(at).at(position).at(singles);
  }
  return dtype == Dtype::boolean ? bool_codes.at(at).at(position).at(singles) : nullptr;
}

Code update_step(int kernel, Dtype dtype, std::size_t position) {
  return dtype != Dtype::f32 ? nullptr : update_codes.at(static_cast<std::size_t>(kernel)).at(position);
}

Code end_step() {
  return &end;
}

void run_steps(const Step* first, const Frame& frame, std::int64_t begin, std::int64_t end) {
  const Vector none{};
  for (std::int64_t at = begin; at < end; at += strip) {
    first->code(first, &frame, at, none, none, none, none, none, none, none, none);
  }
#if defined(__SSE2__)
  if (frame.streams) {
    _mm_sfence();
  }
#endif
}

}  // namespace twingrad::cpu::registers
