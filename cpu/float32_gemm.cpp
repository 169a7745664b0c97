#include "cpu/float32_gemm.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>

#include "cpu/lanes.h"
#include "cpu/parallel.h"

namespace twingrad::cpu {
namespace {

using namespace float32;

/// Nanoseconds of one multiply-add, times the four that a spinning thread is cheaper to wake than parallel_for assumes.
constexpr double multiply_add = 0.04;
/// Rows of the left operand and of the result that are worked on together stay in the nearer caches,
constexpr std::int64_t block_bytes = 256 * 1024;
/// and are at least so many where the right operand does not.
constexpr std::int64_t far_bytes = 256 * 1024;
constexpr std::int64_t far_rows = 48;
/// Terms that are worked on together; the sums over the others wait in the result.
constexpr std::int64_t depth_block = 1024;
/// Columns that are packed together: the memory for them stays.
constexpr std::int64_t column_block = 4096;
/// Longer sums of few results are cut: each thread takes whole chunks, and reads its part of the operands once.
constexpr std::int64_t chunk_length = 1024;
constexpr std::int64_t chunked_results = 128 * 128;

std::int64_t vectors_of(std::int64_t columns) {
  return (columns + vector_length - 1) / vector_length;
}

/// Memory of one thread that grows and stays, so that no step but the first allocates.
class Scratch {
 public:
  float* get(std::int64_t count) {
    if (count > size_) {
      memory_.reset(new (alignment) float[static_cast<std::size_t>(count)]);
      size_ = count;
    }
    return memory_.get();
  }

 private:
  static constexpr std::align_val_t alignment{vector_bytes};
  struct Free {
    void operator()(float* memory) const { operator delete[](memory, alignment); }
  };
  std::unique_ptr<float[], Free> memory_;
  std::int64_t size_ = 0;
};

Scratch& packed_left() {
  thread_local Scratch scratch;
  return scratch;
}
Scratch& packed_right() {
  thread_local Scratch scratch;
  return scratch;
}
Scratch& partial_sums() {
  thread_local Scratch scratch;
  return scratch;
}

/// `count` <= vector_length lines, `line` apart, become the columns of `depth` rows that are `target_row` apart.
void pack_turned(std::int64_t count, std::int64_t depth, const float* source, std::int64_t line, float* target,
                 std::int64_t target_row) {
  for (std::int64_t k = 0; k < depth; k += vector_length) {
    Vector square[vector_length] = {};
    const auto steps = static_cast<int>(std::min<std::int64_t>(vector_length, depth - k));
    if (count == vector_length && steps == vector_length) {
      for (int l = 0; l < vector_length; ++l) {
        square[l] = load(source + l * line + k);
      }
    } else {
      for (int l = 0; l < count; ++l) {
        float some[vector_length] = {};
        if (steps == vector_length) {
          store(load(source + l * line + k), some);
        } else {
          copy_some(source + l * line + k, steps, some);
        }
        square[l] = load(some);
      }
    }
    transpose(square);
    for (int s = 0; s < steps; ++s) {
      store(square[s], target + (k + s) * target_row);
    }
  }
}

/// `tiles` times `height` neighbours of each of `depth` lines, tile after tile. Whole lines are read at a time.
template <std::size_t height>
void pack_neighbours(std::int64_t tiles, std::int64_t depth, const float* source, std::int64_t step, float* target) {
  constexpr auto rows = static_cast<std::int64_t>(height);
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t t = 0; t < tiles; ++t) {
      std::memcpy(target + (t * depth + k) * rows, source + k * step + t * rows, height * sizeof(float));
    }
  }
}
using PackTiles = void (*)(std::int64_t, std::int64_t, const float*, std::int64_t, float*);
template <std::size_t... height>
constexpr std::array<PackTiles, sizeof...(height)> pack_functions(std::index_sequence<height...>) {
  return {&pack_neighbours<height + 1>...};
}
constexpr auto pack_tiles = pack_functions(std::make_index_sequence<static_cast<std::size_t>(most_rows)>());

int threads_worth(std::int64_t multiply_adds) {
  const double worth = static_cast<double>(multiply_adds) * multiply_add / nanoseconds_per_thread;
  return static_cast<int>(std::clamp(worth, 1.0, 1024.0));
}

}  // namespace

Float32Gemm::Float32Gemm(const Float32Product& product, Activation activation)
    : product_(product), activation_(activation) {
  orient();
  const bool cut_sums = product.k >= 4 * chunk_length && product.m * product.n <= chunked_results;
  chunk_ = cut_sums ? chunk_length : product.k;
  worth_ = threads_worth(product.m * product.n * product.k);
}

/// Estimates in cycles, with two multiply-adds and two loads in each.
void Float32Gemm::orient() {
  const Float32Product& p = product_;
  const auto cost = [&](std::int64_t rows, std::int64_t columns, bool neighbours, bool turned) {
    const auto vectors = static_cast<double>(vectors_of(columns));
    const auto k = static_cast<double>(p.k);
    const double sums = static_cast<double>(rows) * vectors * k / 2;
    const double packing = vectors * k * (neighbours ? 0.5 : 4.0);
    const double storing = turned ? static_cast<double>(rows) * static_cast<double>(columns) : 0.0;
    return sums + packing + storing;
  };
  turned_ = cost(p.n, p.m, p.a_row == 1, true) < cost(p.m, p.n, p.b_column == 1, false);
  rows_ = turned_ ? p.n : p.m;
  columns_ = turned_ ? p.m : p.n;
  left_row_ = turned_ ? p.b_column : p.a_row;
  left_step_ = turned_ ? p.b_row : p.a_column;
  right_step_ = turned_ ? p.a_column : p.b_row;
  right_column_ = turned_ ? p.a_row : p.b_column;
  vectors_ = static_cast<int>(std::min<std::int64_t>(wide_vectors, vectors_of(columns_)));
  // Copies pay where rows lie a page or more apart and many tiles read them; rows that are apart by a multiple of 4 KiB
  // share their places in the first cache.
  constexpr std::int64_t page = 1024;
  const auto worth = [](std::int64_t stride, std::int64_t count) { return count >= (stride % page == 0 ? 48 : 192); };
  pack_right_ = right_column_ != 1 || (p.k * right_step_ > 8 * page && worth(right_step_, rows_));
  pack_left_ = left_row_ == 1 ? left_step_ >= page / 4 && columns_ > 64 : left_row_ % page == 0 && columns_ > 64;
}

bool Float32Gemm::suits(const Float32Product& product) {
  // Measured with AVX-512; with less, or on a processor that can do more than this was compiled for, oneDNN is left
  // with all but the products that its own call would dominate.
  constexpr std::int64_t most = fast ? std::int64_t{1} << 40 : std::int64_t{1} << 14;
  return product.m * product.n <= most / product.k;
}

bool Float32Gemm::suits(const Float32Product& product, Activation activation) {
  // All terms of a product with relu_grad are worked on together.
  const bool deep = product.k > 4 * depth_block && product.m * product.n > chunked_results;
  return suits(product) && !(activation == Activation::relu_grad && deep);
}

SumOrder Float32Gemm::order() const {
  return chunk_ < product_.k ? SumOrder{.lanes = 1, .chunk = chunk_} : SumOrder{};
}

int Float32Gemm::threads() const {
  return worth_ == 1 || omp_in_parallel() != 0 ? 1 : std::min(worth_, omp_get_max_threads());
}

void Float32Gemm::run(const Float32Operands& operands) const {
  if (chunk_ < product_.k) {
    run_chunks(operands);
  } else {
    run_whole(operands);
  }
}

void Float32Gemm::run_whole(const Float32Operands& operands) const {
  const float* left = turned_ ? operands.b : operands.a;
  const float* right = turned_ ? operands.a : operands.b;
  // One column is one row in memory.
  const Target target{.data = operands.c,
                      .row = product_.n,
                      .turned = turned_ && product_.n != 1,
                      .bias = operands.bias,
                      .saved = operands.saved,
                      .activation = activation_};
  const int wanted = threads();
  if (wanted == 1) {
    compute_all_terms(left, right, {0, rows_, 0, columns_, 0, product_.k}, target);
    return;
  }
  const bool by_columns = splits_columns(wanted);
#pragma omp parallel num_threads(wanted)
  {
    const std::int64_t part = omp_get_thread_num();
    Part mine{0, rows_, 0, columns_, 0, product_.k};
    if (by_columns) {
      const Cut vectors = Cut::into(omp_get_num_threads(), vectors_of(columns_));
      mine.column = vectors.begin(part) * vector_length;
      mine.column_end = std::min(columns_, vectors.begin(part + 1) * vector_length);
    } else {
      const Cut rows = Cut::into(omp_get_num_threads(), rows_);
      mine.row = rows.begin(part);
      mine.row_end = rows.begin(part + 1);
    }
    if (mine.row < mine.row_end && mine.column < mine.column_end) {
      compute_all_terms(left, right, mine, target);
    }
  }
}

/// In blocks of terms whose parts of the operands fit the caches. The order of a sum stays what it is.
void Float32Gemm::compute_all_terms(const float* left, const float* right, const Part& part,
                                    const Target& target) const {
  // Sums that wait in the result would be written over what relu_grad still has to read.
  const Cut blocks(product_.k, activation_ == Activation::relu_grad ? product_.k : depth_block);
  for (std::int64_t column = part.column; column < part.column_end; column += column_block) {
    Part some = part;
    some.column = column;
    some.column_end = std::min(part.column_end, column + column_block);
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      some.k = blocks.begin(i);
      some.k_end = blocks.begin(i + 1);
      Target block_target = target;
      block_target.resumed = i > 0;
      if (i + 1 < blocks.count) {
        block_target.bias = nullptr;
        block_target.activation = Activation::none;
      }
      compute(left, right, some, block_target);
    }
  }
}

/// Whether threads take columns each rather than rows: what one of them computes, and what all of them copy.
bool Float32Gemm::splits_columns(std::int64_t parts) const {
  const auto sums = [&](std::int64_t rows, std::int64_t vectors) { return rows * vectors * product_.k / 2; };
  const std::int64_t vectors = vectors_of(columns_);
  const std::int64_t copied_left = pack_left_ ? rows_ * product_.k / 4 : 0;
  const std::int64_t copied_right = pack_right_ ? vectors * product_.k * (right_column_ != 1 ? 4 : 1) : 0;
  return sums(rows_, (vectors + parts - 1) / parts) + copied_left <
         sums((rows_ + parts - 1) / parts, vectors) + copied_right;
}

void Float32Gemm::run_chunks(const Float32Operands& operands) const {
  const float* left = turned_ ? operands.b : operands.a;
  const float* right = turned_ ? operands.a : operands.b;
  const std::int64_t chunks = (product_.k + chunk_ - 1) / chunk_;
  const std::int64_t results = product_.m * product_.n;
  float* partial = partial_sums().get(chunks * results);
  const auto sum = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Target target{.data = partial + i * results, .row = product_.n, .turned = turned_};
      compute(left, right, {0, rows_, 0, columns_, i * chunk_, std::min(product_.k, (i + 1) * chunk_)}, target);
    }
  };
  parallel_for(chunks, multiply_add * static_cast<double>(results * chunk_), sum);
  fold_chunk_rows<AddStep>(partial, chunks, results, results);
  for (std::int64_t row = 0; row < product_.m; ++row) {
    const std::int64_t at = row * product_.n;
    for (std::int64_t i = 0; i < product_.n; ++i) {
      const float value = operands.bias != nullptr ? partial[at + i] + operands.bias[i] : partial[at + i];
      operands.c[at + i] = activated(activation_, value, operands.saved, at + i);
    }
  }
}

void Float32Gemm::pack_panel(const float* right, const Part& part, std::int64_t column, std::int64_t column_end,
                             float* packed) const {
  const std::int64_t depth = part.k_end - part.k;
  const std::int64_t count = column_end - column;
  const std::int64_t width = vectors_of(count) * vector_length;
  const float* source = right + part.k * right_step_ + column * right_column_;
  for (std::int64_t v = 0; v < width; v += vector_length) {
    const std::int64_t some = std::min<std::int64_t>(vector_length, count - v);
    if (right_column_ != 1) {
      pack_turned(some, depth, source + v * right_column_, right_column_, packed + v, width);
    } else if (some == vector_length) {
      for (std::int64_t k = 0; k < depth; ++k) {
        store(load(source + k * right_step_ + v), packed + k * width + v);
      }
    } else {
      for (std::int64_t k = 0; k < depth; ++k) {
        store(Vector{}, packed + k * width + v);
        copy_some(source + k * right_step_ + v, static_cast<int>(some), packed + k * width + v);
      }
    }
  }
}

void Float32Gemm::compute(const float* left, const float* right, const Part& part, const Target& target) const {
  const std::int64_t depth = part.k_end - part.k;
  // The right operand's panels: packed once, or read where they are but for a last one that is no whole vector.
  const Cut panels(vectors_of(part.column_end - part.column), vectors_);
  const auto panel_begin = [&](std::int64_t panel) { return part.column + panels.begin(panel) * vector_length; };
  const auto panel_end = [&](std::int64_t panel) { return std::min(part.column_end, panel_begin(panel + 1)); };
  const bool pack_last = (part.column_end - part.column) % vector_length != 0;
  const std::int64_t first_packed = pack_right_ ? 0 : panels.count - (pack_last ? 1 : 0);
  const std::int64_t packed_origin = panel_begin(first_packed);
  float* packed = nullptr;
  if (first_packed < panels.count) {
    packed = packed_right().get(vectors_of(part.column_end - packed_origin) * vector_length * depth);
    for (std::int64_t panel = first_packed; panel < panels.count; ++panel) {
      const std::int64_t column = panel_begin(panel);
      pack_panel(right, part, column, panel_end(panel), packed + (column - packed_origin) * depth);
    }
  }

  const Cut tiles(part.row_end - part.row, rows_of_tile(vectors_));
  const std::int64_t block = tiles.count == 1 ? 1 : tiles_of_block(depth, part.column_end - part.column);
  for (std::int64_t first = 0; first < tiles.count; first += block) {
    const std::int64_t end = std::min(tiles.count, first + block);
    const Left from = left_block(left, part, tiles, first, end);
    const std::int64_t first_row = part.row + tiles.begin(first);
    for (std::int64_t panel = 0; panel < panels.count; ++panel) {
      const std::int64_t column = panel_begin(panel);
      const bool copied = panel >= first_packed;
      const std::int64_t width = vectors_of(panel_end(panel) - column) * vector_length;
      Tile tile{.k = depth,
                .left = {},
                .right = copied ? packed + (column - packed_origin) * depth : right + part.k * right_step_ + column,
                .right_step = copied ? width : right_step_,
                .bias = nullptr,
                .saved = nullptr,
                .target = nullptr,
                .target_row = target.row,
                .columns = panel_end(panel) - column,
                .activation = target.activation,
                .turned = target.turned,
                .count = 1,
                .next_left = 0,
                .next_target = 0,
                .next_bias = 0};
      float padded_bias[wide_vectors * vector_length];
      if (target.bias != nullptr && !target.turned) {
        tile.bias = bias_of(target, column, tile.columns, padded_bias);
      }
      const Rows lines = left_row_ == 1 ? Rows::side_by_side : Rows::apart;
      const auto vectors = static_cast<int>(width / vector_length);
      for (std::int64_t t = first; t < end;) {
        const bool longer = t < tiles.longer;
        const std::int64_t height = tiles.shorter + (longer ? 1 : 0);
        const std::int64_t row = part.row + tiles.begin(t);
        const std::int64_t at = target.turned ? column * target.row + row : row * target.row + column;
        tile.count = (longer ? std::min(end, tiles.longer) : end) - t;
        tile.left = {.data = from.data + (row - first_row) * from.row, .row = from.row, .step = from.step};
        if (from.tiled) {
          tile.left = {.data = from.data + (row - first_row) * depth, .row = 1, .step = height};
        }
        tile.next_left = height * (from.tiled ? depth : from.row);
        tile.target = target.data + at;
        tile.next_target = target.turned ? height : height * target.row;
        tile.saved = target.saved != nullptr ? target.saved + at : nullptr;
        if (target.bias != nullptr && target.turned) {
          tile.bias = target.bias + row;
          tile.next_bias = height;
        }
        tile_kernel(static_cast<int>(height), vectors, lines, target.resumed)(tile);
        t += tile.count;
      }
    }
  }
}

/// Tiles in a block: its rows of the left operand and of the result stay in the nearer caches, and there are enough of
/// them where the right operand comes from a farther one, or whole lines are cut up for tiles.
std::int64_t Float32Gemm::tiles_of_block(std::int64_t depth, std::int64_t columns) const {
  constexpr auto size = static_cast<std::int64_t>(sizeof(float));
  const std::int64_t height = rows_of_tile(vectors_);
  const std::int64_t near = block_bytes / ((depth + columns) * size * height);
  const bool far = depth * columns * size > far_bytes || (pack_left_ && left_row_ == 1);
  return std::max<std::int64_t>(near, far ? far_rows / height : 1);
}

/// The rows of the left operand that a block reads, copied if that pays.
Float32Gemm::Left Float32Gemm::left_block(const float* left, const Part& part, const Cut& tiles, std::int64_t first,
                                          std::int64_t end) const {
  const std::int64_t depth = part.k_end - part.k;
  const std::int64_t count = tiles.begin(end) - tiles.begin(first);
  const float* source = left + (part.row + tiles.begin(first)) * left_row_ + part.k * left_step_;
  if (!pack_left_) {
    return {.data = source, .row = left_row_, .step = left_step_, .tiled = false};
  }
  if (left_row_ != 1) {
    // Rows of their own length would again share places in the cache.
    const std::int64_t row = depth + vector_length;
    float* copied = packed_left().get(count * row);
    for (std::int64_t r = 0; r < count; ++r) {
      std::copy_n(source + r * left_row_, depth, copied + r * row);
    }
    return {.data = copied, .row = row, .step = 1, .tiled = false};
  }
  float* copied = packed_left().get(count * depth);
  std::int64_t done = 0;
  for (std::int64_t t = first; t < end;) {
    const bool longer = t < tiles.longer;
    const std::int64_t height = tiles.shorter + (longer ? 1 : 0);
    const std::int64_t some = (longer ? std::min(end, tiles.longer) : end) - t;
    pack_tiles[static_cast<std::size_t>(height - 1)](some, depth, source + done, left_step_, copied + done * depth);
    done += some * height;
    t += some;
  }
  return {.data = copied, .row = 1, .step = 0, .tiled = true};
}

/// The bias of a panel's columns as whole vectors.
const float* Float32Gemm::bias_of(const Target& target, std::int64_t column, std::int64_t columns,
                                  float* padded) const {
  const std::int64_t width = vectors_of(columns) * vector_length;
  if (turned_) {
    std::fill_n(padded, width, *target.bias);  // the one column is a row here
    return padded;
  }
  if (columns == width) {
    return target.bias + column;
  }
  std::fill(std::copy_n(target.bias + column, columns, padded), padded + width, 0.0F);
  return padded;
}

}  // namespace twingrad::cpu
