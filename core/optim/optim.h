// All of optim: optimizers, clipping, schedules, early stopping.
#pragma once

#include <twingrad/optim/adagrad.h>
#include <twingrad/optim/adam.h>
#include <twingrad/optim/clip.h>
#include <twingrad/optim/early_stopping.h>
#include <twingrad/optim/loss_scaler.h>
#include <twingrad/optim/optimizer.h>
#include <twingrad/optim/rmsprop.h>
#include <twingrad/optim/schedule.h>
#include <twingrad/optim/sgd.h>
