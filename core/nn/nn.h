// All of nn: modules, layers, initialisers.
#pragma once

#include <twingrad/nn/activations.h>
#include <twingrad/nn/init.h>
#include <twingrad/nn/layers.h>
#include <twingrad/nn/mlp.h>
#include <twingrad/nn/module.h>
#include <twingrad/nn/normalization.h>
#include <twingrad/nn/sequential.h>
