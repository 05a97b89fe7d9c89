#include "actors/cli/child_process.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace troupe {
namespace {

constexpr int kCannotRun = 127;

/// In the child: only what is safe between fork and exec.
[[noreturn]] void become(const char* binary, char* const* arguments, pid_t parent, int input,
                         int output) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kCannotRun);  // it ended before the kernel was told
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(input, STDIN_FILENO);
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
  }
  execv(binary, arguments);
  _exit(kCannotRun);
}

int opened(const char* file, int flags) {
  constexpr int kMode = 0644;
  const int descriptor = open(file, flags | O_CLOEXEC, kMode);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), file);
  return descriptor;
}

}  // namespace

std::string ChildEnd::text() const {
  if (signal == 0) return "exit code " + std::to_string(code);
  return "signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments,
                           const std::filesystem::path& log) {
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "troupe");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const int input = opened("/dev/null", O_RDONLY);
  const int output = log.empty() ? -1 : opened(log.c_str(), O_WRONLY | O_CREAT | O_APPEND);
  const std::string binary =
      std::filesystem::read_symlink("/proc/self/exe").string();  // its name is what ps shows
  const pid_t parent = getpid();
  id_ = fork();
  if (id_ == 0) become(binary.c_str(), pointers.data(), parent, input, output);
  const int error = errno;
  close(input);
  if (output >= 0) close(output);
  if (id_ < 0) throw std::system_error(error, std::generic_category(), "fork");
}

ChildProcess::~ChildProcess() {
  if (ended()) return;
  kill(id_, SIGKILL);
  while (waitpid(id_, nullptr, 0) < 0 && errno == EINTR) continue;
}

std::optional<ChildEnd> ChildProcess::ended() {
  int status = 0;
  if (end_ || waitpid(id_, &status, WNOHANG) != id_) return end_;
  constexpr int kSignalled = 128;
  end_ = WIFSIGNALED(status) ? ChildEnd{kSignalled + WTERMSIG(status), WTERMSIG(status)}
                             : ChildEnd{WEXITSTATUS(status), 0};
  return end_;
}

void ChildProcess::signal(int number) {
  if (!ended()) kill(id_, number);
}

}  // namespace troupe
