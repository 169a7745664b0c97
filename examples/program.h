// What the example programs share: their common options, one clear error instead of an abort, progress lines, tables,
// and the comparison of gradients behind --check.
#pragma once

#include <twingrad/twingrad.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace examples {

namespace tg = twingrad;

struct CommonOptions {
  std::string device = "auto";
  std::int64_t seed = 1;
  int epochs = 10;
  std::vector<std::int64_t> hidden;
  double lr = 1e-3;
  std::int64_t batch = 128;
  bool check = false;
};

inline void add_common_options(CLI::App& app, CommonOptions& options) {
  app.add_option("--device", options.device, "cpu, cuda, cuda:<number>, or auto: a GPU if there is one")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Decides initial weights, shuffling and dropout")->capture_default_str();
  app.add_option("--epochs", options.epochs, "Passes over the training rows")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--hidden", options.hidden, "Sizes of the hidden layers, with commas")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--lr", options.lr, "Learning rate (the highest one where a schedule is used)")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Rows per step")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--check", options.check,
               "Train nothing: compare one step's gradients on the devices with float64 on the CPU");
}

/// --precision, for programs whose models are trained in it.
inline void add_precision_option(CLI::App& app, std::string& precision) {
  app.add_option("--precision", precision,
                 "Of products: fp32; tf32, on NVIDIA GPUs; bf16, with float32 master weights; fp16, with a scaled loss "
                 "beside them")
      ->capture_default_str();
}

/// Parses the command line and runs `body`. Whatever goes wrong is one message on stderr and exit code 1.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
  try {
    app.parse(argc, argv);
    body();
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    std::cerr << "error: out of host memory; use a smaller batch or data set\n";
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
  }
  return 1;
}

/// The device asked for, checked before any work is done.
inline tg::Device open_device(const CommonOptions& options) {
  const tg::Device device = tg::Device::parse(options.device);
  const std::string description = device.description();  // throws before anything is printed
  std::cout << "device " << device.name() << ": " << description << '\n';
  return device;
}

/// The precision asked for, checked before any work is done: the device must have it.
inline tg::Precision open_precision(const std::string& text, tg::Device device) {
  const tg::Precision precision = tg::parse_precision(text);
  tg::require_precision(precision, device);
  std::cout << "precision " << tg::describe(precision) << '\n';
  return precision;
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

/// Rows of text in aligned columns, the first row as heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print(std::ostream& out) const {
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        widths[c] = std::max(widths[c], row[c].size());
      }
    }
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      for (std::size_t c = 0; c < rows_[r].size(); ++c) {
        out << (c == 0 ? "" : "  ") << rows_[r][c] << std::string(widths[c] - rows_[r][c].size(), ' ');
      }
      out << '\n';
      if (r == 0) {
        for (std::size_t c = 0; c < widths.size(); ++c) {
          out << (c == 0 ? "" : "  ") << std::string(widths[c], '-');
        }
        out << '\n';
      }
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

inline double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

/// Deviation of the mean: the sample's over sqrt(n); 0 for one value.
inline double standard_error(const std::vector<double>& values) {
  if (values.size() < 2) {
    return 0;
  }
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) {
    squares += (value - centre) * (value - centre);
  }
  const auto n = static_cast<double>(values.size());
  return std::sqrt(squares / (n - 1) / n);
}

/// Gradients of one training step by parameter name, on a device and in a dtype, from the same initial values.
using StepGradients = std::function<tg::NamedTensors(tg::Device, tg::Dtype)>;

/// Prints, parameter by parameter, how far float32 gradients on each device are from float64 on the CPU, as
/// rms(error) / rms(gradient), in units of float32's roundoff 2^-24 as well. Throws NumericError when one is not
/// finite.
inline void check_gradients(const StepGradients& step) {
  std::vector<tg::Device> devices = {tg::Device::cpu()};
  for (int i = 0; i < tg::cuda_device_count(); ++i) {
    devices.push_back(tg::Device::cuda(i));
  }
  const tg::NamedTensors reference = step(tg::Device::cpu(), tg::f64);
  std::vector<std::string> heading = {"parameter", "shape"};
  std::vector<tg::NamedTensors> found;
  for (const tg::Device device : devices) {
    heading.push_back(device.name() + " float32: rms error / rms");
    heading.push_back("in roundoffs");
    found.push_back(step(device, tg::f32));
  }
  Table table(heading);
  for (std::size_t p = 0; p < reference.size(); ++p) {
    const std::vector<double> exact = reference[p].second.to_vector<double>();
    std::vector<std::string> row = {reference[p].first, tg::to_string(reference[p].second.shape())};
    for (const tg::NamedTensors& gradients : found) {
      const std::vector<double> values = gradients[p].second.to_vector<double>();
      double error = 0;
      double scale = 0;
      for (std::size_t i = 0; i < exact.size(); ++i) {
        error += (values[i] - exact[i]) * (values[i] - exact[i]);
        scale += exact[i] * exact[i];
      }
      const double relative = scale > 0 ? std::sqrt(error / scale) : std::sqrt(error);
      if (!std::isfinite(relative)) {
        throw tg::NumericError("the gradient of " + reference[p].first + " is not finite");
      }
      row.push_back(format("%.2e", relative));
      row.push_back(format("%.1f", relative * 16777216.0));
    }
    table.add(std::move(row));
  }
  table.print(std::cout);
  if (devices.size() == 1) {
    std::cout << "no GPU here: the CPU's float32 gradients were compared with its float64 ones\n";
  }
}

}  // namespace examples
