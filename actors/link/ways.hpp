#pragma once
// The ways from a generator's or verifier's process to the director's, as its proxy actors use them. The site (site.hpp)
// offers them over its link; tests bring their own. Safe from any thread; while the link is away every call answers
// link_lost at once.
#include "actors/interfaces.hpp"
#include "actors/link/bridge.hpp"

#include <cstdint>

namespace troupe {

class TicketWay {
 public:
  virtual ~TicketWay() = default;
  virtual void grant(std::uint64_t sequence, std::uint32_t count, Answer<Tickets> answer) = 0;
  virtual void notice(const RolloutNotices& notices, Answer<caf::unit_t> answer) = 0;
};

class WeightWay {
 public:
  virtual ~WeightWay() = default;
  /// Empty: none yet.
  virtual void next(std::uint64_t at_least, Answer<Weights> answer) = 0;
};

class VerdictWay {
 public:
  virtual ~VerdictWay() = default;
  virtual void append(const GradedRollouts& graded, Answer<RolloutIds> answer) = 0;
};

class RolloutWay {
 public:
  virtual ~RolloutWay() = default;
  virtual void take(std::uint32_t count, const RolloutIds& acknowledged,
                    Answer<Rollouts> answer) = 0;
};

class BatchWay {
 public:
  virtual ~BatchWay() = default;
  /// Null: none yet.
  virtual void take(const TrainedReport& report, Answer<BatchPtr> answer) = 0;
  virtual void settle(const TrainedReport& report, Answer<caf::unit_t> answer) = 0;
};

}  // namespace troupe
