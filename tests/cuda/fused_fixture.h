// Runs fused kernels on the device beside the same parts one by one, on operands that it draws, and compares the bytes.
// Skips loudly without a GPU or NVRTC.
#pragma once

#include <gtest/gtest.h>
#include <twingrad/backend.h>
#include <twingrad/formulas.h>
#include <twingrad/update_formulas.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <tuple>

#include "tests/cuda/fusion_builder.h"

namespace twingrad::cuda {

using tests::formula_op;
using tests::FusionBuilder;
using tests::view_of;

class FusedKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_backend_device_count() == 0) {
      GTEST_SKIP() << "no CUDA device: this test waits for a GPU";
    }
    gpu_ = make_cuda_backend(0);
    if (gpu_->description().find("no NVRTC") != std::string::npos) {
      GTEST_SKIP() << gpu_->description() << ": this test waits for NVRTC";
    }
  }
  void TearDown() override { free_all(); }

  void free_all() {
    for (const auto& [memory, bytes] : allocations_) {
      gpu_->deallocate(memory, bytes);
    }
    allocations_.clear();
  }

  /// Memory with guards on both sides, `shift` bytes off 256.
  struct Block {
    std::vector<std::byte> host;
    std::byte* device = nullptr;
    std::size_t start = 0;
    std::size_t bytes = 0;
    void* data() const { return device + start; }
  };
  static constexpr std::size_t guard = 256;

  Block block(std::size_t bytes, std::size_t shift) {
    Block one;
    one.start = guard + shift;
    one.bytes = bytes;
    one.host.assign(one.start + bytes + guard, std::byte{0xcd});
    one.device = static_cast<std::byte*>(gpu_->allocate(one.host.size()));
    allocations_.emplace_back(one.device, one.host.size());
    return one;
  }
  void send(const Block& one) { gpu_->copy_from_host(one.device, one.host.data(), one.host.size()); }
  void fetch(Block& one) {
    gpu_->copy_to_host(one.host.data(), one.device, one.host.size());
    for (std::size_t i = 0; i < one.host.size(); ++i) {
      if (i < one.start || i >= one.start + one.bytes) {
        ASSERT_EQ(one.host[i], std::byte{0xcd}) << "written beside a result";
      }
    }
  }

  /// Numbers of a dtype: small, of both signs, zeros, and unless `finite_` NaN and infinities among floats.
  void draw(Block& one, Dtype dtype) {
    const std::size_t size = size_of(dtype);
    for (std::size_t i = 0; i < one.bytes / size; ++i) {
      std::byte* place = one.host.data() + one.start + i * size;
      const auto kind = random_() % 40;
      double value = std::uniform_real_distribution<double>(-3, 3)(random_);
      if (is_floating(dtype) && kind < 4) {
        value = kind == 0 ? std::nan("") : (kind == 1 ? HUGE_VAL : (kind == 2 ? -0.0 : 0.0));
        value = finite_ && !std::isfinite(value) ? -0.0 : value;
      }
      visit(dtype, [&]<class T>(Type<T>) {
        T element;
        if constexpr (std::is_same_v<T, bool>) {
          element = value > 0;
        } else if constexpr (std::is_integral_v<T>) {
          element = static_cast<T>(static_cast<int>(value * 20));
        } else {
          element = T(static_cast<compute_t<T>>(value));
        }
        std::memcpy(place, &element, sizeof element);
      });
    }
  }

  static bool same(const std::byte* a, const std::byte* b, Dtype dtype) {
    return visit(dtype, [&]<class T>(Type<T>) {
      if constexpr (std::is_floating_point_v<compute_t<T>>) {
        T x;
        T y;
        std::memcpy(&x, a, sizeof x);
        std::memcpy(&y, b, sizeof y);
        if (std::isnan(static_cast<compute_t<T>>(x)) && std::isnan(static_cast<compute_t<T>>(y))) {
          return true;
        }
      }
      return std::memcmp(a, b, sizeof(T)) == 0;
    });
  }
  void expect_same(Block& a, Block& b, Dtype dtype, const std::string& what) {
    fetch(a);
    fetch(b);
    const std::size_t size = size_of(dtype);
    for (std::size_t i = 0; i < a.bytes / size; ++i) {
      ASSERT_TRUE(same(a.host.data() + a.start + i * size, b.host.data() + b.start + i * size, dtype))
          << what << ", element " << i;
    }
  }

  /// Elements that a view of these strides spans, and how many lie before its first one.
  static std::pair<std::int64_t, std::int64_t> span_of(const TensorView& view) {
    std::int64_t low = 0;
    std::int64_t high = 0;
    for (int axis = 0; axis < view.shape.size(); ++axis) {
      const std::int64_t reach = (view.shape[axis] - 1) * view.strides[axis];
      (reach < 0 ? low : high) += reach;
    }
    return {high - low + 1, -low};
  }

  /// The operands of one fusion in memory, and where each result goes in two runs.
  struct Prepared {
    std::vector<void*> addresses;  // of the fused kernel
    std::vector<Block> apart, fused;
  };

  /// Runs the parts one by one and gives the fused kernel's addresses. With `shift`, operands begin off their
  /// alignment. With `in_place`, stored results lie on an operand of their part that is dense and of their dtype.
  Prepared run_apart(const Fusion& fusion, std::size_t shift, bool in_place) {
    Prepared prepared;
    std::vector<Block> results;
    for (const Fusion::Part& part : fusion.parts) {
      KernelCall call = part.call;
      void* on = nullptr;
      for (std::size_t j = 0; j < call.inputs.size(); ++j) {
        TensorView& view = call.inputs[j];
        if (part.from[j] >= 0) {
          view.data = results[static_cast<std::size_t>(part.from[j])].data();
          continue;
        }
        const auto [elements, before] = span_of(view);
        const std::size_t size = size_of(view.dtype);
        Block memory = block(static_cast<std::size_t>(elements) * size, shift * size);
        draw(memory, view.dtype);
        if (call.op->family == Family::update && j + 1 == call.inputs.size()) {
          // Hyperparameters of a size that keeps results finite.
          for (std::size_t i = 0; i < memory.bytes / size; ++i) {
            visit(view.dtype, [&]<class T>(Type<T>) {
              const auto h = static_cast<T>(static_cast<compute_t<T>>(0.25 + 0.125 * static_cast<double>(i)));
              std::memcpy(memory.host.data() + memory.start + i * size, &h, sizeof h);
            });
          }
        }
        send(memory);
        view.data = static_cast<std::byte*>(memory.data()) + static_cast<std::size_t>(before) * size;
        prepared.addresses.push_back(view.data);
        if (in_place && view.contiguous() && view.dtype == call.output.dtype && view.numel() == call.output.numel()) {
          on = view.data;
        }
      }
      const auto bytes = static_cast<std::size_t>(call.output.numel()) * size_of(call.output.dtype);
      results.push_back(block(bytes, 0));
      send(results.back());
      call.output.data = results.back().data();
      gpu_->run(call);
      if (part.stored) {
        Block fused = block(bytes, shift * size_of(call.output.dtype));
        send(fused);
        if (on != nullptr) {
          places_.emplace_back(prepared.fused.size(), on);
        }
        prepared.addresses.push_back(on != nullptr ? on : fused.data());
        prepared.apart.push_back(results.back());
        prepared.fused.push_back(fused);
      }
    }
    return prepared;
  }

  void compare(const Fusion& fusion, Prepared& prepared, const std::string& what) {
    std::size_t result = 0;
    for (const Fusion::Part& part : fusion.parts) {
      if (!part.stored) {
        continue;
      }
      for (const auto& [which, place] : places_) {
        if (which == result) {
          gpu_->copy(prepared.fused[result].data(), place, prepared.fused[result].bytes);
        }
      }
      expect_same(prepared.apart[result], prepared.fused[result], part.call.output.dtype,
                  what + ", result of " + std::string(part.call.op->name));
      ++result;
    }
    places_.clear();
  }

  void check(const Fusion& fusion, const std::string& what, std::size_t shift = 0, bool in_place = false) {
    std::unique_ptr<PreparedKernel> kernel = gpu_->fuse(fusion);
    ASSERT_NE(kernel, nullptr) << what;
    Prepared prepared = run_apart(fusion, shift, in_place);
    kernel->run(prepared.addresses, std::source_location::current());
    compare(fusion, prepared, what);
    free_all();
  }

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  /// A window of `shape` on memory: dense, one value, broadcast along any axes, turned, with gaps, or backwards.
  TensorView operand(Dtype dtype, const Shape& shape) {
    TensorView view = view_of(dtype, shape);
    switch (below(6)) {
      case 0:
      case 1:
        return view;
      case 2:
        for (int axis = 0; axis < shape.size(); ++axis) {
          view.strides[axis] = 0;
        }
        return view;
      case 3: {
        std::int64_t step = 1;
        for (int axis = shape.size() - 1; axis >= 0; --axis) {
          view.strides[axis] = below(2) == 0 ? 0 : step;
          step *= view.strides[axis] == 0 ? 1 : shape[axis];
        }
        return view;
      }
      case 4: {
        std::int64_t step = 1;
        for (int axis = 0; axis < shape.size(); ++axis) {
          view.strides[axis] = step;
          step *= shape[axis];
        }
        return view;
      }
      default:
        for (int axis = 0; axis < shape.size(); ++axis) {
          view.strides[axis] *= below(2) == 0 ? 4 : -1;
        }
        return view;
    }
  }

  template <class Formula>
  void add(FusionBuilder& builder, Dtype dtype, const Shape& shape) {
    std::vector<TensorView> inputs;
    std::vector<int> from;
    const std::vector<Fusion::Part>& parts = builder.fusion().parts;
    constexpr int arity = requires {
      Formula::hyperparameters;
    }
    ? Formula::arity - 1 : Formula::arity;
    for (int i = 0; i < arity; ++i) {
      Dtype wanted = dtype;
      if constexpr (!requires { Formula::hyperparameters; }) {
        wanted = i == 0 && Formula::arity == 3 ? boolean : dtype;
      }
      std::vector<int> fitting;
      for (std::size_t p = 0; p < parts.size(); ++p) {
        if (parts[p].call.output.dtype == wanted) {
          fitting.push_back(static_cast<int>(p));
        }
      }
      const bool inside = !fitting.empty() && below(3) > 0;
      from.push_back(inside ? fitting[below(fitting.size())] : -1);
      const bool dense = inside || requires {
        Formula::hyperparameters;
      };
      inputs.push_back(dense ? view_of(wanted, shape) : operand(wanted, shape));
    }
    Dtype out = dtype;
    if constexpr (requires { Formula::hyperparameters; }) {
      inputs.push_back(view_of(dtype, {Formula::hyperparameters}));
      from.push_back(-1);
    } else if constexpr (Formula::gives == formulas::Gives::boolean) {
      out = boolean;
    }
    builder.add(formula_op<Formula>(), inputs, from, view_of(out, shape), below(3) == 0, {0.5, 1.5, 0, 0});
  }

  template <class... Formulas>
  void add_random(FusionBuilder& builder, Dtype dtype, const Shape& shape, const std::tuple<Formulas...>*) {
    std::vector<std::function<void()>> fitting;
    const auto offer = [&]<class Formula>(Type<Formula>) {
      bool takes = is_floating(dtype);
      if constexpr (!requires { Formula::hyperparameters; }) {
        takes = visit(dtype, []<class T>(Type<T>) { return formulas::accepts<T>(Formula::takes); });
      }
      if (takes) {
        fitting.push_back([&] { add<Formula>(builder, dtype, shape); });
      }
    };
    (offer(Type<Formulas>{}), ...);
    fitting[below(fitting.size())]();
  }

  std::mt19937 random_{12345};
  bool finite_ = false;
  std::unique_ptr<Backend> gpu_;
  std::vector<std::pair<void*, std::size_t>> allocations_;
  std::vector<std::pair<std::size_t, void*>> places_;  // results that lie on an operand
};

}  // namespace twingrad::cuda
