#pragma once
// Figures of the report as HTML with static SVG: no script, colours from the page's style sheet.
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// A curve; points in order of x, not finite ones break the line. Drawn in the page's colour
/// `colour` (1 to 8), each with a dash pattern of its own.
struct Series {
  std::string label;
  std::vector<std::pair<double, double>> points;
  int colour = 1;
  bool dots = false;  // few points: mark each
  bool line = true;   // false: the points stand for themselves
};

struct LineChart {
  std::string title, note;  // note: unit or meaning, beside the title
  std::vector<Series> series;
  std::optional<double> y_low, y_high;  // the axis covers at least these
  bool logarithmic = false;             // for positive values over decades
};

/// Empty if there is no finite point.
std::string line_chart(LineChart chart);

struct Bar {
  std::string label;
  double value = 0;
  std::string text;     // shown beside the bar
  bool beyond = false;  // beyond a bound: drawn as an alarm
};

/// Horizontal bars scaled to the largest value, or to `full` if given.
std::string bar_chart(const std::string& title, const std::string& note,
                      const std::vector<Bar>& bars, std::optional<double> full = {});

/// At most `limit` points: means of neighbours.
std::vector<std::pair<double, double>> thinned(std::vector<std::pair<double, double>> points,
                                               std::size_t limit);

}  // namespace troupe
