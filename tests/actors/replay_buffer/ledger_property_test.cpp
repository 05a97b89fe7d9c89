#include "actors/replay_buffer/ledger.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <random>
#include <set>
#include <tuple>

TEST_SUITE_BEGIN("actors/replay_buffer");

namespace troupe {
namespace {

/// A made-up world around a ledger: generators that come and go, rollouts that arrive late, twice,
/// or never, a learner that trains. Everything happens in random order; the invariants hold after
/// each step. With `faults` generators die as well, and rollouts are lost on their way.
class World {
 public:
  World(std::uint64_t seed, LedgerConfig config, bool faults)
      : random_(seed), config_(config), faults_(faults), ledger_(config) {}

  /// Returns how many tokens were handed over.
  std::uint64_t run() {
    for (int i = 0; i < 200'000 && version_ < config_.updates; ++i) {
      step();
      check();
    }
    REQUIRE(version_ == config_.updates);  // whatever went wrong, training went on to the end
    ledger_.close("stage_over");
    check();
    const LedgerRecord record = ledger_.record();
    CHECK(record.open_rollouts + record.in_flight_rollouts + record.buffered_rollouts == 0);
    CHECK(record.tokens_beyond_bound == 0);
    CHECK(record.max_lag <= config_.staleness_bound);
    CHECK(record.trained_rollouts == trained_.size());
    CHECK(record.trained_tokens == trained_tokens_);
    if (faults_) return record.handed_over_tokens;
    CHECK(record.dropped_rollouts.count("generator_lost") == 0);
    if (!config_.completion_order) CHECK(record.dropped_rollouts.count("stale") == 0);
    return record.handed_over_tokens;
  }

 private:
  struct UnderWay {
    Ticket ticket;
    std::uint32_t index;
    std::string holder;
    std::uint64_t version;  // of the weights that sample it
    support::VersionRuns begun;
  };
  struct Sent {
    GradedRollout rollout;
    std::string holder;
    std::uint64_t begun;  // tokens that others had sampled
  };

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::string holder() {
    std::string name =
        "g";  // built up: GCC 12 warns falsely of "g" + std::to_string() (its bug 105651)
    name += std::to_string(below(3));
    name += '#';
    return name += std::to_string(incarnation_);
  }

  void step() {
    const std::uint64_t dice = below(100);
    now_ += 0.1;
    if (dice < 25) {
      grant();
    } else if (dice < 60) {
      finish();
    } else if (dice < 85) {
      arrive();
    } else if (dice < 96) {
      train();
    } else if (dice < 97) {
      leave();
    } else if (dice < 98 && faults_) {
      lose();
    } else if (dice < 99) {
      part();
    } else {
      ledger_.expire(now_);
    }
  }
  void grant() {
    const std::string to = holder();
    const auto ticket = ledger_.grant(to, now_, [] { return TicketPrompt{42, {1, 7}}; });
    if (!ticket) return;
    // What a generator does: it waits for min_version, then samples with the newest it holds, which
    // may be old.
    const std::uint64_t oldest = ticket->read().getMinVersion();
    REQUIRE(oldest <= version_);
    std::map<std::uint32_t, support::VersionRuns> begun;
    for (const auto part : ticket->read().getParts())
      for (const auto run : part.getVersions())
        begun[part.getIndex()].emplace_back(run.getVersion(), run.getCount());
    for (const std::uint32_t index : ticket->read().getIndices()) {
      support::VersionRuns& runs = begun[index];
      if (!runs.empty()) REQUIRE(runs.front().first >= oldest);
      const std::uint64_t version = oldest + below(version_ - oldest + 1);
      under_way_.push_back({*ticket, index, to,
                            runs.empty() ? version : std::max(version, runs.back().first), runs});
    }
  }
  static std::uint64_t tokens_in(const support::VersionRuns& runs) {
    std::uint64_t count = 0;
    for (const auto& run : runs) count += run.second;
    return count;
  }
  /// The tokens beyond those that it began with are counted when the ledger first hears of them.
  void tell(std::uint64_t ticket, std::uint32_t index, std::uint32_t attempt,
            std::uint64_t tokens) {
    if (told_.insert({ticket, index, attempt}).second) told_tokens_ += tokens;
  }
  void finish() {
    if (under_way_.empty()) return;
    const std::size_t i = below(under_way_.size());
    UnderWay done = under_way_[i];
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(i));
    const std::uint64_t begun = tokens_in(done.begun);
    done.begun.emplace_back(done.version, static_cast<std::uint32_t>(1 + below(5)));
    const std::uint64_t count = tokens_in(done.begun);
    const std::uint64_t ticket = done.ticket.read().getId();
    const std::uint32_t attempt = done.ticket.read().getAttempt();
    GradedRollout rollout = support::graded({.ticket = ticket,
                                             .index = done.index,
                                             .attempt = attempt,
                                             .completion = std::vector<std::int32_t>(count, 5),
                                             .versions = done.begun},
                                            static_cast<float>(below(2)));
    if (below(10) == 0)
      rollout.verdict = support::verdict(rollout.rollout, 0, wire::Verdict::Outcome::UNVERIFIABLE);
    if (below(4) != 0) {  // else the rollout itself comes first
      ledger_.notice({ticket, done.index, attempt, count});
      tell(ticket, done.index, attempt, count - begun);
    }
    if (!faults_ || below(50) != 0) on_the_way_.push_back({rollout, done.holder, begun});
    if (below(10) == 0) on_the_way_.push_back({rollout, done.holder, begun});  // sent again
  }
  void arrive() {
    if (!on_the_way_.empty()) arrive(below(on_the_way_.size()));
  }
  void arrive(std::size_t i) {
    const Sent sent = on_the_way_[i];
    on_the_way_.erase(on_the_way_.begin() + static_cast<std::ptrdiff_t>(i));
    ledger_.append(sent.rollout);
    const auto read = sent.rollout.rollout.read();
    tell(read.getTicket(), read.getIndex(), read.getAttempt(),
         read.getLogProbs().size() - sent.begun);
  }
  void train() {
    if (leased_) {
      const Batch batch = *leased_;
      leased_.reset();
      ++version_;
      if (below(20) == 0) return ledger_.refused(batch.id, "refused_update");
      ledger_.trained(batch.id);
      for (const BatchGroup& group : batch.groups)
        for (const GradedRollout& one : group.rollouts) {
          CHECK(trained_.insert(one.rollout.read().getId()).second);  // never twice
          trained_tokens_ += one.rollout.read().getLogProbs().size();
          for (const auto run : one.rollout.read().getVersions()) {
            CHECK(run.getVersion() <= batch.version);
            CHECK(batch.version - run.getVersion() <= config_.staleness_bound);
          }
        }
      return;
    }
    leased_ = ledger_.take(version_);
  }
  /// Hands over what it has, but for a few of which no word arrives in time.
  void leave() {
    const std::string gone = holder();
    for (UnderWay& one : under_way_) {
      if (one.holder != gone || below(5) == 0) continue;
      const std::uint64_t begun = tokens_in(one.begun);
      if (const auto own = static_cast<std::uint32_t>(below(4)); own > 0)
        one.begun.emplace_back(one.version, own);
      const std::uint64_t count = tokens_in(one.begun);
      const std::uint64_t ticket = one.ticket.read().getId();
      const std::uint32_t attempt = one.ticket.read().getAttempt();
      ledger_.notice(
          {ticket, one.index, attempt, count, false, support::part(one.index, one.begun)});
      tell(ticket, one.index, attempt, count - begun);
      CHECK_FALSE(ledger_.grant(gone, now_, [] { return TicketPrompt{42, {1, 7}}; }));
    }
    std::erase_if(under_way_, [&](const UnderWay& one) { return one.holder == gone; });
    leaving_.push_back(gone);
    ++incarnation_;
  }
  /// Who was leaving is gone, and all it had finished is here.
  void part() {
    if (leaving_.empty()) return;
    const std::string gone = leaving_.front();
    leaving_.pop_front();
    for (std::size_t i = on_the_way_.size(); i > 0; --i)
      if (on_the_way_[i - 1].holder == gone) arrive(i - 1);
    ledger_.leave(gone);
  }
  void lose() {
    const std::string gone = holder();
    ledger_.lose(gone);
    std::erase_if(under_way_, [&](const UnderWay& one) { return one.holder == gone; });
    ++incarnation_;
  }
  static std::uint64_t rollouts_in(const LengthCounts& lengths) {
    std::uint64_t count = 0;
    for (const auto& [length, rollouts] : lengths) count += rollouts;
    return count;
  }
  void check() {
    const LedgerRecord record = ledger_.record();
    REQUIRE(record.imbalance_rollouts == 0);
    REQUIRE(record.imbalance_tokens == 0);
    REQUIRE(record.generated_tokens == told_tokens_);
    REQUIRE(rollouts_in(record.trained_lengths) == record.trained_rollouts);
    for (const auto& [reason, count] : record.dropped_rollouts)
      REQUIRE(rollouts_in(record.dropped_lengths.at(reason)) == count);
    std::uint64_t window = (config_.staleness_bound + 1) * config_.batch;
    REQUIRE(ledger_.groups_outstanding() <= window);
  }

  std::mt19937_64 random_;
  LedgerConfig config_;
  bool faults_;
  Ledger ledger_;
  double now_ = 0;
  PolicyVersion version_ = 0;
  int incarnation_ = 0;
  std::deque<UnderWay> under_way_;
  std::deque<std::string> leaving_;
  std::vector<Sent> on_the_way_;
  std::optional<Batch> leased_;
  std::set<std::uint64_t> trained_;
  std::set<std::tuple<std::uint64_t, std::uint32_t, std::uint32_t>> told_;
  std::uint64_t told_tokens_ = 0, trained_tokens_ = 0;
};

void run_worlds(bool completion_order, bool refill) {
  std::uint64_t handed_over = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    LedgerConfig config;
    config.batch = static_cast<std::uint32_t>(1 + seed % 4);
    config.group_size = static_cast<std::uint32_t>(2 + seed % 3);
    config.staleness_bound = seed % 5;
    config.updates = 12;
    config.group_deadline_seconds = 60;
    config.completion_order = completion_order;
    config.refill_zero_signal = refill;
    config.parts_per_ticket = static_cast<std::uint32_t>(1 + seed % 3);
    handed_over += World(seed, config, seed % 3 != 0).run();
  }
  CHECK(handed_over > 100);
}

}  // namespace

TEST_CASE("the ledger balances and bounds staleness under random orders in ticket order") {
  run_worlds(false, false);
}
TEST_CASE("the ledger balances and bounds staleness under random orders in completion order") {
  run_worlds(true, false);
}
TEST_CASE("the ledger balances and bounds staleness under random orders with refill") {
  run_worlds(false, true);
  run_worlds(true, true);
}

}  // namespace troupe
