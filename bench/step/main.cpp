// The training-step benchmark: our training step beside those of other libraries, interleaved in one run.
//
//   stepbench run --python .peers/bin/python --json results.json
//   stepbench run --works moons,digits --systems twingrad,jax-scan --quick
//   stepbench run --device cuda --precision tf32 --python .peers/bin/python --json results.json
//   stepbench sweep --json sweep.json               # batch by width, for heat maps
//   stepbench compare before.json after.json      # faster, slower or tie, system by system
//   stepbench html results.json steps.html          # one page to look at
//   stepbench html cpu.json sweep.html --beside gpu.json    # two sweeps: from where on the GPU is ahead
//   stepbench list
//
// Exit code 0: done; 1: `run` had to leave out one of ours, which failed, or `compare` found one slower; 2: could not
// run.
#include <twingrad/error.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "bench/step/compare.h"
#include "bench/step/machine.h"
#include "bench/step/page.h"
#include "bench/step/process.h"
#include "bench/step/report.h"
#include "bench/step/run_work.h"
#include "bench/step/sweep.h"
#include "bench/systems/precision.h"

using namespace stepbench;

namespace {

enum ExitCode : int { done = 0, not_good = 1, could_not_run = 2 };

struct Arguments {
  std::vector<std::string> works;
  std::vector<std::string> systems;
  std::string works_file = STEPBENCH_SOURCE "/works.json";
  std::string python;
  std::string json;
  std::string before, after;
  std::string page;
  bool quick = false;
  std::string precision = "float32";
  SweepOptions sweep;
  Settings settings;
};

/// Holds data, logs and compilers' caches of a run, and goes with it.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "stepbench-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) {
      throw twingrad::IoError("cannot make a folder like " + path_);
    }
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void write(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) {
    throw twingrad::IoError("cannot write " + path + "; give a path that can be written");
  }
  std::cout << "wrote " << path << '\n';
}

std::vector<SystemSpec> available(const std::vector<SystemSpec>& systems, const Settings& settings,
                                  nlohmann::ordered_json& left_out) {
  std::vector<SystemSpec> result;
  for (const SystemSpec& spec : systems) {
    const std::string why = why_left_out(spec, settings.places, settings.device);
    if (why.empty()) {
      result.push_back(spec);
    } else {
      std::cout << "LEFT OUT: " << spec.name << ": " << why << '\n';
      left_out.push_back({{"system", spec.name}, {"reason", why}});
    }
  }
  return result;
}

/// One and all without an option, all alone where a GPU computes; else what was asked for, each once, ascending. Throws
/// ArgumentError for more threads than the machine has.
void check_threads(std::vector<int>& threads, const std::string& device) {
  const int all = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (threads.empty()) {
    threads = device == "cpu" ? std::vector{1, all} : std::vector{all};
  }
  std::sort(threads.begin(), threads.end());
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
  if (threads.back() > all) {
    throw twingrad::ArgumentError("--threads " + std::to_string(threads.back()) + ": this machine has " +
                                  std::to_string(all));
  }
}

int run_all(Arguments& arguments, std::vector<Work> works, bool sweep) {
  for (Work& work : works) {
    work.precision = arguments.precision;
  }
  Settings& settings = arguments.settings;
  if (settings.device == "cpu") {
    twingrad::require_precision(bench::precision_of(arguments.precision), twingrad::Device::cpu());
  } else if (twingrad::cuda_device_count() == 0) {
    throw twingrad::DeviceError("--device cuda: this machine shows no GPU, or the benchmark was built without CUDA");
  }
  const std::vector<SystemSpec> chosen = choose_systems(arguments.systems);
  if (arguments.quick) {
    settings.starts = 1;
    settings.repeats = 9;
    settings.repeat_seconds = 0.02;
    settings.budget_seconds = 10;
  }
  check_threads(settings.threads, settings.device);
  settings.places.python = arguments.python;
  settings.places.peers = STEPBENCH_SOURCE "/peers";
  settings.places.binaries = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  settings.progress = [](const std::string& what) { std::fprintf(stderr, "%s\n", what.c_str()); };

  stop_on_signals();
  const TemporaryFolder folder;
  settings.folder = folder.path();
  nlohmann::ordered_json left_out = nlohmann::ordered_json::array();
  const std::vector<SystemSpec> systems = available(chosen, settings, left_out);
  nlohmann::ordered_json all = {{"format", 1},
                                {"machine", describe_machine(STEPBENCH_SOURCE, settings.device)},
                                {"device", settings.device},
                                {"starts", settings.starts},
                                {"repeats", settings.repeats},
                                {"sweep", sweep},
                                {"left_out", left_out},
                                {"works", nlohmann::ordered_json::array()}};
  bool good = true;
  for (const Work& work : works) {
    const WorkResult result = run_work(work, systems, settings);
    std::cout << to_table(result) << std::flush;
    all["works"].push_back(to_json(result));
    good = good && std::none_of(result.entries.begin(), result.entries.end(), [](const EntryResult& entry) {
             return entry.role != Role::peer && !entry.failure.empty();
           });
  }
  if (!arguments.json.empty()) {
    write(arguments.json, all.dump(1) + "\n");
  }
  return good ? done : not_good;
}

int run(Arguments& arguments) {
  return run_all(arguments, choose_works(read_works(arguments.works_file, arguments.settings.device), arguments.works),
                 false);
}

/// Few starts and turns for each of many works; peers that need no minute to compile.
int sweep(Arguments& arguments) {
  arguments.quick = true;
  if (arguments.systems.empty()) {
    arguments.systems = {"twingrad", "libtorch-fused", "torch-eager-fused", "jax-jit", "jax-scan"};
  }
  return run_all(arguments, sweep_works(arguments.sweep), true);
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream in(path);
  if (!in) {
    throw twingrad::IoError("cannot read " + path);
  }
  try {
    return nlohmann::json::parse(in);
  } catch (const nlohmann::json::exception& error) {
    throw twingrad::IoError(path + " is not JSON: " + error.what());
  }
}

int compare_runs(Arguments& arguments) {
  const std::vector<Change> changes = compare(read_json(arguments.before), read_json(arguments.after));
  std::cout << to_table(changes);
  const bool worse = std::any_of(changes.begin(), changes.end(), [](const Change& change) {
    return change.system.starts_with("twingrad") && change.verdict == Verdict::slower;
  });
  return worse ? not_good : done;
}

int make_page(Arguments& arguments) {
  write(arguments.page,
        to_page(read_json(arguments.before), arguments.after.empty() ? nlohmann::json() : read_json(arguments.after)));
  return done;
}

int list(Arguments& arguments) {
  for (const Work& work : read_works(arguments.works_file, arguments.settings.device)) {
    std::printf("%-24s batch %lld, %.3g FLOP, %.3g bytes\n", work.name.c_str(), static_cast<long long>(work.batch),
                step_flops(work), step_bytes(work));
  }
  for (const SystemSpec& spec : catalogue()) {
    std::printf("%-24s %s: %s\n", spec.name.c_str(), name(spec.role), spec.description.c_str());
  }
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Training steps of several libraries, interleaved");
  app.require_subcommand(1);
  Arguments arguments;
  arguments.settings.threads.clear();
  if (const char* python = std::getenv("TWINGRAD_BENCH_PYTHON")) {
    arguments.python = python;
  }
  CLI::App* run_command = app.add_subcommand("run", "Runs works on systems");
  run_command->add_option("--works", arguments.works, "With commas; all of this device without")->delimiter(',');
  CLI::App* sweep_command = app.add_subcommand("sweep", "Runs nets of one width over a grid of batch and width");
  for (CLI::App* command : {run_command, sweep_command}) {
    command->add_option("--systems", arguments.systems, "With commas; those that are installed without")
        ->delimiter(',');
    command->add_option("--python", arguments.python, "Interpreter with torch and jax ($TWINGRAD_BENCH_PYTHON)");
    command->add_option("--precision", arguments.precision, "Of products")
        ->check(CLI::IsMember({"float32", "tf32", "bfloat16"}))
        ->capture_default_str();
    command->add_option("--device", arguments.settings.device, "Where steps run")
        ->check(CLI::IsMember({"cpu", "cuda"}))
        ->capture_default_str();
    command->add_option("--threads", arguments.settings.threads, "With commas; 1 and all of the machine's without")
        ->delimiter(',')
        ->check(CLI::PositiveNumber);
    command->add_option("--json", arguments.json, "Write all that was measured to this file");
  }
  sweep_command->add_option("--batches", arguments.sweep.batches, "With commas")->delimiter(',');
  sweep_command->add_option("--widths", arguments.sweep.widths, "With commas")->delimiter(',');
  sweep_command->add_option("--layers", arguments.sweep.layers, "All of one width")->capture_default_str();
  sweep_command->add_option("--most-flops", arguments.sweep.most_flops, "Leave out larger steps")
      ->capture_default_str();
  run_command->add_option("--starts", arguments.settings.starts, "Processes of each system")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run_command->add_option("--repeats", arguments.settings.repeats, "Turns of each process")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  run_command->add_flag("--quick", arguments.quick, "One start, few and short turns");
  CLI::App* compare_command = app.add_subcommand("compare", "Holds two results of one machine against each other");
  compare_command->add_option("before", arguments.before, "JSON of `run`")->required();
  compare_command->add_option("after", arguments.after, "JSON of `run`")->required();
  CLI::App* html_command = app.add_subcommand("html", "Makes a page of a result");
  html_command->add_option("result", arguments.before, "JSON of `run`")->required();
  html_command->add_option("page", arguments.page, "HTML file to write")->required();
  html_command->add_option("--beside", arguments.after, "JSON of `sweep` on another device");
  CLI::App* list_command = app.add_subcommand("list", "What works and systems there are");
  try {
    app.parse(argc, argv);
    const std::vector<std::pair<CLI::App*, int (*)(Arguments&)>> commands = {{run_command, run},
                                                                             {sweep_command, sweep},
                                                                             {compare_command, compare_runs},
                                                                             {html_command, make_page},
                                                                             {list_command, list}};
    for (const auto& [command, action] : commands) {
      if (command->parsed()) {
        return action(arguments);
      }
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? done : could_not_run;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
  }
  return could_not_run;
}
