#include "actors/telemetry/rollout_log.hpp"

#include "tests/actors/telemetry/sample_rollout.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"
#include "tests/support/shown_rollouts.hpp"

#include <doctest/doctest.h>

#include <fstream>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

constexpr std::int32_t kVocabulary = 20;

std::string text_of(std::int32_t token) {
  return token < kVocabulary ? "<" + std::to_string(token) + ">" : "";
}

}  // namespace

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
                 {.per_update = 4, .most_bytes = 2 * line + 1, .piece = text_of},
                 {.lost = [&](const std::string&) { ++told; }, .unreadable = {}});
  for (int i = 1; i <= 5; ++i) log.add(sample_rollout(i, 0));
  CHECK(told == 1);
  CHECK(log.all().size() == 5);
  std::ifstream in(folder.path / "rollouts.jsonl");
  int lines = 0;
  for (std::string text; std::getline(in, text);) lines += rollout_of_line(text).has_value();
  CHECK(lines == 2);
}

TEST_CASE("a rollout is handed on as it is and written down where its tokens can be read") {
  const TemporaryFolder folder;
  const auto here = folder.path / "rollouts.jsonl", there = folder.path / "elsewhere.jsonl";
  RolloutLog reading(here, {.per_update = 4, .most_bytes = 1 << 20, .piece = text_of}, {});
  RolloutLog passing(there, {.per_update = 4, .most_bytes = 1 << 20, .piece = {}}, {});
  passing.show(support::shown());  // to nobody
  passing.hand_on([&](const ShownRollout& rollout) { reading.show(rollout); });
  passing.show(support::shown());
  CHECK(passing.all().empty());
  CHECK_FALSE(std::filesystem::exists(there));
  REQUIRE(reading.all().size() == 1);
  std::ifstream in(here);
  std::string text;
  std::getline(in, text);
  const auto written = rollout_of_line(text);
  REQUIRE(written.has_value());
  CHECK(written->id == "0000000000000005");
  CHECK(written->prompt_uid == "000000000000002a");
  CHECK(written->ticket == 6);
  CHECK(written->index == 2);
  CHECK(written->attempt == 1);
  CHECK(written->stage == 1);
  CHECK(written->update == 3);
  CHECK(written->trained_at == 9);
  CHECK(written->outcome == "fail");
  CHECK(written->reason == "no answer");
  CHECK(written->reward == 0.25);
  CHECK(written->pieces == std::vector<std::string>{"<1>", "<7>", "<8>", "<9>", "<2>"});
  CHECK(written->learner_log_probs == std::vector<float>{-0.25f, -0.25f, -0.25f});
}

TEST_CASE("a rollout with a token that there is not is counted and not shown") {
  const TemporaryFolder folder;
  int unreadable = 0;
  RolloutLog log(folder.path / "rollouts.jsonl",
                 {.per_update = 4, .most_bytes = 1 << 20, .piece = text_of},
                 {.lost = {}, .unreadable = [&] { ++unreadable; }});
  log.show(support::shown({.tokens = {1, 7, 8, kVocabulary}}));
  CHECK(unreadable == 1);
  CHECK(log.all().empty());
  log.show(support::shown({.tokens = {1, 7, 8, kVocabulary - 1}}));
  CHECK(unreadable == 1);
  CHECK(log.all().size() == 1);
}

}  // namespace troupe

TEST_SUITE_END();
