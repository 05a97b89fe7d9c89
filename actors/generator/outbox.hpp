#pragma once
// Finished rollouts on their way to the replay buffer.
#include "messages/rollout.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

namespace troupe {

/// Keeps each rollout until it is acknowledged: delivery is at least once. A borrower that is gone
/// gives back what it had. Used by one actor at a time.
template <class Borrower>
class Outbox {
 public:
  void put(Rollout rollout) {
    held_.insert(delivery_id(rollout.read()));
    ready_.push_back(std::move(rollout));
  }

  /// Up to `count` rollouts, oldest first, lent to `borrower`.
  Rollouts take(std::size_t count, const Borrower& borrower) {
    Rollouts taken;
    while (taken.size() < count && !ready_.empty()) {
      Rollout rollout = std::move(ready_.front());
      ready_.pop_front();
      taken.push_back(rollout);
      const std::uint64_t id = delivery_id(rollout.read());
      lent_.insert_or_assign(id, Loan{borrower, std::move(rollout)});
    }
    return taken;
  }
  /// Forgets what `borrower` has brought to the replay buffer; what it was not lent stays.
  void acknowledge(const RolloutIds& ids, const Borrower& borrower) {
    for (const std::uint64_t id : ids) {
      const auto loan = lent_.find(id);
      if (loan == lent_.end() || loan->second.borrower != borrower) continue;
      lent_.erase(loan);
      held_.erase(id);
    }
  }
  /// Returns how many rollouts became ready again.
  std::size_t give_back(const Borrower& borrower) {
    std::size_t count = 0;
    for (auto loan = lent_.begin(); loan != lent_.end();) {
      if (loan->second.borrower != borrower) {
        ++loan;
        continue;
      }
      ready_.push_front(std::move(loan->second.rollout));
      loan = lent_.erase(loan);
      ++count;
    }
    return count;
  }
  /// Ready or lent.
  bool holds(std::uint64_t delivery) const { return held_.contains(delivery); }
  std::size_t ready() const { return ready_.size(); }
  std::size_t lent() const { return lent_.size(); }
  std::size_t size() const { return ready_.size() + lent_.size(); }

 private:
  struct Loan {
    Borrower borrower;
    Rollout rollout;
  };
  std::deque<Rollout> ready_;
  std::map<std::uint64_t, Loan> lent_;      // by delivery id
  std::unordered_set<std::uint64_t> held_;  // ready or lent
};

}  // namespace troupe
