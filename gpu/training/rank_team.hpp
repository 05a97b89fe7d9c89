#pragma once
// The ranks of one learner as threads of one process.
#include "gpu/training/data_parallel_engine.hpp"
#include "gpu/training/training_engine.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe::gpu {

struct RankTeamSetup {
  int ranks = 1;
  OptimizerState optimizer = OptimizerState::whole;
  std::chrono::milliseconds deadline{60000};  // for a rank to come to where the others wait
  std::function<void()> prepare_thread;       // called once by every rank's thread
  std::function<std::unique_ptr<TrainingEngine>()> engine;
  /// Rank 0's end of a group whose other ranks are elsewhere; `ranks` does not count then. Empty: all are threads.
  std::function<std::shared_ptr<Communicator>()> meet;
};

/// Rank 0 is the caller's thread, the others are threads of the team, each with an engine of its
/// own. One rank alone computes as its engine does, to the bit. Used by one thread.
class RankTeam {
 public:
  /// What all ranks do, each with its engine.
  using Work = std::function<void(int rank, TrainingEngine& engine)>;

  explicit RankTeam(const RankTeamSetup& setup);
  /// Waits for the ranks, but not for one that hangs: its thread is left behind.
  ~RankTeam();
  RankTeam(const RankTeam&) = delete;
  RankTeam& operator=(const RankTeam&) = delete;

  /// Has every rank do `work`, which owns what it uses: a rank that hangs may still be at it after
  /// the call. Returns why a peer was lost, within twice the deadline; empty: none was. After a
  /// loss nothing is done any more, and the answer stays. Errors: what rank 0 throws by itself.
  [[nodiscard]] std::string run(const Work& work);

  /// Rank 0's, for what needs no peer: its weights and their number.
  const TrainingEngine& own() const { return *own_; }

 private:
  struct Peer;

  void wait_for_peers();

  std::chrono::milliseconds deadline_;
  std::shared_ptr<Communicator> communicator_;
  std::unique_ptr<TrainingEngine> own_;
  std::vector<std::shared_ptr<Peer>> peers_;
  std::string lost_;
};

}  // namespace troupe::gpu
