// Everything a user needs: #include <twingrad/twingrad.h>.
#pragma once

#include <twingrad/autograd.h>
#include <twingrad/compile.h>
#include <twingrad/data/csv.h>
#include <twingrad/data/dataset.h>
#include <twingrad/data/idx.h>
#include <twingrad/data/loader.h>
#include <twingrad/data/split.h>
#include <twingrad/data/standardize.h>
#include <twingrad/data/synthetic.h>
#include <twingrad/device.h>
#include <twingrad/dot.h>
#include <twingrad/dtype.h>
#include <twingrad/error.h>
#include <twingrad/evaluate.h>
#include <twingrad/io/named_tensors.h>
#include <twingrad/io/safetensors.h>
#include <twingrad/metrics.h>
#include <twingrad/nn/nn.h>
#include <twingrad/ops.h>
#include <twingrad/optim/optim.h>
#include <twingrad/precision.h>
#include <twingrad/random.h>
#include <twingrad/shape.h>
#include <twingrad/tensor.h>
