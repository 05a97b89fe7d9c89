#include "actors/telemetry/activity_spans.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

TEST_CASE("the same phase entered again goes on as one span") {
  ActivitySpans spans(10);
  spans.enter("decode", true, 1);
  spans.enter("decode", true, 2);
  spans.enter("wait", false, 4);
  const auto all = spans.since(0, 5);
  REQUIRE(all.size() == 2);
  CHECK(std::string(all[0].phase) == "decode");
  CHECK(all[0].begin == 1);
  CHECK(all[0].end == 4);
  CHECK(std::string(all[1].phase) == "wait");
  CHECK(all[1].end == 5);  // the open one ends now
}

TEST_CASE("a phase of one name counts as work or waiting by its flag") {
  ActivitySpans spans(10);
  spans.enter("swap", true, 0);
  spans.enter("swap", false, 3);
  CHECK(spans.since(0, 4).size() == 2);
  CHECK(spans.totals(0, 4).busy_seconds == 3);
  CHECK(spans.totals(0, 4).idle_seconds == 1);
}

TEST_CASE("totals stay exact when old spans are evicted") {
  ActivitySpans spans(2);
  for (int i = 0; i < 100; ++i) {
    spans.enter("work", true, 3 * i);
    spans.enter("wait", false, 3 * i + 1);
  }
  CHECK(spans.since(0, 300).size() == 3);  // two kept and the open one
  CHECK(spans.totals(0, 300).busy_seconds == 100);
  CHECK(spans.totals(0, 300).idle_seconds == 200);
  CHECK(spans.totals(0, 300).idle_ratio() == doctest::Approx(2.0 / 3));
}

TEST_CASE("totals since a mark leave out what was before even in a span under way") {
  ActivitySpans spans(1);
  spans.enter("work", true, 0);
  spans.set_mark(10);
  spans.enter("wait", false, 14);
  spans.enter("work", true, 15);
  spans.enter("wait", false, 17);
  CHECK(spans.totals_since_mark(20).busy_seconds == 6);
  CHECK(spans.totals_since_mark(20).idle_seconds == 4);
  CHECK(spans.totals(10, 20).busy_seconds == 6);
  CHECK(spans.totals(0, 20).busy_seconds == 16);
}

TEST_CASE("totals since a moment within the kept spans are cut there") {
  ActivitySpans spans(10);
  spans.enter("work", true, 0);
  spans.enter("wait", false, 10);
  spans.enter("work", true, 12);
  CHECK(spans.totals(8, 13).busy_seconds == 3);
  CHECK(spans.totals(8, 13).idle_seconds == 2);
}

TEST_CASE("an actor that has done nothing has no spans and no time") {
  ActivitySpans spans(10);
  spans.set_mark(3);
  CHECK(spans.since(0, 5).empty());
  CHECK(spans.totals_since_mark(5).busy_seconds == 0);
  CHECK(spans.totals_since_mark(5).idle_ratio() == 0);
}

}  // namespace troupe
