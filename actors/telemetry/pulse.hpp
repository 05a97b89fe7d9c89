#pragma once
// Whether an actor is in the middle of a message.
#include <atomic>
#include <chrono>
#include <optional>

namespace troupe {

using Clock = std::chrono::steady_clock;

/// Written by its actor alone, read by others at any time.
class Pulse {
 public:
  void begins(Clock::time_point now) { since_ = now.time_since_epoch().count(); }
  void ends() { since_ = kIdle; }
  /// When the message that is being handled was begun; none: the actor waits for one.
  std::optional<Clock::time_point> since() const {
    const Clock::rep ticks = since_;
    if (ticks == kIdle) return std::nullopt;
    return Clock::time_point(Clock::duration(ticks));
  }

 private:
  static constexpr Clock::rep kIdle = 0;
  std::atomic<Clock::rep> since_ = kIdle;
};

}  // namespace troupe
