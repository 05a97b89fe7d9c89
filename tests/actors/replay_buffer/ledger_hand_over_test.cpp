#include "actors/replay_buffer/ledger.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/replay_buffer");

namespace troupe {
namespace {

using support::graded;
using support::VersionRuns;

/// Two groups of two rollouts per batch.
LedgerConfig small(std::uint64_t bound = 0) {
  LedgerConfig config;
  config.batch = 2;
  config.group_size = 2;
  config.staleness_bound = bound;
  config.updates = 10;
  config.max_completion_tokens = 8;
  config.vocabulary = 50;
  return config;
}

struct Fixture {
  explicit Fixture(LedgerConfig config = small()) : ledger(config) {}

  std::vector<Ticket> grant(const std::string& holder) {
    std::vector<Ticket> tickets;
    while (auto ticket = ledger.grant(holder, 0, [] { return TicketPrompt{42, {1, 7}}; }))
      tickets.push_back(*ticket);
    return tickets;
  }
  /// Nothing is begun where there are no versions.
  void hand_over(std::uint64_t ticket, std::uint32_t index, const VersionRuns& versions,
                 std::uint32_t attempt = 0, std::int32_t token = 8) {
    const PartialRollout part = support::part(index, versions, token);
    ledger.notice({ticket, index, attempt, part.read().getTokens().size(), false, part});
    balance();
  }
  void finish(std::uint64_t ticket, std::uint32_t index, std::uint32_t attempt,
              const VersionRuns& versions) {
    std::uint32_t count = 0;
    for (const auto& run : versions) count += run.second;
    ledger.append(graded({.ticket = ticket,
                          .index = index,
                          .attempt = attempt,
                          .completion = std::vector<std::int32_t>(count, 8),
                          .versions = versions},
                         static_cast<float>(index)));
    balance();
  }
  void finish_all(const Ticket& ticket, std::uint64_t version) {
    for (const std::uint32_t index : ticket.read().getIndices())
      finish(ticket.read().getId(), index, ticket.read().getAttempt(), {{version, 3}});
  }
  LedgerRecord balance() const {
    const LedgerRecord record = ledger.record();
    CHECK(record.imbalance_rollouts == 0);
    CHECK(record.imbalance_tokens == 0);
    return record;
  }
  std::uint64_t dropped_tokens(const std::string& reason) const {
    const auto& dropped = ledger.record().dropped_tokens;
    return dropped.contains(reason) ? dropped.at(reason) : 0;
  }

  Ledger ledger;
};

using Indices = std::vector<std::uint32_t>;
Indices indices_of(const Ticket& ticket) {
  Indices indices;
  for (const std::uint32_t index : ticket.read().getIndices()) indices.push_back(index);
  return indices;
}
Indices parts_of(const Ticket& ticket) {
  Indices indices;
  for (const auto part : ticket.read().getParts()) indices.push_back(part.getIndex());
  return indices;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what is handed over is in flight until another has finished it") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  hand_over(0, 1, {});
  CHECK(balance().in_flight_tokens == 3);
  CHECK(balance().generated_tokens == 3);
  CHECK(balance().open_rollouts == 2);
  const auto again = grant("b");
  REQUIRE(again.size() == 1);
  CHECK(again[0].read().getId() == 0);
  CHECK(again[0].read().getAttempt() == 1);
  CHECK(indices_of(again[0]) == Indices{0, 1});
  CHECK(parts_of(again[0]) == Indices{0});
  CHECK(again[0].read().getParts()[0].getTokens().size() == 3);
  CHECK(balance().open_rollouts == 4);
  ledger.notice({0, 0, 1, 5});
  CHECK(balance().in_flight_rollouts == 1);
  CHECK(balance().in_flight_tokens == 5);
  finish(0, 0, 1, {{0, 5}});
  finish(0, 1, 1, {{0, 2}});
  CHECK(balance().buffered_tokens == 7);
  CHECK(balance().generated_tokens == 7);
  CHECK(balance().generated_rollouts == 2);
  CHECK(balance().dropped_rollouts.empty());
  CHECK(balance().handed_over_rollouts == 2);
  CHECK(balance().handed_over_tokens == 3);
  finish(1, 0, 0, {{0, 3}});
  finish(1, 1, 0, {{0, 3}});
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  ledger.trained(batch->id);
  CHECK(balance().trained_tokens == 13);
  CHECK(balance().trained_rollouts == 4);
}

TEST_CASE_FIXTURE(Fixture, "what is handed over again counts only what is new") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  grant("b");
  hand_over(0, 0, {{0, 5}}, 1);
  grant("c");
  hand_over(0, 0, {}, 2);  // never joined: what there was stays
  const auto fourth = grant("d");
  REQUIRE(fourth.size() == 1);
  CHECK(fourth[0].read().getAttempt() == 3);
  CHECK(fourth[0].read().getParts()[0].getTokens().size() == 5);
  finish(0, 0, 3, {{0, 6}});
  CHECK(balance().generated_tokens == 6);
  CHECK(balance().handed_over_tokens == 5);
  CHECK(balance().handed_over_rollouts == 3);
}

TEST_CASE_FIXTURE(Fixture, "who goes on from a part and is lost loses what it added alone") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  hand_over(0, 1, {{0, 2}});
  grant("b");
  ledger.notice({0, 0, 1, 7});  // finished and never delivered
  ledger.lose("b");
  CHECK(balance().dropped_rollouts.at("generator_lost") == 2);
  CHECK(dropped_tokens("generator_lost") == 4);
  CHECK(balance().in_flight_tokens == 5);
  const auto again = grant("c");
  REQUIRE(again.size() == 1);
  CHECK(parts_of(again[0]) == Indices{0, 1});
  ledger.notice({0, 1, 1, 6});  // the lost one had got so far
  CHECK(dropped_tokens("late") == 4);
  finish(0, 0, 2, {{0, 5}});
  finish(0, 1, 2, {{0, 5}});
  CHECK(balance().buffered_tokens == 10);
  CHECK(balance().generated_tokens == 18);
}

TEST_CASE_FIXTURE(Fixture, "who leaves gets no more tickets and blocks nobody") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  CHECK_FALSE(ledger.grants_to("a"));
  CHECK(grant("a").empty());
  CHECK(ledger.grants_to("b"));
  CHECK(grant("b").size() == 1);
  ledger.leave("a");
  CHECK(ledger.grants_to("a"));  // another of this name
}

TEST_CASE_FIXTURE(Fixture,
                  "who gave back what it could not begin gets tickets when it asks again") {
  grant("a");
  hand_over(0, 0, {});
  hand_over(0, 1, {});
  CHECK(grant("a").empty());
  ledger.asks("a");
  CHECK(grant("a").size() == 1);
  CHECK(balance().dropped_rollouts.empty());
}

TEST_CASE_FIXTURE(Fixture, "what had not begun with who left is issued again and not lost") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  ledger.leave("a");
  CHECK(balance().dropped_rollouts.empty());
  CHECK(balance().open_rollouts == 0);
  const auto again = grant("b");
  REQUIRE(again.size() == 2);
  CHECK(indices_of(again[0]) == Indices{0, 1});
  CHECK(indices_of(again[1]) == Indices{0, 1});
  CHECK(parts_of(again[1]).empty());
  ledger.leave("b");  // with a part in hand
  const auto third = grant("c");
  REQUIRE(third.size() == 2);
  CHECK(parts_of(third[0]) == Indices{0});
  for (const Ticket& ticket : third) finish_all(ticket, 0);
  CHECK(ledger.take(0));
  CHECK(balance().generated_rollouts == 4);
}

TEST_CASE_FIXTURE(Fixture, "what who left had finished and did not bring is lost") {
  grant("a");
  ledger.notice({0, 0, 0, 5});
  ledger.leave("a");
  CHECK(balance().dropped_rollouts.at("generator_lost") == 1);
  CHECK(dropped_tokens("generator_lost") == 5);
}

TEST_CASE("hand-overs are no losses and losses have their limit") {
  LedgerConfig config = small();
  config.attempt_limit = 2;
  Fixture world(config);
  std::uint32_t attempt = 0;
  for (; attempt < 6; ++attempt) {
    world.grant("g");
    world.hand_over(0, 0, {{0, 1 + attempt}}, attempt);
    world.ledger.leave("g");
  }
  world.grant("g");
  world.ledger.lose("g");
  world.grant("g");
  world.ledger.lose("g");
  CHECK(world.grant("g").empty());
  CHECK(world.balance().in_flight_tokens == 0);
  CHECK(world.dropped_tokens("generator_lost") == 6);
  CHECK(world.ledger.take(0));  // an empty batch: the learner goes on
}

TEST_CASE("a part that cannot be trained on is dropped and its rollout begins anew") {
  LedgerConfig config = small(1);
  config.first_version = 2;
  struct Case {
    const char* reason;
    VersionRuns versions;
    std::int32_t token;
  };
  for (const Case& one :
       {Case{"too_long", {{2, 8}}, 8}, Case{"token_unknown", {{2, 3}}, 50},
        Case{"version_unknown", {{2, 1}, {4, 2}}, 8}, Case{"stale", {{1, 1}, {2, 2}}, 8}}) {
    CAPTURE(one.reason);
    Fixture world(config);
    world.grant("a");
    world.hand_over(0, 0, one.versions, 0, one.token);
    CHECK(world.balance().dropped_rollouts.at(one.reason) == 1);
    CHECK(world.dropped_tokens(one.reason) == world.balance().generated_tokens);
    CHECK(world.balance().in_flight_tokens == 0);
    CHECK(world.balance().handed_over_rollouts == 0);
    const auto again = world.grant("b");
    REQUIRE(again.size() == 1);
    CHECK(indices_of(again[0]) == Indices{0});
    CHECK(parts_of(again[0]).empty());
  }
}

TEST_CASE("a ticket does not go round among those who hand over nonsense") {
  LedgerConfig config = small();
  config.attempt_limit = 3;
  Fixture world(config);
  for (std::uint32_t attempt = 0; attempt < 3; ++attempt) {
    const auto tickets = world.grant(std::string(1, static_cast<char>('a' + attempt)));
    REQUIRE_FALSE(tickets.empty());
    world.hand_over(0, 0, {{9, 3}}, attempt);
  }
  CHECK(world.grant("h").empty());
  CHECK(world.balance().dropped_rollouts.at("version_unknown") == 3);
}

TEST_CASE("a part that has grown too old is not carried on") {
  LedgerConfig config = small(1);
  config.completion_order = true;
  Fixture world(config);
  const auto train = [&](std::uint64_t version) {
    const auto batch = world.ledger.take(version);
    REQUIRE(batch);
    world.ledger.trained(batch->id);
    CHECK_FALSE(world.ledger.take(version + 1));
  };
  const auto first = world.grant("a");
  REQUIRE(first.size() == 4);
  world.hand_over(0, 0, {{0, 3}});
  world.finish_all(first[1], 0);
  world.finish_all(first[2], 0);
  train(0);
  const auto second = world.grant("b");  // the next batch may still hold it
  REQUIRE(second.size() == 3);
  CHECK(parts_of(second[0]) == Indices{0});
  world.finish_all(first[3], 0);
  world.finish_all(second[1], 1);
  train(1);
  world.ledger.leave("b");
  const auto third = world.grant("c");
  REQUIRE(third.size() >= 1);
  CHECK(indices_of(third[0]) == Indices{0});
  CHECK(parts_of(third[0]).empty());
  CHECK(world.balance().dropped_rollouts.at("stale") == 1);
  CHECK(world.dropped_tokens("stale") == 3);
}

TEST_CASE("as many parts travel with a ticket as fit and the others with the next") {
  LedgerConfig config = small();
  config.group_size = 5;
  config.parts_per_ticket = 2;
  Fixture world(config);
  world.grant("a");
  for (const std::uint32_t index : {0, 1, 2, 3}) world.hand_over(0, index, {{0, 2}});
  world.ledger.leave("a");
  std::vector<Ticket> again;
  for (const Ticket& ticket : world.grant("b"))
    if (ticket.read().getId() == 0) again.push_back(ticket);
  REQUIRE(again.size() == 2);
  CHECK(indices_of(again[0]) == Indices{0, 1, 4});
  CHECK(parts_of(again[0]) == Indices{0, 1});
  CHECK(indices_of(again[1]) == Indices{2, 3});
  CHECK(again[0].read().getAttempt() != again[1].read().getAttempt());
  for (const Ticket& ticket : again) world.finish_all(ticket, 0);
  CHECK(world.balance().buffered_rollouts == 5);
}

TEST_CASE_FIXTURE(Fixture, "what was handed over is dropped with its group") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  hand_over(1, 1, {{0, 2}});
  SUBCASE("at the end of the stage") {
    ledger.close("stage_over");
    CHECK(dropped_tokens("stage_over") == 5);
    CHECK(balance().dropped_rollouts.at("stage_over") == 4);
  }
  SUBCASE("past the deadline") {
    ledger.expire(1e9);
    CHECK(dropped_tokens("deadline") == 5);
    CHECK(balance().dropped_lengths.at("deadline") == LengthCounts{{0, 2}, {16, 2}});
  }
  SUBCASE("when the one who went on gives up") {
    grant("b");
    ledger.notice({0, 0, 1, 6, true});
    CHECK(dropped_tokens("abandoned") == 6);
    CHECK(balance().in_flight_tokens == 2);
  }
  SUBCASE("when nobody can grade it") {
    grant("b");
    const Rollout one =
        support::rollout({.ticket = 0, .index = 0, .attempt = 1, .completion = {8, 8, 8, 8}});
    ledger.append({one, support::verdict(one, 0, wire::Verdict::Outcome::UNVERIFIABLE)});
    CHECK(dropped_tokens("unverifiable") == 4);
    CHECK(balance().in_flight_tokens == 2);
  }
}

TEST_CASE_FIXTURE(Fixture, "a hand-over that comes twice or too late counts once") {
  grant("a");
  hand_over(0, 0, {{0, 3}});
  hand_over(0, 0, {{0, 3}});
  CHECK(balance().generated_tokens == 3);
  grant("b");
  hand_over(0, 0, {{0, 3}});  // the attempt goes on under another number
  CHECK(balance().generated_tokens == 3);
  CHECK(balance().open_rollouts == 4);
  ledger.lose("a");
  hand_over(1, 0, {{0, 4}});
  CHECK(dropped_tokens("late") == 4);
  CHECK(balance().in_flight_tokens == 3);
}

}  // namespace troupe
