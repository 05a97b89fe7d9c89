#pragma once
// What one generator was granted: nobody answers for tickets that another holds. Plain rules.
#include "messages/rollout.hpp"

#include <cstdint>
#include <map>
#include <set>

namespace troupe {

/// Used by one actor at a time. Remembers the newest kRemembered tickets; older ones are long settled.
class Granted {
 public:
  void add(const Tickets& tickets) {
    for (const Ticket& ticket : tickets)
      attempts_[ticket.read().getId()].insert(ticket.read().getAttempt());
    while (attempts_.size() > kRemembered) attempts_.erase(attempts_.begin());
  }
  bool has(std::uint64_t ticket, std::uint32_t attempt) const {
    const auto found = attempts_.find(ticket);
    return found != attempts_.end() && found->second.contains(attempt);
  }

 private:
  static constexpr std::size_t kRemembered = 16384;
  std::map<std::uint64_t, std::set<std::uint32_t>> attempts_;  // by ticket, which ascend
};

}  // namespace troupe
