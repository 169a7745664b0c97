#include <twingrad/check/replay.h>
#include <twingrad/check/subject.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace twingrad::check {
namespace {

std::vector<double> run_use(const NodeUse& use, Device device) {
  return run_alone(*use.op, use.attributes, use.inputs, use.type, device, std::source_location::current(), use.strides);
}

ErrorModel model_of_use(const NodeUse& use, Device device) {
  return model_of(*use.op, use.attributes, use.inputs, use.type, device, use.strides);
}

bool same_values(const std::vector<double>& a, const std::vector<double>& b, Dtype dtype) {
  return a.empty() ? b.empty() : compare_bits(a, b, dtype).passes();
}

const DeviceReport* find_device(const Report& report, Device device) {
  const auto found = std::find_if(report.devices.begin(), report.devices.end(),
                                  [&](const DeviceReport& one) { return one.device == device.name(); });
  return found == report.devices.end() ? nullptr : &*found;
}

/// Only nodes: what is wrong with a result follows from them or is not one kernel's doing.
bool is_failure(const NodeResult& node) {
  return node.verdict == Verdict::kernel || node.verdict == Verdict::in_situ || node.verdict == Verdict::race;
}

}  // namespace

Comparison check_node(const NodeUse& use, Device device, double lambda) {
  const ErrorModel model = model_of_use(use, device);
  const Array<Tracked> expected = expect(*use.op, use.attributes, use.inputs, use.type, model);
  return compare(run_use(use, device), expected.data, use.type.dtype,
                 {.lambda = lambda, .order_known = model.order.known});
}

Replayed replay(const std::string& path, Device device, std::span<const Op* const> custom) {
  Replayed result;
  result.recorded = load_replay(path, custom);
  const NodeUse& use = result.recorded.use;
  result.actual = run_use(use, device);
  result.same_bits = same_values(result.actual, result.recorded.actual, use.type.dtype);
  result.comparison = check_node(use, device, result.recorded.lambda);
  return result;
}

std::vector<std::string> save_failures(const std::function<Tensor(Device)>& train_step, const Report& report,
                                       const std::vector<Device>& devices, const std::string& folder) {
  std::vector<std::string> paths;
  for (const Device device : devices) {
    const DeviceReport* found = find_device(report, device);
    if (found == nullptr || std::none_of(found->nodes.begin(), found->nodes.end(), is_failure)) {
      continue;
    }
    std::filesystem::create_directories(folder);
    const Subject subject = take_step(train_step, device);
    if (subject.graph.nodes.size() != found->nodes.size()) {
      throw ArgumentError("save_failures: the step has " + std::to_string(subject.graph.nodes.size()) +
                          " nodes and the report " + std::to_string(found->nodes.size()) +
                          "; give the step that the report was made of");
    }
    DeviceReport scratch;
    const Isolated isolated = check_isolated(subject, Options{}, report.lambda, scratch);
    std::vector<std::byte> memory;
    for (const NodeResult& node : found->nodes) {
      if (!is_failure(node)) {
        continue;
      }
      const Node& source = *subject.graph.nodes[static_cast<std::size_t>(node.node)];
      Failure failure;
      failure.use = {source.op, source.attributes, {}, source.type()};
      for (const NodePtr& input : source.inputs) {
        failure.use.inputs.push_back(isolated.values[static_cast<std::size_t>(input->index)]);
      }
      failure.use.strides = place_alone(subject, static_cast<std::size_t>(node.node), isolated.values, memory).strides;
      failure.verdict = node.verdict;
      failure.where = node.where;
      failure.device = found->device;
      failure.device_description = found->description;
      failure.seed = report.seed;
      failure.lambda = report.lambda;
      std::string device_name = found->device;
      std::replace(device_name.begin(), device_name.end(), ':', '-');
      paths.push_back(folder + "/" + device_name + "-" + std::to_string(node.node) + "-" + node.op + ".json");
      save_replay(paths.back(), std::move(failure), device);
    }
  }
  return paths;
}

}  // namespace twingrad::check
