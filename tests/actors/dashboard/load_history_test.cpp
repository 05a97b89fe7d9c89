#include "actors/dashboard/load_history.hpp"

#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/dashboard");

namespace troupe {

namespace {

LoadSample sample_at(double seconds) {
  return {seconds, 0.25, {}, 0.5, 3, 20, 5};
}

}  // namespace

TEST_CASE("a sample is a line that reads back the same without what is not known") {
  const auto json = load_json(sample_at(2));
  CHECK(json["idle"]["generators"] == 0.25);
  CHECK_FALSE(json["idle"].contains("verifiers"));
  CHECK(json["rollouts"]["in_flight"] == 5);
  const auto read = load_of_line(json.dump());
  REQUIRE(read);
  CHECK(load_json(*read) == json);
  CHECK_FALSE(load_of_line(json.dump().substr(0, 20)));
  CHECK_FALSE(load_of_line("[2]"));
}

TEST_CASE("the load of a run is read from its directory as it was kept") {
  const TemporaryFolder folder;
  LoadHistory live(folder.path / "load.jsonl");
  for (int i = 1; i <= 3000; ++i) live.add(sample_at(2 * i));
  CHECK(live.samples().kept().size() <= Thinned<LoadSample>::kMost);
  std::ofstream(folder.path / "load.jsonl", std::ios::app) << R"({"seconds":60)";  // torn
  const LoadHistory read = read_load(folder.path);
  CHECK(read.samples().added() == 3000);
  CHECK(load_history_json(read.samples()) == load_history_json(live.samples()));
  CHECK(read_load(folder.path / "nowhere").samples().empty());
}

TEST_CASE("every row of the history has a value or null for each column") {
  LoadHistory history;
  history.add(sample_at(4));
  const auto json = load_history_json(history.samples());
  CHECK(json["columns"].size() == json["samples"][0].size());
  CHECK(json["samples"][0][0] == 4);
  CHECK(json["columns"][2] == "verifiers");
  CHECK(json["samples"][0][2].is_null());
  CHECK(json["samples"][0][5] == 20);
}

TEST_CASE("the meter tells the shares since the sample before and begins anew with a stage") {
  LoadMeter meter;
  CHECK(meter.since_before({{"learner", {3, 1}}}).learner == 0.25);
  CHECK(meter.since_before({{"learner", {3, 3}}}).learner == 1);   // two seconds idle
  CHECK_FALSE(meter.since_before({{"learner", {3, 3}}}).learner);  // has not told since
  CHECK(meter.since_before({{"learner", {1, 1}}}).learner == 0.5);
}

}  // namespace troupe

TEST_SUITE_END();
