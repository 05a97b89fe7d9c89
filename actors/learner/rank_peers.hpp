#pragma once
// The other ranks of a learner, where they are not threads of its own.
#include "actors/learner/rank_task.hpp"
#include "gpu/transport/communicator.hpp"

#include <functional>
#include <memory>
#include <string>

namespace troupe {

/// Rank 0's. Used by the learner's thread. Its end tells them that the run is over.
class RankPeers {
 public:
  virtual ~RankPeers() = default;
  virtual std::shared_ptr<gpu::Communicator> communicator() = 0;
  /// `lost` hears, on another thread, of each of them that is gone.
  virtual void watch(std::function<void(int rank)> lost) = 0;
  /// Has all of them begin the task, in which weights need their version only. Returns why one is lost; empty: none is.
  virtual std::string tell(const RankTask& task) = 0;
  /// After a loss: what ranks that failed said of it, and which say nothing.
  virtual std::string last_words() = 0;
};

}  // namespace troupe
