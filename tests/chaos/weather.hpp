#pragma once
// What happens to bytes on their way in one direction of a connection: decided here, done by chaos_proxy.cpp.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace troupe::chaos {

/// Of one direction, for all connections. Times in seconds.
struct Weather {
  double delay = 0, jitter = 0;        // each chunk waits delay and up to jitter more
  double loss = 0, stall = 0;          // that share of chunks waits stall longer, as if sent again
  double bytes_per_second = 0;         // 0: no limit
  bool cut = false;                    // nothing passes; what comes is held, and passes later
  std::uint32_t chunks_to_damage = 0;  // the next ones get one wrong bit each
};

/// One direction of one connection. Knows no clock. The same seed gives the same weather.
class Passage {
 public:
  explicit Passage(std::uint64_t seed) : random_(seed) {}
  /// When a chunk that came now may pass. Chunks stay in order, as TCP has it.
  double due(double now, std::size_t bytes, const Weather& weather);
  /// Damages the chunk if one is to be, and says whether it did.
  bool damage(std::string& chunk, Weather& weather);

 private:
  double share();  // 0 .. 1
  std::mt19937_64 random_;
  double last_due_ = 0, line_free_ = 0;
};

/// Carries out "up delay 0.05 0.02", "down rate 100000", "both cut on", "up loss 0.1 0.2", "down corrupt 1", "clear".
/// up: towards the server. Errors: throws std::runtime_error.
void apply(const std::string& command, Weather& up, Weather& down);

}  // namespace troupe::chaos
