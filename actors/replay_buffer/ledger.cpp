#include "actors/replay_buffer/ledger.hpp"

#include "gpu/training/policy_update.hpp"

#include <algorithm>
#include <utility>

namespace troupe {
namespace {

std::uint64_t completion_tokens(const Rollout& rollout) {
  return rollout.read().getLogProbs().size();
}

PolicyVersion oldest_version(const Rollout& rollout) {
  return rollout.read().getVersions()[0].getVersion();  // versions ascend
}

PolicyVersion newest_version(const Rollout& rollout) {
  const auto versions = rollout.read().getVersions();
  return versions[versions.size() - 1].getVersion();
}

bool group_has_signal(const std::vector<float>& rewards) {
  return gpu::has_signal(rewards);
}

void add_to_facts(BatchFacts& facts, const GradedRollout& graded) {
  const auto verdict = graded.verdict.read();
  ++facts.rollouts;
  facts.reward_mean += static_cast<double>(verdict.getReward());
  facts.pass_rate += verdict.getOutcome() == wire::Verdict::Outcome::PASS ? 1.0 : 0.0;
  facts.format_rate += static_cast<double>(verdict.getFormat());
  facts.response_tokens_mean += static_cast<double>(completion_tokens(graded.rollout));
}

void finish_facts(BatchFacts& facts) {
  if (facts.rollouts == 0) return;
  facts.reward_mean /= facts.rollouts;
  facts.pass_rate /= facts.rollouts;
  facts.format_rate /= facts.rollouts;
  facts.response_tokens_mean /= facts.rollouts;
}

void add_lags(std::vector<std::uint64_t>& histogram, const Rollout& rollout,
              PolicyVersion version) {
  for (const auto run : rollout.read().getVersions()) {
    const std::uint64_t lag = version - run.getVersion();
    if (histogram.size() <= lag) histogram.resize(lag + 1);
    histogram[lag] += run.getCount();
  }
}

}  // namespace

Ledger::Ledger(LedgerConfig config, std::function<void(const DroppedRollout&)> dropped)
    : config_(config),
      on_dropped_(std::move(dropped)),
      published_(config.first_version),
      next_version_(config.first_version) {}

std::uint32_t Ledger::groups_outstanding() const {
  return static_cast<std::uint32_t>(
      std::count_if(groups_.begin(), groups_.end(), [](const auto& g) {
        return g.second.state == GroupState::open || g.second.state == GroupState::waiting;
      }));
}

std::uint64_t Ledger::leased_rollouts() const {
  std::uint64_t count = 0;
  for (const auto& [id, group] : groups_)
    if (group.state == GroupState::leased)
      count += static_cast<std::uint64_t>(
          std::count_if(group.places.begin(), group.places.end(),
                        [](const Place& place) { return place.filled; }));
  return count;
}

/// The version at which a ticket granted now will be trained at the latest, if one may be granted.
std::optional<PolicyVersion> Ledger::due_version() const {
  if (closed_) return std::nullopt;
  const PolicyVersion due = next_version_ + groups_outstanding() / config_.batch;
  if (due >= config_.first_version + config_.updates) return std::nullopt;
  if (due > published_ + config_.staleness_bound) return std::nullopt;
  if (batch_waits()) return std::nullopt;
  return due;
}

/// As ready_groups() counts them.
bool Ledger::batch_waits() const {
  std::uint32_t ready = 0;
  for (const auto& [id, group] : groups_) {
    if (group.state == GroupState::waiting && ++ready == config_.batch) return true;
    if (group.state == GroupState::open && !config_.completion_order) return false;
  }
  return false;
}

std::optional<Ticket> Ledger::grant(const std::string& holder, double now,
                                    const std::function<TicketPrompt()>& next) {
  if (!grants_to(holder)) return std::nullopt;
  if (!reissues_.empty() && !closed_) {
    const std::uint64_t id = reissues_.front();
    Group& group = groups_.at(id);
    ++reissued_;
    ++group.attempt;
    Ticket ticket = issue(id, group, holder, now);
    if (std::none_of(group.places.begin(), group.places.end(), missing)) reissues_.pop_front();
    return ticket;
  }
  const auto due = due_version();
  if (!due) return std::nullopt;
  const std::uint64_t id = next_ticket_++;
  Group& group = groups_[id];
  group.prompt = next();
  group.places.resize(config_.group_size);
  group.min_version = std::max(config_.first_version,
                               *due - std::min<PolicyVersion>(*due, config_.staleness_bound));
  ++granted_;
  return issue(id, group, holder, now);
}

Ticket Ledger::issue(std::uint64_t id, Group& group, const std::string& holder, double now) {
  group.deadline = now + config_.group_deadline_seconds;
  const std::vector<std::uint32_t> indices = begin_attempts(id, group, holder);
  return Ticket::build([&](wire::Ticket::Builder ticket) {
    ticket.setId(id);
    ticket.setAttempt(group.attempt);
    ticket.setPromptUid(group.prompt.uid);
    ticket.setPromptTokens(kj::arrayPtr(group.prompt.tokens.data(), group.prompt.tokens.size()));
    ticket.setIndices(kj::arrayPtr(indices.data(), indices.size()));
    ticket.setGroupSize(config_.group_size);
    ticket.setMinVersion(group.min_version);
    const auto begun = [&](std::uint32_t i) { return static_cast<bool>(group.places[i].part); };
    auto parts = ticket.initParts(
        static_cast<unsigned>(std::count_if(indices.begin(), indices.end(), begun)));
    unsigned next = 0;
    for (const std::uint32_t i : indices)
      if (begun(i)) parts.setWithCaveats(next++, group.places[i].part.read());
  });
}

/// Counts the attempt, with at most as many tokens as a completion can have.
void Ledger::count_generated(Attempt& attempt, std::uint64_t tokens) {
  tokens = std::min(tokens, config_.max_completion_tokens);
  if (!attempt.tokens_known) {
    attempt.tokens_known = true;
    attempt.tokens = tokens - std::min(tokens, attempt.begun);
    generated_tokens_ += attempt.tokens;
  }
  if (attempt.state == AttemptState::open) ++generated_rollouts_;
}

void Ledger::drop(Attempt& attempt, const std::string& reason) {
  if (attempt.state == AttemptState::open || attempt.state == AttemptState::handed_over)
    ++generated_rollouts_;  // began, and ends here
  attempt.state = AttemptState::dropped;
  ++dropped_rollouts_[reason];
  const std::uint64_t length = attempt.begun + attempt.tokens;
  ++dropped_lengths_[reason][attempt.tokens_known ? length_bucket(length) : 0];
  dropped_tokens_[reason] += attempt.tokens;
  tell_dropped(attempt, reason);
}

void Ledger::tell_dropped(const Attempt& attempt, const std::string& reason) const {
  if (!on_dropped_) return;
  DroppedRollout rollout{attempt.key, attempt.holder, reason, std::nullopt};
  if (attempt.tokens_known) rollout.tokens = attempt.tokens;
  on_dropped_(rollout);
}

void Ledger::notice(const RolloutNotice& notice) {
  const auto found = groups_.find(notice.ticket);
  if (found == groups_.end() || notice.index >= found->second.places.size()) return;
  Place& place = found->second.places[notice.index];
  for (Attempt& attempt : place.attempts) {
    if (attempt.number != notice.attempt) continue;
    if (attempt.state == AttemptState::dropped && !attempt.tokens_known) {
      count_generated(attempt, notice.tokens);  // lost before its length was known
      dropped_tokens_["late"] += attempt.tokens;
      ++dropped_lengths_["late"][length_bucket(attempt.begun + attempt.tokens)];
      tell_dropped(attempt, "late");
    } else if (attempt.state == AttemptState::open && notice.part) {
      hand_over(found->second, place, attempt, notice.part);
      if (missing(place)) issue_again(notice.ticket);
    } else if (attempt.state == AttemptState::open) {
      count_generated(attempt, notice.tokens);
      attempt.state = AttemptState::in_flight;
      if (notice.tokens > config_.max_completion_tokens)
        give_up(place, "too_long");
      else if (notice.abandoned)
        give_up(place, "abandoned");
    }
  }
  if (found->second.state == GroupState::open) close_group(found->first, found->second);
  forget_resolved();
}

void Ledger::append(GradedRollout graded) {
  const auto rollout = graded.rollout.read();
  const auto found = groups_.find(rollout.getTicket());
  if (found == groups_.end() || rollout.getIndex() >= found->second.places.size()) {
    ++duplicates_;
    return;
  }
  Group& group = found->second;
  notice({rollout.getTicket(), rollout.getIndex(), rollout.getAttempt(),
          std::min(
              completion_tokens(graded.rollout),
              config_.max_completion_tokens)});  // counts it, should the notice still be on its way
  if (!groups_.contains(rollout.getTicket())) return;
  Place& place = group.places[rollout.getIndex()];
  const auto attempt =
      std::find_if(place.attempts.begin(), place.attempts.end(),
                   [&](const Attempt& a) { return a.number == rollout.getAttempt(); });
  if (attempt == place.attempts.end() || attempt->state != AttemptState::in_flight ||
      place.filled) {
    ++duplicates_;
    return;
  }
  if (const char* reason = unfit(graded.rollout)) {
    give_up(place, reason);
  } else if (graded.verdict.read().getOutcome() == wire::Verdict::Outcome::UNVERIFIABLE) {
    give_up(place, "unverifiable");
  } else {
    attempt->state = AttemptState::buffered;
    attempt->tokens += std::exchange(attempt->begun, 0);
    place.part = {};
    place.graded = std::move(graded);
    place.filled = true;
  }
  if (group.state == GroupState::open) close_group(found->first, group);
  forget_resolved();
}

/// Why this rollout cannot be trained on; null: it can. One version may be on its way to be published.
const char* Ledger::unfit(const Rollout& rollout) const {
  if (completion_tokens(rollout) > config_.max_completion_tokens) return "too_long";
  if (newest_version(rollout) > published_ + 1) return "version_unknown";
  return nullptr;
}

/// The rollout will not come: whatever was under way for it is dropped.
void Ledger::give_up(Place& place, const std::string& reason) {
  for (Attempt& attempt : place.attempts)
    if (attempt.state == AttemptState::open || attempt.state == AttemptState::handed_over ||
        attempt.state == AttemptState::in_flight)
      drop(attempt, reason);
  drop_part(place, reason);
  place.given_up = true;
}

void Ledger::drop_filled(Group& group, const std::string& reason) {
  for (Place& place : group.places) {
    if (!place.filled) continue;
    for (Attempt& attempt : place.attempts)
      if (attempt.state == AttemptState::buffered) drop(attempt, reason);
    place.graded = {};
    place.filled = false;
    place.given_up = true;
  }
}

/// An open group whose every rollout has come or been given up waits for its batch, or goes.
void Ledger::close_group(std::uint64_t id, Group& group) {
  std::vector<float> rewards;
  for (const Place& place : group.places) {
    if (!place.filled && !place.given_up) return;
    if (place.filled) rewards.push_back(place.graded.verdict.read().getReward());
  }
  std::erase(reissues_, id);
  group.state = GroupState::waiting;
  constexpr std::size_t kSmallestGroup = 2;  // one rollout has nothing to be compared with
  const bool refill =
      config_.refill_zero_signal && refilled_ < std::uint64_t{config_.refill_limit} * config_.batch;
  const bool too_small = rewards.size() < kSmallestGroup;
  if (too_small) drop_filled(group, "group_too_small");
  if (refill && (too_small || !group_has_signal(rewards))) {
    drop_filled(group, "zero_signal");
    group.state = GroupState::gone;
    ++refilled_;
  }
}

void Ledger::expire(double now) {
  for (auto& [id, group] : groups_) {
    if (group.state != GroupState::open || now < group.deadline) continue;
    for (Place& place : group.places)
      if (!place.filled && !place.given_up) give_up(place, "deadline");
    close_group(id, group);
  }
  forget_resolved();
}

/// Waiting groups that hold a token too old for `version` will never be trained.
void Ledger::expire_stale(PolicyVersion version) {
  drop_waiting("stale", [&](const Rollout& rollout) {
    return oldest_version(rollout) + config_.staleness_bound < version;
  });
}

/// Nor will those with a token of a version that does not exist yet.
void Ledger::drop_unpublished(PolicyVersion version) {
  drop_waiting("version_unknown",
               [&](const Rollout& rollout) { return newest_version(rollout) > version; });
}

void Ledger::drop_waiting(const std::string& reason,
                          const std::function<bool(const Rollout&)>& unfit) {
  for (auto& [id, group] : groups_) {
    if (group.state != GroupState::waiting) continue;
    const bool drop = std::any_of(
        group.places.begin(), group.places.end(),
        [&](const Place& place) { return place.filled && unfit(place.graded.rollout); });
    if (!drop) continue;
    drop_filled(group, reason);
    group.state = GroupState::gone;
  }
  forget_resolved();
}

/// The groups of the next batch, in ticket order; fewer than a batch if it is not ready.
std::vector<Ledger::Groups::iterator> Ledger::ready_groups() {
  std::vector<Groups::iterator> members;
  for (auto it = groups_.begin(); it != groups_.end() && members.size() < config_.batch; ++it) {
    if (it->second.state == GroupState::waiting) members.push_back(it);
    if (it->second.state == GroupState::open && !config_.completion_order) break;
  }
  return members;
}

std::optional<Batch> Ledger::take(PolicyVersion version) {
  published_ = std::max(published_, version);
  next_version_ = version;
  expire_stale(version);
  drop_unpublished(version);
  const auto members = ready_groups();
  if (members.size() < config_.batch) return std::nullopt;
  return lease(members, version);
}

Batch Ledger::lease(const std::vector<Groups::iterator>& members, PolicyVersion version) {
  Batch batch;
  batch.id = next_batch_++;
  refilled_ = 0;
  batch.version = version;
  for (const auto& member : members) {
    Group& group = member->second;
    BatchGroup taken{member->first, {}};
    std::vector<float> rewards;
    for (const Place& place : group.places) {
      if (!place.filled) continue;
      taken.rollouts.push_back(place.graded);
      rewards.push_back(place.graded.verdict.read().getReward());
      add_to_facts(batch.facts, place.graded);
    }
    ++batch.facts.groups;
    group.state = GroupState::leased;
    if (!group_has_signal(rewards)) {
      drop_filled(group, "zero_signal");
      group.state = GroupState::gone;
      continue;
    }
    ++batch.facts.groups_with_signal;
    for (const GradedRollout& graded : taken.rollouts)
      add_lags(batch.lag_histogram, graded.rollout, version);
    leases_[batch.id].tickets.push_back(member->first);
    batch.groups.push_back(std::move(taken));
  }
  finish_facts(batch.facts);
  leases_[batch.id].lag_histogram = batch.lag_histogram;
  next_version_ = version + 1;
  forget_resolved();
  return batch;
}

void Ledger::settle(std::uint64_t batch, const std::function<void(Attempt&)>& each) {
  const auto lease = leases_.find(batch);
  if (lease == leases_.end()) return;
  for (const std::uint64_t id : lease->second.tickets) {
    Group& group = groups_.at(id);
    for (Place& place : group.places)
      for (Attempt& attempt : place.attempts)
        if (attempt.state == AttemptState::buffered) each(attempt);
    group.state = GroupState::gone;
  }
  leases_.erase(lease);
  forget_resolved();
}

void Ledger::trained(std::uint64_t batch) {
  const auto lease = leases_.find(batch);
  if (lease == leases_.end()) return;
  const auto& histogram = lease->second.lag_histogram;
  for (std::uint64_t lag = 0; lag < histogram.size(); ++lag) {
    if (histogram[lag] > 0) max_lag_ = std::max(max_lag_, lag);
    if (lag > config_.staleness_bound) beyond_bound_ += histogram[lag];
  }
  settle(batch, [this](Attempt& attempt) {
    attempt.state = AttemptState::trained;
    ++trained_rollouts_;
    ++trained_lengths_[length_bucket(attempt.tokens)];
    trained_tokens_ += attempt.tokens;
  });
}

void Ledger::refused(std::uint64_t batch, const std::string& reason) {
  settle(batch, [&](Attempt& attempt) { drop(attempt, reason); });
}

void Ledger::close(const std::string& reason) {
  closed_ = true;
  reissues_.clear();
  while (!leases_.empty()) refused(leases_.begin()->first, reason);
  for (auto& [id, group] : groups_) {
    for (Place& place : group.places) give_up(place, reason);
    drop_filled(group, reason);
    group.state = GroupState::gone;
  }
  forget_resolved();
}

/// Groups stay known until each attempt's length is known, so that a late word on it is counted
/// once.
void Ledger::forget_resolved() {
  constexpr std::size_t kRemembered = 4096;
  std::erase_if(groups_, [&](const auto& entry) {
    if (entry.second.state != GroupState::gone) return false;
    if (entry.first + kRemembered < next_ticket_) return true;
    for (const Place& place : entry.second.places)
      for (const Attempt& attempt : place.attempts)
        if (!attempt.tokens_known) return false;
    return true;
  });
}

LedgerRecord Ledger::record() const {
  LedgerRecord record;
  for (const auto& [id, group] : groups_) {
    for (const Place& place : group.places) {
      record.in_flight_tokens += begun_tokens(place);
      for (const Attempt& attempt : place.attempts) {
        if (attempt.state == AttemptState::open) ++record.open_rollouts;
        if (attempt.state == AttemptState::in_flight) {
          ++record.in_flight_rollouts;
          record.in_flight_tokens += attempt.tokens;
        }
        if (attempt.state == AttemptState::buffered) {
          ++record.buffered_rollouts;
          record.buffered_tokens += attempt.tokens;
        }
      }
    }
  }
  record.generated_rollouts = generated_rollouts_;
  record.generated_tokens = generated_tokens_;
  record.trained_rollouts = trained_rollouts_;
  record.trained_tokens = trained_tokens_;
  record.dropped_rollouts = dropped_rollouts_;
  record.dropped_tokens = dropped_tokens_;
  record.dropped_lengths = dropped_lengths_;
  record.trained_lengths = trained_lengths_;
  record.tickets_granted = granted_;
  record.tickets_reissued = reissued_;
  record.duplicate_rollouts = duplicates_;
  record.handed_over_rollouts = handed_over_rollouts_;
  record.handed_over_tokens = handed_over_tokens_;
  record.max_lag = max_lag_;
  record.tokens_beyond_bound = beyond_bound_;
  std::uint64_t rollouts = trained_rollouts_ + record.buffered_rollouts + record.in_flight_rollouts;
  std::uint64_t tokens = trained_tokens_ + record.buffered_tokens + record.in_flight_tokens;
  for (const auto& [reason, count] : dropped_rollouts_) rollouts += count;
  for (const auto& [reason, count] : dropped_tokens_) tokens += count;
  record.imbalance_rollouts = static_cast<std::int64_t>(generated_rollouts_ - rollouts);
  record.imbalance_tokens = static_cast<std::int64_t>(generated_tokens_ - tokens);
  return record;
}

}  // namespace troupe
