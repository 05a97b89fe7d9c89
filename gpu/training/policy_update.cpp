#include "gpu/training/policy_update.hpp"

#include "gpu/error.hpp"
#include "gpu/training/advantage.hpp"
#include "gpu/training/apply_gradient.hpp"
#include "gpu/training/importance.hpp"
#include "gpu/training/kl.hpp"
#include "gpu/training/lag.hpp"
#include "gpu/training/minibatches.hpp"
#include "gpu/training/normaliser.hpp"
#include "gpu/training/policy_loss.hpp"
#include "gpu/training/policy_measurements.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace troupe::gpu {
namespace {

/// A rollout with what the objective knows of it before the forward pass.
struct Item {
  const TrainingRollout* rollout = nullptr;
  double advantage = 0;
  double factor = 0;  // of each token's term (Normaliser)
  std::span<const double>
      proximal;  // log-probs before the first optimizer step; empty: the current ones
  std::span<const double> reference;  // empty without kl_weight

  std::size_t completion_tokens() const { return rollout->log_probs.size(); }
  Sequence sequence() const { return {rollout->tokens, rollout->prompt_length}; }
};

void check(const TrainingRollout& rollout, std::uint64_t version, std::uint64_t staleness_bound,
           UpdateStats& stats) {
  const std::string name = "rollout " + std::to_string(rollout.id);
  if (rollout.prompt_length < 1)
    throw Error(name + " has no prompt: the first token of a completion needs one before it");
  if (rollout.log_probs.empty()) throw Error(name + " has no completion");
  if (rollout.log_probs.size() + static_cast<std::size_t>(rollout.prompt_length) !=
      rollout.tokens.size())
    throw Error(name + " has " + std::to_string(rollout.tokens.size()) + " tokens, a prompt of " +
                std::to_string(rollout.prompt_length) + " and " +
                std::to_string(rollout.log_probs.size()) + " log-probs");
  count_lags(rollout, rollout.log_probs.size(), version, staleness_bound, stats.lag_histogram);
}

/// The first value that is not finite among the inputs, in words; empty if there is none.
std::string first_non_finite(const TrainingRollout& rollout) {
  const std::string name = " of rollout " + std::to_string(rollout.id);
  if (!std::isfinite(rollout.reward)) return "the reward" + name + " is not finite";
  for (const float log_prob : rollout.log_probs)
    if (!std::isfinite(log_prob)) return "a behaviour log-prob" + name + " is not finite";
  return {};
}

std::vector<Item> items_of(std::span<const TrainingGroup> groups, const ObjectiveConfig& config,
                           UpdateStats& stats) {
  std::vector<std::vector<float>> rewards;
  std::vector<Item> items;
  double reward_sum = 0, squares = 0;
  for (const TrainingGroup& group : groups) {
    rewards.emplace_back();
    for (const TrainingRollout& rollout : group) {
      rewards.back().push_back(rollout.reward);
      reward_sum += rollout.reward;
      items.push_back({&rollout, 0, 0, {}, {}});
    }
  }
  const std::vector<double> values = advantages(config.advantage, rewards);
  for (std::size_t i = 0; i < items.size(); ++i) squares += values[i] * values[i];
  for (std::size_t i = 0; i < items.size(); ++i) items[i].advantage = values[i];
  stats.reward_mean = reward_sum / static_cast<double>(items.size());
  stats.advantage_std = std::sqrt(squares / static_cast<double>(items.size()));  // their mean is 0
  return items;
}

/// Log-probs of all completion tokens, item by item, under `weights` or the engine's own.
std::vector<double> score(TrainingEngine& engine, std::span<const Item> items,
                          const FlatWeights& weights) {
  std::vector<Sequence> sequences;
  for (const Item& item : items) sequences.push_back(item.sequence());
  std::vector<double> result;
  for (const TokenValue& value : engine.score(sequences, weights)) result.push_back(value.log_prob);
  return result;
}

void assign(std::vector<Item>& items, std::span<const double> log_probs,
            std::span<const double> Item::*member) {
  for (Item& item : items) {
    item.*member = log_probs.first(item.completion_tokens());
    log_probs = log_probs.subspan(item.completion_tokens());
  }
}

/// The objective of one minibatch: gives the engine each token's weights, and measures.
class Objective {
 public:
  Objective(const ObjectiveConfig& config, std::span<const Item> items,
            PolicyMeasurements& measurements)
      : config_(config), items_(items), measurements_(measurements) {}

  /// See Weigh.
  void weigh(std::size_t first, std::span<const TokenValue> values,
             std::span<TokenWeight> weights) {
    std::size_t at = 0;
    for (std::size_t i = first; at < values.size(); ++i)
      for (std::size_t t = 0; t < items_[i].completion_tokens(); ++t, ++at)
        weights[at] = weigh_token(items_[i], t, values[at]);
  }

  /// What every rank needs to know of this rank's part, see over_ranks().
  std::vector<double> numbers() const {
    return {value_, found_ ? 1.0 : 0.0, static_cast<double>(item_), static_cast<double>(token_),
            log_prob_};
  }
  /// In words, what was not finite: completion token `token` of item `item`.
  static std::string describe(const Item& item, std::size_t token, double log_prob) {
    return "the objective of completion token " + std::to_string(token) + " of rollout " +
           std::to_string(item.rollout->id) + " is not finite (log-prob " +
           std::to_string(log_prob) + ", behaviour " +
           std::to_string(item.rollout->log_probs[token]) + ")";
  }

 private:
  TokenWeight weigh_token(const Item& item, std::size_t t, const TokenValue& value) {
    const double current = value.log_prob;
    const TokenLogProbs token{current, item.rollout->log_probs[t],
                              item.proximal.empty() ? current : item.proximal[t]};
    const Importance against = importance(config_.correction, token, config_.importance_cap);
    PolicyTerm term = clipped_policy_term(current, against.old_log_prob, item.advantage,
                                          {config_.clip_low, config_.clip_high, config_.dual_clip});
    const KlTerm kl = item.reference.empty() ? KlTerm{} : k3(current, item.reference[t]);
    const double objective = against.weight * term.objective - config_.kl_weight * kl.value +
                             config_.entropy_weight * value.entropy;
    const double derivative = against.weight * term.derivative - config_.kl_weight * kl.derivative;
    const double ratio = std::exp(current - token.behaviour);
    const TokenWeight weight{static_cast<float>(item.factor * derivative),
                             static_cast<float>(item.factor * config_.entropy_weight)};
    if (!std::isfinite(objective) || !std::isfinite(weight.log_prob) || !std::isfinite(ratio) ||
        !std::isfinite(current)) {
      if (!found_) note(item, t, current);
      return {};
    }
    value_ += item.factor * objective;
    measurements_.add(token, value.entropy, kl.value, term.clip);
    return weight;
  }

  void note(const Item& item, std::size_t token, double log_prob) {
    found_ = true;
    item_ = static_cast<std::size_t>(&item - items_.data());
    token_ = token;
    log_prob_ = log_prob;
  }

  const ObjectiveConfig& config_;
  std::span<const Item> items_;
  PolicyMeasurements& measurements_;
  double value_ = 0;
  bool found_ = false;  // the first value that was not finite, below
  std::size_t item_ = 0, token_ = 0;
  double log_prob_ = 0;
};

/// The objective of all ranks' parts.
struct WholeObjective {
  double value = 0;
  std::string problem;  // empty if every value and weight was finite
};

WholeObjective over_ranks(TrainingEngine& engine, const Objective& own,
                          std::span<const Item> items) {
  WholeObjective whole;
  const std::vector<double> own_numbers = own.numbers();
  const std::vector<double> all = engine.gather(own_numbers);
  for (std::size_t at = 0; at < all.size(); at += own_numbers.size()) {
    whole.value += all[at];
    if (all[at + 1] != 0 && whole.problem.empty())
      whole.problem = Objective::describe(items[static_cast<std::size_t>(all[at + 2])],
                                          static_cast<std::size_t>(all[at + 3]), all[at + 4]);
  }
  return whole;
}

void refuse(UpdateStats& stats, std::string reason) {
  stats.refused = true;
  stats.refused_reason = std::move(reason);
}

/// One optimizer step. Adds to stats what is averaged over steps.
void train_minibatch(TrainingEngine& engine, std::span<const Item> items,
                     const UpdateConfig& config, float learning_rate,
                     PolicyMeasurements& measurements, UpdateStats& stats) {
  std::vector<Sequence> sequences;
  std::size_t tokens = 0;
  for (const Item& item : items) {
    sequences.push_back(item.sequence());
    stats.positions += item.rollout->tokens.size();
    tokens += item.completion_tokens();
  }
  Objective objective(config.objective, items, measurements);
  engine.forward_backward(
      sequences, [&](std::size_t first, std::span<const TokenValue> values,
                     std::span<TokenWeight> weights) { objective.weigh(first, values, weights); });
  const WholeObjective whole = over_ranks(engine, objective, items);
  if (!whole.problem.empty()) {
    engine.zero_gradient();
    return refuse(stats, whole.problem);
  }
  const AppliedGradient applied =
      apply_gradient(engine, config.adamw, config.max_gradient_norm, learning_rate);
  if (!applied.applied) return refuse(stats, "the gradient's norm is not finite");
  stats.objective += whole.value;
  stats.gradient_norm += applied.norm;
  stats.gradient_scale += applied.scale;
  stats.trained_rollouts += items.size();
  stats.trained_tokens += tokens;
  ++stats.steps;
}

/// Returns the batch's completion tokens.
std::size_t set_factors(std::vector<Item>& items, const ObjectiveConfig& config,
                        std::size_t steps) {
  BatchSize size{0, items.size(), steps};
  for (const Item& item : items) size.tokens += item.completion_tokens();
  for (Item& item : items)
    item.factor = token_factor(config.normaliser, size, item.completion_tokens(),
                               static_cast<std::size_t>(config.max_completion_tokens));
  return size.tokens;
}

void check(std::span<const TrainingGroup> groups, const ObjectiveConfig& config,
           const FlatWeights& reference) {
  if (groups.empty()) throw Error("a policy update needs at least one group");
  for (const TrainingGroup& group : groups)
    if (group.empty()) throw Error("a policy update was given a group without rollouts");
  if (config.kl_weight != 0 && !reference)
    throw Error("kl_weight is set, so the update needs reference weights");
}

/// Counts lags; returns the first non-finite input in words, empty if there is none.
std::string check_rollouts(std::span<const TrainingGroup> groups, std::uint64_t version,
                           std::uint64_t staleness_bound, UpdateStats& stats) {
  std::string problem;
  for (const TrainingGroup& group : groups)
    for (const TrainingRollout& rollout : group) {
      check(rollout, version, staleness_bound, stats);
      if (problem.empty()) problem = first_non_finite(rollout);
    }
  return problem;
}

/// Log-probs that stay as they are before the first optimizer step, for all items.
struct FixedLogProbs {
  std::vector<double> reference, proximal;  // empty where the objective needs none
};

FixedLogProbs score_fixed(TrainingEngine& engine, std::vector<Item>& items,
                          const ObjectiveConfig& config, std::size_t steps,
                          const FlatWeights& reference) {
  FixedLogProbs fixed;
  if (config.kl_weight != 0) {
    fixed.reference = score(engine, items, reference);
    assign(items, fixed.reference, &Item::reference);
  }
  if (steps > 1 && config.correction != Correction::ppo) {
    fixed.proximal = score(engine, items, nullptr);
    assign(items, fixed.proximal, &Item::proximal);
  }
  return fixed;
}

void finish(UpdateStats& stats, std::size_t groups) {
  stats.trained_groups = stats.steps > 0 ? groups : 0;
  if (stats.steps == 0) stats.lag_histogram.clear();
  const double steps = std::max(1, stats.steps);
  stats.objective /= steps;
  stats.gradient_norm /= steps;
  stats.gradient_scale /= steps;
}

}  // namespace

UpdateStats policy_update(TrainingEngine& engine, std::span<const TrainingGroup> groups,
                          const UpdateConfig& config, float learning_rate, std::uint64_t version,
                          std::uint64_t staleness_bound, const FlatWeights& reference) {
  const ObjectiveConfig& objective = config.objective;
  check(groups, objective, reference);
  UpdateStats stats{.gradient_scale = 0, .learning_rate = learning_rate};
  const std::string problem = check_rollouts(groups, version, staleness_bound, stats);
  if (!problem.empty()) {
    refuse(stats, problem);
    finish(stats, groups.size());
    return stats;
  }
  std::vector<Item> items = items_of(groups, objective, stats);
  const auto parts = minibatches(items.size(), objective.minibatches, version);
  const std::size_t tokens = set_factors(items, objective, parts.size());
  const FixedLogProbs fixed = score_fixed(engine, items, objective, parts.size(), reference);
  PolicyMeasurements measurements(tokens);
  for (const std::vector<std::size_t>& part : parts) {
    std::vector<Item> chosen;
    for (const std::size_t index : part) chosen.push_back(items[index]);
    train_minibatch(engine, chosen, config, learning_rate, measurements, stats);
    if (stats.refused) break;
  }
  measurements.add_ranks(engine.gather(measurements.numbers()));
  measurements.write(stats);
  finish(stats, groups.size());
  return stats;
}

}  // namespace troupe::gpu
