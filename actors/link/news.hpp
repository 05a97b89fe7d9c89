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

/// What a director that comes anew has to know for the run to go on, however old: few of each run.
inline bool is_lasting(const NewsBody& body) {
  return std::holds_alternative<StageBegun>(body) || std::holds_alternative<StageEnded>(body) ||
         std::holds_alternative<EvaluationNote>(body) ||
         std::holds_alternative<ConductorOver>(body);
}

/// All of a run but, of records and events that were told, those older than the newest `kept`: about a kilobyte each.
class NewsLog {
 public:
  explicit NewsLog(std::size_t kept) : kept_(kept), full_at_(2 * kept) {}

  /// Figures of the ledger replace those that came just before: only the newest say anything.
  void add(NewsBody body, double seconds) {
    if (!news_.empty() && std::holds_alternative<LedgerRecord>(body) &&
        std::holds_alternative<LedgerRecord>(news_.back().body))
      news_.pop_back();
    news_.push_back({end_++, seconds, std::move(body)});
    if (news_.size() >= full_at_) forget();
  }
  /// A director has read all below that number.
  void told(std::uint64_t number) { told_ = std::max(told_, number); }
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
  /// Rare, since it looks at all of them.
  void forget() {
    std::size_t passing = 0;
    for (const News& one : news_) passing += is_lasting(one.body) ? 0 : 1;
    std::erase_if(news_, [&](const News& one) {
      if (passing <= kept_ || one.number >= told_ || is_lasting(one.body)) return false;
      --passing;
      return true;
    });
    full_at_ = news_.size() + kept_;
  }

  std::size_t kept_, full_at_;
  std::deque<News> news_;
  std::uint64_t end_ = 0, told_ = 0;
};

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::NewsBody)
