#include "actors/telemetry/charts.hpp"

#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>

namespace troupe {

namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr double kWidth = 420, kHeight = 200;
constexpr double kLeft = 46, kRight = 410, kTop = 10, kBottom = 176;
constexpr std::size_t kMostPoints = 400, kMostTooltips = 120;

/// Round steps of 1, 2 or 5 that give about `count` ticks.
std::vector<double> ticks(double low, double high, int count) {
  const double raw = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double step = power * (raw / power > 5   ? 10
                               : raw / power > 2 ? 5
                               : raw / power > 1 ? 2
                                                 : 1);
  std::vector<double> out;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i)
    out.push_back(i * step == 0 ? 0 : i * step);
  return out;
}

struct Scale {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  bool logarithmic = false;

  double x(double value) const {
    return kLeft + (value - x_low) / (x_high - x_low) * (kRight - kLeft);
  }
  double y(double value) const {
    const double v = logarithmic ? std::log10(std::max(value, std::pow(10, y_low))) : value;
    return kBottom - (std::clamp(v, y_low, y_high) - y_low) / (y_high - y_low) * (kBottom - kTop);
  }
};

Scale scale_of(const LineChart& chart) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  Scale s{kInfinite, -kInfinite, kInfinite, -kInfinite, chart.logarithmic};
  for (const Series& series : chart.series)
    for (const auto& [x, y] : series.points) {
      s.x_low = std::min(s.x_low, x), s.x_high = std::max(s.x_high, x);
      if (!std::isfinite(y) || (chart.logarithmic && y <= 0)) continue;
      s.y_low = std::min(s.y_low, y), s.y_high = std::max(s.y_high, y);
    }
  if (s.x_low >= s.x_high) s.x_high = s.x_low + 1;
  if (chart.logarithmic) {
    s.y_low = std::floor(std::log10(s.y_low)), s.y_high = std::ceil(std::log10(s.y_high));
    if (s.y_high <= s.y_low) s.y_high = s.y_low + 1;
    return s;
  }
  s.y_low = std::min(s.y_low, chart.y_low.value_or(s.y_low));
  s.y_high = std::max(s.y_high, chart.y_high.value_or(s.y_high));
  if (s.y_low >= s.y_high) s.y_high = s.y_low + std::max(1e-6, std::abs(s.y_low) * 0.1);
  const double margin = 0.05 * (s.y_high - s.y_low);
  if (s.y_low != 0 && chart.y_low != s.y_low) s.y_low -= margin;
  if (chart.y_high != s.y_high) s.y_high += margin;
  return s;
}

std::string grid(const Scale& s) {
  std::string out;
  for (const double tick : ticks(s.y_low, s.y_high, 4)) {
    if (s.logarithmic && tick != std::floor(tick)) continue;
    const double y = s.logarithmic ? s.y(std::pow(10, tick)) : s.y(tick);
    const std::string label = s.logarithmic ? fmt::format("1e{:.0f}", tick) : short_number(tick);
    out += fmt::format("<path class=grid d='M{} {:.1f}H{}'/><text x={} y={:.1f} class=e>{}</text>",
                       kLeft, y, kRight, kLeft - 5, y + 4, label);
  }
  for (const double tick : ticks(s.x_low, s.x_high, 5)) {
    if (tick != std::floor(tick)) continue;
    out += fmt::format("<text x={:.1f} y={} class=m>{}</text>", s.x(tick), kBottom + 17,
                       short_number(tick));
  }
  return out;
}

std::string curve(const Series& series, const Scale& s) {
  std::string path, dots;
  bool pen_down = false;
  for (const auto& [x, y] : series.points) {
    if (!std::isfinite(y)) {
      pen_down = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", s.x(x), s.y(y));
    pen_down = true;
    if (series.dots || series.points.size() == 1)
      dots += fmt::format("<circle class='d{}' cx={:.1f} cy={:.1f} r=3.5 />", series.colour, s.x(x),
                          s.y(y));
  }
  if (!series.line) return dots;
  return fmt::format("<path class='s{}' d='{}'/>{}", series.colour, path, dots);
}

/// Invisible columns over the curves whose title shows the figures there.
std::string tooltips(const LineChart& chart, const Scale& s) {
  const Points& axis = chart.series.front().points;
  if (axis.size() > kMostTooltips) return "";
  std::string out;
  const double half =
      (kRight - kLeft) / (2 * std::max<double>(1, static_cast<double>(axis.size()) - 1));
  for (const auto& [x, unused] : axis) {
    std::string title = "update " + short_number(x);
    for (const Series& series : chart.series)
      for (const auto& point : series.points)
        if (point.first == x) title += "\n" + series.label + " " + short_number(point.second);
    out +=
        fmt::format("<rect class=t x={:.1f} y={} width={:.1f} height={}><title>{}</title></rect>",
                    s.x(x) - half, kTop, 2 * half, kBottom - kTop, escape_html(title));
  }
  return out;
}

std::string legend(const LineChart& chart) {
  if (chart.series.size() < 2) return "";
  std::string out = "<p class=legend>";
  for (const Series& series : chart.series)
    out += fmt::format(
        "<span><svg class=key viewBox='0 0 24 8'><path class='s{}' d='M0 4H24'/></svg>{}</span>",
        series.colour, escape_html(series.label));
  return out + "</p>";
}

std::string caption(const std::string& title, const std::string& note) {
  return "<figcaption><b>" + escape_html(title) + "</b> <span>" + escape_html(note) +
         "</span></figcaption>";
}

bool anything_to_draw(const LineChart& chart) {
  for (const Series& series : chart.series)
    for (const auto& point : series.points)
      if (std::isfinite(point.second)) return true;
  return false;
}

bool any_positive(const LineChart& chart) {
  for (const Series& series : chart.series)
    for (const auto& point : series.points)
      if (std::isfinite(point.second) && point.second > 0) return true;
  return false;
}

}  // namespace

Points thinned(Points points, std::size_t limit) {
  if (points.size() <= limit) return points;
  Points out;
  for (std::size_t i = 0; i < limit; ++i) {
    const std::size_t begin = i * points.size() / limit, end = (i + 1) * points.size() / limit;
    double x = 0, y = 0;
    for (std::size_t k = begin; k < end; ++k) x += points[k].first, y += points[k].second;
    const auto count = static_cast<double>(end - begin);
    out.emplace_back(x / count, y / count);
  }
  return out;
}

std::string line_chart(LineChart chart) {
  std::erase_if(chart.series, [](const Series& series) { return series.points.empty(); });
  if (!anything_to_draw(chart)) return "";
  for (Series& series : chart.series)
    series.points = thinned(std::move(series.points), kMostPoints);
  chart.logarithmic = chart.logarithmic && any_positive(chart);
  const Scale scale = scale_of(chart);
  std::string out = "<figure class=chart>" + caption(chart.title, chart.note);
  out += fmt::format("<svg viewBox='0 0 {} {}' role=img aria-label='{}'>", kWidth, kHeight,
                     escape_html(chart.title));
  out += grid(scale);
  for (const Series& series : chart.series) out += curve(series, scale);
  return out + tooltips(chart, scale) + "</svg>" + legend(chart) + "</figure>\n";
}

std::string bar_chart(const std::string& title, const std::string& note,
                      const std::vector<Bar>& bars, std::optional<double> full) {
  if (bars.empty()) return "";
  double largest = full.value_or(0);
  if (!full)
    for (const Bar& bar : bars) largest = std::max(largest, bar.value);
  std::string out = "<figure class=chart>" + caption(title, note) + "<div class=bars>";
  for (const Bar& bar : bars) {
    const double share = largest > 0 ? std::clamp(bar.value / largest, 0.0, 1.0) : 0;
    out += fmt::format("<span>{}</span><i class='{}' style='--w:{:.2f}%'></i><span>{}</span>",
                       escape_html(bar.label), bar.beyond ? "bad" : "bar", 100 * share,
                       escape_html(bar.text));
  }
  return out + "</div></figure>\n";
}

}  // namespace troupe
