#include "actors/telemetry/trace.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

nlohmann::json find(const nlohmann::json& trace, const char* name, const char* phase) {
  for (const auto& event : trace["traceEvents"])
    if (event["name"] == name && event["ph"] == phase) return event;
  FAIL("no such event: " << name);
  return {};
}

}  // namespace

TEST_CASE("each actor is a thread with its phases as complete events") {
  const auto trace = nlohmann::json::parse(trace_json(sample_run()));
  const auto decode = find(trace, "decode", "X");
  CHECK(decode["ts"] == 20e6);
  CHECK(decode["dur"] == 6e6);
  CHECK(decode["cat"] == "work");
  const auto train = find(trace, "train", "X");
  CHECK(train["ts"] == 26e6);
  CHECK(train["tid"] != decode["tid"]);
  CHECK(find(trace, "wait for weights", "X")["tid"] == decode["tid"]);
  CHECK(find(trace, "wait for weights", "X")["cat"] == "wait");
  bool named = false;
  for (const auto& event : trace["traceEvents"])
    named |= event["name"] == "thread_name" && event["tid"] == train["tid"] &&
             event["args"]["name"] == "learner";
  CHECK(named);
}

TEST_CASE("stages are spans and events are instants") {
  const auto trace = nlohmann::json::parse(trace_json(sample_run()));
  CHECK(find(trace, "reason", "X")["dur"] == 12.5e6);
  const auto restart = find(trace, "restart", "i");
  CHECK(restart["ts"] == 21.5e6);
  CHECK(restart["args"]["text"] == "generator-0 died");
}

TEST_CASE("hostile names leave the trace valid") {
  RunLog run = sample_run();
  run.events[0].text = "\"}],\xff\n";
  CHECK(nlohmann::json::accept(trace_json(run)));
}

}  // namespace troupe
