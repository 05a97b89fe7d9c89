#include "actors/learner/policy_task.hpp"

namespace troupe {

PolicyResult train_policy(gpu::TrainingEngine& engine, const PolicyTask& task) {
  PolicyResult result;
  for (const GapPart& part : task.gap_parts) {
    std::vector<const gpu::TrainingRollout*> rollouts;
    for (const gpu::TrainingRollout& rollout : part.rollouts) rollouts.push_back(&rollout);
    std::vector<float> log_probs;
    result.gap.add(gpu::log_prob_gap(engine, rollouts, part.weights, &log_probs));
    auto next = log_probs.begin();
    for (const gpu::TrainingRollout& rollout : part.rollouts) {
      const auto end = next + static_cast<std::ptrdiff_t>(rollout.log_probs.size());
      result.log_probs[rollout.id].assign(next, end);
      next = end;
    }
  }
  result.stats.learning_rate = static_cast<double>(task.learning_rate);
  if (!task.groups.empty())
    result.stats = gpu::policy_update(engine, task.groups, task.config, task.learning_rate,
                                      task.version, task.staleness_bound, task.reference);
  return result;
}

}  // namespace troupe
