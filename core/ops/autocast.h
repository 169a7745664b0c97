// How an AutocastScope changes the operands of an op. Called where nodes are made; without a scope nothing happens.
#pragma once

#include <twingrad/op.h>
#include <twingrad/pool.h>
#include <twingrad/precision.h>
#include <twingrad/tensor.h>

#include <span>

namespace twingrad {

/// The operands as the scope on this thread wants them for an op of `family`. There must be a scope.
PoolVector<Operand> autocast(Family family, std::span<const Operand> operands);

/// An operand of matmul() or linear(), which the errors name. Throws DtypeError for float64 in a scope other than fp32.
Operand autocast_product(const char* function, const Operand& operand);

/// Attributes of a product on `device`: TF32 where the scope says so. Throws DeviceError where there is none.
Attributes product_attributes(Device device);

}  // namespace twingrad
