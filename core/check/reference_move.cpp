// The reference of what moves elements or makes them from nothing: views, indexing, random numbers, copies, casts.
#include <twingrad/check/reference_interpreter.h>
#include <twingrad/check/reference_pieces.h>
#include <twingrad/check/reference_sum.h>
#include <twingrad/kernels.h>
#include <twingrad/philox.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace twingrad::check {

namespace {

/// Toward zero; NaN gives 0, what is beyond the range gives its end, and between integers the low bits stay.
double truncated(double x, Dtype to, bool from_integer) {
  if (from_integer) {
    return wrapped(x, to);
  }
  const double low = to == Dtype::u8 ? 0 : (to == Dtype::i32 ? -0x1p31 : -0x1p63);
  const double high = to == Dtype::u8 ? 255 : (to == Dtype::i32 ? 0x1p31 - 1 : 0x1p63);
  return std::isnan(x) ? 0 : std::clamp(std::trunc(x), low, high);
}

}  // namespace

template <class N>
void Interpreter<N>::view() {
  Window window{0, in(0).type.shape, contiguous_strides(in(0).type.shape)};
  op_.view(window, output_.type, attributes_);
  const N* from = in(0).data.data();
  N* to = output_.data.data();
  // The last two axes tile by tile: one of them may run along memory, whichever it is.
  constexpr std::int64_t edge = 16;
  constexpr double nanoseconds = 0.7;
  const int rank = window.shape.size();
  const std::int64_t rows = rank > 1 ? window.shape[rank - 2] : 1;
  const std::int64_t columns = rank > 0 ? window.shape[rank - 1] : 1;
  const std::int64_t down = rank > 1 ? window.strides[rank - 2] : 0;
  const std::int64_t along = rank > 0 ? window.strides[rank - 1] : 0;
  Window outer{window.offset, {}, {}};
  for (int axis = 0; axis + 2 < rank; ++axis) {
    outer.shape.push_back(window.shape[axis]);
    outer.strides.push_back(window.strides[axis]);
  }
  for_each_element(outer.shape, std::span(&outer, 1), [&](std::int64_t matrix, const auto& offsets) {
    const std::int64_t base = offsets[0];
    const std::int64_t bands = (rows + edge - 1) / edge;
    for_each_on(threads_for(rows * columns, nanoseconds), bands, [&](std::int64_t band) {
      const std::int64_t r0 = band * edge;
      for (std::int64_t c0 = 0; c0 < columns; c0 += edge) {
        for (std::int64_t r = r0; r < std::min(r0 + edge, rows); ++r) {
          for (std::int64_t c = c0; c < std::min(c0 + edge, columns); ++c) {
            to[(matrix * rows + r) * columns + c] = from[base + r * down + c * along];
          }
        }
      }
    });
  });
}

template <class N>
std::int64_t Interpreter<N>::checked_index(const N& element, std::int64_t length) const {
  const auto i = static_cast<std::int64_t>(value_of(element));
  if (i < 0 || i >= length) {
    throw NumericError(std::string(op_.name) + ": index " + std::to_string(i) + " is not in [0, " +
                       std::to_string(length) + ")");
  }
  return i;
}

template <class N>
void Interpreter<N>::take_results(const std::vector<Sum<N>>& sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    output_.data[i] = sums[i].result();
  }
}

template <class N>
template <class Visit>
void Interpreter<N>::indexed(const Shape& shape, const Shape& x_shape, const Array<N>& indices,
                             const Visit& visit) const {
  const auto axis = static_cast<int>(attributes_.ints[0]);
  Window window{0, shape, contiguous_strides(x_shape)};
  const std::int64_t stride = window.strides[axis];
  window.strides[axis] = 0;
  for_each_element(shape, std::span(&window, 1), [&](std::int64_t i, const auto& offsets) {
    const std::int64_t named = checked_index(indices.data[static_cast<std::size_t>(i)], x_shape[axis]);
    visit(static_cast<std::size_t>(i), static_cast<std::size_t>(offsets[0] + named * stride));
  });
}

template <class N>
void Interpreter<N>::index() {
  const std::int64_t axis = attributes_.ints[0];
  switch (static_cast<Index>(op_.kernel)) {
    case Index::index_select: {
      const Around x(in(0).type.shape, axis);
      const Around y(output_.type.shape, axis);
      for (std::int64_t l = 0; l < y.length; ++l) {
        const std::int64_t from = checked_index(in(1).data[static_cast<std::size_t>(l)], x.length);
        for (std::int64_t o = 0; o < y.outer; ++o) {
          for (std::int64_t i = 0; i < y.inner; ++i) {
            output_.data[y.at(o, l, i)] = in(0).data[x.at(o, from, i)];
          }
        }
      }
      break;
    }
    case Index::index_add: {
      const Around source(in(1).type.shape, axis);
      const Around y(output_.type.shape, axis);
      std::vector<Sum<N>> sums(output_.data.size());
      for (std::int64_t l = 0; l < source.length; ++l) {
        const std::int64_t to = checked_index(in(0).data[static_cast<std::size_t>(l)], y.length);
        for (std::int64_t o = 0; o < source.outer; ++o) {
          for (std::int64_t i = 0; i < source.inner; ++i) {
            sums[y.at(o, to, i)].add(Sum<N>(in(1).data[source.at(o, l, i)]));
          }
        }
      }
      take_results(sums);
      break;
    }
    case Index::gather:
      indexed(in(1).type.shape, in(0).type.shape, in(1),
              [&](std::size_t at, std::size_t target) { output_.data[at] = in(0).data[target]; });
      break;
    case Index::scatter_add: {
      std::vector<Sum<N>> sums(in(0).data.begin(), in(0).data.end());
      indexed(in(1).type.shape, in(0).type.shape, in(1),
              [&](std::size_t at, std::size_t target) { sums[target].add(Sum<N>(in(2).data[at])); });
      take_results(sums);
      break;
    }
  }
}

template <class N>
void Interpreter<N>::random() {
  const bool exact = !in(0).integers.empty();
  const std::int64_t seed = exact ? in(0).integers[0] : static_cast<std::int64_t>(value_of(in(0).data[0]));
  const std::int64_t stream = exact ? in(0).integers[1] : static_cast<std::int64_t>(value_of(in(0).data[1]));
  if (static_cast<Random>(op_.kernel) == Random::permutation) {
    std::vector<std::pair<std::uint64_t, std::int64_t>> keyed;
    for (std::int64_t e = 0; e < output_.size(); ++e) {
      const Philox4 block = random_block(seed, stream, e / permutation_lanes);
      keyed.emplace_back(permutation_key(block, static_cast<int>(e % permutation_lanes)), e);
    }
    std::sort(keyed.begin(), keyed.end());
    for (std::int64_t e = 0; e < output_.size(); ++e) {
      out(e) = N(keyed[static_cast<std::size_t>(e)].second);
    }
    return;
  }
  visit(output_.type.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_floating_point_v<compute_t<T>>) {
      const bool uniform = static_cast<Random>(op_.kernel) == Random::uniform;
      const int lanes = uniform ? uniform_lanes<T> : normal_lanes;
      for (std::int64_t e = 0; e < output_.size(); ++e) {
        const Philox4 block = random_block(seed, stream, e / lanes);
        const auto lane = static_cast<int>(e % lanes);
        const T drawn = uniform ? uniform_lane<T>(block, lane) : normal_lane<T>(block, lane);
        out(e) = N(static_cast<double>(static_cast<compute_t<T>>(drawn)));
      }
    }
  });
}

template <class N>
N Interpreter<N>::narrowed(double x) const {
  const Dtype to = output_.type.dtype;
  return is_floating(to) ? stored_as(N(x), to, model_) : N(wrapped(std::trunc(x), to));
}

template <class N>
void Interpreter<N>::cast() {
  const Dtype to = output_.type.dtype;
  const int from_bits = significant_bits(in(0).type.dtype);
  for (std::int64_t i = 0; i < output_.size(); ++i) {
    const N& x = in(0).data[static_cast<std::size_t>(i)];
    if (to == Dtype::boolean) {
      out(i) = N(value_of(x) != 0 ? 1 : 0);
    } else if (is_integer(to)) {
      out(i) = N(truncated(value_of(x), to, from_bits == 0));
    } else {
      const bool narrows =
          from_bits == 0 || significant_bits(to) < from_bits || (to == Dtype::f16 && in(0).type.dtype == Dtype::bf16);
      out(i) = narrows ? stored_as(x, to, model_) : x;
    }
  }
}

template <class N>
void Interpreter<N>::copy() {
  switch (static_cast<Copy>(op_.kernel)) {
    case Copy::cast:
      cast();
      break;
    case Copy::cat: {
      const Around y(output_.type.shape, attributes_.ints[0]);
      std::int64_t first = 0;
      for (const Array<N>* input : inputs_) {
        const Around x(input->type.shape, attributes_.ints[0]);
        for (std::int64_t o = 0; o < x.outer; ++o) {
          for (std::int64_t l = 0; l < x.length; ++l) {
            for (std::int64_t i = 0; i < x.inner; ++i) {
              output_.data[y.at(o, first + l, i)] = input->data[x.at(o, l, i)];
            }
          }
        }
        first += x.length;
      }
      break;
    }
    case Copy::slice_embed: {
      const Around x(in(0).type.shape, attributes_.ints[0]);
      const Around y(output_.type.shape, attributes_.ints[0]);
      for (std::int64_t o = 0; o < x.outer; ++o) {
        for (std::int64_t l = 0; l < x.length; ++l) {
          for (std::int64_t i = 0; i < x.inner; ++i) {
            output_.data[y.at(o, attributes_.ints[1] + l * attributes_.ints[2], i)] = in(0).data[x.at(o, l, i)];
          }
        }
      }
      break;
    }
    case Copy::arange:
      for (std::int64_t i = 0; i < output_.size(); ++i) {
        // In float64 for every dtype, rounded once.
        out(i) = narrowed(attributes_.reals[0] + static_cast<double>(i) * attributes_.reals[1]);
      }
      break;
  }
}

template void Interpreter<double>::view();
template void Interpreter<Dual>::view();
template void Interpreter<Tracked>::view();
template void Interpreter<double>::index();
template void Interpreter<Dual>::index();
template void Interpreter<Tracked>::index();
template void Interpreter<double>::random();
template void Interpreter<Dual>::random();
template void Interpreter<Tracked>::random();
template void Interpreter<double>::copy();
template void Interpreter<Dual>::copy();
template void Interpreter<Tracked>::copy();

}  // namespace twingrad::check
