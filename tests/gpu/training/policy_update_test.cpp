#include "gpu/training/policy_update.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/philox.hpp"
#include "gpu/training/minibatches.hpp"
#include "tests/support/reference_loss.hpp"
#include "tests/support/table_engine.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cmath>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

constexpr std::size_t kVocab = 12;

TrainingRollout rollout_of(std::uint64_t id, std::vector<std::int32_t> tokens,
                           std::vector<float> log_probs, float reward) {
  const auto count = static_cast<std::uint32_t>(log_probs.size());
  TrainingRollout rollout{.id = id,
                          .tokens = std::move(tokens),
                          .prompt_length = 0,
                          .log_probs = std::move(log_probs),
                          .versions = {{7, count}},
                          .reward = reward};
  rollout.prompt_length = static_cast<std::int32_t>(rollout.tokens.size() - count);
  return rollout;
}

std::vector<float> random_table(std::uint64_t seed) {
  PhiloxStream draws(seed, 1);
  std::vector<float> table;
  for (std::size_t i = 0; i < kVocab; ++i)
    table.push_back(static_cast<float>(-0.2 - 2.0 * draws.uniform()));
  return table;
}

/// Ragged groups whose behaviour log-probs lie around `table`, so that all kinds of clipping occur.
std::vector<TrainingGroup> random_groups(const std::vector<float>& table, std::uint64_t seed) {
  PhiloxStream draws(seed, 0);
  std::vector<TrainingGroup> groups(3);
  for (auto& group : groups)
    for (int i = 0; i < 4; ++i) {
      std::vector<std::int32_t> tokens(2 + draws.below(3), 1);
      std::vector<float> log_probs;
      for (std::uint64_t t = 0, length = 1 + draws.below(6); t < length; ++t) {
        tokens.push_back(static_cast<std::int32_t>(draws.below(kVocab)));
        log_probs.push_back(table[static_cast<std::size_t>(tokens.back())] -
                            static_cast<float>(0.7 * draws.normal()));
      }
      group.push_back(rollout_of(draws.next(), std::move(tokens), std::move(log_probs),
                                 static_cast<float>(draws.normal())));
    }
  return groups;
}

/// What the reference is given for log-probs `table`; the proximal and the reference policy have
/// their own.
ReferenceRollout reference_of(const TrainingRollout& rollout, const std::vector<double>& table,
                              const std::vector<float>& proximal,
                              const std::vector<float>& reference) {
  ReferenceRollout result{.reward = rollout.reward};
  for (std::size_t t = 0; t < rollout.log_probs.size(); ++t) {
    const auto token = static_cast<std::size_t>(
        rollout.tokens[t + static_cast<std::size_t>(rollout.prompt_length)]);
    result.current.push_back(table[token]);
    result.behaviour.push_back(rollout.log_probs[t]);
    result.proximal.push_back(proximal[token]);
    result.reference.push_back(reference[token]);
    result.entropy.push_back(table[token] * table[token]);
  }
  return result;
}

std::vector<ReferenceGroup> references_of(const std::vector<TrainingGroup>& groups,
                                          const std::vector<double>& table,
                                          const std::vector<float>& proximal,
                                          const std::vector<float>& reference) {
  std::vector<ReferenceGroup> result;
  for (const TrainingGroup& group : groups) {
    result.emplace_back();
    for (const TrainingRollout& rollout : group)
      result.back().push_back(reference_of(rollout, table, proximal, reference));
  }
  return result;
}

/// Central differences of a function of the table.
template <typename Function>
std::vector<double> slopes(const std::vector<float>& table, const Function& function) {
  std::vector<double> at(table.begin(), table.end()), result;
  for (double& entry : at) {
    const double kept = entry, h = 1e-6;
    entry = kept + h;
    const double above = function(at);
    entry = kept - h;
    result.push_back((above - function(at)) / (2 * h));
    entry = kept;
  }
  return result;
}

void check_equal(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(std::abs(found[i] - expected[i]) < 2e-6 * (1 + std::abs(expected[i])));
}

TEST_CASE("value and gradient of every objective equal the reference and its finite differences") {
  const std::vector<float> table = random_table(1), reference = random_table(2);
  const std::vector<TrainingGroup> groups = random_groups(table, 3);
  for (const auto advantage : {AdvantageKind::grpo, AdvantageKind::dr_grpo, AdvantageKind::batch})
    for (const auto normaliser : {Normaliser::token, Normaliser::sequence, Normaliser::constant})
      for (const auto correction : {Correction::ppo, Correction::decoupled, Correction::none})
        for (const float extra : {0.0f, 0.1f}) {
          UpdateConfig config{.objective = {.advantage = advantage,
                                            .normaliser = normaliser,
                                            .correction = correction,
                                            .kl_weight = extra,
                                            .entropy_weight = extra}};
          TableEngine engine(table);
          const UpdateStats stats =
              policy_update(engine, groups, config, 1e-3f, 7, 0, flat_weights(reference));
          const auto objective = [&](const std::vector<double>& at) {
            return reference_objective(references_of(groups, at, table, reference),
                                       config.objective);
          };
          CHECK(stats.objective ==
                doctest::Approx(objective({table.begin(), table.end()})).epsilon(1e-5));
          check_equal(engine.applied.at(0), slopes(table, objective));
        }
}

TEST_CASE("a later minibatch keeps the proximal policy from before the first") {
  const std::vector<float> table = random_table(1);
  const std::vector<TrainingGroup> groups = random_groups(table, 3);
  UpdateConfig config{.objective = {.advantage = AdvantageKind::dr_grpo,
                                    .normaliser = Normaliser::constant,
                                    .correction = Correction::decoupled,
                                    .minibatches = 2}};
  TableEngine engine(table);
  const UpdateStats stats = policy_update(engine, groups, config, 0.3f, 7, 0);
  CHECK(stats.steps == 2);
  REQUIRE(engine.applied.size() == 2);
  std::vector<float> after_first = table;
  const double norm = [&] {
    double squares = 0;
    for (const double g : engine.applied[0]) squares += g * g;
    return std::sqrt(squares);
  }();
  for (std::size_t i = 0; i < kVocab; ++i)
    after_first[i] +=
        static_cast<float>(0.3 * std::min(1.0, 1.0 / (norm + 1e-6)) * engine.applied[0][i]);
  const auto second = minibatches(12, 2, 7).at(1);
  const auto advantages =
      reference_advantages(config.objective.advantage,
                           references_of(groups, {table.begin(), table.end()}, table, table));
  const auto objective = [&](const std::vector<double>& at) {
    double sum = 0;
    for (const std::size_t index : second) {
      const ReferenceRollout rollout = reference_of(groups[index / 4][index % 4], at, table, table);
      for (std::size_t t = 0; t < rollout.current.size(); ++t)
        sum += reference_token_objective(rollout, t, advantages[index / 4][index % 4],
                                         config.objective);
    }
    return sum / (6.0 * config.objective.max_completion_tokens);
  };
  check_equal(engine.applied[1], slopes(after_first, objective));
}

TEST_CASE("minibatches at a learning rate of zero add up to the gradient of one step") {
  const std::vector<float> table = random_table(1);
  const std::vector<TrainingGroup> groups = random_groups(table, 3);
  for (const auto normaliser : {Normaliser::token, Normaliser::sequence, Normaliser::constant}) {
    UpdateConfig config{.objective = {.normaliser = normaliser}};
    TableEngine whole(table), parts(table);
    policy_update(whole, groups, config, 0.0f, 7, 0);
    config.objective.minibatches = 3;
    const UpdateStats stats = policy_update(parts, groups, config, 0.0f, 7, 0);
    REQUIRE(parts.applied.size() == 3);
    std::vector<double> mean(kVocab, 0.0);
    for (const auto& gradient : parts.applied)
      for (std::size_t i = 0; i < kVocab; ++i) mean[i] += gradient[i] / 3;
    check_equal(mean, whole.applied.at(0));
    CHECK(stats.trained_rollouts == 12);
  }
}

/// Token 0 at log-prob -1, token 1 at -2; a good rollout of two tokens and a bad one of one.
std::vector<TrainingGroup> hand_made_groups() {
  return {
      {rollout_of(1, {9, 9, 0, 1}, {-1.5f, -2.0f}, 1.0f), rollout_of(2, {9, 9, 1}, {-1.0f}, 0.0f)}};
}
std::vector<float> hand_made_table() {
  return {-1, -2, 0, 0, 0, 0, 0, 0, 0, 0};
}

TEST_CASE("measurements of an update match hand values") {
  TableEngine engine(hand_made_table());
  const UpdateStats stats = policy_update(engine, hand_made_groups(), {}, 0.5f, 7, 0);
  const double r0 = std::exp(0.5), r1 = 1.0,
               r2 = std::exp(-1.0);  // clipped high, free, clipped low
  CHECK_FALSE(stats.refused);
  CHECK(stats.trained_tokens == 3);
  CHECK(stats.trained_rollouts == 2);
  CHECK(stats.trained_groups == 1);
  CHECK(stats.positions == 7);
  CHECK(stats.reward_mean == doctest::Approx(0.5));
  CHECK(stats.advantage_std == doctest::Approx(0.5 / 0.5001));
  CHECK(stats.entropy == doctest::Approx((1.0 + 4.0 + 4.0) / 3));
  CHECK(stats.clip_fraction_high == doctest::Approx(1.0 / 3));
  CHECK(stats.clip_fraction_low == doctest::Approx(1.0 / 3));
  CHECK(stats.clip_fraction_dual == 0.0);
  CHECK(stats.ratio_mean == doctest::Approx((r0 + r1 + r2) / 3));
  CHECK(stats.ratio_max == doctest::Approx(r0));
  CHECK(stats.ratio_min == doctest::Approx(r2));
  CHECK(stats.effective_sample_size ==
        doctest::Approx(std::pow(r0 + r1 + r2, 2) / (3 * (r0 * r0 + r1 * r1 + r2 * r2))));
  CHECK(stats.kl_behaviour == doctest::Approx(((r0 - 1 - 0.5) + 0.0 + (r2 - 1 + 1.0)) / 3));
  CHECK(stats.ratios.size() == 3);
  CHECK(stats.objective == doctest::Approx((1.28 + 1.0 - 0.8) * 0.5 / 0.5001 / 3));
  CHECK(stats.gradient_norm == doctest::Approx(0.5 / 0.5001 / 3));
  CHECK(stats.gradient_scale == 1.0);
  CHECK(stats.lag_histogram == std::vector<std::uint64_t>{3});
  CHECK(engine.table[1] == doctest::Approx(-2.0 + 0.5 * 0.5 / 0.5001 / 3));
}

TEST_CASE("the gradient is scaled down to the largest norm allowed") {
  TableEngine engine(hand_made_table());
  UpdateConfig config;
  config.max_gradient_norm = 0.1f;
  const UpdateStats stats = policy_update(engine, hand_made_groups(), config, 1.0f, 7, 0);
  CHECK(stats.gradient_scale == doctest::Approx(0.1 / (0.5 / 0.5001 / 3)).epsilon(1e-4));
  CHECK(engine.table[1] == doctest::Approx(-1.9).epsilon(1e-4));
}

TEST_CASE("tokens are counted by lag and a token beyond the bound stops the update untouched") {
  TableEngine engine(hand_made_table());
  const UpdateStats stats = policy_update(engine, hand_made_groups(), {}, 0.0f, 9, 2);
  CHECK(stats.lag_histogram == std::vector<std::uint64_t>{0, 0, 3});
  CHECK_THROWS_AS(policy_update(engine, hand_made_groups(), {}, 0.5f, 10, 2), Error);
  CHECK_THROWS_AS(policy_update(engine, hand_made_groups(), {}, 0.5f, 6, 2), Error);
  CHECK(engine.table == hand_made_table());
}

TEST_CASE("a batch whose lengths disagree or that is empty is an error") {
  TableEngine engine(hand_made_table());
  std::vector<TrainingGroup> groups = hand_made_groups();
  groups[0][0].log_probs.pop_back();
  CHECK_THROWS_AS(policy_update(engine, groups, {}, 0.5f, 7, 0), Error);
  CHECK_THROWS_AS(policy_update(engine, {}, {}, 0.5f, 7, 0), Error);
  UpdateConfig config;
  config.objective.kl_weight = 0.1f;
  CHECK_THROWS_AS(policy_update(engine, hand_made_groups(), config, 0.5f, 7, 0), Error);
}

void check_refused(TableEngine& engine, const std::vector<TrainingGroup>& groups) {
  const std::vector<float> before = engine.table;
  const UpdateStats stats = policy_update(engine, groups, {}, 0.5f, 7, 0);
  CHECK(stats.refused);
  CHECK_FALSE(stats.refused_reason.empty());
  CHECK(stats.steps == 0);
  CHECK(stats.trained_tokens == 0);
  CHECK(engine.steps == 0);
  CHECK(engine.gradient == std::vector<double>(before.size(), 0.0));
}

TEST_CASE("a reward or behaviour log-prob that is not finite refuses the update") {
  TableEngine engine(hand_made_table());
  std::vector<TrainingGroup> groups = hand_made_groups();
  groups[0][1].reward = NAN;
  check_refused(engine, groups);
  groups = hand_made_groups();
  groups[0][0].log_probs[1] = -INFINITY;
  check_refused(engine, groups);
  CHECK(engine.scores == 0);
}

TEST_CASE("a log-prob of the learner that is not finite refuses the update") {
  for (const float broken : {NAN, -INFINITY}) {
    TableEngine engine(hand_made_table());
    engine.table[1] = broken;
    check_refused(engine, hand_made_groups());
  }
}

TEST_CASE("a gradient that is not finite refuses the update") {
  TableEngine engine(hand_made_table());
  engine.norm_is_infinite = true;
  check_refused(engine, hand_made_groups());
}

TEST_CASE("a later minibatch that fails leaves the steps before it and says so") {
  TableEngine engine(hand_made_table());
  engine.break_after = 1;
  std::vector<TrainingGroup> groups = hand_made_groups();
  groups[0][1].tokens[2] = 0;  // both rollouts hold token 0
  UpdateConfig config;
  config.objective.minibatches = 2;
  const UpdateStats stats = policy_update(engine, groups, config, 0.5f, 7, 0);
  CHECK(stats.refused);
  CHECK(stats.steps == 1);
  CHECK(stats.trained_rollouts == 1);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
