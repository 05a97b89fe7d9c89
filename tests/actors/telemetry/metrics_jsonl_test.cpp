#include "actors/telemetry/metrics_jsonl.hpp"

#include "actors/telemetry/line_file.hpp"
#include "tests/actors/telemetry/sample_run.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

using Json = nlohmann::json;

TEST_CASE("an update is one line with its figures") {
  const std::string line = update_line_json(sample_update(12));
  CHECK(line.find('\n') == std::string::npos);
  const Json j = Json::parse(line);
  CHECK(j["type"] == "update");
  CHECK(j["update"] == 12);
  CHECK(j["version"] == 11);
  CHECK(j["reward_mean"] == 0.912);
  CHECK(j["mean_response_tokens"] == 28.4);
  CHECK(j["log_prob_gap"]["max"] == 1.1e-6);
  CHECK(j["lag_histogram"] == Json{300, 200, 500});
  CHECK(j["refused"] == false);
  CHECK(j["weights_digest"] == "00ff");
}

TEST_CASE("a supervised line has a gate where there is one and its share when it was probed") {
  auto updates = sample_run().stages[0].supervised_updates.kept();
  CHECK_FALSE(Json::parse(update_line_json(updates[0])).contains("gate_share"));
  CHECK_FALSE(Json::parse(update_line_json(updates[0])).contains("gate"));
  updates[0].gate = 0.93;
  updates[0].gate_limit = 6000;
  CHECK(Json::parse(update_line_json(updates[0]))["gate"] == 0.93);
  CHECK(Json::parse(update_line_json(updates[0]))["gate_limit"] == 6000);
  const Json j = Json::parse(update_line_json(updates[1]));
  CHECK(j["type"] == "supervised");
  CHECK(j["gate_share"] == 0.9375);
  CHECK(j["loss"] == 0.25);
}

TEST_CASE("evaluation and ledger and event lines say when they were") {
  const Json e = Json::parse(evaluation_line({9, 10, 128, 0.9, 0.97, 0.99, 29.5, 0.4}, 1, 23.5));
  CHECK(e["type"] == "evaluation");
  CHECK(e["seconds"] == 23.5);
  CHECK(e["stage"] == 1);
  CHECK(e["update"] == 10);
  CHECK(e["pass_rate_greedy"] == 0.97);
  CHECK(e["evaluation_seconds"] == 0.4);
  const Json l = Json::parse(ledger_line(sample_ledger(), 1, 24));
  CHECK(l["type"] == "ledger");
  CHECK(l["in_flight_tokens"] == 150);
  const Json v = Json::parse(event_line({3.5, "restart", "line\nbreak"}));
  CHECK(v["kind"] == "restart");
  CHECK(v["text"] == "line\nbreak");
  CHECK(v["seconds"] == 3.5);
}

TEST_CASE("a line is on disk when write returns") {
  const TemporaryFolder folder;
  LineFile file(folder.path / "lines");
  CHECK(file.write("one"));
  CHECK(folder.read("lines") == "one\n");
  CHECK(file.write("two"));
  CHECK(folder.read("lines") == "one\ntwo\n");
}

TEST_CASE("a full disk is reported by the first lost line only") {
  LineFile file("/dev/full");
  CHECK_FALSE(file.write("one"));
  CHECK(file.write("two"));
}

}  // namespace troupe
