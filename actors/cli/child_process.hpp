#pragma once
// A process of ours that never outlives us.
#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace troupe {

struct ChildEnd {
  int code = 0;    // exit code; 128 + signal if a signal ended it
  int signal = 0;  // 0: none

  /// "exit code 1", "signal 9 (Killed)"
  std::string text() const;
};

/// This binary again with other arguments, in a process group of its own. The kernel kills it when the thread that
/// started it ends, however that ends. Used by one thread.
class ChildProcess {
 public:
  /// Output goes to the end of `log`; empty: where ours goes. Errors: throws std::system_error.
  ChildProcess(const std::vector<std::string>& arguments, const std::filesystem::path& log);
  /// Kills it if it is there still.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// How it ended, once it has; does not wait.
  std::optional<ChildEnd> ended();
  /// Nothing happens once it has ended.
  void signal(int number);
  pid_t id() const { return id_; }

 private:
  pid_t id_;
  std::optional<ChildEnd> end_;
};

}  // namespace troupe
