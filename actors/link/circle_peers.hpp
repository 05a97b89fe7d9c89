#pragma once
// Both sides of what goes over a circle of ranks: rank 0, which tells, and the others, which do as they are told.
#include "actors/learner/learner.hpp"
#include "actors/learner/rank_peers.hpp"
#include "actors/link/rank_circle.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>

namespace troupe {

/// Meets the others, as RankCircle does and with its errors.
std::shared_ptr<RankPeers> circle_peers(const RankCirclePlan& plan);

/// A rank other than 0. Used by one thread, `leave` by any.
class RankService {
 public:
  /// Meets the others, as RankCircle does and with its errors. setup.telemetry hears of each task as `name`'s.
  RankService(const RankCirclePlan& plan, LearnerSetup setup, std::string name);

  /// Performs tasks until the run is over. Returns why it ended otherwise; empty: the run is over, or it was asked to leave.
  std::string run();
  /// The process goes, and the run cannot go on without it: the others lose this rank.
  void leave();

 private:
  bool next(std::string& why);

  LearnerSetup setup_;
  const std::string name_;
  RankCircle circle_;
  std::unique_ptr<gpu::TrainingEngine> engine_;
  RankMemory memory_;
  std::atomic<bool> leaving_ = false;
};

}  // namespace troupe
