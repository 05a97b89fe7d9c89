#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>

namespace troupe::gpu {

/// Calls `bark` on a thread of its own when a guarded piece of work takes too long.
/// `arm` and `disarm` by one thread, in turn.
class Watchdog {
 public:
  Watchdog(std::chrono::milliseconds deadline, std::function<void()> bark);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void arm();
  void disarm();

 private:
  void watch();

  const std::chrono::milliseconds deadline_;
  const std::function<void()> bark_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool armed_ = false, ending_ = false;
  std::size_t round_ = 0;  // of arming
  std::thread thread_;
};

}  // namespace troupe::gpu
