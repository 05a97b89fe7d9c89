#include "actors/telemetry/summary.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

using Json = nlohmann::json;

TEST_CASE("the summary tells which run it is of") {
  const Json j = Json::parse(summary_json(sample_run()));
  CHECK(j["troupe_summary_version"] == 1);
  CHECK(j["run"] == "demo");
  CHECK(j["seed"] == 7);
  CHECK(j["config_digest"] == "0123456789abcdef");
  CHECK(j["started_at"] == "2026-01-31T23:00:00Z");
  CHECK(j["ended_at"] == "2026-01-31T23:00:33Z");
  CHECK(j["wall_seconds"] == 33);
  CHECK(j["ended"] == "done");
  CHECK(j["stages"].size() == 2);
}

TEST_CASE("an rl stage has every figure under its documented name") {
  const Json s = Json::parse(summary_json(sample_run()))["stages"][1];
  CHECK(s["kind"] == "rl");
  CHECK(s["name"] == "reason");
  CHECK(s["wall_seconds"] == 12.5);
  CHECK(s["updates"] == 50);
  CHECK(s["generated_tokens"] == 3000);
  CHECK(s["trained_tokens"] == 1800);
  CHECK(s["dropped_tokens"] == Json{{"zero_signal", 420}, {"stale", 30}});
  CHECK(s["dropped_rollouts"] == Json{{"zero_signal", 14}, {"stale", 1}});
  CHECK(s["ledger"]["dropped_lengths"] ==
        Json{{"zero_signal", {{"32", 10}, {"64", 4}}}, {"stale", {{"unknown", 1}}}});
  CHECK(s["ledger"]["trained_lengths"] == Json{{"32", 40}, {"64", 20}});
  CHECK(s["max_lag"] == 2);
  CHECK(s["tokens_beyond_bound"] == 0);
  CHECK(s["ledger_imbalance"] == 0);
  CHECK(s["log_prob_gap"]["mean"] == 2e-7);
  CHECK(s["log_prob_gap"]["max"] == 3.4e-6);
  CHECK(s["idle_ratio"] == Json{{"generator-0", 0.25}, {"learner", 0.75}});
  CHECK(s["generator_tokens_per_second"] == 98123);
  CHECK(s["learner_tokens_per_second"] == 81000);
  CHECK(s["before"]["pass_rate_sampled"] == 0.31);
  CHECK(s["before"]["pass_rate_greedy"] == 0.63);
  CHECK(s["before"]["format_rate"] == 0.78);
  CHECK(s["before"]["mean_response_tokens"] == 18.1);
  CHECK(s["before"]["reward_mean"] == 0.35);
  CHECK(s["after"]["pass_rate_sampled"] == 0.99);
  CHECK(s["ledger"]["in_flight_rollouts"] == 5);
}

TEST_CASE("an imbalance of the ledger shows in the summary") {
  RunLog run = sample_run();
  run.stages[1].record->ledger.imbalance_tokens = -4;
  run.stages[1].record->ledger.tokens_beyond_bound = 9;
  const Json s = Json::parse(summary_json(run))["stages"][1];
  CHECK(s["ledger_imbalance"] == 4);
  CHECK(s["tokens_beyond_bound"] == 9);
}

TEST_CASE("fields that do not apply to a stage are absent") {
  const Json s = Json::parse(summary_json(sample_run()))["stages"][0];
  CHECK(s["loss"] == 0.25);
  CHECK(s["gate_share"] == 0.9375);
  for (const char* field :
       {"generated_tokens", "log_prob_gap", "ledger", "before", "after", "idle_ratio"}) {
    CAPTURE(field);
    CHECK_FALSE(s.contains(field));
  }
}

TEST_CASE("a figure that is not a number is null and broken bytes do not stop the summary") {
  RunLog run = sample_run();
  run.name = "bad \xff name";
  run.stages[1].record->log_prob_gap_mean = std::numeric_limits<double>::quiet_NaN();
  run.stages[1].record->after->format_rate = std::numeric_limits<double>::infinity();
  const Json j = Json::parse(summary_json(run));
  CHECK(j["stages"][1]["log_prob_gap"]["mean"].is_null());
  CHECK(j["stages"][1]["after"]["format_rate"].is_null());
}

}  // namespace troupe
