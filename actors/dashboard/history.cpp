#include "actors/dashboard/history.hpp"

#include "actors/telemetry/run_log.hpp"

#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace troupe {
namespace {

constexpr std::size_t kLeastShare = 32;  // of the ring, that the curve of a short stage keeps
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
                                                 "gate_share"};
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
           kUnknown}};
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
  if (most_ < 4 || most_ % 2 != 0)
    throw std::invalid_argument("a history keeps an even number of points, four at least");
}

void History::thin() {
  std::map<std::int32_t, std::size_t> left;  // points by stage
  for (const HistoryPoint& point : points_) ++left[point.stage];
  const std::size_t half = most_ / 2;
  std::vector<HistoryPoint> thinner;
  for (std::size_t i = 0; i < half; ++i) {
    const std::int32_t stage = points_[i].stage;
    const bool pair = i + 1 < half && points_[i + 1].stage == stage;
    if (!pair || left[stage] <= most_ / kLeastShare) {
      thinner.push_back(std::move(points_[i]));
    } else {
      thinner.push_back(merged(points_[i], points_[i + 1]));
      --left[stage];
      ++i;
    }
  }
  if (thinner.size() == half) thinner.erase(thinner.begin());  // more stages than there is room for
  points_.erase(points_.begin(), points_.begin() + static_cast<std::ptrdiff_t>(half));
  points_.insert(points_.begin(), std::make_move_iterator(thinner.begin()),
                 std::make_move_iterator(thinner.end()));
}

void History::add(HistoryPoint point) {
  if (points_.size() == most_) thin();
  points_.push_back(std::move(point));
  ++added_;
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
