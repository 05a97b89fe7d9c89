#pragma once
// What happens in a run, by number, for its director. Plain.
#include "actors/director/past.hpp"
#include "actors/interfaces.hpp"
#include "actors/telemetry/records.hpp"

#include <algorithm>
#include <caf/allowed_unsafe_message_type.hpp>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

struct StageBegun {
  std::uint32_t stage = 0;
};
struct Published {
  std::int32_t update = 0;
  PolicyVersion version = 0;
};
/// The end without its weights, which are fetched by their version.
struct StageEnded {
  StageEnd end;
  bool has_weights = false;
  PolicyVersion version = 0;
};
struct ConductorOver {
  std::string why;
};

using NewsBody = std::variant<StageBegun, RolloutUpdateRecord, SupervisedRecord, LedgerRecord,
                              Published, StageEnded, EvaluationNote, ConductorOver, EventRecord>;
struct News {
  std::uint64_t number = 0;
  double seconds = 0;  // since the run's start
  NewsBody body;
};

/// All of a run. It grows by about a kilobyte per update.
class NewsLog {
 public:
  /// Figures of the ledger replace those that came just before: only the newest say anything.
  void add(NewsBody body, double seconds) {
    if (!news_.empty() && std::holds_alternative<LedgerRecord>(body) &&
        std::holds_alternative<LedgerRecord>(news_.back().body))
      news_.pop_back();
    news_.push_back({end_++, seconds, std::move(body)});
  }
  /// At most `most` of those with at least that number, oldest first.
  std::vector<News> from(std::uint64_t number, std::size_t most) const {
    auto at = std::lower_bound(news_.begin(), news_.end(), number,
                               [](const News& one, std::uint64_t to) { return one.number < to; });
    std::vector<News> some;
    for (; at != news_.end() && some.size() < most; ++at) some.push_back(*at);
    return some;
  }
  /// Above all numbers so far.
  std::uint64_t end() const { return end_; }
  const std::deque<News>& all() const { return news_; }

 private:
  std::deque<News> news_;
  std::uint64_t end_ = 0;
};

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::NewsBody)
