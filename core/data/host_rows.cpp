#include <twingrad/data/host_rows.h>
#include <twingrad/error.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

namespace twingrad::data::detail {
namespace {

/// Copies rows of `width` elements, converted as tensor() converts what it is given.
template <class U, class T>
void gather(const std::vector<T>& values, std::int64_t width, std::span<const std::int64_t> rows, std::byte* target) {
  auto* out = reinterpret_cast<U*>(target);
  for (const std::int64_t row : rows) {
    const T* const from = values.data() + row * width;
    if constexpr (std::is_same_v<T, U>) {
      out = std::copy_n(from, width, out);
    } else {
      out = std::transform(from, from + width, out,
                           [](T value) { return static_cast<U>(static_cast<compute_t<U>>(value)); });
    }
  }
}

/// A source and the lock that makes its calls come one at a time.
struct Shared {
  RowSource source;
  std::mutex mutex;
};

void check_labels(const RowSource& source, std::span<const std::int64_t> rows, std::span<const std::int64_t> labels) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= source.outputs) {
      throw NumericError("row source '" + source.name + "': row " + std::to_string(rows[i]) + " has the label " +
                         std::to_string(labels[i]) + ", but there are " + std::to_string(source.outputs) + " classes");
    }
  }
}

}  // namespace

HostRows host_rows(std::shared_ptr<const Dataset> dataset, Dtype dtype) {
  HostRows rows{.rows = dataset->rows,
                .columns = dataset->columns,
                .task = dataset->task,
                .outputs = dataset->outputs(),
                .feature_dtype = dtype,
                .answer_dtype = dataset->task == Task::classification ? i64 : dtype,
                .fill = {}};
  rows.fill = [set = std::move(dataset), dtype](std::span<const std::int64_t> wanted, std::byte* features,
                                                std::byte* answers) {
    visit(dtype, [&]<class U>(Type<U>) {
      std::visit([&](const auto& values) { gather<U>(values, set->columns, wanted, features); }, set->features);
      if (set->task == Task::regression) {
        gather<U>(set->targets, set->outputs(), wanted, answers);
      }
    });
    if (set->task == Task::classification) {
      gather<std::int64_t>(set->labels, 1, wanted, answers);
    }
  };
  return rows;
}

HostRows host_rows(const RowSource& source) {
  HostRows rows{.rows = source.rows,
                .columns = source.columns,
                .task = source.task,
                .outputs = source.outputs,
                .feature_dtype = source.dtype,
                .answer_dtype = source.task == Task::classification ? i64 : f64,
                .fill = {}};
  auto shared = std::make_shared<Shared>();
  shared->source = source;
  rows.fill = [shared](std::span<const std::int64_t> wanted, std::byte* features, std::byte* answers) {
    const RowSpans spans(shared->source, wanted, features, answers);
    const std::lock_guard lock(shared->mutex);
    shared->source.fill(spans);
    if (shared->source.task == Task::classification) {
      check_labels(shared->source, wanted, spans.labels());
    }
  };
  return rows;
}

}  // namespace twingrad::data::detail
