#pragma once
// Where every ticket, rollout and token is accounted for. Plain rules: no actors, no clock, no
// randomness.
#include "actors/replay_buffer/batch.hpp"
#include "actors/telemetry/lineage.hpp"
#include "actors/telemetry/records.hpp"
#include "messages/rollout.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

struct LedgerConfig {
  std::uint32_t batch = 32;           // groups per update
  std::uint32_t group_size = 8;       // rollouts per group
  std::uint64_t staleness_bound = 2;  // eta: largest lag of a trained token, in versions
  PolicyVersion first_version = 0;    // of the stage
  std::uint32_t updates = 50;         // no ticket is granted for an update beyond these
  /// Batches take closed groups as they come; false: strictly by ticket.
  bool completion_order = false;
  /// Groups without signal make room for others (DAPO's dynamic sampling).
  bool refill_zero_signal = false;
  /// Batches' worth of refills for one batch; then it is taken as it is.
  std::uint32_t refill_limit = 10;
  double group_deadline_seconds = 300;
  std::uint32_t attempt_limit = 4;  // issues of one ticket, hand-overs not counted
  /// No completion is longer: whatever claims to be is dropped, and counted with this length.
  std::uint64_t max_completion_tokens = 1u << 20;
  /// Nobody goes on from a part with tokens beyond it.
  std::int32_t vocabulary = std::numeric_limits<std::int32_t>::max();
  /// Begun rollouts that one ticket may carry, at least one: what fits a message.
  std::uint32_t parts_per_ticket = std::numeric_limits<std::uint32_t>::max();
};

/// A prompt as the ledger hands it out.
struct TicketPrompt {
  std::uint64_t uid = 0;
  std::vector<std::int32_t> tokens;
};

/// A generator's word on one rollout: finished (tokens known), given up after `tokens` tokens, or
/// handed over by who leaves, with the `tokens` tokens there are.
struct RolloutNotice {
  std::uint64_t ticket = 0;
  std::uint32_t index = 0, attempt = 0;
  std::uint64_t tokens = 0;
  bool abandoned = false;
  PartialRollout part = {};  // null: not handed over
};
using RolloutNotices = std::vector<RolloutNotice>;

/// Used by one thread at a time. Time is in seconds of any clock that never goes back.
///
/// Invariants, in rollouts and in tokens, after every call:
///   1. generated = trained + buffered + in flight + dropped. An attempt at a rollout is counted
///      once, whatever arrives how often. One that is handed over and goes on elsewhere is the same
///      attempt; its tokens are in flight all the while.
///   2. A token in a batch of version v has v - version(token) <= staleness_bound.
///   3. A ticket's min_version is the version its batch is due at, less the bound: tokens sampled
///      with it or newer hold 2.
///   4. Nothing in a batch claims a version newer than the batch's: nobody had published it.
class Ledger {
 public:
  /// `dropped` hears of every attempt that is given up, if it is set.
  explicit Ledger(LedgerConfig config, std::function<void(const DroppedRollout&)> dropped = {});

  /// A ticket for `holder`, or nothing while admission is closed: as many batches are open as the
  /// bound allows, or a whole batch waits for the learner, so that what is sampled now would only
  /// be older when its turn comes. `next` is called for a new ticket only.
  std::optional<Ticket> grant(const std::string& holder, double now,
                              const std::function<TicketPrompt()>& next);
  /// False for who has begun to leave, or gave back what it could not begin and has not asked since.
  bool grants_to(const std::string& holder) const { return !leaving_.contains(holder); }
  /// The holder asks for tickets: it does not leave.
  void asks(const std::string& holder) { leaving_.erase(holder); }
  /// Who hands a rollout over gets no more tickets until it asks. Another goes on from the part, unless it cannot
  /// be trained on: then it is dropped, and the rollout begins anew.
  void notice(const RolloutNotice& notice);
  /// A graded rollout has come; what came before, or is not waited for, is counted and forgotten.
  void append(GradedRollout graded);
  /// A generator is gone: what it had sampled and not delivered is dropped, and issued again.
  void lose(const std::string& holder);
  /// A generator has left, and all it had finished is here: what it never spoke of it had not begun.
  void leave(const std::string& holder);
  /// Gives up what is past its deadline.
  void expire(double now);

  /// The learner is ready to train at `version`, the newest published one. Nothing until a batch is
  /// ready.
  std::optional<Batch> take(PolicyVersion version);
  /// The batch has been trained, or refused (`reason`): its rollouts leave the buffer.
  void trained(std::uint64_t batch);
  void refused(std::uint64_t batch, const std::string& reason);

  /// No more tickets; whatever is left is dropped for `reason`. Afterwards nothing is open, in
  /// flight or buffered.
  void close(const std::string& reason);

  LedgerRecord record() const;
  const LedgerConfig& config() const { return config_; }
  std::uint32_t groups_outstanding() const;  // open or waiting
  std::uint64_t leased_rollouts() const;     // with the learner

 private:
  enum class AttemptState { open, handed_over, in_flight, buffered, trained, dropped };
  struct Attempt {
    std::uint32_t number;
    AttemptState state;
    std::string holder;
    RolloutKey key;
    std::uint64_t begun = 0;   // tokens of its place's part, which it goes on from
    std::uint64_t tokens = 0;  // beyond those
    bool tokens_known = false;
  };
  struct Place {  // of one rollout in its group
    std::vector<Attempt> attempts;
    PartialRollout part;  // in flight: what the running attempt, or the next, goes on from
    GradedRollout graded;
    bool filled = false, given_up = false;
  };
  struct Ended {
    bool lost = false, returned = false;  // an attempt; one that had not begun
  };
  enum class GroupState { open, waiting, leased, gone };
  struct Group {
    TicketPrompt prompt;
    std::vector<Place> places;
    GroupState state = GroupState::open;
    std::uint32_t attempt = 0;  // the newest
    std::uint32_t losses = 0;
    PolicyVersion min_version = 0;
    double deadline = 0;
  };
  using Groups = std::map<std::uint64_t, Group>;

  std::optional<PolicyVersion> due_version() const;
  bool batch_waits() const;  // whole, for the learner
  Ticket issue(std::uint64_t id, Group& group, const std::string& holder, double now);
  std::vector<std::uint32_t> begin_attempts(std::uint64_t id, Group& group,
                                            const std::string& holder);
  void issue_again(std::uint64_t id);
  static bool missing(const Place& place);  // and nobody is at it
  static std::uint64_t begun_tokens(const Place& place);
  void count_generated(Attempt& attempt, std::uint64_t tokens);
  const char* unfit(const Rollout& rollout) const;
  const char* unfit(const PartialRollout& part, const Group& group) const;
  bool stale(const PartialRollout& part, const Group& group) const;
  void hand_over(Group& group, Place& place, Attempt& attempt, const PartialRollout& part);
  void end(const std::string& holder, bool left);
  Ended end_attempts(Group& group, const std::string& holder, bool left);
  void drop(Attempt& attempt, const std::string& reason);
  void tell_dropped(const Attempt& attempt, const std::string& reason) const;
  void drop_part(Place& place, const std::string& reason);
  void drop_filled(Group& group, const std::string& reason);
  void give_up(Place& place, const std::string& reason);
  void close_group(std::uint64_t id, Group& group);
  void expire_stale(PolicyVersion version);
  void drop_unpublished(PolicyVersion version);
  void drop_waiting(const std::string& reason, const std::function<bool(const Rollout&)>& unfit);
  std::vector<Groups::iterator> ready_groups();
  Batch lease(const std::vector<Groups::iterator>& members, PolicyVersion version);
  void settle(std::uint64_t batch, const std::function<void(Attempt&)>& each);
  void forget_resolved();

  LedgerConfig config_;
  std::function<void(const DroppedRollout&)> on_dropped_;
  Groups groups_;
  std::deque<std::uint64_t> reissues_;
  std::set<std::string> leaving_;
  struct Lease {
    std::vector<std::uint64_t> tickets;
    std::vector<std::uint64_t> lag_histogram;
  };
  std::map<std::uint64_t, Lease> leases_;  // by batch
  std::uint64_t next_ticket_ = 0, next_batch_ = 0;
  PolicyVersion published_, next_version_;
  bool closed_ = false;
  std::uint64_t generated_rollouts_ = 0, generated_tokens_ = 0;
  std::uint64_t trained_rollouts_ = 0, trained_tokens_ = 0;
  std::map<std::string, std::uint64_t> dropped_rollouts_, dropped_tokens_;
  std::map<std::string, LengthCounts> dropped_lengths_;
  LengthCounts trained_lengths_;
  std::uint64_t refilled_ = 0;  // since the last batch
  std::uint64_t granted_ = 0, reissued_ = 0, duplicates_ = 0, max_lag_ = 0, beyond_bound_ = 0;
  std::uint64_t handed_over_rollouts_ = 0, handed_over_tokens_ = 0;
};

}  // namespace troupe
