#pragma once
// The learner's actor: a shell around the training engine and the updates of gpu/training.
#include "actors/generator/generator.hpp"  // EngineFactory
#include "actors/interfaces.hpp"
#include "actors/learner/gate.hpp"
#include "actors/learner/rank_peers.hpp"
#include "actors/learner/rank_task.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/timed.hpp"
#include "actors/waiting_line.hpp"
#include "gpu/training/policy_update.hpp"
#include "gpu/training/rank_team.hpp"

#include <atomic>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// A stage of supervised updates: pretrain or sft.
struct SupervisedPlan {
  std::function<gpu::Document()> next_document;
  std::int32_t updates = 0;
  std::int32_t batch_documents = 16;
  gpu::Schedule schedule;  // `final` is held while the gate is closed
  double weight_decay = 0;
  bool keep_optimizer = false;
  std::optional<GatePlan> gate;
};

/// A stage of policy updates.
struct RolloutPlan {
  ReplayBuffer buffer;
  Broadcaster broadcaster;
  std::int32_t updates = 0;
  gpu::Schedule schedule;
  double weight_decay = 0;
  std::uint64_t staleness_bound = 0;
  std::int32_t refused_updates_limit = 3;
  std::int32_t gap_rollouts = 8;
};

/// One stage; exactly one of the two is set.
struct LearnerPlan {
  std::int32_t stage = 0;
  std::optional<SupervisedPlan> supervised;
  std::optional<RolloutPlan> rollout;
};

/// What rank 0, or another, is at until all ranks have met.
inline constexpr const char* kWaitForRanks = "wait for ranks";

struct LearnerSetup {
  gpu::RankTeamSetup ranks;
  std::function<std::shared_ptr<RankPeers>()>
      peers;                   // meets those elsewhere; empty: all are threads
  std::vector<float> weights;  // to begin with
  gpu::UpdateConfig update;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

/// A batch as the update takes it.
std::vector<gpu::TrainingGroup> training_groups(const Batch& batch);

class LearnerState {
 public:
  static inline const char* name = "learner";
  using Self = Learner::stateful_pointer<LearnerState>;

  void begin(Self self, LearnerSetup setup, Conductor conductor);
  void begin_stage(const LearnerPlanPtr& plan);
  void step();
  void stop();

 private:
  // supervised stages
  void supervised_updates();
  bool supervised_update();
  bool gate_is_open();
  float supervised_rate() const;
  // rl stages
  void publish(std::function<void()> then);
  void ask_for_batch();
  void train(const BatchPtr& batch);
  void count_stale(const std::vector<gpu::TrainingGroup>& groups);
  void trained(const BatchPtr& batch, const gpu::UpdateStats& stats, const gpu::LogProbGap& gap,
               double train_seconds);
  void record(const Batch& batch, const gpu::UpdateStats& stats, const gpu::LogProbGap& gap,
              double train_seconds);
  std::vector<GapPart> gap_parts(const std::vector<gpu::TrainingGroup>& groups) const;
  // both
  void end_with_a_rank();
  bool together(RankTask task, const std::shared_ptr<RankResult>& result = {});
  bool lost(const std::string& why);
  Weights snapshot() const;
  Weights last_whole() const;
  void end_stage(const std::string& failure);
  void show_progress();
  bool nothing_too_often(const Batch& batch);
  bool refused_too_often(bool refused, const std::string& reason);

  Self self_ = nullptr;
  LearnerSetup setup_;
  Conductor conductor_;
  std::shared_ptr<RankPeers> peers_;  // null: all are threads
  std::unique_ptr<gpu::RankTeam> team_;
  LearnerPlanPtr plan_;
  std::int32_t update_ = 0, refused_ = 0, refused_in_a_row_ = 0, empty_in_a_row_ = 0;
  PolicyVersion version_ = 0;
  bool stopping_ = false, lost_ = false;
  std::shared_ptr<std::atomic<bool>> begun_ =
      std::make_shared<std::atomic<bool>>(false);  // a stage
  std::string apart_;                              // why the ranks did not meet; empty: they did
  TrainedReport report_;
  Weights published_;
  gpu::FlatWeights reference_;
  PolicyVersion reference_version_ = 0;
  gpu::LogProbGap stage_gap_;
  std::map<std::uint64_t, std::vector<float>>
      measured_;  // learner's log-probs of the last batch, by rollout id
  std::map<PolicyVersion, gpu::FlatWeights> recent_;  // published, as old as the bound
  bool waiting_for_batch_ = false;
  std::optional<double> waiting_since_;  // seconds of the run
  double wait_seconds_ = 0;              // before the update under way
  // since the last supervised record
  std::int32_t recorded_update_ = 0;
  std::uint64_t recorded_positions_ = 0;
  double recorded_seconds_ = 0;
  gpu::SupervisedStats last_;
  std::optional<double> gate_share_, probed_now_;
  Timed timed_;
  ActivityLog* activity_ = nullptr;
};

/// Spawn detached.
Learner::behavior_type learner(LearnerState::Self self, LearnerSetup setup, Conductor conductor);

}  // namespace troupe
