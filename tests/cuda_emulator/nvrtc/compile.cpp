#include "tests/cuda_emulator/nvrtc/compile.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <mutex>
#include <sstream>
#include <string_view>

#include "tests/cuda_emulator/image.h"
#include "tests/cuda_emulator/state.h"

namespace fs = std::filesystem;

namespace cuda_emulator {
namespace {

/// Set by the build: the compiler, its flags separated by spaces, the emulator's headers, and where to keep objects.
constexpr char compiler[] = CUDA_EMULATOR_COMPILER;
constexpr char compiler_flags[] = CUDA_EMULATOR_FLAGS;
constexpr char include_folder[] = CUDA_EMULATOR_INCLUDE;
constexpr char cache_folder[] = CUDA_EMULATOR_CACHE;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// The names of the kernels in a text: behind __global__, what stands before the first parenthesis that is not that of
/// the launch bounds.
std::vector<std::string> kernels_in(const std::string& text) {
  constexpr std::string_view word = "__global__";
  constexpr std::string_view letters = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::vector<std::string> names;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at)) {
    at += word.size();
    for (std::size_t open = text.find('(', at); open != std::string::npos; open = text.find('(', open)) {
      const std::size_t last = text.find_last_of(letters, open);
      const std::size_t before = text.find_last_not_of(letters, last);
      const std::string name = text.substr(before + 1, last - before);
      if (name != "__launch_bounds__") {
        names.push_back(name);
        break;
      }
      open = text.find(')', open);
    }
  }
  return names;
}

/// The text, and behind it for each kernel a function by which cudaLibraryGetKernel() finds it.
std::string with_entries(const Source& source) {
  std::string text = "#line 1 \"" + source.name + "\"\n" + source.text + "\n";
  for (const std::string& name : kernels_in(source.text)) {
    text += "extern \"C\" const void* " + std::string(entry_prefix) + name +
            "() { return cuda_emulator::know_kernel(&" + name + "); }\n";
  }
  return text;
}

std::vector<std::string> command(const fs::path& folder, const std::vector<std::string>& flags) {
  std::vector<std::string> words{compiler};
  std::istringstream built_with(compiler_flags);
  for (std::string flag; built_with >> flag;) {
    words.push_back(flag);
  }
  // No header of the host: the program sees what it was given, as with NVRTC.
  for (const char* word : {"-shared", "-fPIC", "-fno-gnu-unique", "-ffp-contract=off", "-nostdinc", "-nostdinc++", "-w",
                           "-Wa,--no-warn", "-x", "c++"}) {
    words.emplace_back(word);
  }
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back("-I" + folder.string());
  words.emplace_back("-include");
  words.push_back(std::string(include_folder) + "/cuda_emulator/runtime_compiled.h");
  words.emplace_back("-o");
  words.push_back((folder / "kernel.so").string());
  words.push_back((folder / "program.cu").string());
  return words;
}

/// Runs it with its messages in `log`; whether it succeeded.
bool run(const std::vector<std::string>& words, const fs::path& log) {
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  return error == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// FNV-1a.
std::string hash(const std::string& text) {
  std::uint64_t value = 14695981039346656037U;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  std::ostringstream out;
  out << std::hex << std::setfill('0') << std::setw(16) << value;
  return out.str();
}

std::string make_image(const std::string& object) {
  ImageHead head{};
  std::memcpy(head.mark, image_mark, sizeof head.mark);
  head.bytes = object.size();
  return std::string(reinterpret_cast<const char*>(&head), sizeof head) + object;
}

/// Everything that decides what comes out, the emulator's own headers included.
std::string key_of(const Source& source, const std::vector<std::string>& flags) {
  std::string key;
  for (const std::string& word : command("", flags)) {
    key += word + "\n";
  }
  for (const char* name : {"runtime_compiled.h", "launch.h", "qualifiers.h", "device_functions.h"}) {
    key += read_file(fs::path(include_folder) / "cuda_emulator" / name);
  }
  for (const auto& [name, text] : source.headers) {
    key += name + "\n" + text + "\n";
  }
  return key + with_entries(source);
}

}  // namespace

Compiled compile(const Source& source, const std::vector<std::string>& flags) {
  const std::lock_guard lock(device_lock());
  const std::string key = key_of(source, flags);
  const fs::path kept = fs::path(cache_folder) / hash(key);
  if (read_file(kept / "key") == key) {
    return {make_image(read_file(kept / "kernel.so")), {}};
  }
  ++mutable_counters().compilations;
  // Tests run side by side: everyone works in a folder of its own, and the first to finish gives it the name.
  const fs::path folder = fs::path(cache_folder) / (hash(key) + "." + std::to_string(getpid()));
  for (const auto& [name, text] : source.headers) {
    write_file(folder / name, text);
  }
  write_file(folder / "program.cu", with_entries(source));
  Compiled compiled;
  const bool good = run(command(folder, flags), folder / "log");
  compiled.log = read_file(folder / "log");
  if (good) {
    compiled.image = make_image(read_file(folder / "kernel.so"));
    write_file(folder / "key", key);
    std::error_code taken;
    fs::rename(folder, kept, taken);
  }
  std::error_code gone;
  fs::remove_all(folder, gone);
  return compiled;
}

}  // namespace cuda_emulator
