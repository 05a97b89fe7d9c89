#include "actors/telemetry/timeline.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

TEST_CASE("each cell has the share of its time that was worked") {
  const auto shares = busy_shares({{"work", true, 0, 3}, {"wait", false, 3, 6}}, 0, 8, 4);
  CHECK(shares == std::vector<double>{1, 0.5, 0, -1});
}

TEST_CASE("spans are cut at the ends of the time line") {
  const auto shares = busy_shares({{"work", true, 0, 100}}, 10, 20, 2);
  CHECK(shares == std::vector<double>{1, 1});
}

TEST_CASE("a row per actor shows work and waiting in order") {
  const auto run = sample_run();
  const std::string html = timeline("t", "", run.actors, 20, 28, {24}, 8);
  CHECK(html.find("<span>generator-0</span>") != std::string::npos);
  CHECK(html.find("<path class=w4 d='M0 0h6v10h-6z'/><path class=w0 d='M6 0h2v10h-2z'/>") !=
        std::string::npos);
  CHECK(html.find("<path class=w0 d='M0 0h6v10h-6z'/><path class=w4 d='M6 0h2v10h-2z'/>") !=
        std::string::npos);
  CHECK(html.find("<path class=mark d='M4.0 0v10'/>") != std::string::npos);
}

TEST_CASE("actors without a span there have no row and an empty time line is left out") {
  const auto run = sample_run();
  CHECK(timeline("t", "", run.actors, 100, 110, {}, 8).empty());
  CHECK(timeline("t", "", run.actors, 20, 20, {}, 8).empty());
  const std::string html = timeline("t", "", {run.actors[0], {"idler", {}}}, 20, 28, {}, 8);
  CHECK(html.find("idler") == std::string::npos);
}

}  // namespace troupe
