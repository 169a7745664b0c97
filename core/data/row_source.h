// Rows that are no Dataset in memory: a mapped file, a generator, pixels of one byte each. A Loader streams them: it
// asks for the rows of one batch after the other, ahead of the training and on a thread of its own.
//
//   tg::data::RowSource pixels{.name = "pixels", .task = tg::data::Task::classification, .rows = 60000, .columns = 784,
//                              .outputs = 10, .dtype = tg::u8};
//   pixels.fill = [&](const tg::data::RowSpans& wanted) {
//     for (std::size_t i = 0; i < wanted.rows().size(); ++i) {
//       const std::int64_t row = wanted.rows()[i];
//       std::copy_n(mapped_file + row * 784, 784, wanted.features<std::uint8_t>().begin() + i * 784);
//       wanted.labels()[i] = classes[row];
//     }
//   };
//   tg::data::Loader batches(pixels, {.batch = 128, .shuffle = true, .device = device});   // x: float32
#pragma once

#include <twingrad/data/dataset.h>
#include <twingrad/dtype.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace twingrad::data {

struct RowSource;

/// The rows that a RowSource is asked for, and where they go: memory that the device copies from. Valid during the
/// call.
class RowSpans {
 public:
  RowSpans(const RowSource& source, std::span<const std::int64_t> rows, std::byte* features, std::byte* answers)
      : source_(&source), rows_(rows), features_(features), answers_(answers) {}

  /// Row numbers, in the order they are wanted.
  std::span<const std::int64_t> rows() const { return rows_; }
  /// (rows, columns), row-major. Throws DtypeError unless T is the source's dtype.
  template <class T>
  std::span<T> features() const {
    check_features(dtype_of_v<T>);
    return {reinterpret_cast<T*>(features_), rows_.size() * columns()};
  }
  /// One per row, for a classification. Throws ArgumentError for a regression.
  std::span<std::int64_t> labels() const {
    check_task(Task::classification);
    return {reinterpret_cast<std::int64_t*>(answers_), rows_.size()};
  }
  /// (rows, outputs), row-major, for a regression. Throws ArgumentError for a classification.
  std::span<double> targets() const {
    check_task(Task::regression);
    return {reinterpret_cast<double*>(answers_), rows_.size() * outputs()};
  }

 private:
  void check_features(Dtype asked) const;
  void check_task(Task asked) const;
  std::size_t columns() const;
  std::size_t outputs() const;

  const RowSource* source_;
  std::span<const std::int64_t> rows_;
  std::byte* features_;
  std::byte* answers_;
};

struct RowSource {
  std::string name{};  ///< for messages
  Task task = Task::regression;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t outputs = 1;  ///< classes, or target columns
  /// Of the features as `fill` writes them: uint8, float32 or float64. They become LoaderOptions::dtype on the device.
  Dtype dtype = f32;
  /// Writes all of the spans. Called on threads of the Loader's, once at a time, and on the caller's by Loader::all().
  /// What it throws comes out of the loop, where the batch is asked for. Labels are checked, features are not.
  std::function<void(const RowSpans&)> fill{};

  /// Throws ArgumentError for a number below 1 or a `fill` that is empty, DtypeError for another dtype.
  void check() const;
};

}  // namespace twingrad::data
