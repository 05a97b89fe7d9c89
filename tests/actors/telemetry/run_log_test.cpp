#include "actors/telemetry/run_log.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

TEST_CASE("seed and bound come from the config and are absent if it lacks them") {
  RunLog run = sample_run();
  CHECK(run.seed() == 7);
  CHECK(run.staleness_bound() == 2);
  run.config_json = "not json";
  CHECK_FALSE(run.seed());
  run.config_json = R"({"run":{"seed":"x"}})";
  CHECK_FALSE(run.seed());
}

TEST_CASE("a stage that has not ended is summed up from its updates") {
  RunLog run = sample_run();
  StageLog& stage = run.stages.back();
  stage.record.reset();
  stage.rollout_updates = {sample_update(1), sample_update(2)};
  stage.rollout_updates[1].log_prob_gap_mean = 8e-7;
  stage.rollout_updates[1].log_prob_gap_tokens = 100;
  stage.rollout_updates[1].log_prob_gap_max = 5e-6;
  stage.rollout_updates[1].refused = true;
  const StageRecord result = stage.result(30);
  CHECK(result.updates == 2);
  CHECK(result.refused_updates == 1);
  CHECK(result.wall_seconds == 10);
  CHECK(result.log_prob_gap_mean == doctest::Approx((2e-7 * 300 + 8e-7 * 100) / 400));
  CHECK(result.log_prob_gap_max == 5e-6);
  CHECK(result.ledger.trained_tokens == 1800);
  CHECK(result.ended == "running");
}

TEST_CASE("evaluations before and after join those made on the way") {
  RunLog run = sample_run();
  StageLog& stage = run.stages.back();
  stage.evaluations = {{9, 10, 128, 0.9, 0.97, 1, 30, 0.1}};
  const auto all = stage.all_evaluations();
  REQUIRE(all.size() == 3);
  CHECK(all[0].pass_rate_sampled == 0.31);
  CHECK(all[1].pass_rate_sampled == 0.9);
  CHECK(all[2].pass_rate_sampled == 0.99);
}

TEST_CASE("the main stage is the last rl stage") {
  RunLog run = sample_run();
  run.stages.push_back(StageLog{.kind = "eval", .name = "check"});
  REQUIRE(run.main_stage());
  CHECK(run.main_stage()->name == "reason");
  run.stages.resize(1);
  CHECK(run.main_stage() == nullptr);  // pretrain without an evaluation
}

TEST_CASE("imbalances of opposite sign do not hide each other") {
  LedgerRecord ledger;
  CHECK(imbalance(ledger) == 0);
  ledger.imbalance_rollouts = -3;
  ledger.imbalance_tokens = 3;
  CHECK(imbalance(ledger) == 6);
}

TEST_CASE("the mean lag weighs each lag with its tokens") {
  CHECK(mean_lag({300, 200, 500}) == doctest::Approx(1.2));
  CHECK(mean_lag({}) == 0);
}

}  // namespace troupe
