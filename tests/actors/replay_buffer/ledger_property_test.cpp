#include "actors/replay_buffer/ledger.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

TEST_SUITE_BEGIN("actors/replay_buffer");

namespace troupe {
namespace {

/// A made-up world around a ledger: generators that come and go, rollouts that arrive late, twice,
/// or never, a learner that trains. Everything happens in random order; the invariants hold after
/// each step.
class World {
 public:
  World(std::uint64_t seed, LedgerConfig config)
      : random_(seed), config_(config), ledger_(config) {}

  void run() {
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
    if (!config_.completion_order && !ever_lost_)
      CHECK(record.dropped_rollouts.count("stale") == 0);
  }

 private:
  struct UnderWay {
    Ticket ticket;
    std::uint32_t index;
    std::string holder;
    std::uint64_t version;  // of the weights that sample it
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
      lose();
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
    for (const std::uint32_t index : ticket->read().getIndices())
      under_way_.push_back({*ticket, index, to, oldest + below(version_ - oldest + 1)});
  }
  void finish() {
    if (under_way_.empty()) return;
    const std::size_t i = below(under_way_.size());
    const UnderWay done = under_way_[i];
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(i));
    const auto count = static_cast<std::uint32_t>(1 + below(5));
    GradedRollout rollout = support::graded({.ticket = done.ticket.read().getId(),
                                             .index = done.index,
                                             .attempt = done.ticket.read().getAttempt(),
                                             .completion = std::vector<std::int32_t>(count, 5),
                                             .versions = {{done.version, count}}},
                                            static_cast<float>(below(2)));
    if (below(10) == 0)
      rollout.verdict = support::verdict(rollout.rollout, 0, wire::Verdict::Outcome::UNVERIFIABLE);
    const RolloutNotice notice{done.ticket.read().getId(), done.index,
                               done.ticket.read().getAttempt(), count};
    if (below(4) != 0) ledger_.notice(notice);  // else the rollout itself comes first
    if (below(50) != 0) on_the_way_.push_back(rollout);
    if (below(10) == 0) on_the_way_.push_back(rollout);  // sent again
  }
  void arrive() {
    if (on_the_way_.empty()) return;
    const std::size_t i = below(on_the_way_.size());
    ledger_.append(on_the_way_[i]);
    on_the_way_.erase(on_the_way_.begin() + static_cast<std::ptrdiff_t>(i));
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
          for (const auto run : one.rollout.read().getVersions()) {
            CHECK(run.getVersion() <= batch.version);
            CHECK(batch.version - run.getVersion() <= config_.staleness_bound);
          }
        }
      return;
    }
    leased_ = ledger_.take(version_);
  }
  void lose() {
    const std::string gone = holder();
    ever_lost_ = true;
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
    REQUIRE(rollouts_in(record.trained_lengths) == record.trained_rollouts);
    for (const auto& [reason, count] : record.dropped_rollouts)
      REQUIRE(rollouts_in(record.dropped_lengths.at(reason)) == count);
    std::uint64_t window = (config_.staleness_bound + 1) * config_.batch;
    REQUIRE(ledger_.groups_outstanding() <= window);
  }

  std::mt19937_64 random_;
  LedgerConfig config_;
  Ledger ledger_;
  double now_ = 0;
  PolicyVersion version_ = 0;
  int incarnation_ = 0;
  bool ever_lost_ = false;
  std::deque<UnderWay> under_way_;
  std::vector<GradedRollout> on_the_way_;
  std::optional<Batch> leased_;
  std::set<std::uint64_t> trained_;
};

void run_worlds(bool completion_order, bool refill) {
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
    World(seed, config).run();
  }
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
