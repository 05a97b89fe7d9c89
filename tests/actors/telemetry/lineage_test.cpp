#include "actors/telemetry/lineage.hpp"

#include "actors/telemetry/telemetry.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {
namespace {

using Json = nlohmann::json;

std::vector<Json> lines_of(const TemporaryFolder& folder) {
  std::istringstream stream(folder.read("lineage.jsonl"));
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

TrainedUpdate sample_trained() {
  TrainedRollout rollout;
  rollout.key = {0xfedcba9876543210, 7, 1, 2};
  rollout.prompt_uid = 42;
  rollout.tokens = 5;
  rollout.generator = "gen-0";
  rollout.verifier = "ver-0";
  rollout.versions = {{3, 4}, {4, 1}};
  rollout.reward = 0.5;
  return {2, 9, 4, 8, false, {rollout}};
}

}  // namespace

TEST_CASE("the lineage of an update names each rollout with its versions") {
  const TemporaryFolder folder;
  Lineage lineage(
      folder.path / "lineage.jsonl", "demo", "0123", [] { return 1.5; }, [] {});
  lineage.trained(sample_trained());
  const Json line = lines_of(folder).at(1);
  CHECK(line["type"] == "trained");
  CHECK(line["stage"] == 2);
  CHECK(line["update"] == 9);
  CHECK(line["version"] == 4);
  CHECK(line["refused"] == false);
  const Json rollout = line["rollouts"][0];
  CHECK(rollout["id"] == "fedcba9876543210");  // as text: it does not fit a double
  CHECK(rollout["ticket"] == 7);
  CHECK(rollout["index"] == 1);
  CHECK(rollout["attempt"] == 2);
  CHECK(rollout["prompt"] == "000000000000002a");
  CHECK(rollout["generator"] == "gen-0");
  CHECK(rollout["verifier"] == "ver-0");
  CHECK(rollout["tokens"] == 5);
  CHECK(rollout["versions"] == Json{{3, 4}, {4, 1}});
  CHECK(rollout["reward"] == 0.5);
}

TEST_CASE("a dropped rollout of unknown length has no tokens in the lineage") {
  const TemporaryFolder folder;
  Lineage lineage(
      folder.path / "lineage.jsonl", "demo", "0123", [] { return 1.5; }, [] {});
  lineage.stage_begins(3);
  lineage.dropped({{1, 7, 0, 0}, "gen-0#1", "generator_lost", std::nullopt});
  lineage.dropped({{1, 7, 0, 0}, "gen-0#1", "late", 6});
  const auto lines = lines_of(folder);
  CHECK(lines.at(1)["stage"] == 3);
  CHECK(lines.at(1)["reason"] == "generator_lost");
  CHECK_FALSE(lines.at(1).contains("tokens"));
  CHECK(lines.at(2)["tokens"] == 6);
}

TEST_CASE("each line of the lineage hashes itself and all before it") {
  const TemporaryFolder folder, other;
  const auto write = [](const TemporaryFolder& to, std::uint64_t version) {
    Lineage lineage(
        to.path / "lineage.jsonl", "demo", "0123", [] { return 1.5; }, [] {});
    lineage.published(version, "aa");
    lineage.published(9, "bb");
    return lineage.end();
  };
  const LineageEnd end = write(folder, 3);
  CHECK(end.lines == 3);
  CHECK(end.chain.size() == 64);
  CHECK(lines_of(folder).back()["chain"] == end.chain);
  CHECK(write(other, 4).chain != end.chain);
  CHECK(lines_of(folder)[2]["digest"] == lines_of(other)[2]["digest"]);
}

TEST_CASE("a line of the lineage that cannot be written is told once") {
  int told = 0;
  Lineage lineage(
      "/dev/full", "demo", "0123", [] { return 0.0; }, [&] { ++told; });
  lineage.published(1, "aa");
  lineage.published(2, "bb");
  CHECK(told == 1);
}

TEST_CASE("the lineage is kept only if asked for and ends as the summary says") {
  const TemporaryFolder folder;
  TelemetryOptions options;
  options.run_directory = folder.path;
  options.quiet = true;
  {
    Telemetry without(options);
    CHECK(without.lineage() == nullptr);
    without.write_files("done");
    CHECK_FALSE(Json::parse(folder.read("summary.json")).contains("lineage"));
  }
  options.lineage = true;
  Telemetry telemetry(options);
  REQUIRE(telemetry.lineage() != nullptr);
  telemetry.stage_begins(1, "rl", "reason", 2);
  telemetry.lineage()->published(4, "aa");
  telemetry.write_files("done");
  const auto lines = lines_of(folder);
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["stage"] == 1);
  const Json summary = Json::parse(folder.read("summary.json"));
  CHECK(summary["lineage"]["lines"] == 2);
  CHECK(summary["lineage"]["chain"] == lines[1]["chain"]);
  CHECK(summary["peak_memory_bytes"] > 1'000'000);
}

}  // namespace troupe
