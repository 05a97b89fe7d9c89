#pragma once
// What one verifier was lent: its verdicts on anything else are void. Plain rules.
#include "messages/rollout.hpp"

#include <cstdint>
#include <map>
#include <optional>

namespace troupe {

/// Used by one thread at a time. As with Lending, whoever takes again from a generator has given back what it had of it.
class Lent {
 public:
  void lend(std::uint64_t generator, const Rollouts& rollouts) {
    auto& loans = loans_[generator];
    loans.clear();
    for (const Rollout& rollout : rollouts) loans.emplace(delivery_id(rollout.read()), rollout);
  }
  /// Nobody takes from that generator any more.
  void forget(std::uint64_t generator) { loans_.erase(generator); }
  /// The rollout as it was lent, with the verdict on it; whatever the verifier returned with it does not count.
  /// Nothing if it was not lent.
  std::optional<GradedRollout> settle(const GradedRollout& graded) const {
    const auto returned = graded.rollout.read();
    for (const auto& [generator, loans] : loans_) {
      const auto found = loans.find(delivery_id(returned));
      if (found == loans.end() || found->second.read().getId() != returned.getId()) continue;
      return GradedRollout{found->second, graded.verdict};
    }
    return std::nullopt;
  }

 private:
  std::map<std::uint64_t, std::map<std::uint64_t, Rollout>> loans_;  // by generator and delivery
};

}  // namespace troupe
