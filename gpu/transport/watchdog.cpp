#include "gpu/transport/watchdog.hpp"

#include <utility>

namespace troupe::gpu {

Watchdog::Watchdog(std::chrono::milliseconds deadline, std::function<void()> bark)
    : deadline_(deadline), bark_(std::move(bark)), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    armed_ = false;
    changed_.notify_all();
  }
  thread_.join();
}

void Watchdog::arm() {
  const std::lock_guard lock(mutex_);
  armed_ = true;
  ++round_;
  changed_.notify_all();
}

void Watchdog::disarm() {
  const std::lock_guard lock(mutex_);
  armed_ = false;
  changed_.notify_all();
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    changed_.wait(lock, [this] { return armed_ || ending_; });
    const std::size_t round = round_;
    const bool over =
        changed_.wait_for(lock, deadline_, [&] { return !armed_ || round_ != round || ending_; });
    if (over || ending_) continue;
    armed_ = false;
    lock.unlock();
    bark_();
    lock.lock();
  }
}

}  // namespace troupe::gpu
