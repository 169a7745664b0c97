// Capture into graphs, and what can be done with a graph. A captured stream's work becomes nodes in a row.
#include <algorithm>
#include <thread>

#include "tests/cuda_emulator/handles.h"
#include "tests/cuda_emulator/stream.h"
#include "tests/cuda_emulator/stream_queue.h"

struct CUgraphNode_st {
  cuda_emulator::Work work;
};

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
};

struct CUgraphExec_st {
  std::vector<cuda_emulator::Work> nodes;
  std::vector<cudaGraphNode_t> made_from;  ///< the nodes of the graph it was made from, by which setters name them
};

using namespace cuda_emulator;

namespace {

Handles<CUgraph_st>& graphs() {
  static auto* const handles = new Handles<CUgraph_st>(&Outstanding::graphs);
  return *handles;
}
Handles<CUgraphExec_st>& executables() {
  static auto* const handles = new Handles<CUgraphExec_st>(&Outstanding::graphs);
  return *handles;
}

cudaGraphNodeType type_of(const Work& work) {
  if (std::holds_alternative<KernelWork>(work)) {
    return cudaGraphNodeTypeKernel;
  }
  if (std::holds_alternative<CopyWork>(work)) {
    return cudaGraphNodeTypeMemcpy;
  }
  if (std::holds_alternative<SetWork>(work)) {
    return cudaGraphNodeTypeMemset;
  }
  if (std::holds_alternative<HostWork>(work)) {
    return cudaGraphNodeTypeHost;
  }
  return cudaGraphNodeTypeGraph;
}

/// An event recorded while capturing only marks a place in the row, which is no node.
bool is_node(const Work& work) {
  return !std::holds_alternative<RecordWork>(work) && !std::holds_alternative<WaitWork>(work);
}

/// Whether an executable's node can become `next`: CUDA allows another kernel with other parameters, other addresses
/// and sizes of copies and fills, and other host functions, but no other kind of node.
bool can_become(const Work& node, const Work& next) {
  return type_of(node) == type_of(next);
}

cudaError_t graph_status(cudaGraph_t graph) {
  if (device_status() != cudaSuccess) {
    return device_status();
  }
  return graphs().contains(graph) ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t executable_status(cudaGraphExec_t executable) {
  if (device_status() != cudaSuccess) {
    return device_status();
  }
  return executables().contains(executable) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(device_lock());
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  CUstream_st* stream = find_stream(handle);
  if (stream == nullptr) {
    return give(cudaErrorInvalidResourceHandle);
  }
  if (handle == nullptr) {
    return give(cudaErrorStreamCaptureUnsupported);
  }
  if (stream->capture.status != cudaStreamCaptureStatusNone) {
    return give(cudaErrorIllegalState);
  }
  stream->capture = Capture{cudaStreamCaptureStatusActive, mode, std::this_thread::get_id(), {}};
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const std::lock_guard lock(device_lock());
  if (graph == nullptr) {
    return give(cudaErrorInvalidValue);
  }
  *graph = nullptr;
  CUstream_st* stream = find_stream(handle);
  if (stream == nullptr) {
    return give(cudaErrorInvalidResourceHandle);
  }
  if (stream->capture.status == cudaStreamCaptureStatusNone) {
    return give(cudaErrorIllegalState);
  }
  if (stream->capture.mode != cudaStreamCaptureModeRelaxed && stream->capture.thread != std::this_thread::get_id()) {
    return give(cudaErrorStreamCaptureWrongThread);
  }
  Capture capture = std::move(stream->capture);
  stream->capture = {};
  if (capture.status == cudaStreamCaptureStatusInvalidated) {
    return give(cudaErrorStreamCaptureInvalidated);
  }
  if (device_status() != cudaSuccess) {
    return give(device_status());
  }
  *graph = graphs().add(new CUgraph_st);
  for (Work& work : capture.nodes) {
    if (is_node(work)) {
      (*graph)->nodes.push_back(std::make_unique<CUgraphNode_st>(CUgraphNode_st{std::move(work)}));
    }
  }
  return cudaSuccess;
}

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags) {
  const std::lock_guard lock(device_lock());
  if (graph == nullptr || flags != 0) {
    return give(cudaErrorInvalidValue);
  }
  *graph = graphs().add(new CUgraph_st);
  return give(device_status());
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::lock_guard lock(device_lock());
  return give(graphs().destroy(graph) ? device_status() : cudaErrorInvalidValue);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = graph_status(graph); error != cudaSuccess) {
    return give(error);
  }
  if (nodes != nullptr) {
    const std::size_t room = *count;
    for (std::size_t i = 0; i < room; ++i) {
      nodes[i] = i < graph->nodes.size() ? graph->nodes[i].get() : nullptr;
    }
    *count = std::min(room, graph->nodes.size());
  } else {
    *count = graph->nodes.size();
  }
  return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  const std::lock_guard lock(device_lock());
  *type = type_of(node->work);
  return give(device_status());
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* parameters) {
  const std::lock_guard lock(device_lock());
  auto* kernel = std::get_if<KernelWork>(&node->work);
  if (kernel == nullptr) {
    return give(cudaErrorInvalidValue);
  }
  parameters->func = const_cast<void*>(kernel->function);
  parameters->gridDim = kernel->grid;
  parameters->blockDim = kernel->block;
  parameters->sharedMemBytes = static_cast<unsigned>(kernel->shared_bytes);
  parameters->kernelParams = kernel->arguments.places();
  parameters->extra = nullptr;
  return give(device_status());
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  const std::lock_guard lock(device_lock());
  if (executable == nullptr || flags != 0) {
    return give(cudaErrorInvalidValue);
  }
  *executable = nullptr;
  if (const cudaError_t error = graph_status(graph); error != cudaSuccess) {
    return give(error);
  }
  *executable = executables().add(new CUgraphExec_st);
  for (const auto& node : graph->nodes) {
    (*executable)->nodes.push_back(node->work);
    (*executable)->made_from.push_back(node.get());
  }
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiate(executable, graph, flags);
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* result) {
  const std::lock_guard lock(device_lock());
  if (result == nullptr) {
    return give(cudaErrorInvalidValue);
  }
  *result = {cudaGraphExecUpdateError, nullptr, nullptr};
  if (const cudaError_t error = executable_status(executable); error != cudaSuccess) {
    return give(error);
  }
  if (const cudaError_t error = graph_status(graph); error != cudaSuccess) {
    return give(error);
  }
  if (executable->nodes.size() != graph->nodes.size()) {
    result->result = cudaGraphExecUpdateErrorTopologyChanged;
    return give(cudaErrorGraphExecUpdateFailure);
  }
  for (std::size_t i = 0; i < graph->nodes.size(); ++i) {
    if (!can_become(executable->nodes[i], graph->nodes[i]->work)) {
      *result = {cudaGraphExecUpdateErrorNodeTypeChanged, graph->nodes[i].get(), executable->made_from[i]};
      return give(cudaErrorGraphExecUpdateFailure);
    }
  }
  for (std::size_t i = 0; i < graph->nodes.size(); ++i) {
    executable->nodes[i] = graph->nodes[i]->work;
  }
  result->result = cudaGraphExecUpdateSuccess;
  return cudaSuccess;
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t executable, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = executable_status(executable); error != cudaSuccess) {
    return give(error);
  }
  const auto place = std::find(executable->made_from.begin(), executable->made_from.end(), node);
  if (place == executable->made_from.end() || parameters == nullptr || parameters->extra != nullptr) {
    return give(cudaErrorInvalidValue);
  }
  Work& work = executable->nodes[static_cast<std::size_t>(place - executable->made_from.begin())];
  const Signature* signature = find_kernel(parameters->func);
  if (!std::holds_alternative<KernelWork>(work) || signature == nullptr) {
    return give(signature == nullptr ? cudaErrorInvalidDeviceFunction : cudaErrorInvalidValue);
  }
  KernelWork kernel{parameters->func,           *signature, parameters->gridDim, parameters->blockDim,
                    parameters->sharedMemBytes, {}};
  if (const cudaError_t error = check_launch(kernel); error != cudaSuccess) {
    return give(error);
  }
  kernel.arguments = Arguments(*signature, parameters->kernelParams);
  work = std::move(kernel);
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (find_stream(stream) == nullptr) {
    return give(cudaErrorInvalidResourceHandle);
  }
  return give(executable_status(executable));
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(device_lock());
  if (const cudaError_t error = executable_status(executable); error != cudaSuccess) {
    return give(error);
  }
  return give(submit(stream, std::make_shared<GraphWork>(GraphWork{executable->nodes})));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const std::lock_guard lock(device_lock());
  return give(executables().destroy(executable) ? device_status() : cudaErrorInvalidValue);
}
