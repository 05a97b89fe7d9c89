#include "actors/telemetry/rollout_log.hpp"

#include "tests/actors/telemetry/sample_rollout.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <fstream>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

TEST_CASE("a rollout comes back from its line as it was") {
  const RolloutView rollout = sample_rollout(7, 0.25);
  const auto read = rollout_of_line(rollout_line(rollout));
  REQUIRE(read.has_value());
  CHECK(rollout_line(*read) == rollout_line(rollout));
  CHECK(read->pieces == rollout.pieces);
  CHECK(read->versions == rollout.versions);
  CHECK(read->reward == 0.25);
}

TEST_CASE("a torn line or one of another kind is no rollout") {
  const std::string line = rollout_line(sample_rollout(1, 0));
  CHECK(!rollout_of_line(line.substr(0, line.size() / 2)));
  CHECK(!rollout_of_line("{\"type\":\"rollout\"}"));
  CHECK(!rollout_of_line("{\"type\":\"event\",\"seconds\":1}"));
  CHECK(!rollout_of_line("[1]"));
}

TEST_CASE("lag is of the oldest token and the gap the largest of those measured") {
  RolloutView rollout = sample_rollout(1, 0);
  CHECK(rollout.lag() == 2);
  REQUIRE(rollout.gap().has_value());
  CHECK(*rollout.gap() == doctest::Approx(0.25));
  rollout.learner_log_probs.clear();
  CHECK(!rollout.gap());
}

TEST_CASE("a shelf keeps the newest and the worst and the flagged and no more") {
  RolloutShelf shelf(2);
  for (int i = 1; i <= 1000; ++i) {
    RolloutView rollout = sample_rollout(i, i);
    rollout.truncated = i == 500;
    rollout.learner_log_probs.clear();
    shelf.add(std::make_shared<const RolloutView>(rollout));
  }
  std::vector<std::int32_t> updates;
  for (const auto& rollout : shelf.all()) updates.push_back(rollout->update);
  CHECK(updates == std::vector<std::int32_t>{1000, 999, 500, 2, 1});
  CHECK(shelf.added() == 1000);
}

TEST_CASE("the file takes no more than its bytes and the loss is told once") {
  const TemporaryFolder folder;
  int told = 0;
  const std::size_t line = rollout_line(sample_rollout(1, 0)).size();
  RolloutLog log(folder.path / "rollouts.jsonl",
                 {.per_update = 4, .most_bytes = 2 * line + 1, .piece = {}},
                 [&](const std::string&) { ++told; });
  for (int i = 1; i <= 5; ++i) log.add(sample_rollout(i, 0));
  CHECK(told == 1);
  CHECK(log.all().size() == 5);
  std::ifstream in(folder.path / "rollouts.jsonl");
  int lines = 0;
  for (std::string text; std::getline(in, text);) lines += rollout_of_line(text).has_value();
  CHECK(lines == 2);
}

}  // namespace troupe

TEST_SUITE_END();
