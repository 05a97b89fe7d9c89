#pragma once
// A small run with figures that can be told apart, for the tests of the writers.
#include "actors/telemetry/run_log.hpp"

namespace troupe {

inline RolloutUpdateRecord sample_update(std::int32_t number) {
  RolloutUpdateRecord u;
  u.stage = 1;
  u.update = number;
  u.updates = 50;
  u.version = static_cast<std::uint64_t>(number) - 1;
  u.seconds_since_start = 20 + 0.25 * number;
  u.reward_mean = 0.912;
  u.pass_rate = 0.86;
  u.format_rate = 0.98;
  u.response_tokens_mean = 28.4;
  u.signal_share = 0.5;
  u.entropy = 0.125;
  u.clip_fraction_low = 0.01;
  u.clip_fraction_high = 0.02;
  u.ratio_mean = 1.001;
  u.gradient_norm = 0.7;
  u.log_prob_gap_mean = 2e-7;
  u.log_prob_gap_max = 1.1e-6;
  u.log_prob_gap_tokens = 300;
  u.trained_tokens = 1000;
  u.lag_histogram = {300, 200, 500};  // mean 1.2
  u.wait_seconds = 0.0625;
  u.train_seconds = 0.125;
  u.weights_digest = "00ff";
  return u;
}

inline LedgerRecord sample_ledger() {
  LedgerRecord l;
  l.open_rollouts = 7;
  l.generated_rollouts = 100;
  l.trained_rollouts = 60;
  l.buffered_rollouts = 20;
  l.in_flight_rollouts = 5;
  l.dropped_rollouts = {{"zero_signal", 14}, {"stale", 1}};
  l.generated_tokens = 3000;
  l.trained_tokens = 1800;
  l.buffered_tokens = 600;
  l.in_flight_tokens = 150;
  l.dropped_tokens = {{"zero_signal", 420}, {"stale", 30}};
  l.dropped_lengths = {{"zero_signal", {{32, 10}, {64, 4}}}, {"stale", {{0, 1}}}};
  l.trained_lengths = {{32, 40}, {64, 20}};
  l.tickets_granted = 13;
  l.max_lag = 2;
  return l;
}

inline StageRecord sample_stage() {
  StageRecord s;
  s.kind = "rl";
  s.name = "reason";
  s.wall_seconds = 12.5;
  s.updates = 50;
  s.ledger = sample_ledger();
  s.log_prob_gap_mean = 2e-7;
  s.log_prob_gap_max = 3.4e-6;
  s.actors = {{"generator-0", {6, 2}}, {"learner", {2, 6}}};
  s.generator_tokens_per_second = 98123;
  s.learner_tokens_per_second = 81000;
  s.before = EvaluationRecord{0, 0, 384, 0.31, 0.63, 0.78, 18.1, 0.5, 0.35};
  s.after = EvaluationRecord{50, 50, 384, 0.99, 1.0, 1.0, 30.0, 0.4};
  s.samples_before = {{"12+34=", "<answer>999</answer>", "046", "fail", 0.1}};
  s.samples_after = {{"12+34=", "<think>2+4+0=06</think><answer>046</answer>", "046", "pass", 1.1}};
  s.ended = "done";
  return s;
}

inline RunLog sample_run() {
  RunLog run;
  run.id = "00112233445566778899aabbccddeeff";
  run.name = "demo";
  run.config_json = R"({"run":{"seed":7},"replay-buffer":{"staleness-bound":2}})";
  run.config_digest = "0123456789abcdef";
  run.model_description = "2 layers";
  run.build_description = "troupe 0.1.0";
  run.started = "2026-01-31T23:00:00Z";
  run.finished = "2026-01-31T23:00:33Z";
  run.wall_seconds = 33;
  run.ended = "done";
  StageLog base{
      .index = 0, .updates = 200, .kind = "pretrain", .name = "base", .begin = 0, .end = 20};
  base.record = StageRecord{.kind = "pretrain", .name = "base", .wall_seconds = 20, .updates = 200};
  base.record->loss = 0.25;
  base.record->gate_share = 0.9375;
  base.record->ended = "done";
  StageLog rl{.index = 1, .updates = 50, .kind = "rl", .name = "reason", .begin = 20, .end = 32.5};
  rl.ledger = sample_ledger();
  rl.record = sample_stage();
  run.stages = {base};
  run.add(SupervisedRecord{0, 100, 200, 10, 1.5, 5e-3, 1, 48000, {}});
  run.add(SupervisedRecord{0, 200, 200, 20, 0.25, 5e-4, 1, 48000, 0.9375});
  run.stages.push_back(rl);
  for (std::int32_t i = 1; i <= 50; ++i) run.add(sample_update(i));
  run.add({21.5, "restart", "generator-0 died"});
  run.actors = {{"generator-0", {{"decode", true, 20, 26}, {"wait for weights", false, 26, 28}}},
                {"learner", {{"wait for batch", false, 20, 26}, {"train", true, 26, 28}}}};
  return run;
}

}  // namespace troupe
