#include "gpu/error.hpp"
#include "gpu/training/policy_update.hpp"
#include "tests/support/table_engine.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cmath>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

TrainingRollout rollout_with(std::vector<float> log_probs) {
  return {.id = 1, .tokens = {2, 0, 1}, .prompt_length = 1, .log_probs = std::move(log_probs)};
}

TEST_CASE("the gap is the distance of recorded and recomputed log-probs at the given weights") {
  TableEngine engine({-9, -9, -9});
  const TrainingRollout first = rollout_with({-1.0f, -2.5f}),
                        second = rollout_with({-1.25f, -2.0f});
  const std::vector<const TrainingRollout*> rollouts{&first, &second};
  std::vector<float> learner;
  const LogProbGap gap = log_prob_gap(engine, rollouts, flat_weights({-1, -2, -3}), &learner);
  CHECK(learner == std::vector<float>{-1, -2, -1, -2});
  CHECK(gap.tokens == 4);
  CHECK(gap.max == doctest::Approx(0.5));
  CHECK(gap.mean() == doctest::Approx(0.75 / 4));
}

TEST_CASE("a log-prob that is not a number is an infinite gap") {
  TableEngine engine({-1, -2, -3});
  const TrainingRollout rollout = rollout_with({NAN, -2.0f});
  const std::vector<const TrainingRollout*> rollouts{&rollout};
  CHECK(std::isinf(log_prob_gap(engine, rollouts, nullptr).max));
}

TEST_CASE("gaps add up") {
  LogProbGap gap{1.0, 0.5, 4};
  gap.add({2.0, 0.75, 2});
  CHECK(gap.mean() == doctest::Approx(0.5));
  CHECK(gap.max == 0.75);
  CHECK(LogProbGap{}.mean() == 0.0);
}

TEST_CASE("a rollout whose lengths disagree is refused") {
  TableEngine engine({-1, -2, -3});
  const TrainingRollout rollout = rollout_with({-1.0f});
  const std::vector<const TrainingRollout*> rollouts{&rollout};
  CHECK_THROWS_AS(log_prob_gap(engine, rollouts, nullptr), Error);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
