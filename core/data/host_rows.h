// Rows on the host as a streaming Loader takes them, wherever they come from: two arrays of raw bytes in the dtypes
// that go to the device.
#pragma once

#include <twingrad/data/row_source.h>
#include <twingrad/dtype.h>
#include <twingrad/shape.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace twingrad::data::detail {

struct HostRows {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  Task task = Task::regression;
  std::int64_t outputs = 1;
  Dtype feature_dtype = f32;
  Dtype answer_dtype = f32;
  /// Writes these rows, features and answers. May be called on several threads at once.
  std::function<void(std::span<const std::int64_t>, std::byte*, std::byte*)> fill;

  Shape feature_shape(std::int64_t count) const { return {count, columns}; }
  Shape answer_shape(std::int64_t count) const {
    return task == Task::classification ? Shape{count} : Shape{count, outputs};
  }
};

/// Features and targets become `dtype` on the host.
HostRows host_rows(std::shared_ptr<const Dataset> dataset, Dtype dtype);
/// In the dtypes that the source writes. Labels are checked: NumericError.
HostRows host_rows(const RowSource& source);

}  // namespace twingrad::data::detail
