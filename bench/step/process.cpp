#include "bench/step/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <twingrad/error.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace stepbench {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t interrupted = 0;

void remember_signal(int /*signal*/) {
  interrupted = 1;
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& additions) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!additions.contains(text.substr(0, text.find('=')))) {
      result.push_back(text);
    }
  }
  for (const auto& [name, value] : additions) {
    result.push_back(name + "=" + value);
  }
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) {
    result.push_back(text.data());
  }
  result.push_back(nullptr);
  return result;
}

/// The last lines of a file in one line.
std::string tail(const std::string& path) {
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  std::string text = all.str();
  constexpr std::size_t most = 400;
  if (text.size() > most) {
    text = "..." + text.substr(text.size() - most);
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = remember_signal;  // without SA_RESTART: poll() returns
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Process::Process(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment,
                 const std::string& log)
    : name_(command.at(0)), log_(log) {
  std::signal(SIGPIPE, SIG_IGN);  // a child that died is noticed by its answer
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    throw twingrad::IoError("cannot make pipes for " + name_ + ": " + std::strerror(errno));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::vector<std::string> words = command;
  std::vector<std::string> variables = merged_environment(environment);
  const int error =
      posix_spawnp(&pid_, words[0].c_str(), &actions, nullptr, pointers(words).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  to_child_ = in[1];
  from_child_ = out[0];
  if (error != 0) {
    close(to_child_);
    close(from_child_);
    throw twingrad::IoError("cannot start " + name_ + ": " + std::strerror(error));
  }
}

Process::~Process() {
  resume();
  close(to_child_);
  close(from_child_);
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Process::fail(const std::string& what) {
  throw twingrad::IoError(name_ + " " + what + "; its log ends: " + tail(log_));
}

std::string Process::read_line(double seconds) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
  while (true) {
    const std::size_t end = unread_.find('\n');
    if (end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    const double left = std::chrono::duration<double>(deadline - Clock::now()).count();
    pollfd ready{.fd = from_child_, .events = POLLIN, .revents = 0};
    const int events = left <= 0 ? 0 : poll(&ready, 1, static_cast<int>(left * 1000) + 1);
    if (interrupted != 0) {
      throw Interrupted();
    }
    if (events < 0) {
      continue;
    }
    if (events == 0) {
      fail("said nothing for " + std::to_string(static_cast<int>(seconds)) + " s");
    }
    std::array<char, 65536> buffer{};
    const ssize_t count = read(from_child_, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      fail("ended without an answer");
    }
    unread_.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

std::string Process::ask(const std::string& line, double seconds) {
  const std::string text = line + "\n";
  if (write(to_child_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    fail("no longer listens");
  }
  return read_line(seconds);
}

void Process::pause() {
  kill(pid_, SIGSTOP);
}

void Process::resume() {
  kill(pid_, SIGCONT);
}

std::int64_t Process::peak_memory() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  std::string word;
  while (status >> word) {
    if (word == "VmHWM:") {
      std::int64_t kibibytes = 0;
      status >> kibibytes;
      return kibibytes * 1024;
    }
  }
  return 0;
}

}  // namespace stepbench
