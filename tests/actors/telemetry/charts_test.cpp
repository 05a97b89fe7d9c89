#include "actors/telemetry/charts.hpp"

#include <doctest/doctest.h>

#include <limits>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a curve runs from the lower left to the upper right of its axes") {
  const std::string svg =
      line_chart({"Reward", "mean", {{"reward", {{0, 0}, {5, 0.5}, {10, 1}}}}, 0.0, 1.0});
  CHECK(contains(svg, "d='M46.0 176.0L228.0 93.0L410.0 10.0'"));
  CHECK(contains(svg, ">0.5</text>"));
  CHECK(contains(svg, "<b>Reward</b>"));
}

TEST_CASE("a value that is not a number breaks the curve") {
  const std::string svg =
      line_chart({"t", "", {{"a", {{0, 0}, {1, 1}, {2, kNan}, {3, 0}, {4, 1}}}}, 0.0, 1.0});
  CHECK(contains(svg, "d='M46.0 176.0L137.0 10.0M319.0 176.0L410.0 10.0'"));
  CHECK_FALSE(contains(svg, "nan"));
}

TEST_CASE("a chart without a finite point is left out") {
  CHECK(line_chart({"t", "", {{"a", {}}}}).empty());
  CHECK(line_chart({"t", "", {{"a", {{0, kNan}}}}}).empty());
}

TEST_CASE("a logarithmic axis has a decade per tick and zero lies on its floor") {
  const std::string svg =
      line_chart({"t", "", {{"a", {{0, 1e-7}, {1, 1e-5}, {2, 0}}}}, {}, {}, true});
  CHECK(contains(svg, "d='M46.0 176.0L228.0 10.0L410.0 176.0'"));
  CHECK(contains(svg, ">1e-6</text>"));
}

TEST_CASE("a logarithmic chart of zeros alone is drawn on a linear axis") {
  const std::string svg = line_chart({"t", "", {{"a", {{0, 0}, {1, 0}}}}, {}, {}, true});
  CHECK(contains(svg, "<path class='s1'"));
  CHECK_FALSE(contains(svg, "inf"));
}

TEST_CASE("curves have a legend and a dash pattern each and labels are escaped") {
  const std::string svg = line_chart({"<t>", "", {{"<a>", {{0, 1}}}, {"b", {{0, 2}}, 2}}});
  CHECK(contains(svg, "&lt;a&gt;"));
  CHECK_FALSE(contains(svg, "<a>"));
  CHECK(contains(svg, "class='s2'"));
  CHECK(contains(svg, "&lt;t&gt;"));
}

TEST_CASE("thinning keeps the means of neighbours") {
  const auto thin = thinned({{0, 1}, {1, 3}, {2, 5}, {3, 7}}, 2);
  REQUIRE(thin.size() == 2);
  CHECK(thin[0] == std::pair(0.5, 2.0));
  CHECK(thin[1] == std::pair(2.5, 6.0));
  CHECK(thinned({{0, 1}, {1, 3}}, 2).size() == 2);
}

TEST_CASE("bars are scaled to the largest and alarms stand out") {
  const std::string html = bar_chart("Lag", "", {{"lag 0", 30, "30"}, {"lag 1", 60, "60", true}});
  CHECK(contains(html, "<i class='bar' style='--w:50.00%'>"));
  CHECK(contains(html, "<i class='bad' style='--w:100.00%'>"));
  CHECK(contains(bar_chart("Idle", "", {{"learner", 0.25, "25%"}}, 1.0), "--w:25.00%"));
}

}  // namespace troupe
