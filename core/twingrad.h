// Everything a user needs: #include <twingrad/twingrad.h>.
#pragma once

#include <twingrad/autograd.h>
#include <twingrad/device.h>
#include <twingrad/dtype.h>
#include <twingrad/error.h>
#include <twingrad/evaluate.h>
#include <twingrad/ops.h>
#include <twingrad/random.h>
#include <twingrad/shape.h>
#include <twingrad/tensor.h>
