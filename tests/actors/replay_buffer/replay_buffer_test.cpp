#include "actors/replay_buffer/replay_buffer.hpp"

#include "actors/errors.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/replay_buffer");

namespace troupe {
namespace {

using namespace std::chrono_literals;

struct BufferFixture : support::ActorFixture {
  ReplayBuffer spawn_buffer(std::uint64_t bound = 0) {
    ReplayBufferPlan plan;
    plan.ledger.batch = 2;
    plan.ledger.group_size = 2;
    plan.ledger.staleness_bound = bound;
    plan.ledger.updates = 5;
    plan.ledger.group_deadline_seconds = 100;
    plan.next_prompt = [] { return TicketPrompt{42, {1, 7}}; };
    plan.telemetry = telemetry();
    return keep(system.spawn(replay_buffer, plan));
  }
  GradedRollouts group(std::uint64_t ticket, std::uint32_t attempt = 0) {
    return {support::graded({.ticket = ticket, .index = 0, .attempt = attempt}, 0.0f),
            support::graded({.ticket = ticket, .index = 1, .attempt = attempt}, 1.0f)};
  }
};

}  // namespace

TEST_CASE_FIXTURE(BufferFixture,
                  "a generator gets as many tickets as it asks for and admission allows") {
  const auto buffer = spawn_buffer();
  const auto one = ask<Tickets>(buffer, grant_atom::value, std::string("a"), 1u);
  REQUIRE(one);
  CHECK(one->size() == 1);
  const auto rest = ask<Tickets>(buffer, grant_atom::value, std::string("a"), 9u);
  REQUIRE(rest);
  CHECK(rest->size() == 1);
}

TEST_CASE_FIXTURE(BufferFixture, "two waiting generators share a new window evenly") {
  const auto buffer = spawn_buffer();
  REQUIRE(ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u)->size() == 2);
  const auto a = ask_later<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  const auto b = ask_later<Tickets>(buffer, grant_atom::value, std::string("b"), 2u);
  settle();
  CHECK_FALSE(a->answered());
  REQUIRE(ask<RolloutIds>(buffer, append_atom::value, group(0)));
  REQUIRE(ask<RolloutIds>(buffer, append_atom::value, group(1)));
  const auto batch = ask<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  REQUIRE(batch);
  const auto next =
      ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{1, true, (*batch)->id, ""});
  settle();
  REQUIRE(a->answered());
  REQUIRE(b->answered());
  CHECK((*a->answer)->size() == 1);
  CHECK((*b->answer)->size() == 1);
  CHECK_FALSE(next->answered());
}

TEST_CASE_FIXTURE(BufferFixture, "the learner waits until its batch is complete") {
  const auto buffer = spawn_buffer();
  ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  const auto batch = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  ask<RolloutIds>(buffer, append_atom::value, group(1));
  CHECK_FALSE(batch->answered());
  const auto acknowledged = ask<RolloutIds>(buffer, append_atom::value, group(0));
  CHECK(acknowledged->size() == 2);
  REQUIRE(batch->answered());
  REQUIRE(*batch->answer);
  CHECK((**batch->answer)->groups.size() == 2);
}

TEST_CASE_FIXTURE(BufferFixture, "a second take while one waits is refused with already_waiting") {
  const auto buffer = spawn_buffer();
  const auto first = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  const auto second = ask<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  CHECK_FALSE(first->answered());
  REQUIRE_FALSE(second);
  CHECK(code_of(second.error()) == Errc::already_waiting);
}

TEST_CASE_FIXTURE(BufferFixture, "who waits too long is answered with nothing and may ask again") {
  const auto buffer = spawn_buffer();
  ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  const auto tickets = ask_later<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  const auto batch = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  settle();
  for (int i = 0; i < 9; ++i) advance(1s);
  CHECK_FALSE(tickets->answered());
  for (int i = 0; i < 3; ++i) advance(1s);
  REQUIRE(tickets->answered());
  CHECK((*tickets->answer)->empty());
  REQUIRE(batch->answered());
  CHECK(**batch->answer == nullptr);
}

TEST_CASE_FIXTURE(BufferFixture,
                  "a paused run grants no ticket and hands out no batch until it goes on") {
  const auto buffer = spawn_buffer();
  REQUIRE(ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u)->size() == 2);
  telemetry()->pause(true);
  const auto tickets = ask_later<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  const auto batch = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  CHECK(ask<RolloutIds>(buffer, append_atom::value, group(0))->size() ==
        2);  // what is under way is taken in
  CHECK(ask<RolloutIds>(buffer, append_atom::value, group(1))->size() == 2);
  settle();
  CHECK_FALSE(batch->answered());
  CHECK_FALSE(tickets->answered());
  telemetry()->pause(false);
  for (int i = 0; i < 3; ++i) advance(1s);
  REQUIRE(batch->answered());
  CHECK((**batch->answer)->groups.size() == 2);
}

TEST_CASE_FIXTURE(BufferFixture, "the death of a generator issues its tickets again") {
  const auto buffer = spawn_buffer();
  const caf::actor dying = system.spawn([buffer](caf::event_based_actor* one) -> caf::behavior {
    one->request(buffer, caf::infinite, grant_atom::value, std::string("dying#0"), 2u)
        .then([](const Tickets&) {}, [](const caf::error&) {});
    return {[](int) {}};
  });
  settle();
  const auto heir = ask_later<Tickets>(buffer, grant_atom::value, std::string("heir#0"), 2u);
  settle();
  CHECK_FALSE(heir->answered());
  caf::anon_send_exit(dying, caf::exit_reason::kill);
  settle();
  REQUIRE(heir->answered());
  REQUIRE((*heir->answer)->size() == 2);
  CHECK((**heir->answer)[0].read().getAttempt() == 1);
  CHECK(ask<LedgerRecord>(buffer, ledger_atom::value)->dropped_rollouts.at("generator_lost") == 4);
}

TEST_CASE_FIXTURE(BufferFixture,
                  "what a leaving generator hands over goes to who waits behind it") {
  const auto buffer = spawn_buffer();
  REQUIRE(ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u)->size() == 2);
  const auto leaver = ask_later<Tickets>(buffer, grant_atom::value, std::string("a"), 1u);
  const auto heir = ask_later<Tickets>(buffer, grant_atom::value, std::string("b"), 2u);
  settle();
  caf::anon_send(buffer, notice_atom::value,
                 RolloutNotices{{1, 0, 0, 2, false, support::part(0, {{0, 2}})}});
  settle();
  CHECK_FALSE(leaver->answered());
  REQUIRE(heir->answered());
  REQUIRE((*heir->answer)->size() == 1);
  CHECK((**heir->answer)[0].read().getParts()[0].getTokens().size() == 2);
}

TEST_CASE_FIXTURE(BufferFixture, "a group past its deadline no longer holds up the batch") {
  const auto buffer = spawn_buffer();
  ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  ask<RolloutIds>(buffer, append_atom::value, group(0));
  auto batch = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  for (int i = 0; i < 102; ++i) {
    advance(1s);
    if (batch->answered() && **batch->answer == nullptr)
      batch = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  }
  REQUIRE(batch->answered());
  REQUIRE(**batch->answer != nullptr);
  CHECK((**batch->answer)->groups.size() == 1);
}

TEST_CASE_FIXTURE(BufferFixture, "what became of a batch may be told again and counts once") {
  const auto buffer = spawn_buffer(4);
  REQUIRE(ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u)->size() == 2);
  for (const std::uint64_t ticket : {0, 1})
    REQUIRE(ask<RolloutIds>(buffer, append_atom::value, group(ticket)));
  const auto first = ask<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  REQUIRE(first);
  const TrainedReport report{1, true, (*first)->id, ""};
  const auto next = ask_later<BatchPtr>(buffer, take_atom::value, report);
  REQUIRE(ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u)->size() == 2);
  for (const std::uint64_t ticket : {2, 3})
    REQUIRE(ask<RolloutIds>(buffer, append_atom::value, group(ticket)));
  settle();
  REQUIRE(next->answered());  // but the answer may be lost on its way
  const auto again = ask<BatchPtr>(buffer, take_atom::value, report);
  REQUIRE(again);
  REQUIRE(*again);
  CHECK((*again)->id == (**next->answer)->id);
  CHECK(ask<LedgerRecord>(buffer, ledger_atom::value)->trained_rollouts == 4);
}

TEST_CASE_FIXTURE(BufferFixture,
                  "closing answers all who wait with stage_over and returns a balanced ledger") {
  const auto buffer = spawn_buffer();
  ask<Tickets>(buffer, grant_atom::value, std::string("a"), 2u);
  ask<RolloutIds>(buffer, append_atom::value, group(0));
  const auto tickets = ask_later<Tickets>(buffer, grant_atom::value, std::string("a"), 1u);
  const auto batch = ask_later<BatchPtr>(buffer, take_atom::value, TrainedReport{});
  settle();
  const auto last = ask<LedgerRecord>(buffer, close_atom::value, std::string("stage_over"));
  REQUIRE(last);
  CHECK(last->dropped_rollouts.at("stage_over") == 4);
  CHECK(last->imbalance_rollouts == 0);
  CHECK(last->imbalance_tokens == 0);
  REQUIRE(tickets->answered());
  CHECK(code_of(tickets->answer->error()) == Errc::stage_over);
  REQUIRE(batch->answered());
  CHECK(code_of(batch->answer->error()) == Errc::stage_over);
  CHECK(code_of(ask<Tickets>(buffer, grant_atom::value, std::string("a"), 1u).error()) ==
        Errc::stage_over);
}

}  // namespace troupe
