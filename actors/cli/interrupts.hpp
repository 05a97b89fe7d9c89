#pragma once
// Ctrl-C and the polite signals of whoever runs us.
#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>

namespace troupe {

/// SIGINT, SIGTERM and SIGHUP: the first calls what `tell` named, the second ends the process at once (exit code 130).
/// A thread of its own waits for them, so that nothing happens inside a signal handler. Before anything is named one is
/// enough. Make it before any other thread starts.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// `stop` is called on the thread of this object; empty: one signal ends the process.
  void tell(std::function<void()> stop);
  /// The signal that came first; 0: none.
  int received() const { return received_; }

 private:
  void watch();

  sigset_t set_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> received_ = 0;
  std::mutex mutex_;  // guards stop_
  std::function<void()> stop_;
  std::thread thread_;
};

}  // namespace troupe
