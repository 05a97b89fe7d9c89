#pragma once
// What one link may cost us.
#include <cstdint>
#include <kj/time.h>
#include <kj/units.h>

namespace troupe::wire {

/// Every limit of a link, with its default. A plain value: copy it. Each limit stops one way to
/// exhaust or to hang the other side; a live peer within its rights meets none of them.
struct LinkLimits {
  // One session, either side.
  std::uint64_t frame_bytes = 8u << 20;        ///< Larger frames, either way, end the session.
  std::uint64_t unanswered_bytes = 16u << 20;  ///< Reading stops beyond this many bytes of calls.
  std::uint64_t unsent_bytes = 32u << 20;      ///< Reading stops beyond this many bytes of answers.
  std::uint64_t unsent_frames = 4096;          ///< Likewise: even an empty answer costs 8 KiB.
  std::uint64_t open_calls =
      2048;  ///< More calls that their caller has not finished end the session.
  double silence_seconds =
      3;  ///< A live peer completes a frame, or takes one, at least this often.

  // The calling side.
  double heartbeat_seconds = 1;       ///< Between two pings. REQUIRES: well below silence_seconds.
  double call_seconds = 30;           ///< Deadline of a call, unless its caller knows better.
  double redial_first_seconds = 0.1;  ///< Pause after the first failure; doubles with each one.
  double redial_longest_seconds =
      10;  ///< Longest pause. Each is shortened at random by up to half.

  // The serving side.
  std::uint64_t handshakes = 256;  ///< Connections that have not proven who they are.
  double handshake_seconds = 5;    ///< For that proof.
  std::uint64_t sessions = 1024;   ///< Connections that have.
};

/// Seconds as KJ counts time.
inline kj::Duration duration(double seconds) {
  return static_cast<std::int64_t>(seconds * 1e6) * kj::MICROSECONDS;
}

}  // namespace troupe::wire
