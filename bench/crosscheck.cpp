// The cross-check as a command: does a device compute what it should, and if not, which op is wrong?
//
//   crosscheck ops                                        # every op, forward, backward, second derivative
//   crosscheck ops --op matmul --dtype bfloat16 --cases 500
//   crosscheck ops --op matmul --case 16 --seed 1         # one case of an earlier run again
//   crosscheck step --model mlp --devices cpu,cuda --html report.html
//   crosscheck step --model mlp --precision bf16
//   crosscheck step --model mlp --plant matmul_drop_last_term
//   crosscheck depth                                      # predicted and actual float32 gradient error by depth
//   crosscheck coverage                                   # what there is evidence for
//   crosscheck faults                                     # planted faults, and which checks see them
//   crosscheck replay failure.json --devices cuda
//
// Exit code 0: agrees; 1: a disagreement; 2: could not run.
#include <twingrad/backend.h>
#include <twingrad/check/check.h>
#include <twingrad/check/faults.h>
#include <twingrad/check/ops.h>
#include <twingrad/check/replay.h>
#include <twingrad/check/score.h>
#include <twingrad/error.h>
#include <twingrad/precision.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "crosscheck_steps.h"
#include "crosscheck_time.h"

namespace tg = twingrad;
namespace check = twingrad::check;
using namespace crosscheck;

namespace {

enum ExitCode : int { agrees = 0, disagrees = 1, could_not_run = 2 };

struct Arguments {
  std::vector<std::string> devices = {"cpu"};
  std::uint64_t seed = 1;
  std::string json;
  std::string html;
  double false_alarm = 1e-6;
  // ops, coverage
  std::string op;
  std::vector<std::int64_t> shape;
  std::string dtype;
  bool tf32 = false;
  std::int64_t cases = 10000;
  std::int64_t only = -1;
  // step
  std::string model;
  int depth = 0;
  std::string precision = "fp32";
  std::string plant;
  std::string failures;
  bool time = false;
  // replay
  std::string file;
  // faults
  std::string filter;
};

/// One line on a terminal, rewritten; elsewhere a line every few seconds.
class Progress {
 public:
  void operator()(double fraction, const std::string& what) {
    const auto now = std::chrono::steady_clock::now();
    const double wait = terminal_ ? 0.1 : 5.0;
    if (std::chrono::duration<double>(now - last_).count() < wait) {
      return;
    }
    last_ = now;
    std::fprintf(stderr, terminal_ ? "\r\033[K%3.0f %%  %s" : "%3.0f %%  %s\n", 100 * fraction, what.c_str());
    std::fflush(stderr);
    shown_ = terminal_;
  }
  ~Progress() {
    if (shown_) {
      std::fputs("\r\033[K", stderr);
    }
  }
  Progress() = default;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void write(const std::string& path, const std::string& text) {
  if (path.empty()) {
    return;
  }
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) {
    throw tg::IoError("cannot write " + path + "; give a path that can be written");
  }
  std::cout << "wrote " << path << '\n';
}

std::vector<tg::Device> devices_of(const Arguments& arguments) {
  std::vector<tg::Device> devices;
  for (const std::string& name : arguments.devices) {
    devices.push_back(tg::Device::parse(name));
    devices.back().description();  // throws when it is not there
  }
  return devices;
}

/// A backend of the first of --devices, for faults to be planted in.
std::unique_ptr<tg::Backend> backend_to_break(const Arguments& arguments) {
  const tg::Device device = devices_of(arguments).front();
  return device.kind() == tg::DeviceKind::cuda ? tg::make_cuda_backend(device.index()) : tg::make_cpu_backend();
}

tg::Dtype dtype_of(const std::string& text) {
  std::string names;
  for (const tg::Dtype dtype : {tg::Dtype::f32, tg::Dtype::f64, tg::Dtype::bf16, tg::Dtype::f16, tg::Dtype::i32,
                                tg::Dtype::i64, tg::Dtype::u8, tg::Dtype::boolean}) {
    if (text == tg::name(dtype)) {
      return dtype;
    }
    names += (names.empty() ? "" : ", ") + std::string(tg::name(dtype));
  }
  throw tg::ArgumentError("there is no dtype '" + text + "'; there are " + names);
}

check::OpsOptions ops_options(const Arguments& arguments, tg::Device device, Progress& progress) {
  check::OpsOptions options;
  options.device = device;
  options.cases = arguments.cases;
  options.seed = arguments.seed;
  options.op = arguments.op;
  options.only = arguments.only;
  options.false_alarm = arguments.false_alarm;
  options.tf32 = arguments.tf32;
  if (!arguments.shape.empty()) {
    options.shape = tg::Shape(std::span<const std::int64_t>(arguments.shape));
  }
  if (!arguments.dtype.empty()) {
    options.dtype = dtype_of(arguments.dtype);
  }
  options.progress = [&progress](double fraction, const std::string& what) { progress(fraction, what); };
  return options;
}

int run_ops(const Arguments& arguments) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  bool good = true;
  for (const tg::Device device : devices_of(arguments)) {
    check::OpsReport report;
    {
      Progress progress;
      report = check::ops(ops_options(arguments, device, progress));
    }
    std::cout << check::to_text(report);
    all.push_back(nlohmann::ordered_json::parse(check::to_json(report)));
    good = good && report.agrees();
  }
  write(arguments.json, all.dump(2) + "\n");
  return good ? agrees : disagrees;
}

int run_coverage(const Arguments& arguments) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  bool complete = true;
  for (const std::string& name : arguments.devices) {
    std::vector<check::Coverage> rows;
    std::string device = name;
    if (name.starts_with("cuda") && tg::cuda_device_count() == 0) {
      rows = check::coverage_without("a GPU");
    } else {
      Progress progress;
      const check::OpsReport report = check::ops(ops_options(arguments, tg::Device::parse(name), progress));
      rows = check::coverage(report);
      device += ", " + tg::Device::parse(name).description();
      complete = complete && report.agrees();
    }
    for (const check::Coverage& row : rows) {
      complete = complete && std::none_of(row.empty.begin(), row.empty.end(), [](bool empty) { return empty; });
    }
    std::cout << device << '\n' << check::to_text(rows);
    all[name] = nlohmann::ordered_json::parse(check::to_json(rows));
  }
  write(arguments.json, all.dump(2) + "\n");
  return complete ? agrees : disagrees;
}

int run_step(const Arguments& arguments) {
  if (arguments.time && (arguments.model != "mlp" || arguments.devices != std::vector<std::string>{"cpu"})) {
    throw tg::ArgumentError("--time knows the float64 step of mlp on the CPU only; use --model mlp --devices cpu");
  }
  const Arguments defaults;
  if (arguments.time && arguments.depth != defaults.depth) {
    throw tg::ArgumentError("--time knows the float64 step of mlp in its usual depth only; leave out --depth");
  }
  if (arguments.time && arguments.precision != defaults.precision) {
    throw tg::ArgumentError("--time compares the step in fp32 with the one in float64; leave out --precision");
  }
  const tg::Precision precision = tg::parse_precision(arguments.precision);
  const Step step =
      make_step(arguments.model,
                {.depth = arguments.depth, .precision = precision, .seed = static_cast<std::int64_t>(arguments.seed)});
  check::Options options;
  options.devices = devices_of(arguments);
  for (const tg::Device device : options.devices) {
    tg::require_precision(precision, device);
  }
  std::cout << "precision " << tg::describe(precision) << '\n';
  options.seed = arguments.seed;
  options.false_alarm = arguments.false_alarm;
  if (!arguments.plant.empty()) {
    const check::Fault& fault = check::find_fault(arguments.plant);
    if (fault.kind == check::Fault::Kind::plan) {
      options.tamper = [&fault](tg::Plan& plan) {
        if (fault.tamper(plan) < 0) {
          throw tg::ArgumentError("the plan of this step has no place for the fault " + std::string(fault.name));
        }
      };
    } else {
      const check::FaultyDevice faulty = check::make_faulty_device(backend_to_break(arguments));
      faulty.backend.plant(fault);
      options.devices = {faulty.device};
    }
  }
  check::Report report;
  {
    Progress progress;
    options.progress = [&progress](double fraction, const std::string& what) { progress(fraction, what); };
    report = check::step(step, options);
  }
  std::cout << check::to_text(report);
  if (arguments.time) {
    std::cout << isolated_cost(step, report.devices.front().isolated_seconds,
                               static_cast<std::int64_t>(arguments.seed));
  }
  write(arguments.json, check::to_json(report));
  if (!arguments.html.empty()) {
    write(arguments.html, check::to_html(report, arguments.model));
  }
  if (!arguments.failures.empty() && !report.agrees()) {
    for (const std::string& path : check::save_failures(step, report, options.devices, arguments.failures)) {
      std::cout << "wrote " << path << '\n';
    }
  }
  return report.agrees() ? agrees : disagrees;
}

int run_replay(const Arguments& arguments) {
  bool good = true;
  for (const tg::Device device : devices_of(arguments)) {
    const check::Replayed again = check::replay(arguments.file, device);
    std::cout << again.recorded.use.op->name << " at " << again.recorded.where << ", recorded on "
              << again.recorded.device << ", now on " << device.name() << '\n'
              << "  " << (again.same_bits ? "the same bits as recorded" : "other bits than recorded") << '\n'
              << "  " << check::to_string(again.comparison) << '\n';
    good = good && again.comparison.passes();
  }
  return good ? agrees : disagrees;
}

int run_faults(const Arguments& arguments) {
  check::FaultTable table;
  {
    Progress progress;
    check::ScoreOptions options;
    options.seed = arguments.seed;
    options.filter = arguments.filter;
    options.inner = [&arguments] { return backend_to_break(arguments); };
    options.progress = [&progress](double fraction, const std::string& what) { progress(fraction, what); };
    table = check::score_faults(options);
  }
  std::cout << check::to_markdown(table);
  write(arguments.json, check::to_json(table));
  return table.complete() ? agrees : disagrees;
}

/// How well injected noise predicts what float32 does to the gradients, by depth.
int run_depth(const Arguments& arguments) {
  constexpr double factor = 3;
  constexpr const char* line = "%5d  %5zu  %9zu  %12.2e  %12.2e  %8.2f  %6.2f to %.2f\n";
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  bool good = true;
  std::printf("depth  nodes  gradients  predicted     actual        ratio     per parameter\n");
  for (const int depth : {1, 2, 4, 8, 16, 32, 64}) {
    check::Options options;
    options.devices = devices_of(arguments);
    options.seed = arguments.seed;
    options.gradient_rules = false;
    options.repeats = 1;
    check::Report report;
    {
      Progress progress;
      options.progress = [&](double fraction, const std::string& what) {
        progress(fraction, "depth " + std::to_string(depth) + ", " + what);
      };
      report = check::step(make_deep_step(depth, static_cast<std::int64_t>(arguments.seed)), options);
    }
    good = good && report.agrees();
    for (const check::DeviceReport& device : report.devices) {
      // Relative to each gradient's size, over all of them.
      double predicted = 0;
      double actual = 0;
      double least = INFINITY;
      double most = 0;
      std::size_t count = 0;
      for (const check::ResultCheck& result : device.results) {
        if (!result.name.starts_with("gradient") || result.rms == 0) {
          continue;
        }
        ++count;
        predicted += std::pow(result.predicted_rms / result.rms, 2);
        actual += std::pow(result.rms_error / result.rms, 2);
        least = std::min(least, result.rms_error / result.predicted_rms);
        most = std::max(most, result.rms_error / result.predicted_rms);
      }
      predicted = std::sqrt(predicted / static_cast<double>(count));
      actual = std::sqrt(actual / static_cast<double>(count));
      const double ratio = actual / predicted;
      good = good && ratio < factor && ratio > 1 / factor;
      std::printf(line, depth, device.nodes.size(), count, predicted, actual, ratio, least, most);
      std::fflush(stdout);
      rows.push_back({{"device", device.device},
                      {"depth", depth},
                      {"nodes", device.nodes.size()},
                      {"predicted", predicted},
                      {"actual", actual},
                      {"ratio", ratio},
                      {"least", least},
                      {"most", most}});
    }
  }
  write(arguments.json, rows.dump(2) + "\n");
  return good ? agrees : disagrees;
}

void add_devices(CLI::App& command, Arguments& arguments, const std::string& what) {
  command.add_option("--devices", arguments.devices, what)->delimiter(',')->capture_default_str();
}

void add_common(CLI::App& command, Arguments& arguments) {
  add_devices(command, arguments, "cpu, cuda, cuda:<number>, with commas");
  command.add_option("--seed", arguments.seed, "Of values, noise and directions")->capture_default_str();
  command.add_option("--json", arguments.json, "Write what was found to this file");
}

void add_budget(CLI::App& command, Arguments& arguments) {
  command.add_option("--false-alarm", arguments.false_alarm, "Probability that correct kernels are accused")
      ->check(CLI::Range(1e-300, 1.0))
      ->capture_default_str();
}

void add_filter(CLI::App& command, Arguments& arguments) {
  command.add_option("--op", arguments.op, "Only this op");
  command.add_option("--shape", arguments.shape, "Of the first input, with commas; matmul: (..., m, k)")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  command.add_option("--dtype", arguments.dtype, "float32, float64, bfloat16, float16, int32, int64, uint8, bool");
  command.add_option("--cases", arguments.cases, "How many")->check(CLI::PositiveNumber)->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Checks devices against a float64 reference with predicted bounds");
  app.require_subcommand(1);
  Arguments arguments;

  CLI::App* ops = app.add_subcommand("ops", "Every op: forward, backward, second derivatives, over hard cases");
  add_common(*ops, arguments);
  add_budget(*ops, arguments);
  add_filter(*ops, arguments);
  ops->add_flag("--tf32", arguments.tf32, "Ask for products of float32 in TF32");
  ops->add_option("--case", arguments.only, "Only this case of the op")->check(CLI::NonNegativeNumber);

  CLI::App* step = app.add_subcommand("step", "An example's whole training step, with its optimizer");
  add_common(*step, arguments);
  add_budget(*step, arguments);
  step->add_option("--model", arguments.model, "mlp, regression or moons")->required();
  step->add_option("--depth", arguments.depth, "Hidden layers")->check(CLI::PositiveNumber);
  step->add_option("--precision", arguments.precision, "fp32, tf32, bf16 or fp16")->capture_default_str();
  step->add_option("--plant", arguments.plant,
                   "Plant this fault in the first device and see it found (see `crosscheck faults`)");
  step->add_option("--html", arguments.html, "Write a page to look at");
  step->add_option("--save-failures", arguments.failures, "Write a replay file per failure into this folder");

  step->add_flag("--time", arguments.time,
                 "Tell what the isolated tier costs in float64 steps; mlp in fp32 on the CPU only");

  CLI::App* depth = app.add_subcommand("depth", "Predicted and actual float32 gradient error, depth 1 to 64");
  add_common(*depth, arguments);

  CLI::App* coverage = app.add_subcommand("coverage", "What there is evidence for, op by op and dtype by dtype");
  add_common(*coverage, arguments);
  coverage->add_option("--cases", arguments.cases, "How many")->check(CLI::PositiveNumber)->capture_default_str();

  CLI::App* faults = app.add_subcommand("faults", "Plants every fault and tells which checks see it");
  add_devices(*faults, arguments, "Where they are planted: cpu, cuda or cuda:<number>");
  faults->add_option("--filter", arguments.filter, "Only faults whose name contains this");
  faults->add_option("--seed", arguments.seed, "Of values and noise")->capture_default_str();
  faults->add_option("--json", arguments.json, "Write the table to this file");

  CLI::App* replay = app.add_subcommand("replay", "Runs a recorded failure alone");
  replay->add_option("file", arguments.file, "A replay file")->required();
  add_devices(*replay, arguments, "cpu, cuda, cuda:<number>, with commas");

  try {
    app.parse(argc, argv);
    const std::vector<std::pair<CLI::App*, int (*)(const Arguments&)>> commands = {
        {ops, run_ops},           {step, run_step},     {depth, run_depth},
        {coverage, run_coverage}, {faults, run_faults}, {replay, run_replay}};
    for (const auto& [command, run] : commands) {
      if (command->parsed()) {
        return run(arguments);
      }
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? agrees : could_not_run;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
  }
  return could_not_run;
}
