// What a kernel finds that is compiled at run time: CUDA's own names and the functions of mathematics, and nothing of
// the standard library, as with NVRTC. The emulated NVRTC puts it in front of every program.
#pragma once

#define __CUDACC_RTC__ 1
#define __CUDACC__ 1

extern "C" {
float cosf(float) noexcept;
float erff(float) noexcept;
float expf(float) noexcept;
float expm1f(float) noexcept;
float fmaf(float, float, float) noexcept;
float log1pf(float) noexcept;
float logf(float) noexcept;
float powf(float, float) noexcept;
float sinf(float) noexcept;
float sqrtf(float) noexcept;
float tanhf(float) noexcept;
double cos(double) noexcept;
double erf(double) noexcept;
double exp(double) noexcept;
double expm1(double) noexcept;
double fma(double, double, double) noexcept;
double log(double) noexcept;
double log1p(double) noexcept;
double pow(double, double) noexcept;
double sin(double) noexcept;
double sqrt(double) noexcept;
double tanh(double) noexcept;
}

#include "launch.h"
#include "qualifiers.h"
