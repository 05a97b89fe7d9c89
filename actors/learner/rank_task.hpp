#pragma once
// What every rank of a learner does, be it a thread or a process.
#include "actors/learner/policy_task.hpp"
#include "gpu/training/policy_update.hpp"
#include "gpu/training/training_engine.hpp"

#include <cstdint>
#include <map>
#include <variant>
#include <vector>

namespace troupe {

/// A stage begins.
struct BeginTask {
  bool keep_optimizer = false;
};

/// One supervised update.
struct SupervisedTask {
  std::vector<gpu::Document> documents;
  gpu::AdamW adamw;
  float max_gradient_norm = 0, learning_rate = 0;
};

using RankTask = std::variant<BeginTask, SupervisedTask, PolicyTask>;

/// Of the task's kind; the others' are empty.
struct RankResult {
  gpu::SupervisedStats supervised;
  PolicyResult policy;
};

/// Errors: as the engine and policy_update.
RankResult perform(gpu::TrainingEngine& engine, const RankTask& task);

/// The published versions of a stage as a rank elsewhere knows them: the weights of a version are what its engine holds
/// when the first task of that version comes.
class RankMemory {
 public:
  /// Fills in the weights that the task names by their version. Errors: throws gpu::Error if one is not known.
  void complete(RankTask& task, const gpu::TrainingEngine& engine);

 private:
  gpu::FlatWeights at(std::uint64_t version) const;

  std::map<std::uint64_t, gpu::FlatWeights> kept_;  // as old as the bound
  gpu::FlatWeights reference_;
};

}  // namespace troupe
