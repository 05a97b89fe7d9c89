#include "actors/telemetry/run_log.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

#include <set>

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
  stage.rollout_updates = {};
  stage.totals = {};
  stage.add(sample_update(1));
  RolloutUpdateRecord second = sample_update(2);
  second.log_prob_gap_mean = 8e-7;
  second.log_prob_gap_tokens = 100;
  second.log_prob_gap_max = 5e-6;
  second.refused = true;
  stage.add(second);
  const StageRecord result = stage.result(30);
  CHECK(result.updates == 2);
  CHECK(result.refused_updates == 1);
  CHECK(result.wall_seconds == 10);
  CHECK(result.log_prob_gap_mean == doctest::Approx((2e-7 * 300 + 8e-7 * 100) / 400));
  CHECK(result.log_prob_gap_max == 5e-6);
  CHECK(result.ledger.trained_tokens == 1800);
  CHECK(result.ended == "running");
}

TEST_CASE("a million updates leave a few records and sums over all of them") {
  constexpr std::int32_t kUpdates = 1'000'000;
  RunLog run;
  run.stages.push_back({.index = 1, .kind = "rl", .name = "long"});
  RolloutUpdateRecord update = sample_update(0);
  for (std::int32_t i = 1; i <= kUpdates; ++i) {
    update.update = i;
    update.refused = i % 1000 == 0;
    run.add(update);
  }
  const StageLog& stage = run.stage();
  CHECK(stage.rollout_updates.kept().size() <= Thinned<RolloutUpdateRecord>::kMost);
  CHECK(stage.updates_done() == kUpdates);
  CHECK(stage.result(0).refused_updates == kUpdates / 1000);
  CHECK(stage.result(0).log_prob_gap_mean == doctest::Approx(2e-7));
  CHECK(stage.totals.lag_histogram ==
        std::vector<std::uint64_t>{300'000'000, 200'000'000, 500'000'000});
  CHECK(run.history.added() == kUpdates);
  CHECK(run.history.points().size() <= RunLog::kPoints);
  CHECK(run.history.points().front().update == 1);
  CHECK(run.history.points().back().update == kUpdates);
}

TEST_CASE("of many events the newest are kept and all are counted") {
  RunLog run;
  for (int i = 0; i < 10'000; ++i)
    run.add({static_cast<double>(i), i % 10 == 0 ? "telemetry error" : "joined", "x"});
  CHECK(run.events.size() >= RunLog::kMostEvents / 2);
  CHECK(run.events.size() <= RunLog::kMostEvents);
  CHECK(run.events.back().seconds_since_start == 9999);
  CHECK(run.event_count == 10'000);
  CHECK(run.failure_count == 1'000);
}

TEST_CASE("the shares of a gate outlast the reports without one") {
  RunLog run;
  for (std::int32_t i = 1; i <= 50'000; ++i) {
    SupervisedRecord report;
    report.update = i;
    if (i % 5000 == 1) report.gate_share = 1e-5 * i;
    run.add(report);
  }
  REQUIRE(run.stage().probes.kept().size() == 10);
  CHECK(run.stage().probes.back().gate_share == doctest::Approx(0.45001));
}

TEST_CASE("refused updates stay in the curve of a long stage") {
  RunLog run;
  const std::set<std::int32_t> refused = {3, 5001, 5002, 49'000};
  for (std::int32_t i = 1; i <= 50'000; ++i) {
    RolloutUpdateRecord update = sample_update(i);
    update.refused = refused.contains(i);
    run.add(update);
  }
  const auto curve = run.stage().curve();
  CHECK(curve.size() <= 2 * Thinned<RolloutUpdateRecord>::kMost);
  std::set<std::int32_t> shown;
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (i > 0) CHECK(curve[i - 1].update < curve[i].update);
    if (curve[i].refused) shown.insert(curve[i].update);
  }
  CHECK(shown == refused);
  CHECK(curve.front().update == 1);
  CHECK(curve.back().update == 50'000);
}

TEST_CASE("evaluations before and after join those made on the way") {
  RunLog run = sample_run();
  StageLog& stage = run.stages.back();
  stage.evaluations.push_back({9, 10, 128, 0.9, 0.97, 1, 30, 0.1});
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
