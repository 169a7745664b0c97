// A child process that is asked one line at a time: how the driver talks to a system. While it is not its turn a child
// is stopped, so that its spinning threads take no time from the others.
//
//   stepbench::Process child({"python3", "peer.py"}, {{"OMP_NUM_THREADS", "2"}}, "peer.log");
//   const std::string ready = child.read_line(60);
//   child.pause();
//   ...
//   child.resume();
//   const std::string answer = child.ask("run 100", 60);
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace stepbench {

/// From now on SIGINT and SIGTERM make whatever waits for a child throw Interrupted, so that children end and files go.
void stop_on_signals();

class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

class Process {
 public:
  /// Starts the program with these additions to the environment; its standard error goes to `log`. Throws IoError when
  /// it cannot be started.
  Process(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment,
          const std::string& log);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  /// Lets the child end by closing its input; kills it when it does not.
  ~Process();

  /// The child's next line. Throws IoError when it ended, or said nothing for `seconds`; the message has the end of the
  /// log.
  std::string read_line(double seconds);
  /// Writes one line and reads one.
  std::string ask(const std::string& line, double seconds);

  void pause();
  void resume();
  /// The most memory it had in use so far, in bytes; 0 when the system does not say.
  std::int64_t peak_memory() const;

 private:
  [[noreturn]] void fail(const std::string& what);

  std::string name_;
  std::string log_;
  pid_t pid_ = -1;
  int to_child_ = -1;
  int from_child_ = -1;
  std::string unread_;
};

}  // namespace stepbench
