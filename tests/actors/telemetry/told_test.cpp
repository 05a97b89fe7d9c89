#include "actors/telemetry/told.hpp"

#include "actors/telemetry/metrics_jsonl.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "tests/actors/telemetry/sample_run.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

RolloutUpdateRecord update_of(std::int32_t number) {
  RolloutUpdateRecord update = sample_update(number);
  update.stage = 1;
  update.seconds_since_start = number;
  return update;
}

/// A process that hears of `updates` updates, an event and an evaluation, from the run's start on.
void hear(Telemetry& telemetry, std::int32_t updates) {
  telemetry.stage_begins(1, "rl", "reason", 50);
  telemetry.event_elsewhere({1, "joined", "replay-buffer: gen-0"});
  for (std::int32_t i = 1; i <= updates; ++i) telemetry.record(update_of(i));
  telemetry.record(EvaluationRecord{.version = 2, .update = 2, .seconds = 0.1});
}

std::vector<std::string> said_lines(const std::string& type, const TemporaryFolder& folder) {
  std::istringstream stream(folder.read("metrics.jsonl"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);)
    if (nlohmann::json::parse(line)["type"] == type) lines.push_back(line);
  return lines;
}

std::size_t logged(const TemporaryFolder& folder, const std::string& text) {
  const std::string log = folder.read("log.jsonl");
  std::size_t count = 0;
  for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; ++at) ++count;
  return count;
}

std::vector<std::filesystem::path> event_files(const TemporaryFolder& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path))
    if (entry.path().filename().string().starts_with("events.out.")) files.push_back(entry.path());
  return files;
}

TelemetryOptions options_in(const TemporaryFolder& folder) {
  TelemetryOptions options;
  options.run_directory = folder.path;
  options.quiet = true;
  options.tensorboard = true;
  return options;
}

}  // namespace

TEST_CASE("of a file of another process the newest update and each other line are known") {
  const TemporaryFolder folder;
  {
    Telemetry first(options_in(folder));
    hear(first, 3);
  }
  Told told = read_told(folder.path / "metrics.jsonl");
  REQUIRE(told.newest);
  CHECK(told.has(0, 50));
  CHECK(told.has(1, 3));
  CHECK_FALSE(told.has(1, 4));
  CHECK_FALSE(told.has(2, 1));
  const std::string event = event_line({7, "joined", "replay-buffer: gen-0"});  // at another time
  CHECK(told.take(event));
  CHECK_FALSE(told.take(event));  // it was said once
  CHECK_FALSE(told.take(event_line({1, "joined", "replay-buffer: gen-1"})));
  CHECK(told.take(evaluation_line({.version = 2, .update = 2, .seconds = 9}, 1, 20)));
}

TEST_CASE("a line that was cut short was not said") {
  const TemporaryFolder folder;
  std::ofstream(folder.path / "metrics.jsonl") << update_line_json(update_of(1)) << "\n"
                                               << update_line_json(update_of(2));
  CHECK_FALSE(read_told(folder.path / "metrics.jsonl").has(1, 2));
  CHECK(read_told(folder.path / "metrics.jsonl").has(1, 1));
  CHECK_FALSE(read_told(folder.path / "nothing").newest);
}

TEST_CASE("who goes on with a run has whole files and says nothing twice") {
  const TemporaryFolder folder;
  std::size_t bytes = 0;
  {
    Telemetry first(options_in(folder));
    hear(first, 3);
    const auto files = event_files(folder);
    REQUIRE(files.size() == 1);
    bytes = std::filesystem::file_size(files[0]);
    std::filesystem::rename(files[0], folder.path / "events.out.tfevents.1.troupe");
  }
  Telemetry second(options_in(folder));
  second.began_before(3600);
  hear(second, 3);
  CHECK(said_lines("update", folder).size() == 3);
  CHECK(said_lines("event", folder).size() == 1);
  CHECK(logged(folder, "replay-buffer: gen-0") == 1);
  second.event_elsewhere({2, "joined", "replay-buffer: gen-0"});  // again
  CHECK(logged(folder, "replay-buffer: gen-0") == 2);
  const auto files = event_files(folder);
  REQUIRE(files.size() == 1);
  CHECK(std::filesystem::file_size(files[0]) == bytes);
}

TEST_CASE("what an older run left in the folder does not silence another") {
  const TemporaryFolder folder;
  {
    Telemetry first(options_in(folder));
    hear(first, 3);
  }
  std::filesystem::last_write_time(
      folder.path / "metrics.jsonl",
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  Telemetry second(options_in(folder));
  second.began_before(3600);
  hear(second, 3);
  CHECK(logged(folder, "replay-buffer: gen-0") == 2);
}

TEST_CASE("an event elsewhere is shown with its time and counted where it was") {
  const TemporaryFolder folder;
  Telemetry telemetry(options_in(folder));
  std::vector<std::string> heard;
  telemetry.listen({{}, {}, {}, [&](const EventRecord& event) { heard.push_back(event.text); }});
  const std::string before = telemetry.metrics().expose();
  telemetry.event_elsewhere({12, "link_lost", "replay-buffer: gen-0"});
  CHECK(telemetry.metrics().expose() == before);
  CHECK(heard.empty());
  const auto lines = said_lines("event", folder);
  REQUIRE(lines.size() == 1);
  CHECK(nlohmann::json::parse(lines[0])["seconds"] == 12);
  telemetry.event("joined", "gen-1");
  CHECK(heard == std::vector<std::string>{"gen-1"});
}

TEST_CASE("an actor elsewhere is at what its process says") {
  const TemporaryFolder folder;
  Telemetry telemetry(options_in(folder));
  telemetry.peer("gen-0", true);
  telemetry.peer_says({"gen-0", "decode", {1, 2}, 7});
  telemetry.activity("learner").enter("train", true);
  const auto actors = telemetry.actors();
  REQUIRE(actors.size() == 2);
  CHECK(actors[0].phase == "decode");
  CHECK(actors[0].version == 7);
  CHECK(actors[1].phase == "train");
  CHECK(actors[0].away == true);
  CHECK_FALSE(actors[1].version);
  CHECK_FALSE(actors[1].away);
}

TEST_SUITE_END();

}  // namespace troupe
