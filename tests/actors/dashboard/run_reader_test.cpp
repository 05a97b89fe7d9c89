#include "actors/dashboard/run_reader.hpp"

#include "actors/telemetry/metrics_jsonl.hpp"
#include "actors/telemetry/summary.hpp"
#include "tests/actors/telemetry/sample_rollout.hpp"
#include "tests/actors/telemetry/sample_run.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/dashboard");

namespace troupe {

namespace {

void write_run(const std::filesystem::path& folder, const RunLog& run) {
  std::ofstream out(folder / "metrics.jsonl");
  out << run_line(run) << "\n";
  for (const StageLog& stage : run.stages) {
    out << stage_begins_line(stage) << "\n";
    for (const auto& update : stage.supervised_updates.kept())
      out << update_line_json(update) << "\n";
    for (const auto& update : stage.rollout_updates.kept()) out << update_line_json(update) << "\n";
    out << ledger_line(stage.ledger, stage.index, 30) << "\n";
    out << stage_ends_line(*stage.record, *stage.end) << "\n";
  }
  for (const EventRecord& event : run.events) out << event_line(event) << "\n";
}

}  // namespace

TEST_CASE("a long run directory is thinned as it was while the run went on") {
  constexpr std::int32_t kUpdates = 5000;
  TemporaryFolder folder;
  {
    std::ofstream out(folder.path / "metrics.jsonl");
    for (std::int32_t i = 1; i <= kUpdates; ++i) out << update_line_json(sample_update(i)) << "\n";
  }
  const RunLog read = read_run(folder.path);
  const auto& kept = read.stages[0].rollout_updates.kept();
  CHECK(kept.size() <= Thinned<RolloutUpdateRecord>::kMost);
  CHECK(kept.front().update == 1);
  CHECK(kept.back().update == kUpdates);
  CHECK(read.history.added() == kUpdates);
  CHECK(read.history.points().size() <= RunLog::kPoints);
}

TEST_CASE("a run directory tells what the run recorded") {
  const TemporaryFolder folder;
  const RunLog run = sample_run();
  write_run(folder.path, run);
  std::ofstream(folder.path / "summary.json") << summary_json(run);
  const RunLog read = read_run(folder.path);
  CHECK(read.name == "demo");
  CHECK(read.ended == "done");
  CHECK(read.wall_seconds == 33);
  REQUIRE(read.stages.size() == 2);
  REQUIRE(read.stages[0].supervised_updates.kept().size() == 2);
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(update_line_json(read.stages[0].supervised_updates.kept()[i]) ==
          update_line_json(run.stages[0].supervised_updates.kept()[i]));
  const StageLog& rl = read.stages[1];
  REQUIRE(rl.rollout_updates.kept().size() == 50);
  // Written again, every figure that is in the file is the same.
  CHECK(update_line_json(rl.rollout_updates.kept()[6]).substr(0, 300) ==
        update_line_json(run.stages[1].rollout_updates.kept()[6]).substr(0, 300));
  CHECK(rl.rollout_updates.kept()[6].lag_histogram ==
        run.stages[1].rollout_updates.kept()[6].lag_histogram);
  CHECK(rl.rollout_updates.kept()[6].weights_digest == "00ff");
  CHECK(rl.ledger.trained_rollouts == 60);
  CHECK(rl.ledger.dropped_rollouts.at("zero_signal") == 14);
  REQUIRE(rl.record.has_value());
  CHECK(rl.record->actors.at("learner").idle_ratio() == doctest::Approx(0.75));
  REQUIRE(rl.record->after.has_value());
  CHECK(rl.record->after->pass_rate_greedy == doctest::Approx(1.0));
  REQUIRE(read.events.size() == 1);
  CHECK(read.events[0].text == "generator-0 died");
  CHECK(read.id == run.id);
}

TEST_CASE("a run that was killed is read up to its last whole line") {
  const TemporaryFolder folder;
  write_run(folder.path, sample_run());
  std::ofstream(folder.path / "metrics.jsonl", std::ios::app) << "{\"type\":\"update\",\"upd";
  const RunLog read = read_run(folder.path);
  CHECK(read.ended.empty());
  CHECK(read.stages[1].rollout_updates.kept().size() == 50);
}

TEST_CASE("a folder that is of no run is refused by name") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_run(folder.path), doctest::Contains("metrics.jsonl"),
                       std::runtime_error);
}

TEST_CASE("rollouts are read from their file and none if it is not there") {
  const TemporaryFolder folder;
  CHECK(read_rollouts(folder.path).all().empty());
  std::ofstream(folder.path / "rollouts.jsonl") << rollout_line(sample_rollout(1, 0)) << "\n"
                                                << rollout_line(sample_rollout(2, 1)) << "\n{\"ty";
  const auto rollouts = read_rollouts(folder.path).all();
  REQUIRE(rollouts.size() == 2);
  CHECK(rollouts[0]->update == 2);
}

}  // namespace troupe

TEST_SUITE_END();
