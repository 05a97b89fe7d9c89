#include "actors/telemetry/metrics_export.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

bool has_line(const Metrics& metrics, const std::string& line) {
  std::string page = metrics.expose();
  page.insert(page.begin(), '\n');  // GCC 12 warns falsely of "\n" + page (its bug 105651)
  std::string whole = line;
  whole.insert(whole.begin(), '\n');
  whole.push_back('\n');
  return page.find(whole) != std::string::npos;
}

}  // namespace

TEST_CASE("an update's figures are exported") {
  Metrics metrics;
  export_run(metrics, sample_update(12), "addition");
  export_learner(metrics, sample_update(12));
  CHECK(has_line(metrics, "troupe_run_update 12"));
  CHECK(has_line(metrics, "troupe_run_updates_planned 50"));
  CHECK(has_line(metrics, "troupe_trust_reward_mean{env=\"addition\"} 0.912"));
  CHECK(metrics.gauge("troupe_run_pass_rate").Value() == 0.86);
  CHECK(metrics.gauge("troupe_run_response_length_tokens").Value() == 28.4);
  CHECK(metrics.gauge("troupe_learner_version").Value() == 12);
  CHECK(metrics.counter("troupe_learner_updates_total").Value() == 1);
  CHECK(metrics.counter("troupe_learner_trained_tokens_total").Value() == 1000);
  CHECK(metrics.counter("troupe_learner_wait_for_data_seconds_total").Value() == 0.0625);
  CHECK(metrics.gauge("troupe_learner_clip_fraction_ratio").Value() == doctest::Approx(0.03));
  CHECK(metrics.gauge("troupe_learner_entropy_nats").Value() == 0.125);
  CHECK(metrics.gauge("troupe_learner_train_gen_logprob_gap_highest").Value() == 1.1e-6);
  CHECK(has_line(metrics, "troupe_learner_update_seconds_sum{phase=\"train\"} 0.125"));
  CHECK(has_line(metrics, "troupe_learner_train_gen_logprob_gap_count 1"));
}

TEST_CASE("every trained token is counted at its lag") {
  Metrics metrics;
  export_learner(metrics, sample_update(1));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"0\"} 300"));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"1\"} 500"));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"2\"} 1000"));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_sum 1200"));
}

TEST_CASE("a lag beyond the last bucket is counted and a lag between two buckets goes up") {
  Metrics metrics;
  RolloutUpdateRecord update;
  update.lag_histogram.assign(41, 0);
  update.lag_histogram[5] = 1;
  update.lag_histogram[40] = 1;
  export_learner(metrics, update);
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"4\"} 0"));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"6\"} 1"));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"32\"} 1"));
  CHECK(has_line(metrics, "troupe_learner_staleness_versions_bucket{le=\"+Inf\"} 2"));
}

TEST_CASE("a refused update counts as refused and not as published") {
  Metrics metrics;
  auto update = sample_update(3);
  update.refused = true;
  export_learner(metrics, update);
  CHECK(metrics.counter("troupe_learner_nan_updates_total").Value() == 1);
  CHECK(metrics.counter("troupe_learner_updates_total").Value() == 0);
  CHECK(metrics.gauge("troupe_learner_version").Value() == 0);
}

TEST_CASE("the ledger's terms are exported and drops grow by the difference") {
  Metrics metrics;
  auto ledger = sample_ledger();
  export_record(metrics, ledger, {});
  const auto before = ledger;
  ledger.dropped_rollouts["stale"] += 4;
  ledger.tokens_beyond_bound = 3;
  ledger.imbalance_rollouts = -2;
  ledger.imbalance_tokens = 5;
  export_record(metrics, ledger, before);
  CHECK(has_line(metrics, "troupe_ledger_rollouts{state=\"open\"} 7"));
  CHECK(has_line(metrics, "troupe_ledger_rollouts{state=\"generated\"} 100"));
  CHECK(has_line(metrics, "troupe_ledger_rollouts{state=\"trained\"} 60"));
  CHECK(has_line(metrics, "troupe_ledger_rollouts{state=\"buffered\"} 20"));
  CHECK(has_line(metrics, "troupe_ledger_rollouts{state=\"in_flight\"} 5"));
  CHECK(has_line(metrics, "troupe_ledger_tokens{state=\"trained\"} 1800"));
  CHECK(has_line(metrics, "troupe_ledger_dropped_rollouts_total{reason=\"stale\"} 5"));
  CHECK(has_line(metrics, "troupe_ledger_dropped_rollouts_total{reason=\"zero_signal\"} 14"));
  CHECK(has_line(metrics, "troupe_ledger_dropped_tokens_total{reason=\"zero_signal\"} 420"));
  CHECK(has_line(metrics, "troupe_ledger_tokens_beyond_bound_total 3"));
  CHECK(has_line(metrics, "troupe_ledger_imbalance 7"));
  CHECK(has_line(metrics, "troupe_ledger_max_lag_versions 2"));
}

TEST_CASE("lengths of trained and dropped rollouts are exported where known") {
  Metrics metrics;
  auto ledger = sample_ledger();
  export_record(metrics, ledger, {});
  const auto before = ledger;
  ++ledger.dropped_lengths["zero_signal"][64];
  ledger.dropped_tokens["zero_signal"] += 50;
  ++ledger.trained_lengths[1u << 20];
  export_record(metrics, ledger, before);
  const std::string dropped = "troupe_ledger_dropped_length_tokens_";
  CHECK(has_line(metrics, dropped + "bucket{reason=\"zero_signal\",le=\"16\"} 0"));
  CHECK(has_line(metrics, dropped + "bucket{reason=\"zero_signal\",le=\"32\"} 10"));
  CHECK(has_line(metrics, dropped + "bucket{reason=\"zero_signal\",le=\"64\"} 15"));
  CHECK(has_line(metrics, dropped + "sum{reason=\"zero_signal\"} 470"));
  CHECK(has_line(metrics, dropped + "count{reason=\"stale\"} 0"));
  CHECK(has_line(metrics, "troupe_ledger_trained_length_tokens_bucket{le=\"65536\"} 60"));
  CHECK(has_line(metrics, "troupe_ledger_trained_length_tokens_count 61"));
}

TEST_CASE("a rollout's length falls into the next power of two from 16 on") {
  CHECK(length_bucket(0) == 16);
  CHECK(length_bucket(16) == 16);
  CHECK(length_bucket(17) == 32);
  CHECK(length_bucket(64) == 64);
  CHECK(length_bucket(~std::uint64_t{0}) == std::uint64_t{1} << 32);
}

TEST_CASE("a new ledger counts in full on top of the old one") {
  Metrics metrics;
  export_record(metrics, sample_ledger(), {});
  LedgerRecord fresh;
  fresh.generated_rollouts = 20;
  fresh.dropped_rollouts = {{"zero_signal", 16}};  // more than before: only the total tells
  export_record(metrics, fresh, sample_ledger());
  CHECK(metrics.counter("troupe_ledger_dropped_rollouts_total", "zero_signal").Value() == 30);
}

TEST_CASE("an evaluation is exported by mode") {
  Metrics metrics;
  export_record(metrics, EvaluationRecord{9, 10, 128, 0.9, 0.97, 0.99, 29.5, 0.4, 0.875}, "jsonl");
  CHECK(has_line(metrics, "troupe_trust_holdout_reward_mean{env=\"jsonl\"} 0.875"));
  CHECK(metrics.gauge("troupe_evaluation_pass_rate", "sampled").Value() == 0.9);
  CHECK(metrics.gauge("troupe_evaluation_pass_rate", "greedy").Value() == 0.97);
  CHECK(metrics.gauge("troupe_evaluation_format_rate").Value() == 0.99);
  CHECK(metrics.gauge("troupe_evaluation_response_length_tokens").Value() == 29.5);
}

TEST_CASE("what was handed over is counted as it grows and anew with a new ledger") {
  Metrics metrics;
  LedgerRecord first, second;
  first.tickets_granted = second.tickets_granted = 9;
  first.handed_over_rollouts = 2;
  first.handed_over_tokens = 30;
  second.handed_over_rollouts = 3;
  second.handed_over_tokens = 35;
  export_record(metrics, first, {});
  export_record(metrics, second, first);
  CHECK(metrics.counter("troupe_ledger_handed_over_rollouts_total").Value() == 3);
  CHECK(metrics.counter("troupe_ledger_handed_over_tokens_total").Value() == 35);
  LedgerRecord other;
  other.handed_over_tokens = 4;
  export_record(metrics, other, second);
  CHECK(metrics.counter("troupe_ledger_handed_over_tokens_total").Value() == 39);
}

}  // namespace troupe
