// The CUDA backend's entry points, one per kernel family, each in the file of its name. All queue on context.stream
// and return; what the families mean stands in core/kernel_call.h and core/kernels.h.
#pragma once

#include "cuda/context.h"

#include <twingrad/backend.h>
#include <twingrad/error_model.h>

#include <memory>

namespace twingrad::cuda {

void run_elementwise(const KernelCall& call, Context& context);
void run_update(const KernelCall& call, Context& context);
void run_reduce(const KernelCall& call, Context& context);
void run_arg_reduce(const KernelCall& call, Context& context);
void run_scan(const KernelCall& call, Context& context);
void run_matmul(const KernelCall& call, Context& context);
void run_rows(const KernelCall& call, Context& context);
void run_index(const KernelCall& call, Context& context);
void run_random(const KernelCall& call, Context& context);
void run_copy(const KernelCall& call, Context& context);

/// Backend::prepare() for elementwise calls. The others decide anew at each run().
std::unique_ptr<PreparedKernel> prepare_elementwise(const KernelCall& call, Context& context);
/// Its halves, apart because each takes minutes to compile.
std::unique_ptr<PreparedKernel> prepare_elementwise_unary(const KernelCall& call, Context& context);
std::unique_ptr<PreparedKernel> prepare_elementwise_binary(const KernelCall& call, Context& context);

/// Backend::copy_listed().
void run_listed_copies(const ListedCopy* list, std::size_t count, std::size_t longest, Context& context);

/// A product and what the parts behind it do with its result, where one kernel gives their bits in no more time: relu
/// in the product's epilogue. Tries it on memory of its own when it meets a product of this kind for the first time,
/// and waits for the outcome. nullptr: they run one by one.
std::unique_ptr<PreparedKernel> fuse_product(const Fusion& fusion, Context& context);

/// How the kernels round.
ErrorModel error_model(const KernelCall& call);

}  // namespace twingrad::cuda
