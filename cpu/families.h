// The kernel families of the CPU backend, one function and one file each. CpuBackend::run() picks the function; each
// function picks the kernel by call.op->kernel and the element types. All are synchronous and use all threads where
// the work is worth it.
#pragma once

#include <twingrad/error_model.h>
#include <twingrad/kernel_call.h>

namespace twingrad::cpu {

void elementwise(const KernelCall& call);
void update(const KernelCall& call);
void reduce(const KernelCall& call);
void arg_reduce(const KernelCall& call);
void scan(const KernelCall& call);
void rows(const KernelCall& call);
void index(const KernelCall& call);
void random(const KernelCall& call);
void copy(const KernelCall& call);
// Family::matmul keeps compiled primitives from call to call: see matmul.h.

/// How the kernels round: the order of lanes.h, float32 or float64 accumulators, the functions of lane_math.h or the C
/// library's.
ErrorModel error_model(const KernelCall& call);

/// Throws the DtypeError that says this op has no kernel for `dtype` here.
[[noreturn]] void refuse_dtype(const KernelCall& call, Dtype dtype);

}  // namespace twingrad::cpu
