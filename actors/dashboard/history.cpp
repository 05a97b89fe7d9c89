#include "actors/dashboard/history.hpp"

#include "actors/telemetry/run_log.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace troupe {
namespace {

HistoryPoint merged(const HistoryPoint& a, const HistoryPoint& b) {
  HistoryPoint both = b;
  both.updates = a.updates + b.updates;
  for (std::size_t i = 0; i < both.values.size(); ++i)
    both.values[i] = (a.values[i] * a.updates + b.values[i] * b.updates) / both.updates;
  return both;
}

}  // namespace

const std::vector<std::string>& history_columns() {
  static const std::vector<std::string> names = {"reward_mean",   "pass_rate",
                                                 "format_rate",   "mean_response_tokens",
                                                 "signal_share",  "entropy",
                                                 "kl_behaviour",  "kl_reference",
                                                 "clip_low",      "clip_high",
                                                 "gradient_norm", "learning_rate",
                                                 "gap_mean",      "gap_max",
                                                 "lag_mean",      "wait_seconds",
                                                 "train_seconds", "effective_sample_size",
                                                 "trained_tokens"};
  return names;
}

HistoryPoint history_point(const RolloutUpdateRecord& u) {
  return {u.stage,
          u.update,
          1,
          u.seconds_since_start,
          {u.reward_mean, u.pass_rate, u.format_rate, u.response_tokens_mean, u.signal_share,
           u.entropy, u.kl_behaviour, u.kl_reference, u.clip_fraction_low, u.clip_fraction_high,
           u.gradient_norm, u.learning_rate, u.log_prob_gap_mean, u.log_prob_gap_max,
           mean_lag(u.lag_histogram), u.wait_seconds, u.train_seconds, u.effective_sample_size,
           static_cast<double>(u.trained_tokens)}};
}

History::History(std::size_t most) : most_(most) {
  if (most_ < 4 || most_ % 2 != 0)
    throw std::invalid_argument("a history keeps an even number of points, four at least");
}

void History::add(HistoryPoint point) {
  if (points_.size() == most_) {
    std::vector<HistoryPoint> thinner;
    const std::size_t half = most_ / 4 * 2;
    for (std::size_t i = 0; i < half; i += 2) {
      if (points_[i].stage == points_[i + 1].stage) {
        thinner.push_back(merged(points_[i], points_[i + 1]));
      } else {  // curves of two stages do not mix: the shorter one loses a point
        thinner.push_back(points_[i + 1]);
      }
    }
    points_.erase(points_.begin(), points_.begin() + static_cast<std::ptrdiff_t>(half));
    points_.insert(points_.begin(), thinner.begin(), thinner.end());
  }
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
    for (const double value : point.values) text += fmt::format(",{}", value);
    text += "\n";
  }
  return text;
}

}  // namespace troupe
