#pragma once
// Rollouts that are to be shown in another process, on their way there.
#include "actors/telemetry/metrics.hpp"
#include "messages/shown_rollout.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace troupe {

using show_atom = caf::atom_constant<caf::atom("show")>;

struct NumberedRollout {
  std::uint64_t number = 0;
  ShownRollout rollout;
};
using ShownPage = std::vector<NumberedRollout>;

/// The newest, numbered from 0 in the order of adding. Plain.
class ShownQueue {
 public:
  struct Terms {
    std::size_t most_bytes = 0;  // of all; the oldest make room
    std::size_t most_each = 0;   // so that each fits a frame
  };
  /// What is not there for it.
  struct LeftOut {
    std::uint64_t too_large = 0;  // itself, which then has no number
    std::uint64_t backlog = 0;    // older ones
  };

  explicit ShownQueue(Terms terms) : terms_(terms) {}
  LeftOut add(ShownRollout rollout);
  bool empty() const { return rollouts_.empty(); }
  const NumberedRollout& front() const { return rollouts_.front(); }
  /// Those below that number are not needed any more. How many there were.
  std::uint64_t forget_below(std::uint64_t number);
  /// Those with at least that number, oldest first, as many as `most_bytes` hold, but one if there is any.
  ShownPage from(std::uint64_t number, std::size_t most_bytes) const;
  /// Above all numbers so far.
  std::uint64_t end() const { return end_; }

 private:
  Terms terms_;
  std::deque<NumberedRollout> rollouts_;
  std::size_t bytes_ = 0;
  std::uint64_t end_ = 0;
};

/// Half of a frame, for one or for a page of them.
constexpr std::size_t shown_bytes(std::uint64_t frame_bytes) {
  return static_cast<std::size_t>(frame_bytes / 2);
}

/// Counts what is not shown.
void not_shown(Metrics& metrics, const char* reason, std::uint64_t rollouts);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::ShownRollout)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::ShownPage)
