// Which systems there are, what each stands for, and how it is started.
//
//   for (const stepbench::SystemSpec& spec : stepbench::catalogue()) ...
//   stepbench::command(spec, places, "moons.json", "moons.safetensors", 2, "cpu");
#pragma once

#include <map>
#include <string>
#include <vector>

namespace stepbench {

/// ours: what we ship. control: ours with something switched off, or once more for the noise. limit: hand-written for
/// one work. peer: what somebody would pick instead.
enum class Role { ours, control, limit, peer };
const char* name(Role role);

enum class Program { twingrad, handwritten, libtorch, torch, jax };

struct SystemSpec {
  std::string name;
  Role role;
  Program program;
  std::string mode;          ///< of the program
  std::string description;   ///< one line
  bool one_thread = false;   ///< only on one; others with one and with all
  bool all_threads = false;  ///< only on all
  std::string work = "";     ///< only for this one; empty: all
  std::string device = "";   ///< "cpu" or "cuda" alone; empty: both
};

const std::vector<SystemSpec>& catalogue();
/// Those that are named; all when none are. Throws ArgumentError that lists the systems for a name that is not there.
std::vector<SystemSpec> choose_systems(const std::vector<std::string>& names);

/// Where programs lie.
struct Places {
  std::string binaries;  ///< folder of the systems in C++
  std::string peers;     ///< folder of the peers' scripts
  std::string python;    ///< interpreter that has torch and jax; empty: none
};

/// Why a system cannot be started here for `device` ("cpu" or "cuda"); empty when it can.
std::string why_left_out(const SystemSpec& spec, const Places& places, const std::string& device);
std::vector<std::string> command(const SystemSpec& spec, const Places& places, const std::string& work,
                                 const std::string& data, int threads, const std::string& device);
/// Every library is told its number of threads, and compilers where to keep what they made.
std::map<std::string, std::string> environment(int threads, const std::string& caches);

}  // namespace stepbench
