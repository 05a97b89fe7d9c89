#include "actors/telemetry/history.hpp"

#include "actors/telemetry/run_log.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace troupe {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double mean_of_known(double a, int times_a, double b, int times_b) {
  if (std::isnan(a)) return b;
  return std::isnan(b) ? a : (a * times_a + b * times_b) / (times_a + times_b);
}

HistoryPoint merged(const HistoryPoint& a, const HistoryPoint& b) {
  HistoryPoint both = b;
  both.updates = a.updates + b.updates;
  for (std::size_t i = 0; i < both.values.size(); ++i)
    both.values[i] = mean_of_known(a.values[i], a.updates, b.values[i], b.updates);
  return both;
}

}  // namespace

const std::vector<std::string>& history_columns() {
  static const std::vector<std::string> names = {"reward_mean",
                                                 "pass_rate",
                                                 "format_rate",
                                                 "mean_response_tokens",
                                                 "signal_share",
                                                 "entropy",
                                                 "kl_behaviour",
                                                 "kl_reference",
                                                 "clip_low",
                                                 "clip_high",
                                                 "gradient_norm",
                                                 "learning_rate",
                                                 "gap_mean",
                                                 "gap_max",
                                                 "lag_mean",
                                                 "wait_seconds",
                                                 "train_seconds",
                                                 "effective_sample_size",
                                                 "trained_tokens",
                                                 "loss",
                                                 "positions_per_second",
                                                 "gate_share",
                                                 "refused"};
  return names;
}

HistoryPoint history_point(const RolloutUpdateRecord& u) {
  return {u.stage,
          u.update,
          1,
          u.seconds_since_start,
          {u.reward_mean,
           u.pass_rate,
           u.format_rate,
           u.response_tokens_mean,
           u.signal_share,
           u.entropy,
           u.kl_behaviour,
           u.kl_reference,
           u.clip_fraction_low,
           u.clip_fraction_high,
           u.gradient_norm,
           u.learning_rate,
           u.log_prob_gap_mean,
           u.log_prob_gap_max,
           mean_lag(u.lag_histogram),
           u.wait_seconds,
           u.train_seconds,
           u.effective_sample_size,
           static_cast<double>(u.trained_tokens),
           kUnknown,
           kUnknown,
           kUnknown,
           u.refused ? 1.0 : 0.0}};
}

HistoryPoint history_point(const SupervisedRecord& report) {
  HistoryPoint point{report.stage, report.update, 1, report.seconds_since_start, {}};
  for (const std::string& column : history_columns())
    point.values.push_back(column == "loss"                   ? report.loss
                           : column == "gradient_norm"        ? report.gradient_norm
                           : column == "learning_rate"        ? report.learning_rate
                           : column == "positions_per_second" ? report.positions_per_second
                           : column == "gate_share"           ? report.gate_share.value_or(kUnknown)
                                                              : kUnknown);
  return point;
}

History::History(std::size_t most) : most_(most) {
  if (most_ < 4) throw std::invalid_argument("a history keeps four points at least");
}

bool History::too_many_refused() const {
  const auto refused = std::count_if(points_.begin(), points_.end(),
                                     [](const HistoryPoint& point) { return point.refused(); });
  return static_cast<std::size_t>(refused) > most_ / 4;
}

/// Of the points of one stage; returns how many are gone.
std::size_t History::merge_neighbours(std::ptrdiff_t begin, std::ptrdiff_t end, bool keep_refused) {
  const std::size_t before = points_.size();
  const auto alone = [&](const HistoryPoint& point) { return keep_refused && point.refused(); };
  auto from = points_.begin() + begin, to = from;
  const auto last = points_.begin() + end;
  for (; from != last; ++to) {
    HistoryPoint point = std::move(*from++);
    if (from != last && !alone(point) && !alone(*from)) point = merged(point, *from++);
    *to = std::move(point);
  }
  points_.erase(to, last);
  return before - points_.size();
}

void History::thin() {
  std::map<std::int32_t, std::ptrdiff_t> count;  // of points, by stage
  for (const HistoryPoint& point : points_) ++count[point.stage];
  const auto [stage, points] = *std::max_element(
      count.begin(), count.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (points < 3) {  // more stages than there is room for
    points_.erase(points_.begin());
    return;
  }
  spans_[stage] = 2 * std::max(1, spans_[stage]);
  std::ptrdiff_t first = 0;
  while (points_[static_cast<std::size_t>(first)].stage != stage) ++first;
  const std::ptrdiff_t begin = first + 1, end = first + points;  // the first stays as it is
  if (too_many_refused() || merge_neighbours(begin, end, true) == 0)
    merge_neighbours(begin, end, false);
}

bool History::newest_has_room(const HistoryPoint& point) const {
  const std::size_t size = points_.size();
  if (size < 2 || points_[size - 2].stage != point.stage)
    return false;  // a stage's first stays alone
  const HistoryPoint& newest = points_[size - 1];
  if ((newest.refused() || point.refused()) && !too_many_refused()) return false;
  const auto span = spans_.find(point.stage);
  return newest.stage == point.stage && span != spans_.end() && newest.updates < span->second;
}

void History::add(HistoryPoint point) {
  ++added_;
  if (points_.size() == most_ && !newest_has_room(point)) thin();
  if (newest_has_room(point)) {
    points_.back() = merged(points_.back(), point);
  } else {
    points_.push_back(std::move(point));
  }
}

nlohmann::ordered_json history_json(const History& history) {
  nlohmann::ordered_json points = nlohmann::ordered_json::array();
  for (const HistoryPoint& point : history.points()) {
    nlohmann::ordered_json row = {point.stage, point.update, point.updates, point.seconds};
    for (const double value : point.values) row.push_back(value);
    points.push_back(std::move(row));
  }
  return {{"columns", history_columns()}, {"points", points}};
}

std::string history_csv(const History& history) {
  std::string text = "stage,update,updates,seconds";
  for (const std::string& name : history_columns()) text += "," + name;
  text += "\n";
  for (const HistoryPoint& point : history.points()) {
    text += fmt::format("{},{},{},{}", point.stage, point.update, point.updates, point.seconds);
    for (const double value : point.values)
      text += std::isfinite(value) ? fmt::format(",{}", value) : ",";
    text += "\n";
  }
  return text;
}

}  // namespace troupe
