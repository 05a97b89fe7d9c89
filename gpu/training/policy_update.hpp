#pragma once
// One update of the policy from one batch of groups: advantages, objective, gradient, optimizer,
// measurements.
#include "gpu/sampling/continuous_batch.hpp"  // VersionRun
#include "gpu/training/training_engine.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe::gpu {

/// A graded rollout as the learner sees it. Lengths: log_probs = tokens - prompt_length = sum of
/// version counts.
struct TrainingRollout {
  std::uint64_t id = 0;
  std::vector<std::int32_t> tokens;
  std::int32_t prompt_length = 0;
  std::vector<float> log_probs;  // behaviour log-probs, nats
  std::vector<VersionRun> versions;
  float reward = 0;
};
/// Rollouts of one prompt.
using TrainingGroup = std::vector<TrainingRollout>;

enum class AdvantageKind { grpo, dr_grpo, batch };    // one file each in gpu/training/
enum class Normaliser { token, sequence, constant };  // DAPO; GRPO; Dr.GRPO
enum class Correction { ppo, decoupled, none };       // recipe.md section 6

struct ObjectiveConfig {
  AdvantageKind advantage = AdvantageKind::grpo;
  Normaliser normaliser = Normaliser::token;
  Correction correction = Correction::ppo;
  float clip_low = 0.2f, clip_high = 0.28f;  // ratio kept in [1 - clip_low, 1 + clip_high]
  float dual_clip = 3.0f;  // bound of the ratio where the advantage is negative, above 1; 0: off
  float importance_cap = 2.0f;  // decoupled: cap of pi_proximal / pi_behaviour
  float kl_weight = 0.0f;       // k3 estimate against the reference weights; 0: no reference pass
  float entropy_weight = 0.0f;
  std::int32_t minibatches = 1;             // optimizer steps per batch
  std::int32_t max_completion_tokens = 64;  // Normaliser::constant divides by it
};

/// Warm-up then linear from `peak` to `final` over `updates`.
struct Schedule {
  float peak = 1e-3f, final = 1e-4f;
  std::int32_t warmup = 5;
  std::int32_t updates = 50;
  /// update counts from 1. Source: recipe.md 4: peak * min(1, update/warmup) * (1 - (1 -
  /// final/peak) * update/updates).
  float at(std::int32_t update) const;
};

struct UpdateConfig {
  ObjectiveConfig objective;
  AdamW adamw;
  float max_gradient_norm = 1.0f;  // 0: off
};

/// Means over trained tokens unless said otherwise. Ratios are pi_new / pi_behaviour before the
/// step.
struct UpdateStats {
  bool refused = false;  // a non-finite value: that optimizer step and those after it were not
                         // applied
  std::string refused_reason;
  std::int32_t steps = 0;  // optimizer steps applied; 0 if the first minibatch was refused
  std::uint64_t trained_tokens = 0, trained_rollouts = 0, trained_groups = 0;
  std::uint64_t positions = 0;  // tokens run forward, prompts included
  double objective = 0;
  double reward_mean = 0, advantage_std = 0;
  double entropy = 0;       // nats
  double kl_behaviour = 0;  // k3 estimate of KL(behaviour || current), nats
  double kl_reference = 0;  // k3, nats; 0 without kl_weight
  double clip_fraction_low = 0, clip_fraction_high = 0, clip_fraction_dual = 0;
  double ratio_mean = 0, ratio_max = 0, ratio_min = 0;
  double effective_sample_size = 0;  // (sum r)^2 / (n sum r^2), in (0, 1]
  double gradient_norm = 0, gradient_scale = 1;
  double learning_rate = 0;
  std::vector<std::uint64_t> lag_histogram;  // trained tokens by lag 0, 1, 2, ...
  std::vector<double> ratios;                // sampled (at most 256) for histograms
};

/// Applies one batch. `version` is the policy version being trained. Groups must have signal; an
/// empty `groups` is an error. Errors: throws gpu::Error if a token's lag (version - its version)
/// exceeds `staleness_bound`, if a version is newer than `version` (a broken staleness contract is
/// a bug and stops the update), or if lengths disagree. A non-finite reward, log-prob, objective or
/// gradient refuses the update: stats.refused is set, the gradient is forgotten and nothing is
/// applied. With several minibatches a later one may be the first to fail: the steps before it stay
/// (stats.steps). reference: weights for kl_weight, may be null when kl_weight is 0.
UpdateStats policy_update(TrainingEngine& engine, std::span<const TrainingGroup> groups,
                          const UpdateConfig& config, float learning_rate, std::uint64_t version,
                          std::uint64_t staleness_bound, const FlatWeights& reference = nullptr);

/// |log p(learner, at the version that sampled) - log p(generator)| over the tokens of the given
/// rollouts.
struct LogProbGap {
  double sum = 0, max = 0;  // nats
  std::uint64_t tokens = 0;
  double mean() const { return tokens == 0 ? 0.0 : sum / static_cast<double>(tokens); }
  void add(const LogProbGap& other);
};
/// Measures rollouts whose tokens all come from one version. `weights`: that version's. learner: takes the learner's
/// log-probs, all rollouts' one after the other; may be null.
LogProbGap log_prob_gap(TrainingEngine& engine, std::span<const TrainingRollout* const> rollouts,
                        FlatWeights weights, std::vector<float>* learner = nullptr);

/// True if the rewards of a group differ, so that it says something about which rollout was better.
bool has_signal(std::span<const float> rewards);

/// One supervised update on documents: mean cross-entropy of all targets. Same refusal rule.
struct Document {
  std::vector<std::int32_t> tokens;
  std::int32_t first_target = 1;
};
struct SupervisedStats {
  bool refused = false;
  double loss = 0;  // nats per target token
  double gradient_norm = 0;
  std::uint64_t positions = 0, targets = 0;
};
SupervisedStats supervised_update(TrainingEngine& engine, std::span<const Document> documents,
                                  const AdamW& adamw, float max_gradient_norm, float learning_rate);

}  // namespace troupe::gpu
