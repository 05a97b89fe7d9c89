// The ledger's rules for rollouts whose generator is gone before they are finished.
#include "actors/replay_buffer/ledger.hpp"

#include <algorithm>

namespace troupe {

std::uint64_t Ledger::begun_tokens(const Place& place) {
  return place.part ? place.part.read().getTokens().size() : 0;
}

bool Ledger::missing(const Place& place) {
  if (place.filled || place.given_up) return false;
  if (place.attempts.empty()) return true;
  const AttemptState last = place.attempts.back().state;
  return last == AttemptState::dropped || last == AttemptState::handed_over;
}

/// Those that are missing, as far as their parts fit a ticket; the others stay missing. What was
/// handed over goes on as the same attempt under a new number.
std::vector<std::uint32_t> Ledger::begin_attempts(std::uint64_t id, Group& group,
                                                  const std::string& holder) {
  std::vector<std::uint32_t> begun;
  std::uint32_t parts = 0;
  for (std::uint32_t i = 0; i < group.places.size(); ++i) {
    Place& place = group.places[i];
    if (!missing(place)) continue;
    if (place.part && stale(place.part, group)) drop_part(place, "stale");
    if (place.part && ++parts > config_.parts_per_ticket) continue;
    auto& attempts = place.attempts;
    if (!attempts.empty() && attempts.back().state == AttemptState::handed_over)
      attempts.pop_back();
    const RolloutKey key{rollout_id(group.prompt.uid, id, i), id, i, group.attempt};
    attempts.push_back({group.attempt, AttemptState::open, holder, key, begun_tokens(place)});
    begun.push_back(i);
  }
  return begun;
}

void Ledger::issue_again(std::uint64_t id) {
  if (std::find(reissues_.begin(), reissues_.end(), id) == reissues_.end()) reissues_.push_back(id);
}

/// The attempt ends here, and its tokens stay in flight as its place's part; or they are of no use,
/// which counts like a loss.
void Ledger::hand_over(Group& group, Place& place, Attempt& attempt, const PartialRollout& part) {
  leaving_.insert(attempt.holder);
  const std::uint64_t tokens = part.read().getTokens().size();
  if (const char* reason = unfit(part, group)) {
    count_generated(attempt, tokens);
    attempt.state = AttemptState::in_flight;
    drop(attempt, reason);
    if (++group.losses >= config_.attempt_limit) give_up(place, reason);
    return;
  }
  attempt.state = AttemptState::handed_over;
  attempt.tokens_known = true;
  ++handed_over_rollouts_;
  if (tokens <= attempt.begun) return;  // none beyond those that it went on from
  handed_over_tokens_ += tokens - attempt.begun;
  generated_tokens_ += tokens - attempt.begun;
  attempt.begun = tokens;
  place.part = part;
}

/// Why nobody may go on from this part; null: somebody may.
const char* Ledger::unfit(const PartialRollout& part, const Group& group) const {
  const auto tokens = part.read().getTokens();
  if (tokens.size() == 0) return nullptr;
  if (tokens.size() >= config_.max_completion_tokens) return "too_long";
  for (const std::int32_t token : tokens)
    if (token >= config_.vocabulary) return "token_unknown";
  const auto versions = part.read().getVersions();
  if (versions[versions.size() - 1].getVersion() > published_ + 1) return "version_unknown";
  return stale(part, group) ? "stale" : nullptr;
}

/// Its oldest token will be beyond the bound when the group's turn comes.
bool Ledger::stale(const PartialRollout& part, const Group& group) const {
  const PolicyVersion oldest = part.read().getVersions()[0].getVersion();  // versions ascend
  return oldest < group.min_version || oldest + config_.staleness_bound < next_version_;
}

/// Nobody will go on from it.
void Ledger::drop_part(Place& place, const std::string& reason) {
  if (!place.part) return;
  Attempt& last = place.attempts.back();
  if (last.state == AttemptState::handed_over) drop(last, reason);
  dropped_tokens_[reason] += begun_tokens(place);
  if (on_dropped_) on_dropped_({last.key, last.holder, reason, begun_tokens(place), true});
  place.part = {};
}

void Ledger::lose(const std::string& holder) {
  end(holder, false);
}

void Ledger::leave(const std::string& holder) {
  end(holder, true);
}

void Ledger::end(const std::string& holder, bool left) {
  leaving_.erase(holder);
  for (auto& [id, group] : groups_) {
    if (group.state != GroupState::open) continue;
    const Ended ended = end_attempts(group, holder, left);
    if (ended.lost && ++group.losses >= config_.attempt_limit) {
      for (Place& place : group.places)
        if (!place.filled) give_up(place, "generator_lost");
      close_group(id, group);
    } else if (ended.lost || ended.returned) {
      issue_again(id);
    }
  }
  forget_resolved();
}

/// What it went on from stays; what it sampled beyond that is lost.
Ledger::Ended Ledger::end_attempts(Group& group, const std::string& holder, bool left) {
  Ended ended;
  for (Place& place : group.places) {
    for (Attempt& attempt : place.attempts) {
      if (attempt.holder != holder) continue;
      if (attempt.state == AttemptState::open && left) {
        attempt.state = AttemptState::handed_over;
        attempt.tokens_known = true;
        ended.returned = true;
      } else if (attempt.state == AttemptState::open || attempt.state == AttemptState::in_flight) {
        drop(attempt, "generator_lost");
        ended.lost = true;
      }
    }
  }
  return ended;
}

}  // namespace troupe
