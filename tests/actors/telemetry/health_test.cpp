#include "actors/telemetry/health.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

using Json = nlohmann::json;

}  // namespace

TEST_CASE("a process is healthy while who is at work moves and who waits waits for ever") {
  const HttpReply reply =
      health_page({{"generator-0", "decode", 0.5}, {"learner", "wait for batch", 0}}, 30);
  CHECK(reply.status == 200);
  CHECK(reply.content_type == "application/json");
  const Json body = Json::parse(reply.body);
  CHECK(body["status"] == "ok");
  CHECK(body["actors"]["learner"] ==
        Json{{"doing", "wait for batch"}, {"seconds_without_progress", 0.0}});
  CHECK_FALSE(body.contains("stalled"));
}

TEST_CASE("health names everyone who is at work beyond the deadline") {
  const HttpReply reply = health_page(
      {{"generator-0", "decode", 31}, {"learner", "train", 30}, {"verifier-0", "grade", 99}}, 30);
  CHECK(reply.status == 503);
  const Json body = Json::parse(reply.body);
  CHECK(body["status"] == "stalled");
  CHECK(body["stalled"] == Json{"generator-0", "verifier-0"});
}

TEST_CASE("a process is ready when every need is met and says which is not") {
  CHECK(readiness_page({}).status == 200);
  CHECK(readiness_page({{"link", true}, {"weights", true}}).status == 200);
  const HttpReply reply = readiness_page({{"link", true}, {"weights", false}});
  CHECK(reply.status == 503);
  CHECK(Json::parse(reply.body) ==
        Json{{"status", "not ready"}, {"needs", {{"link", true}, {"weights", false}}}});
}

}  // namespace troupe
