#include <twingrad/check/faults.h>
#include <twingrad/check/faults_list.h>
#include <twingrad/check/subject.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace twingrad::check {
namespace {

using Bytes = std::vector<std::byte>;

/// What memory holds before a faulty kernel runs: bytes that make an ordinary number in every dtype.
constexpr std::byte left_over{0x3f};

/// First and last element that a view names, relative to its data.
std::pair<std::int64_t, std::int64_t> extent(const TensorView& view) {
  std::pair<std::int64_t, std::int64_t> range{0, 0};
  for (int axis = 0; axis < view.shape.size(); ++axis) {
    const std::int64_t reach = (view.shape[axis] - 1) * view.strides[axis];
    (reach < 0 ? range.first : range.second) += reach;
  }
  return range;
}

template <class T>
double widened(T element) {
  return static_cast<double>(static_cast<compute_t<T>>(element));
}

/// The elements of a strided view, row-major, on the host.
Array<double> gather(Backend& backend, const TensorView& view) {
  Array<double> result{{view.shape, view.dtype}, {}, {}};
  const std::int64_t count = view.numel();
  if (count == 0) {
    return result;
  }
  const auto [first, last] = extent(view);
  const std::size_t size = size_of(view.dtype);
  Bytes bytes(static_cast<std::size_t>(last - first + 1) * size);
  backend.copy_to_host(bytes.data(), view.as<std::byte>() + first * static_cast<std::int64_t>(size), bytes.size());
  const Strides own = contiguous_strides(view.shape);
  visit(view.dtype, [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t offset = -first;
      for (int axis = 0; axis < view.shape.size(); ++axis) {
        offset += i / own[axis] % view.shape[axis] * view.strides[axis];
      }
      T element;
      std::memcpy(&element, bytes.data() + static_cast<std::size_t>(offset) * size, size);
      result.data.push_back(widened(element));
      if constexpr (std::is_same_v<T, std::int64_t>) {
        result.integers.push_back(element);
      }
    }
  });
  return result;
}

Bytes narrowed(const std::vector<double>& values, Dtype dtype) {
  Bytes bytes(values.size() * size_of(dtype));
  visit(dtype, [&]<class T>(Type<T>) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto element = static_cast<T>(static_cast<compute_t<T>>(values[i]));
      std::memcpy(bytes.data() + i * sizeof(T), &element, sizeof(T));
    }
  });
  return bytes;
}

bool shares_memory(const KernelCall& call) {
  const auto* begin = call.output.as<const std::byte>();
  const auto* end = begin + static_cast<std::size_t>(call.output.numel()) * size_of(call.output.dtype);
  return std::any_of(call.inputs.begin(), call.inputs.end(), [&](const TensorView& input) {
    if (input.numel() == 0) {
      return false;
    }
    const auto size = static_cast<std::int64_t>(size_of(input.dtype));
    const auto [first, last] = extent(input);
    const auto* data = input.as<const std::byte>();
    return data + first * size < end && begin < data + (last + 1) * size;
  });
}

}  // namespace

double FaultCall::rounded(double x) const {
  return round_to(x, call.output.dtype);
}

const std::vector<Fault>& all_faults() {
  static const std::vector<Fault> faults = [] {
    std::vector<Fault> all;
    for (const std::vector<Fault>& family : {matmul_faults(), reduce_faults(), elementwise_faults(), rows_faults(),
                                             index_faults(), other_faults(), memory_faults()}) {
      all.insert(all.end(), family.begin(), family.end());
    }
    return all;
  }();
  return faults;
}

const Fault& find_fault(std::string_view name) {
  std::string names;
  for (const Fault& fault : all_faults()) {
    if (fault.name == name) {
      return fault;
    }
    names += (names.empty() ? "" : ", ") + std::string(fault.name);
  }
  throw ArgumentError("there is no fault '" + std::string(name) + "'; there are " + names);
}

FaultyBackend::FaultyBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

void FaultyBackend::plant(const Fault& fault, FaultSite site) {
  if (fault.kind == Fault::Kind::plan) {
    throw ArgumentError("the fault '" + std::string(fault.name) +
                        "' is one of the plan: give its tamper function to Options::tamper");
  }
  remove();
  fault_ = &fault;
  site_ = std::move(site);
  seen_ = planted_ = changed_ = 0;
}

void FaultyBackend::remove() {
  release_late();
  fault_ = nullptr;
}

void FaultyBackend::record() {
  recording_ = true;
  recorded_.clear();
}

std::vector<KernelCall> FaultyBackend::recorded() {
  recording_ = false;
  return std::exchange(recorded_, {});
}

std::string FaultyBackend::description() const {
  return inner_->description() + (fault_ == nullptr ? "" : ", with the fault " + std::string(fault_->name));
}

void FaultyBackend::deallocate(void* memory, std::size_t bytes) noexcept {
  // A kernel that was held back must not find its memory gone; it cannot fail in another way than when run in time.
  try {
    release_late();
  } catch (const Error&) {
    late_.reset();
  }
  inner_->deallocate(memory, bytes);
}

void FaultyBackend::copy_from_host(void* target, const void* source, std::size_t bytes) {
  inner_->copy_from_host(target, source, bytes);
}

void FaultyBackend::copy_to_host(void* target, const void* source, std::size_t bytes) {
  release_late();
  inner_->copy_to_host(target, source, bytes);
}

void FaultyBackend::copy(void* target, const void* source, std::size_t bytes) {
  inner_->copy(target, source, bytes);
}

void FaultyBackend::synchronize() {
  release_late();
  inner_->synchronize();
}

bool FaultyBackend::strikes(const KernelCall& call) {
  if (fault_ == nullptr || !fault_->applies(call) || (site_.chosen && !site_.chosen(call))) {
    return false;
  }
  const bool strikes = !site_.nth || *site_.nth == seen_;
  ++seen_;
  return strikes;
}

void FaultyBackend::run(const KernelCall& call) {
  if (recording_) {
    recorded_.push_back(call);
  }
  if (!strikes(call)) {
    inner_->run(call);
    release_late();
    return;
  }
  ++planted_;
  if (fault_->kind == Fault::Kind::late) {
    release_late();
    late_ = call;
    ++changed_;
    return;
  }
  run_faulty(call);
}

void FaultyBackend::release_late() {
  if (late_) {
    const KernelCall call = *std::exchange(late_, std::nullopt);
    inner_->run(call);
  }
}

void FaultyBackend::run_faulty(const KernelCall& call) {
  FaultCall fault{call, {}, {}, {}, -1, static_cast<std::uint64_t>(planted_ - 1)};
  for (const TensorView& input : call.inputs) {
    fault.inputs.push_back(gather(*inner_, input));
  }
  if (!shares_memory(call)) {
    const Bytes garbage(static_cast<std::size_t>(call.output.numel()) * size_of(call.output.dtype), left_over);
    inner_->copy_from_host(call.output.data, garbage.data(), garbage.size());
  }
  fault.before = gather(*inner_, call.output).data;
  inner_->run(call);
  fault.output = gather(*inner_, call.output).data;
  const Bytes right = narrowed(fault.output, call.output.dtype);
  fault_->plant(fault);
  const Bytes wrong = narrowed(fault.output, call.output.dtype);
  if (wrong != right) {
    inner_->copy_from_host(call.output.data, wrong.data(), wrong.size());
  }
  if (fault.written_input >= 0) {
    inner_->copy_from_host(call.inputs[static_cast<std::size_t>(fault.written_input)].data, wrong.data(), wrong.size());
  }
  changed_ += wrong != right || fault.written_input >= 0 ? 1 : 0;
}

FaultyDevice make_faulty_device(std::unique_ptr<Backend> inner) {
  auto backend = std::make_unique<FaultyBackend>(std::move(inner));
  FaultyBackend& faulty = *backend;
  return {register_backend(std::move(backend)), faulty};
}

}  // namespace twingrad::check
