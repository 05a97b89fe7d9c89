#include "actors/broadcaster/broadcaster.hpp"
#include "actors/link/generator_stand_in.hpp"
#include "actors/link/verifier_stand_in.hpp"
#include "actors/replay_buffer/replay_buffer.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <caf/abstract_actor.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <prometheus/counter.h>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

using std::chrono::seconds;
using support::ActorFixture;

/// A process that answers when the test says so.
struct FakeGeneratorSeat final : GeneratorSeat {
  struct Take {
    std::uint32_t count;
    RolloutIds acknowledged;
    Answer<Rollouts> answer;
  };
  void begin(const CallSheet& sheet, const caf::actor&, const Broadcaster&,
             Answer<caf::unit_t> answer) override {
    cast = sheet.cast;
    begun.emplace(std::move(answer));
  }
  void take(std::uint32_t count, const RolloutIds& acknowledged, Answer<Rollouts> answer) override {
    takes.push_back({count, acknowledged, std::move(answer)});
  }
  void end(Answer<SiteTotals> answer) override { ended.emplace(std::move(answer)); }
  void release(std::uint64_t) override { released = true; }

  std::uint64_t cast = 0;
  std::optional<Answer<caf::unit_t>> begun;
  std::deque<Take> takes;  // not answered yet
  std::optional<Answer<SiteTotals>> ended;
  bool released = false;
};

struct FakeVerifierSeat final : VerifierSeat {
  void begin(const CallSheet&, const caf::actor&, const ReplayBuffer&,
             Answer<caf::unit_t> answer) override {
    begun.emplace(std::move(answer));
  }
  void join(const std::string& name, const Generator&, Answer<caf::unit_t> answer) override {
    joined.push_back(name);
    joins.push_back(std::move(answer));
  }
  void release(std::uint64_t) override { released = true; }

  std::optional<Answer<caf::unit_t>> begun;
  std::vector<std::string> joined;
  std::deque<Answer<caf::unit_t>> joins;
  bool released = false;
};

/// How an actor ended; empty while it lives.
std::shared_ptr<std::optional<caf::error>> watch(const caf::actor& actor) {
  auto end = std::make_shared<std::optional<caf::error>>();
  caf::actor_cast<caf::abstract_actor*>(actor)->attach_functor(
      [end](const caf::error& reason) { *end = reason; });
  return end;
}

struct StandInFixture : ActorFixture {
  StandInFixture() {
    LedgerConfig ledger;
    ledger.batch = 4;
    ledger.group_size = 2;
    ledger.staleness_bound = 0;
    ledger.updates = 1;
    buffer = keep(system.spawn(replay_buffer, ReplayBufferPlan{ledger,
                                                               [] {
                                                                 return TicketPrompt{42, {1, 7}};
                                                               },
                                                               {},
                                                               telemetry()}));
    weights = keep(system.spawn(broadcaster, BroadcasterPlan{{}, telemetry()}));
    GeneratorStandInPlan plan;
    plan.name = "far";
    plan.sheet.cast = 9;
    plan.seat = seat;
    plan.outbox_limit = 4;
    plan.telemetry = telemetry();
    stand_in = keep(system.spawn(generator_stand_in, plan, buffer, weights));
    end = watch(stand_in);
    settle();
  }

  /// The process has taken the part.
  void begin() {
    seat->begun->give(caf::unit_t{});
    settle();
  }
  caf::expected<Tickets> grant(std::uint64_t sequence, std::uint32_t count = 8) {
    return ask<Tickets>(stand_in, grant_atom::value, sequence, count);
  }
  Rollouts rollouts_of(const Ticket& ticket) const {
    Rollouts rollouts;
    for (const std::uint32_t index : ticket.read().getIndices())
      rollouts.push_back(support::rollout({.ticket = ticket.read().getId(),
                                           .index = index,
                                           .attempt = ticket.read().getAttempt()}));
    return rollouts;
  }
  static RolloutIds ids_of(const Rollouts& rollouts) {
    RolloutIds ids;
    for (const Rollout& one : rollouts) ids.push_back(delivery_id(one.read()));
    return ids;
  }
  FakeGeneratorSeat::Take next_take() {
    REQUIRE(seat->takes.size() == 1);  // one is open at a time
    auto take = std::move(seat->takes.front());
    seat->takes.pop_front();
    return take;
  }
  void hand_over(caf::expected<Rollouts> rollouts) {
    next_take().answer.give(std::move(rollouts));
    settle();
  }
  LedgerRecord ledger() { return *ask<LedgerRecord>(buffer, ledger_atom::value); }
  double dropped() {
    return telemetry()
        ->metrics()
        .counter("troupe_actor_dropped_messages_total", "not_granted")
        .Value();
  }

  /// A verifier: one sender with several requests.
  struct Borrower {
    caf::actor actor;
    std::shared_ptr<std::optional<Rollouts>> got = std::make_shared<std::optional<Rollouts>>();
    std::size_t count() const { return got->has_value() ? (*got)->size() : 0; }
  };
  Borrower borrower() {
    return {keep(system.spawn(
        [](caf::event_based_actor* actor) -> caf::behavior { return {errand_handler(actor)}; }))};
  }
  void borrow(Borrower& by, const RolloutIds& acknowledged = {}) {
    by.got->reset();
    run_in(by.actor, [=, this, got = by.got](caf::event_based_actor* actor) {
      actor->request(stand_in, caf::infinite, take_atom::value, std::uint32_t{8}, acknowledged)
          .then([got](const Rollouts& rollouts) { *got = rollouts; }, [](const caf::error&) {});
    });
    settle();
  }

  ReplayBuffer buffer;
  Broadcaster weights;
  std::shared_ptr<FakeGeneratorSeat> seat = std::make_shared<FakeGeneratorSeat>();
  caf::actor stand_in;
  std::shared_ptr<std::optional<caf::error>> end;
};

}  // namespace

TEST_CASE_FIXTURE(StandInFixture, "what the process has finished is lent to verifiers") {
  CHECK(seat->cast == 9);
  CHECK(seat->takes.empty());  // not before the process has taken the part
  begin();
  const Tickets tickets = *grant(1);
  REQUIRE(tickets.size() == 4);
  const Rollouts sent = rollouts_of(tickets[0]);
  hand_over(sent);
  Borrower verifier = borrower();
  borrow(verifier);
  REQUIRE(verifier.count() == 2);
  CHECK(ids_of(**verifier.got) == ids_of(sent));
  borrow(verifier, ids_of(sent));
  CHECK_FALSE(verifier.got->has_value());  // nothing else is there: it waits
  hand_over(rollouts_of(tickets[1]));
  CHECK(verifier.count() == 2);
}

TEST_CASE_FIXTURE(StandInFixture,
                  "what verifiers elsewhere have is counted until the buffer has it") {
  CHECK(telemetry()->at_verifiers() == 0u);
  begin();
  const Tickets tickets = *grant(1);
  const Rollouts sent = rollouts_of(tickets[0]);
  hand_over(sent);
  CHECK(telemetry()->at_verifiers() == 0u);  // nobody has asked for them
  Borrower verifier = borrower(), other = borrower();
  borrow(verifier);
  CHECK(telemetry()->at_verifiers() == 2u);
  borrow(verifier, ids_of(sent));
  CHECK(telemetry()->at_verifiers() == 0u);
  hand_over(rollouts_of(tickets[1]));
  CHECK(telemetry()->at_verifiers() == 2u);
  caf::anon_send_exit(verifier.actor, caf::exit_reason::kill);
  settle();
  CHECK(telemetry()->at_verifiers() == 0u);
  borrow(other);
  CHECK(telemetry()->at_verifiers() == 2u);
  caf::anon_send_exit(stand_in, caf::exit_reason::kill);  // what it lent is nobody's
  settle();
  CHECK(telemetry()->at_verifiers() == 0u);
}

TEST_CASE_FIXTURE(StandInFixture, "what has arrived is acknowledged with the next pull and once") {
  begin();
  const Tickets tickets = *grant(1);
  CHECK(seat->takes.front().acknowledged.empty());
  const Rollouts sent = rollouts_of(tickets[0]);
  hand_over(sent);
  CHECK(seat->takes.front().acknowledged == ids_of(sent));  // with no word from a verifier
  hand_over(Rollouts{});
  CHECK(seat->takes.front().acknowledged.empty());
}

TEST_CASE_FIXTURE(StandInFixture, "an acknowledgement that may not have arrived is told again") {
  begin();
  const Tickets tickets = *grant(1);
  const Rollouts sent = rollouts_of(tickets[0]);
  hand_over(sent);
  hand_over(make_error(Errc::link_busy, "no answer in time"));
  CHECK(seat->takes.front().acknowledged == ids_of(sent));
  hand_over(make_error(Errc::link_lost));
  CHECK(seat->takes.empty());  // until the link is there again
  advance(seconds(60));
  CHECK(seat->takes.empty());
  caf::anon_send(stand_in, attached_atom::value);
  settle();
  REQUIRE(seat->takes.size() == 1);
  CHECK(seat->takes.front().acknowledged == ids_of(sent));
  CHECK_FALSE(end->has_value());
}

TEST_CASE_FIXTURE(StandInFixture, "a rollout that comes again is not lent twice") {
  begin();
  const Tickets tickets = *grant(1);
  const Rollouts sent = rollouts_of(tickets[0]);
  Borrower first = borrower(), second = borrower();
  hand_over(sent);
  hand_over(sent);
  borrow(first);
  CHECK(first.count() == 2);
  hand_over(sent);
  borrow(second);
  CHECK_FALSE(second.got->has_value());
}

TEST_CASE_FIXTURE(StandInFixture, "what a dead verifier had is lent to another") {
  begin();
  const Tickets tickets = *grant(1);
  hand_over(rollouts_of(tickets[0]));
  Borrower first = borrower(), second = borrower();
  borrow(first);
  borrow(second);
  CHECK_FALSE(second.got->has_value());
  caf::anon_send_exit(first.actor, caf::exit_reason::kill);
  settle();
  CHECK(second.count() == 2);
}

TEST_CASE_FIXTURE(StandInFixture, "a verifier is answered with nothing before its deadline") {
  begin();
  Borrower verifier = borrower();
  borrow(verifier);
  advance(seconds(9));
  CHECK_FALSE(verifier.got->has_value());
  advance(seconds(2));
  REQUIRE(verifier.got->has_value());
  CHECK(verifier.count() == 0);
}

TEST_CASE_FIXTURE(StandInFixture, "nothing is pulled beyond the limit of what is held") {
  begin();
  const Tickets tickets = *grant(1);
  hand_over(rollouts_of(tickets[0]));
  hand_over(rollouts_of(tickets[1]));
  CHECK(seat->takes.empty());
  Borrower verifier = borrower();
  borrow(verifier);
  REQUIRE(verifier.count() == 4);
  borrow(verifier, ids_of(**verifier.got));
  CHECK(seat->takes.size() == 1);
}

TEST_CASE_FIXTURE(StandInFixture, "a process that cannot do its part is given up") {
  for (const Errc code : {Errc::link_failed, Errc::link_unsupported, Errc::actor_failed}) {
    CAPTURE(to_string(code));
    StandInFixture other;
    other.begin();
    REQUIRE(other.grant(1)->size() == 4);
    other.hand_over(make_error(code, "no"));
    CHECK(other.seat->takes.empty());
    CHECK(other.seat->released);
    REQUIRE(other.end->has_value());
    CHECK(code_of(**other.end) == Errc::link_lost);
    CHECK(other.ledger().dropped_rollouts.at("generator_lost") == 8);
  }
}

TEST_CASE_FIXTURE(StandInFixture,
                  "a part that is refused ends the stand-in and a lost link does not") {
  StandInFixture other;
  seat->begun->give(make_error(Errc::link_lost));
  other.seat->begun->give(make_error(Errc::link_failed));
  settle();
  other.settle();
  CHECK_FALSE(end->has_value());
  CHECK(other.end->has_value());
  caf::anon_send(stand_in, attached_atom::value);
  settle();
  CHECK(seat->takes.size() == 1);
}

TEST_CASE_FIXTURE(StandInFixture,
                  "a part that is not taken in time may be given to the process anew") {
  seat->begun->give(make_error(Errc::link_busy));
  const auto verifier_seat = std::make_shared<FakeVerifierSeat>();
  const auto verifier_end = watch(keep(
      system.spawn(verifier_stand_in, VerifierStandInPlan{"far", {}, verifier_seat, telemetry()},
                   ReplayBuffer())));
  settle();
  verifier_seat->begun->give(make_error(Errc::link_busy));
  settle();
  for (const auto& one : {end, verifier_end}) {
    REQUIRE(one->has_value());
    CHECK(code_of(**one) == Errc::link_busy);
  }
}

TEST_CASE_FIXTURE(StandInFixture, "the same sequence gives the same tickets") {
  const Tickets first = *grant(1, 2);
  const Tickets again = *grant(1, 2);
  REQUIRE(first.size() == 2);
  REQUIRE(again.size() == 2);
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(first[i].words().asBytes() == again[i].words().asBytes());
  CHECK(ledger().tickets_granted == 2);
  CHECK(grant(2, 8)->size() == 2);
  CHECK(code_of(grant(1, 2).error()) == Errc::link_failed);  // long settled
  CHECK(ledger().tickets_granted == 4);
}

TEST_CASE_FIXTURE(StandInFixture,
                  "a grant that is still open is taken over by whoever asks again") {
  const auto other =
      ask_later<Tickets>(buffer, grant_atom::value, std::string("near"), std::uint32_t{3});
  settle();
  CHECK(grant(1)->size() == 1);
  const auto lost =
      ask_later<Tickets>(stand_in, grant_atom::value, std::uint64_t{2}, std::uint32_t{8});
  settle();
  const auto again =
      ask_later<Tickets>(stand_in, grant_atom::value, std::uint64_t{2}, std::uint32_t{8});
  settle();
  CHECK_FALSE(again->answered());
  caf::anon_send_exit(kept[kept.size() - 4], caf::exit_reason::kill);  // near: its tickets are free
  settle();
  CHECK_FALSE(lost->answered());
  REQUIRE(again->answered());
  CHECK((*again->answer)->size() == 3);
  CHECK(ledger().tickets_reissued == 3);
  CHECK(grant(2)->size() == 3);  // the answer may have been lost once more
  CHECK(ledger().tickets_reissued == 3);
}

TEST_CASE_FIXTURE(StandInFixture, "a process answers for its own tickets only") {
  begin();
  REQUIRE(
      ask<Tickets>(buffer, grant_atom::value, std::string("near"), std::uint32_t{1}));  // ticket 0
  const Tickets tickets = *grant(1, 1);
  REQUIRE(tickets.size() == 1);
  CHECK(*ask<bool>(stand_in, notice_atom::value,
                   RolloutNotices{{0, 0, 0, 3, true}, {1, 0, 1, 3}, {1, 1, 0, 3}, {77, 0, 0, 3}}));
  CHECK(dropped() == 3);
  CHECK(ledger().in_flight_rollouts == 1);
  CHECK(ledger().dropped_rollouts.empty());
  const Rollout foreign = support::rollout({.ticket = 0});
  const Rollout old = support::rollout({.ticket = 1, .attempt = 4});
  const Rollout own = support::rollout({.ticket = 1});
  hand_over(Rollouts{foreign, old, own});
  CHECK(dropped() == 5);
  Borrower verifier = borrower();
  borrow(verifier);
  CHECK(ids_of(**verifier.got) == ids_of({own}));
  CHECK(seat->takes.front().acknowledged.size() == 3);  // those refused need not come again either
}

TEST_CASE_FIXTURE(StandInFixture, "the tickets of a process that is lost are issued again") {
  begin();
  REQUIRE(grant(1)->size() == 4);
  caf::anon_send(stand_in, lost_atom::value, std::string("silent"));
  settle();
  REQUIRE(end->has_value());
  CHECK(describe(**end) == "link_lost: silent");
  CHECK(seat->released);
  const auto again = ask<Tickets>(buffer, grant_atom::value, std::string("near"), std::uint32_t{8});
  REQUIRE(again->size() == 4);
  CHECK((*again)[0].read().getAttempt() == 1);
}

TEST_CASE_FIXTURE(StandInFixture, "who leaves is done once all is taken and graded") {
  begin();
  const Tickets tickets = *grant(1);
  Borrower verifier = borrower();
  const auto leaving = ask_later<bool>(stand_in, leave_atom::value);
  settle();
  hand_over(rollouts_of(tickets[0]));
  hand_over(rollouts_of(tickets[1]));
  hand_over(rollouts_of(tickets[2]));
  CHECK_FALSE(leaving->answered());  // there may be more, however much is held here
  hand_over(Rollouts{});
  CHECK(leaving->answered());
  CHECK(seat->takes.empty());
  caf::anon_send(stand_in, lost_atom::value, std::string("gone"));
  settle();
  CHECK_FALSE(end->has_value());
  borrow(verifier);
  REQUIRE(verifier.count() == 6);
  CHECK_FALSE(end->has_value());
  borrow(verifier, ids_of(**verifier.got));
  REQUIRE(end->has_value());
  CHECK(**end == caf::exit_reason::normal);
}

TEST_CASE_FIXTURE(StandInFixture, "what who leaves has begun goes to others and nothing is lost") {
  begin();
  REQUIRE(grant(1, 3)->size() == 3);
  const auto heir =
      ask_later<Tickets>(buffer, grant_atom::value, std::string("near"), std::uint32_t{8});
  settle();
  REQUIRE(heir->answered());
  CHECK((*heir->answer)->size() == 1);
  CHECK(*ask<bool>(stand_in, notice_atom::value,
                   RolloutNotices{{0, 0, 0, 2, false, support::part(0, {{0, 2}})},
                                  {0, 1, 0, 0, false, support::part(1, {})},
                                  {1, 0, 0, 3, false, support::part(0, {{0, 3}})},
                                  {3, 0, 0, 1, false, support::part(0, {{0, 1}})}}));
  CHECK(dropped() == 1);  // that of another's ticket
  CHECK(ledger().handed_over_tokens == 5);
  const auto leaving = ask_later<bool>(stand_in, leave_atom::value);
  settle();
  hand_over(Rollouts{});
  CHECK(leaving->answered());
  caf::anon_send(stand_in, lost_atom::value, std::string("gone"));
  settle();
  REQUIRE(end->has_value());
  CHECK(**end == caf::exit_reason::normal);
  CHECK(ledger().dropped_rollouts.empty());
  const auto again = ask<Tickets>(buffer, grant_atom::value, std::string("near"), std::uint32_t{8});
  REQUIRE(again->size() == 3);  // the third it had never spoken of
  CHECK((*again)[0].read().getParts().size() == 1);
  CHECK((*again)[1].read().getParts()[0].getTokens().size() == 3);
  CHECK((*again)[2].read().getParts().size() == 0);
}

TEST_CASE_FIXTURE(StandInFixture, "who is lost before all was taken has not left") {
  begin();
  const Tickets tickets = *grant(1);
  const auto leaving = ask_later<bool>(stand_in, leave_atom::value);
  settle();
  hand_over(rollouts_of(tickets[0]));
  hand_over(make_error(Errc::link_lost));
  caf::anon_send(stand_in, lost_atom::value, std::string("gone"));
  settle();
  REQUIRE(end->has_value());
  CHECK(code_of(**end) == Errc::link_lost);
  CHECK(ledger().dropped_rollouts.at("generator_lost") == 8);
}

TEST_CASE_FIXTURE(StandInFixture,
                  "at the end the process says what it sampled and gets no more tickets") {
  begin();
  grant(1, 1);
  const auto asked = ask_later<GeneratorTotals>(stand_in, stop_atom::value);
  settle();
  CHECK_FALSE(asked->answered());
  CHECK(code_of(grant(2, 1).error()) == Errc::stage_over);
  CHECK(*ask<bool>(stand_in, notice_atom::value, RolloutNotices{{0, 0, 0, 2, true}}));
  CHECK(ledger().dropped_tokens.at("abandoned") == 2);
  hand_over(Rollouts{});
  CHECK(seat->takes.empty());
  seat->ended->give(SiteTotals{{70, 20, 5}, {1.5, 0.5}});
  settle();
  REQUIRE(asked->answered());
  CHECK((*asked->answer)->sampled_tokens == 70);
  CHECK((*asked->answer)->prompt_tokens == 20);
  CHECK((*asked->answer)->rollouts == 5);
}

TEST_CASE_FIXTURE(StandInFixture, "the end of a process that is away is an error and no silence") {
  begin();
  const auto asked = ask_later<GeneratorTotals>(stand_in, stop_atom::value);
  settle();
  seat->ended.reset();  // nobody will answer
  settle();
  REQUIRE(asked->answered());
  CHECK(code_of(asked->answer->error()) == Errc::link_lost);
}

TEST_CASE_FIXTURE(ActorFixture, "a verifier's stand-in hands on who it works for") {
  const auto seat = std::make_shared<FakeVerifierSeat>();
  const caf::actor one = keep(system.spawn(
      verifier_stand_in, VerifierStandInPlan{"far", {}, seat, telemetry()}, ReplayBuffer()));
  const auto end = watch(one);
  settle();
  seat->begun->give(caf::unit_t{});
  caf::anon_send(caf::actor_cast<Verifier>(one), join_atom::value, std::string("generator-0"),
                 Generator());
  settle();
  CHECK(seat->joined == std::vector<std::string>{"generator-0"});
  seat->joins.front().give(caf::unit_t{});
  settle();
  CHECK_FALSE(end->has_value());
  CHECK_FALSE(seat->released);
}

TEST_CASE_FIXTURE(ActorFixture, "a verifier's stand-in ends with whatever fails") {
  for (int what = 0; what < 4; ++what) {
    CAPTURE(what);
    const auto seat = std::make_shared<FakeVerifierSeat>();
    const caf::actor one = keep(system.spawn(
        verifier_stand_in, VerifierStandInPlan{"far", {}, seat, telemetry()}, ReplayBuffer()));
    const auto end = watch(one);
    settle();
    if (what == 0) seat->begun->give(make_error(Errc::link_failed));
    if (what == 1) seat->begun.reset();
    if (what == 2) {
      caf::anon_send(caf::actor_cast<Verifier>(one), join_atom::value, std::string("g"),
                     Generator());
      settle();
      seat->joins.clear();
    }
    if (what == 3) caf::anon_send(one, lost_atom::value, std::string("silent"));
    settle();
    REQUIRE(end->has_value());
    CHECK(code_of(**end) == Errc::link_lost);
    CHECK(seat->released);
  }
}

}  // namespace troupe
