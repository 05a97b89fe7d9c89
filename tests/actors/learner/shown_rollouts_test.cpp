#include "actors/learner/shown_rollouts.hpp"

#include "tests/support/rollouts.hpp"
#include "tests/support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <limits>

TEST_SUITE_BEGIN("actors/learner");

namespace troupe {
namespace {

/// Rewards 0.5, 0.25, 1, 0.75 of one group.
Batch batch_of_four() {
  Batch batch;
  batch.version = 4;
  BatchGroup group;
  const float rewards[] = {0.5f, 0.25f, 1.0f, 0.75f};
  for (std::uint32_t i = 0; i < 4; ++i)
    group.rollouts.push_back(
        support::graded({.index = i, .versions = {{2, 1}, {4, 2}}}, rewards[i]));
  batch.groups.push_back(std::move(group));
  return batch;
}

RolloutLog::Terms terms(std::size_t per_update) {
  return {.per_update = per_update, .most_bytes = 1 << 24, .piece = [](std::int32_t token) {
            return "t" + std::to_string(token);
          }};
}

std::vector<std::uint32_t> indices(const std::vector<const GradedRollout*>& shown) {
  std::vector<std::uint32_t> out;
  for (const GradedRollout* one : shown) out.push_back(one->rollout.read().getIndex());
  return out;
}

}  // namespace

TEST_CASE("the worst and the best are shown first and then what was measured") {
  const Batch batch = batch_of_four();
  const MeasuredLogProbs measured = {{rollout_id(42, 0, 3), {-0.5f}}, {rollout_id(42, 0, 2), {}}};
  CHECK(indices(shown_rollouts(batch, 9, measured)) == std::vector<std::uint32_t>{1, 2, 3, 0});
  CHECK(indices(shown_rollouts(batch, 3, measured)) == std::vector<std::uint32_t>{1, 2, 3});
  CHECK(shown_rollouts(batch, 0, measured).empty());
  CHECK(shown_rollouts(Batch{}, 4, measured).empty());
}

TEST_CASE("a rollout is shown with its tokens and versions and verdict and update") {
  const TemporaryDirectory folder;
  RolloutLog log(folder.path() / "rollouts.jsonl", terms(1), {});
  show_rollouts(log, batch_of_four(), {.stage = 3, .update = 5, .refused = true},
                {{rollout_id(42, 0, 1), {-0.25f, -0.75f, -1.0f}}});
  REQUIRE(log.all().size() == 1);
  const RolloutView& view = *log.all().front();
  CHECK(view.pieces == std::vector<std::string>{"t1", "t7", "t8", "t9", "t2"});
  CHECK(view.prompt_tokens == 2);
  CHECK(view.completion_tokens == 3);
  CHECK(view.log_probs == std::vector<float>{-0.5f, -0.5f, -0.5f});
  CHECK(view.learner_log_probs == std::vector<float>{-0.25f, -0.75f, -1.0f});
  CHECK(view.versions == std::vector<std::pair<std::uint64_t, std::uint32_t>>{{2, 1}, {4, 2}});
  CHECK(view.trained_at == 4);
  CHECK(view.lag() == 2);
  CHECK(view.stage == 3);
  CHECK(view.update == 5);
  CHECK(view.update_refused);
  CHECK(view.outcome == "pass");
  CHECK(view.reward == 0.25);
  CHECK(view.generator == "generator-0");
  CHECK(view.verifier == "verifier-0");
}

TEST_CASE("of a long rollout the first tokens are shown and of a log-prob that is none nothing") {
  Batch batch;
  BatchGroup group;
  support::RolloutParts parts;
  parts.completion.assign(32'768, 8);
  group.rollouts.push_back(support::graded(parts, 1));
  batch.groups.push_back(group);
  std::vector<float> own(32'768, -0.25f);
  own[3] = std::numeric_limits<float>::quiet_NaN();
  const TemporaryDirectory folder;
  RolloutLog log(folder.path() / "rollouts.jsonl", terms(1), {});
  std::size_t bytes = 0;
  log.hand_on([&](const ShownRollout& shown) { bytes = shown.bytes(); });
  show_rollouts(log, batch, {}, {{rollout_id(42, 0, 0), own}});
  REQUIRE(log.all().size() == 1);
  const RolloutView& view = *log.all().front();
  CHECK(view.pieces.size() == kMostShownTokens);
  CHECK(view.log_probs.size() == kMostShownTokens - 2);
  CHECK(view.completion_tokens == 32'768);
  CHECK(view.learner_log_probs == std::vector<float>{-0.25f, -0.25f, -0.25f});
  CHECK(bytes > 0);
  CHECK(bytes < 32'768);  // half of the smallest frame
}

}  // namespace troupe

TEST_SUITE_END();
