#pragma once
// The curves of a run in bounded memory: however long it gets, from its first update to its newest.
#include "actors/telemetry/records.hpp"

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace troupe {

/// Figures of one update, or the means over some.
struct HistoryPoint {
  std::int32_t stage = 0, update = 0;  // the newest of them
  std::int32_t updates = 1;            // how many; of a pretrain or sft stage, reports
  double seconds = 0;                  // since the run's start, of the newest
  std::vector<double> values;          // one per history_columns(); NaN: not known
  bool refused() const { return values.back() > 0; }  // one of them at least, as not finite
};

/// Names of the figures, as in metrics.jsonl (tokens_per_second, lag_mean are derived). The last is "refused": the share of
/// the updates that were refused.
const std::vector<std::string>& history_columns();
HistoryPoint history_point(const RolloutUpdateRecord& update);
HistoryPoint history_point(const SupervisedRecord& report);

/// Used under its owner's lock.
class History {
 public:
  /// most: points kept, four at least.
  explicit History(std::size_t most);
  /// Where there is no room the stage with the most points gives up half of them: neighbours are merged, all but its first
  /// point, and from then on its points stand for twice as many updates. So it never grows and covers the whole run. An
  /// update that was refused keeps a point of its own, for which others give way, as long as such points are a quarter at
  /// most.
  void add(HistoryPoint point);
  const std::vector<HistoryPoint>& points() const { return points_; }
  std::uint64_t added() const { return added_; }

 private:
  void thin();
  std::size_t merge_neighbours(std::ptrdiff_t begin, std::ptrdiff_t end, bool keep_refused);
  bool newest_has_room(const HistoryPoint& point) const;
  bool too_many_refused() const;

  std::size_t most_;
  std::uint64_t added_ = 0;
  std::vector<HistoryPoint> points_;            // those of a stage together
  std::map<std::int32_t, std::int32_t> spans_;  // by stage: updates that a whole point stands for
};

/// {"columns": [...], "points": [[stage, update, updates, seconds, value...], ...]}; what is not known is null, and empty in
/// CSV.
nlohmann::ordered_json history_json(const History& history);
std::string history_csv(const History& history);

}  // namespace troupe
