// Tier 3, in situ and repeated: the real plan with its arena, reuse and queue. Around every kernel its inputs and its
// output are copied on the device, in the queue, so that nothing waits that would not wait otherwise. Afterwards each
// kernel is run again alone on the very inputs it had: other bits mean that the plan, not the kernel, is wrong; and an
// input that is not what its producer wrote was overwritten or read too early. Where the device runs several ops as one
// kernel, that plan is run too, and every result that it leaves in memory must have the bits of the ops one by one.
// Where it records plans, the plan is run until it is a replay, whose results must have the bits of the first run.
#include <twingrad/check/subject.h>
#include <twingrad/evaluate.h>
#include <twingrad/graph/runtime.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

namespace twingrad::check {
namespace {

using Bytes = std::vector<std::byte>;

/// A piece of device memory as it was at one moment.
class Snapshot {
 public:
  Snapshot(Backend& backend, Device device, const void* memory, std::size_t bytes) : buffer_(device, bytes) {
    if (bytes != 0) {
      backend.copy(buffer_.data, memory, bytes);
    }
  }
  std::byte* data() const { return static_cast<std::byte*>(buffer_.data); }
  Bytes host(Backend& backend) const {
    Bytes bytes(buffer_.bytes);
    if (!bytes.empty()) {
      backend.copy_to_host(bytes.data(), buffer_.data, bytes.size());
    }
    return bytes;
  }

 private:
  Buffer buffer_;
};

/// Memory that nothing wrote yet is NaN.
void fill_with_nan(Backend& backend, void* memory, std::size_t bytes) {
  if (bytes != 0) {
    backend.copy_from_host(memory, Bytes(bytes, std::byte{0xff}).data(), bytes);
  }
}

struct StepRecord {
  KernelCall call;
  std::vector<std::unique_ptr<Snapshot>> inputs;        // whole slots: views keep their strides
  std::vector<std::unique_ptr<Snapshot>> inputs_after;  // null where the output lies on the input
  std::unique_ptr<Snapshot> output;
};

class Recorder final : public PlanObserver {
 public:
  Recorder(const Plan& plan, Device device) : plan_(plan), device_(device) {}

  void begin(Backend& backend, void* arena, std::size_t bytes) override { fill_with_nan(backend, arena, bytes); }
  void before(Backend& backend, const Plan::Step& step) override {
    StepRecord record;
    record.call = step.call;
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      const Plan::Slot& slot = plan_.slots[static_cast<std::size_t>(step.inputs[j].slot)];
      const auto* base = static_cast<const std::byte*>(step.call.inputs[j].data) - step.inputs[j].offset;
      record.inputs.push_back(std::make_unique<Snapshot>(backend, device_, base, slot.bytes));
    }
    records_.push_back(std::move(record));
  }
  void after(Backend& backend, const Plan::Step& step) override {
    StepRecord& record = records_.back();
    const auto* output = static_cast<const std::byte*>(step.call.output.data);
    const std::size_t bytes = output_bytes(step.call);
    record.output = std::make_unique<Snapshot>(backend, device_, output, bytes);
    for (std::size_t j = 0; j < step.inputs.size(); ++j) {
      const std::size_t slot_bytes = plan_.slots[static_cast<std::size_t>(step.inputs[j].slot)].bytes;
      const auto* base = static_cast<const std::byte*>(step.call.inputs[j].data) - step.inputs[j].offset;
      const bool apart = output + bytes <= base || base + slot_bytes <= output;
      record.inputs_after.push_back(apart ? std::make_unique<Snapshot>(backend, device_, base, slot_bytes) : nullptr);
    }
  }

  static std::size_t output_bytes(const KernelCall& call) {
    return static_cast<std::size_t>(call.output.numel()) * size_of(call.output.dtype);
  }
  const std::vector<StepRecord>& records() const { return records_; }

 private:
  const Plan& plan_;
  Device device_;
  std::vector<StepRecord> records_;
};

std::vector<double> widened(const Bytes& bytes, Dtype dtype) {
  std::vector<double> values(bytes.size() / size_of(dtype));
  widen(bytes.data(), values.size(), dtype, values.data());
  return values;
}

/// The kernel again, on the snapshots of its inputs.
Bytes again(Backend& backend, Device device, const Plan::Step& step, const StepRecord& record) {
  KernelCall call = record.call;
  call.where = step.call.where;
  for (std::size_t j = 0; j < call.inputs.size(); ++j) {
    call.inputs[j].data =
        record.inputs[j]->data() == nullptr ? nullptr : record.inputs[j]->data() + step.inputs[j].offset;
  }
  const std::size_t bytes = Recorder::output_bytes(call);
  const Buffer output(device, bytes);
  fill_with_nan(backend, output.data, bytes);
  call.output.data = output.data;
  backend.run(call);
  Bytes result(bytes);
  backend.copy_to_host(result.data(), output.data, bytes);
  return result;
}

/// The first input that is not what its producer wrote, or -1.
int changed_input(const Plan::Step& step, const StepRecord& record, const std::vector<Bytes>& outputs,
                  Backend& backend) {
  for (std::size_t j = 0; j < step.producers.size(); ++j) {
    if (step.producers[j] < 0) {
      continue;
    }
    const Bytes& written = outputs[static_cast<std::size_t>(step.producers[j])];
    const Bytes read = record.inputs[j]->host(backend);
    if (!std::equal(written.begin(), written.end(), read.begin(),
                    read.begin() + static_cast<std::ptrdiff_t>(std::min(written.size(), read.size())))) {
      return static_cast<int>(j);
    }
  }
  return -1;
}

/// The first input that the kernel wrote to, which it only has to read, or -1.
int written_input(const StepRecord& record, Backend& backend) {
  for (std::size_t j = 0; j < record.inputs_after.size(); ++j) {
    if (record.inputs_after[j] != nullptr && record.inputs[j]->host(backend) != record.inputs_after[j]->host(backend)) {
      return static_cast<int>(j);
    }
  }
  return -1;
}

/// Results as the fused plan leaves them, by the step that makes them.
class ResultRecorder final : public PlanObserver {
 public:
  explicit ResultRecorder(Device device) : device_(device) {}
  void begin(Backend& backend, void* arena, std::size_t bytes) override { fill_with_nan(backend, arena, bytes); }
  void before(Backend& /*backend*/, const Plan::Step& /*step*/) override {}
  void after(Backend& backend, const Plan::Step& step) override {
    results_[&step] =
        std::make_unique<Snapshot>(backend, device_, step.call.output.data, Recorder::output_bytes(step.call));
  }
  const Snapshot* result(const Plan::Step& step) const {
    const auto found = results_.find(&step);
    return found == results_.end() ? nullptr : found->second.get();
  }

 private:
  Device device_;
  std::map<const Plan::Step*, std::unique_ptr<Snapshot>> results_;
};

/// While it lives, results that earlier runs gave the graph's nodes are gone, so that another plan computes them too;
/// then they are back.
class WithoutResults {
 public:
  explicit WithoutResults(const Subject& subject) {
    for (std::size_t i = 0; i < subject.graph.nodes.size(); ++i) {
      Node& node = *subject.graph.nodes[i];
      if (subject.leaf[i] == 0) {
        taken_.push_back({&node, std::move(node.buffer), node.offset, node.strides});
        node.buffer = nullptr;
      }
    }
  }
  WithoutResults(const WithoutResults&) = delete;
  WithoutResults& operator=(const WithoutResults&) = delete;
  ~WithoutResults() {
    for (Taken& taken : taken_) {
      taken.node->buffer = std::move(taken.buffer);
      taken.node->offset = taken.offset;
      taken.node->strides = taken.strides;
    }
  }

 private:
  struct Taken {
    Node* node;
    std::shared_ptr<Buffer> buffer;
    std::int64_t offset;
    Strides strides;
  };
  std::vector<Taken> taken_;
};

/// Which step of another plan for the same graph makes the same result: node, op, and how many of these came before.
class StepNames {
 public:
  using Name = std::tuple<int, const Op*, int>;
  explicit StepNames(const Plan& plan) {
    for (const Plan::Step& step : plan.steps) {
      int number = 0;
      while (!places_.emplace(Name{step.node, step.call.op, number}, places_.size()).second) {
        ++number;
      }
      names_.push_back({step.node, step.call.op, number});
    }
  }
  const Name& name(std::size_t step) const { return names_[step]; }
  std::size_t place(const Name& name) const { return places_.at(name); }

 private:
  std::map<Name, std::size_t> places_;
  std::vector<Name> names_;
};

/// Compares what the fused plan of `graph` leaves in memory with `outputs`, those of `plan`, up to the first launch
/// that differs: those after it may have read what it wrote.
void check_fused(const Graph& graph, Plan& fused, const Plan& plan, const std::vector<Bytes>& outputs, Backend& backend,
                 DeviceReport& report) {
  if (fused.launches.size() == fused.steps.size()) {
    return;
  }
  ResultRecorder recorder(graph.device);
  run_plan(fused, graph, &recorder);
  backend.synchronize();
  const StepNames apart(plan);
  const StepNames together(fused);
  for (const Plan::Launch& launch : fused.launches) {
    bool differs = false;
    for (int i = 0; i < launch.count; ++i) {
      const auto s = static_cast<std::size_t>(launch.first + i);
      const Plan::Step& step = fused.steps[s];
      const Snapshot* result = recorder.result(step);
      if (result == nullptr) {
        continue;
      }
      const Bytes fused_bytes = result->host(backend);
      const Bytes& alone = outputs[apart.place(together.name(s))];
      const Dtype dtype = step.call.output.dtype;
      // Which of two NaN a sum hands on depends on the order in which the machine's instruction names them.
      if (fused_bytes == alone ||
          (is_floating(dtype) && compare_bits(widened(fused_bytes, dtype), widened(alone, dtype), dtype).passes())) {
        continue;
      }
      differs = true;
      NodeResult& node = report.nodes[static_cast<std::size_t>(step.node)];
      if (node.verdict < Verdict::not_checked) {
        continue;  // what was found there already tells more
      }
      node.note = launch.count > 1 ? "a kernel for several ops at once gives other bits than the ops one by one"
                                   : "gives other bits in the plan that runs several ops as one kernel";
      node.verdict = Verdict::in_situ;
      return;
    }
    if (differs) {
      return;
    }
  }
}

/// The kept results of the plan's last run that lie in memory of their own.
std::vector<Bytes> kept_results(const Plan& plan, const Graph& graph, Backend& backend) {
  std::vector<Bytes> results;
  for (const Plan::Kept& kept : plan.kept) {
    const Buffer& buffer = *graph.nodes[static_cast<std::size_t>(kept.node)]->buffer;
    Bytes bytes(plan.slots[static_cast<std::size_t>(kept.slot)].kind == Plan::Slot::Kind::own ? buffer.bytes : 0);
    if (!bytes.empty()) {
      backend.copy_to_host(bytes.data(), buffer.data, bytes.size());
    }
    results.push_back(std::move(bytes));
  }
  return results;
}

/// Fills what a run of the plan has left with NaN, so that the next one must write all of it.
void spoil(const Plan& plan, const Graph& graph, Backend& backend) {
  fill_with_nan(backend, plan.workspace.arena->data, plan.workspace.arena->bytes);
  for (const Plan::Kept& kept : plan.kept) {
    if (plan.slots[static_cast<std::size_t>(kept.slot)].kind == Plan::Slot::Kind::own) {
      const Buffer& buffer = *graph.nodes[static_cast<std::size_t>(kept.node)]->buffer;
      fill_with_nan(backend, buffer.data, buffer.bytes);
    }
  }
}

/// A plan's first run without an observer queues its kernels one by one. What it leaves must be what a replay leaves.
void check_replayed(const Graph& graph, Plan& plan, Backend& backend, DeviceReport& report) {
  const bool known = std::any_of(report.nodes.begin(), report.nodes.end(), [](const NodeResult& node) {
    return node.verdict == Verdict::race || node.verdict == Verdict::in_situ;
  });
  if (!backend.records() || !capture() || !Replays::is_worthwhile(plan) || known) {
    return;
  }
  plan.resident = true;  // its arena can be reached between runs
  run_plan(plan, graph);
  const std::vector<Bytes> one_by_one = kept_results(plan, graph, backend);
  constexpr int most_runs = 8;  // results of the last run are held during the next, so blocks are taken in turn
  for (int run = 0; run < most_runs && plan.replays.replayed() == 0; ++run) {
    spoil(plan, graph, backend);
    run_plan(plan, graph);
  }
  const std::vector<Bytes> replayed = kept_results(plan, graph, backend);
  for (std::size_t i = 0; i < replayed.size(); ++i) {
    if (replayed[i] != one_by_one[i]) {
      NodeResult& node = report.nodes[static_cast<std::size_t>(plan.kept[i].node)];
      node.note = plan.replays.replayed() > 0
                      ? "gives other bits when the plan is replayed as one recording than kernel by kernel"
                      : "gives other bits when the plan is run again";
      node.verdict = std::min(node.verdict, Verdict::in_situ);
      return;
    }
  }
}

}  // namespace

void check_in_situ(const Subject& subject, const Options& options, DeviceReport& report) {
  DeviceRuntime& state = runtime(subject.device);
  const std::lock_guard lock(state.mutex);
  Backend& device_backend = *state.backend;
  const std::shared_ptr<Plan> plan = make_plan(subject.graph);
  if (options.tamper) {
    options.tamper(*plan);
  }
  std::vector<Bytes> first_outputs;
  for (int repeat = 0; repeat < std::max(options.repeats, 1); ++repeat) {
    Recorder recorder(*plan, subject.device);
    run_plan(*plan, subject.graph, &recorder);
    device_backend.synchronize();
    std::vector<Bytes> outputs;
    for (const StepRecord& record : recorder.records()) {
      outputs.push_back(record.output->host(device_backend));
    }
    for (std::size_t s = 0; s < plan->steps.size(); ++s) {
      const Plan::Step& step = plan->steps[s];
      const StepRecord& record = recorder.records()[s];
      NodeResult& node = report.nodes[static_cast<std::size_t>(step.node)];
      if (repeat > 0) {
        if (outputs[s] != first_outputs[s]) {
          node.repeats = false;
          node.verdict = std::min(node.verdict, Verdict::race);
        }
        continue;
      }
      const Dtype dtype = record.call.output.dtype;
      const int changed = changed_input(step, record, outputs, device_backend);
      // Before it runs again: a kernel that writes to its inputs does so to the snapshots too.
      const int written = written_input(record, device_backend);
      const Bytes alone = again(device_backend, subject.device, step, record);
      node.in_situ = compare_bits(widened(outputs[s], dtype), widened(alone, dtype), dtype);
      if (changed >= 0) {
        node.note = "input " + std::to_string(changed) + " was not what " +
                    std::string(plan->steps[static_cast<std::size_t>(step.producers[static_cast<std::size_t>(changed)])]
                                    .call.op->name) +
                    " had written there: overwritten or read too early";
      }
      if (written >= 0) {
        node.note = "writes into its input " + std::to_string(written) + ", which others may still need";
      }
      if (changed >= 0 || written >= 0 || !node.in_situ.passes()) {
        // A kernel that gives other bits each time it is run alone is a race of its own, whatever the plan does.
        const bool races = !node.in_situ.passes() && again(device_backend, subject.device, step, record) != alone;
        node.repeats = node.repeats && !races;
        const Verdict found = races ? Verdict::race : Verdict::in_situ;
        node.verdict = std::min(node.verdict, found);
      }
    }
    if (repeat == 0) {
      first_outputs = std::move(outputs);
    }
    if (options.progress) {
      options.progress(static_cast<double>(repeat + 1) / std::max(options.repeats, 1),
                       "the real plan on " + report.device);
    }
  }
  // Races are known by now. A plan that was tampered with leaves nothing to compare with.
  if (!options.tamper) {
    const WithoutResults without_results(subject);
    Graph graph = subject.graph;
    graph.fuse = true;
    const std::shared_ptr<Plan> fused = make_plan(graph);
    check_fused(graph, *fused, *plan, first_outputs, device_backend, report);
    check_replayed(graph, *fused, device_backend, report);
  }
}

}  // namespace twingrad::check
