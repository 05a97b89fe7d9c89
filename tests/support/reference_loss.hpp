#pragma once
// Objectives of policy optimisation in slow double-precision loops, written from the papers'
// formulas and nothing else: PPO (arXiv:1707.06347), GRPO (2402.03300), DAPO (2503.14476), Dr. GRPO
// (2503.20783), dual clip (1912.09729), decoupled PPO (2110.00641).
#include "gpu/training/policy_update.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace troupe::gpu {

/// One completion: everything per token, log-probs in nats.
struct ReferenceRollout {
  double reward = 0;
  std::vector<double> current, behaviour, proximal, reference, entropy;
};
using ReferenceGroup = std::vector<ReferenceRollout>;

inline std::vector<std::vector<double>> reference_advantages(
    AdvantageKind kind, const std::vector<ReferenceGroup>& groups) {
  std::vector<std::vector<double>> result;
  double all_squares = 0, count = 0;
  for (const ReferenceGroup& group : groups) {
    double mean = 0, variance = 0;
    for (const auto& rollout : group) mean += rollout.reward / static_cast<double>(group.size());
    for (const auto& rollout : group)
      variance += std::pow(rollout.reward - mean, 2) / static_cast<double>(group.size());
    result.emplace_back();
    for (const auto& rollout : group) {
      const double centred = rollout.reward - mean;
      result.back().push_back(kind == AdvantageKind::grpo ? centred / (std::sqrt(variance) + 1e-4)
                                                          : centred);
      all_squares += centred * centred;
      count += 1;
    }
  }
  if (kind == AdvantageKind::batch)
    for (auto& group : result)
      for (double& advantage : group) advantage /= std::sqrt(all_squares / (count - 1)) + 1e-4;
  return result;
}

/// PPO's surrogate of one token, by its definition: a minimum of two products, and a bound from
/// below.
inline double reference_surrogate(double ratio, double advantage, const ObjectiveConfig& config) {
  const double clipped = std::clamp(ratio, 1.0 - config.clip_low, 1.0 + config.clip_high);
  const double surrogate = std::min(ratio * advantage, clipped * advantage);
  if (advantage >= 0 || config.dual_clip == 0) return surrogate;
  return std::max(surrogate, config.dual_clip * advantage);
}

inline double reference_token_objective(const ReferenceRollout& rollout, std::size_t t,
                                        double advantage, const ObjectiveConfig& config) {
  const bool against_behaviour = config.correction == Correction::ppo;
  const double old = against_behaviour ? rollout.behaviour[t] : rollout.proximal[t];
  double weight = 1.0;
  if (config.correction == Correction::decoupled)
    weight = std::min(std::exp(rollout.proximal[t]) / std::exp(rollout.behaviour[t]),
                      double{config.importance_cap});
  double objective =
      weight * reference_surrogate(std::exp(rollout.current[t]) / std::exp(old), advantage, config);
  if (config.kl_weight != 0) {
    const double ratio = std::exp(rollout.reference[t]) / std::exp(rollout.current[t]);
    objective -= config.kl_weight * (ratio - std::log(ratio) - 1.0);
  }
  return objective + config.entropy_weight * rollout.entropy[t];
}

/// The objective of a batch that is trained in one optimizer step.
inline double reference_objective(const std::vector<ReferenceGroup>& groups,
                                  const ObjectiveConfig& config) {
  const auto advantages = reference_advantages(config.advantage, groups);
  double tokens = 0, rollouts = 0, token_sum = 0, mean_sum = 0;
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::size_t i = 0; i < groups[g].size(); ++i) {
      const ReferenceRollout& rollout = groups[g][i];
      double sum = 0;
      for (std::size_t t = 0; t < rollout.current.size(); ++t)
        sum += reference_token_objective(rollout, t, advantages[g][i], config);
      token_sum += sum;
      mean_sum += sum / static_cast<double>(rollout.current.size());
      tokens += static_cast<double>(rollout.current.size());
      rollouts += 1;
    }
  if (config.normaliser == Normaliser::token) return token_sum / tokens;
  if (config.normaliser == Normaliser::sequence) return mean_sum / rollouts;
  return token_sum / (rollouts * config.max_completion_tokens);
}

}  // namespace troupe::gpu
