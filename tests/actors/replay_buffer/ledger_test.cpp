#include "actors/replay_buffer/ledger.hpp"

#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <set>

TEST_SUITE_BEGIN("actors/replay_buffer");

namespace troupe {
namespace {

using support::graded;

TicketPrompt any_prompt() {
  return {42, {1, 7}};
}

LedgerConfig small(std::uint64_t bound = 0) {
  LedgerConfig config;
  config.batch = 2;
  config.group_size = 2;
  config.staleness_bound = bound;
  config.updates = 10;
  return config;
}

std::vector<Ticket> grant_all(Ledger& ledger, const std::string& holder = "g", double now = 0) {
  std::vector<Ticket> tickets;
  while (auto ticket = ledger.grant(holder, now, any_prompt)) tickets.push_back(*ticket);
  return tickets;
}

/// Delivers every rollout of a ticket, sampled with `version`; rewards 0, 1, 0, 1, ...
void deliver(Ledger& ledger, const Ticket& ticket, std::uint64_t version, bool signal = true) {
  for (const std::uint32_t index : ticket.read().getIndices())
    ledger.append(graded({.ticket = ticket.read().getId(),
                          .index = index,
                          .attempt = ticket.read().getAttempt(),
                          .versions = {{version, 3}}},
                         signal ? static_cast<float>(index % 2) : 1.0f));
}

void check_balance(const Ledger& ledger) {
  const LedgerRecord record = ledger.record();
  CHECK(record.imbalance_rollouts == 0);
  CHECK(record.imbalance_tokens == 0);
}

}  // namespace

TEST_CASE("with a bound of 0 one batch of tickets is granted and no more until it is trained") {
  Ledger ledger(small(0));
  const auto first = grant_all(ledger);
  CHECK(first.size() == 2);
  for (const Ticket& ticket : first) deliver(ledger, ticket, 0);
  CHECK(grant_all(ledger).empty());
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(grant_all(ledger).empty());
  ledger.trained(batch->id);
  CHECK(grant_all(ledger).empty());  // version 1 is not published yet
  CHECK_FALSE(ledger.take(1));
  const auto second = grant_all(ledger);
  REQUIRE(second.size() == 2);
  CHECK(second[0].read().getMinVersion() == 1);
  check_balance(ledger);
}

TEST_CASE("a bound of eta opens eta batches more") {
  for (const std::uint64_t bound : {1u, 2u, 5u}) {
    Ledger ledger(small(bound));
    const auto tickets = grant_all(ledger);
    REQUIRE(tickets.size() == 2 * (bound + 1));
    CHECK(tickets.front().read().getMinVersion() == 0);
    CHECK(tickets.back().read().getMinVersion() == 0);
  }
}

TEST_CASE("no ticket is granted while a whole batch waits for the learner") {
  Ledger ledger(small(2));
  std::vector<Ticket> tickets;
  for (int i = 0; i < 3; ++i) tickets.push_back(*ledger.grant("g", 0, any_prompt));
  deliver(ledger, tickets[1], 0);
  deliver(ledger, tickets[2], 0);
  tickets.push_back(*ledger.grant("g", 0, any_prompt));  // the batch lacks its first group
  deliver(ledger, tickets[0], 0);
  CHECK_FALSE(ledger.grant("g", 0, any_prompt));
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(ledger.grant("g", 0, any_prompt));  // the learner is at it
  check_balance(ledger);
}

TEST_CASE("in completion order any batch full of groups holds new tickets back") {
  LedgerConfig config = small(2);
  config.completion_order = true;
  Ledger ledger(config);
  std::vector<Ticket> tickets;
  for (int i = 0; i < 3; ++i) tickets.push_back(*ledger.grant("g", 0, any_prompt));
  deliver(ledger, tickets[1], 0);
  deliver(ledger, tickets[2], 0);
  CHECK_FALSE(ledger.grant("g", 0, any_prompt));
}

TEST_CASE("a ticket asks for the version its batch needs") {
  Ledger ledger(small(1));
  auto tickets = grant_all(ledger);
  REQUIRE(tickets.size() == 4);
  for (int i = 0; i < 2; ++i) deliver(ledger, tickets[static_cast<std::size_t>(i)], 0);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  ledger.trained(batch->id);
  CHECK_FALSE(ledger.take(1));
  const auto more = grant_all(ledger);  // due at version 2
  REQUIRE(more.size() == 2);
  CHECK(more[0].read().getMinVersion() == 1);
}

TEST_CASE("no ticket is granted beyond the last update") {
  LedgerConfig config = small(5);
  config.updates = 3;
  Ledger ledger(config);
  CHECK(grant_all(ledger).size() == 6);
}

TEST_CASE("a batch takes groups in ticket order whatever order they came in") {
  Ledger ledger(small(1));
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[3], 0);
  deliver(ledger, tickets[1], 0);
  deliver(ledger, tickets[2], 0);
  CHECK_FALSE(ledger.take(0));  // ticket 0 is still open
  deliver(ledger, tickets[0], 0);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  REQUIRE(batch->groups.size() == 2);
  CHECK(batch->groups[0].ticket == 0);
  CHECK(batch->groups[1].ticket == 1);
}

TEST_CASE("in completion order a straggler does not hold up the batch and expires when too old") {
  LedgerConfig config = small(1);
  config.completion_order = true;
  Ledger ledger(config);
  auto tickets = grant_all(ledger);
  const Ticket straggler = tickets[0];
  for (std::uint64_t version = 0; version < 3; ++version) {
    for (const Ticket& ticket : tickets)
      if (ticket.read().getId() != straggler.read().getId())
        deliver(ledger, ticket, std::max<std::uint64_t>(version, ticket.read().getMinVersion()));
    const auto batch = ledger.take(version);
    REQUIRE(batch);
    ledger.trained(batch->id);
    ledger.take(version + 1);
    tickets = grant_all(ledger);
  }
  deliver(ledger, straggler, 0);
  ledger.take(3);
  CHECK(ledger.record().dropped_rollouts.at("stale") == 2);
  CHECK(ledger.record().dropped_tokens.at("stale") == 6);
  CHECK(ledger.record().dropped_lengths.at("stale") == LengthCounts{{16, 2}});
  CHECK(ledger.record().tokens_beyond_bound == 0);
  check_balance(ledger);
}

TEST_CASE("a rollout delivered twice counts once") {
  Ledger ledger(small(0));
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[0], 0);
  deliver(ledger, tickets[0], 0);
  CHECK(ledger.record().generated_rollouts == 2);
  CHECK(ledger.record().buffered_tokens == 6);
  CHECK(ledger.record().duplicate_rollouts == 2);
  check_balance(ledger);
}

TEST_CASE("a finished rollout is in flight until it is appended") {
  Ledger ledger(small(0));
  const auto tickets = grant_all(ledger);
  CHECK(ledger.record().open_rollouts == 4);
  ledger.notice({tickets[0].read().getId(), 0, 0, 3});
  CHECK(ledger.record().open_rollouts == 3);
  CHECK(ledger.record().in_flight_rollouts == 1);
  CHECK(ledger.record().in_flight_tokens == 3);
  check_balance(ledger);
  deliver(ledger, tickets[0], 0);
  CHECK(ledger.record().in_flight_rollouts == 0);
  CHECK(ledger.record().buffered_rollouts == 2);
  CHECK(ledger.record().generated_tokens == 6);
  check_balance(ledger);
}

TEST_CASE("groups without signal are dropped from the batch and counted") {
  Ledger ledger(small(0));
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[0], 0, false);
  deliver(ledger, tickets[1], 0);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(batch->groups.size() == 1);
  CHECK(batch->facts.groups == 2);
  CHECK(batch->facts.groups_with_signal == 1);
  CHECK(batch->facts.rollouts == 4);
  CHECK(batch->facts.reward_mean == doctest::Approx(0.75));
  CHECK(batch->facts.response_tokens_mean == doctest::Approx(3.0));
  CHECK(ledger.record().dropped_rollouts.at("zero_signal") == 2);
  check_balance(ledger);
}

TEST_CASE("with refill a group without signal makes room for another ticket") {
  LedgerConfig config = small(0);
  config.refill_zero_signal = true;
  Ledger ledger(config);
  const auto tickets = grant_all(ledger);
  REQUIRE(tickets.size() == 2);
  deliver(ledger, tickets[0], 0, false);
  const auto more = grant_all(ledger);
  REQUIRE(more.size() == 1);
  deliver(ledger, tickets[1], 0);
  CHECK_FALSE(ledger.take(0));
  deliver(ledger, more[0], 0);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(batch->groups.size() == 2);
  check_balance(ledger);
}

TEST_CASE("an unverifiable rollout is dropped and never a reward of 0") {
  LedgerConfig config = small(0);
  config.group_size = 3;
  Ledger ledger(config);
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[1], 0);
  for (std::uint32_t index = 0; index < 3; ++index) {
    const Rollout one = support::rollout({.ticket = 0, .index = index});
    ledger.append({one, support::verdict(one, static_cast<float>(index),
                                         index == 0 ? wire::Verdict::Outcome::UNVERIFIABLE
                                                    : wire::Verdict::Outcome::PASS)});
  }
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(batch->groups[0].rollouts.size() == 2);
  CHECK(ledger.record().dropped_rollouts.at("unverifiable") == 1);
  check_balance(ledger);
}

TEST_CASE("a group of which one rollout is left is dropped as too small") {
  Ledger ledger(small(0));
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[1], 0);
  const Rollout lost = support::rollout({.ticket = 0, .index = 0});
  ledger.append({lost, support::verdict(lost, 0, wire::Verdict::Outcome::UNVERIFIABLE)});
  ledger.append(graded({.ticket = 0, .index = 1}, 1.0f));
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(batch->groups.size() == 1);
  CHECK(ledger.record().dropped_rollouts.at("group_too_small") == 1);
  check_balance(ledger);
}

TEST_CASE("the tickets of a lost generator are issued again for what is missing") {
  Ledger ledger(small(0));
  const auto tickets = grant_all(ledger, "first");
  ledger.append(graded({.ticket = 0, .index = 1}, 1.0f));
  ledger.notice({1, 0, 0, 5});
  ledger.lose("first");
  check_balance(ledger);
  CHECK(ledger.record().dropped_rollouts.at("generator_lost") == 3);
  CHECK(ledger.record().dropped_tokens.at("generator_lost") == 5);
  const auto again = grant_all(ledger, "second");
  REQUIRE(again.size() == 2);
  CHECK(again[0].read().getAttempt() == 1);
  REQUIRE(again[0].read().getIndices().size() == 1);
  CHECK(again[0].read().getIndices()[0] == 0);
  CHECK(again[1].read().getIndices().size() == 2);
  CHECK(again[0].read().getPromptTokens()[1] == tickets[0].read().getPromptTokens()[1]);
  CHECK(ledger.record().tickets_reissued == 2);
  for (const Ticket& ticket : again) deliver(ledger, ticket, 0);
  CHECK(ledger.take(0).has_value());
  check_balance(ledger);
}

TEST_CASE("what a lost generator had sent counts as late and is not trained twice") {
  Ledger ledger(small(0));
  const auto tickets = grant_all(ledger, "first");
  ledger.lose("first");
  const auto again = grant_all(ledger, "second");
  deliver(ledger, tickets[0], 0);  // attempt 0 arrives after all
  CHECK(ledger.record().buffered_rollouts == 0);
  CHECK(ledger.record().dropped_tokens.at("late") == 6);
  CHECK(ledger.record().dropped_lengths.at("late") == LengthCounts{{16, 2}});
  CHECK(ledger.record().dropped_lengths.at("generator_lost").at(0) == 4);
  check_balance(ledger);
  for (const Ticket& ticket : again) deliver(ledger, ticket, 0);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(batch->groups[0].rollouts[0].rollout.read().getAttempt() == 1);
  check_balance(ledger);
}

TEST_CASE("a ticket is given up after its last attempt") {
  LedgerConfig config = small(0);
  config.attempt_limit = 2;
  Ledger ledger(config);
  grant_all(ledger, "a");
  ledger.lose("a");
  CHECK(grant_all(ledger, "b").size() == 2);
  ledger.lose("b");
  CHECK(ledger.take(0).has_value());  // an empty batch: the learner goes on
  check_balance(ledger);
}

TEST_CASE("a group past its deadline closes without what is missing") {
  LedgerConfig config = small(0);
  config.group_size = 3;
  config.group_deadline_seconds = 10;
  Ledger ledger(config);
  const auto tickets = grant_all(ledger, "g", 100);
  deliver(ledger, tickets[1], 0);
  ledger.append(graded({.ticket = 0, .index = 0}, 1.0f));
  ledger.append(graded({.ticket = 0, .index = 2}, 0.0f));
  ledger.expire(109.9);
  CHECK_FALSE(ledger.take(0));
  ledger.expire(110);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  CHECK(batch->groups[0].rollouts.size() == 2);
  CHECK(ledger.record().dropped_rollouts.at("deadline") == 1);
  check_balance(ledger);
}

TEST_CASE("a refused update drops its rollouts with the reason") {
  Ledger ledger(small(0));
  for (const Ticket& ticket : grant_all(ledger)) deliver(ledger, ticket, 0);
  const auto batch = ledger.take(0);
  ledger.refused(batch->id, "refused_update");
  CHECK(ledger.record().dropped_rollouts.at("refused_update") == 4);
  CHECK(ledger.record().trained_rollouts == 0);
  check_balance(ledger);
}

TEST_CASE("lag is counted per token from the versions of the rollout") {
  Ledger ledger(small(2));
  const auto tickets = grant_all(ledger);
  for (const Ticket& ticket : tickets)
    for (const std::uint32_t index : ticket.read().getIndices())
      ledger.append(
          graded({.ticket = ticket.read().getId(), .index = index, .versions = {{0, 2}, {1, 1}}},
                 static_cast<float>(index)));
  for (std::uint64_t version = 0; version < 3; ++version) {
    const auto batch = ledger.take(version == 0 ? 1 : version);
    if (!batch) continue;
    if (version == 0) CHECK(batch->lag_histogram == std::vector<std::uint64_t>{4, 8});
    ledger.trained(batch->id);
  }
  CHECK(ledger.record().max_lag == 2);
  CHECK(ledger.record().tokens_beyond_bound == 0);
}

TEST_CASE("closing leaves nothing open or buffered and balances") {
  Ledger ledger(small(2));
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[0], 0);
  ledger.notice({1, 0, 0, 4});
  ledger.notice({2, 1, 0, 2, true});
  ledger.close("stage_over");
  const LedgerRecord record = ledger.record();
  CHECK(record.open_rollouts == 0);
  CHECK(record.in_flight_rollouts == 0);
  CHECK(record.buffered_rollouts == 0);
  CHECK(record.dropped_tokens.at("abandoned") == 2);
  CHECK(record.dropped_tokens.at("stage_over") == 10);
  CHECK(record.generated_tokens == 12);
  check_balance(ledger);
  CHECK_FALSE(ledger.grant("g", 0, any_prompt));
}

TEST_CASE("nonsense from outside is counted and changes nothing") {
  Ledger ledger(small(0));
  grant_all(ledger);
  ledger.append(graded({.ticket = 99}, 1.0f));
  ledger.append(graded({.ticket = 0, .index = 7}, 1.0f));
  ledger.append(graded({.ticket = 0, .index = 0, .attempt = 3}, 1.0f));
  ledger.notice({99, 0, 0, 5});
  ledger.notice({0, 9, 0, 5});
  ledger.trained(17);
  CHECK(ledger.record().duplicate_rollouts == 3);
  CHECK(ledger.record().generated_rollouts == 0);
  check_balance(ledger);
}

TEST_CASE("a rollout of a version that nobody published is dropped and never trained") {
  Ledger ledger(small(2));
  const auto tickets = grant_all(ledger);
  ledger.append(graded({.ticket = 0, .index = 0, .versions = {{0, 2}, {~0ull, 1}}}, 1.0f));
  ledger.append(graded({.ticket = 0, .index = 1, .versions = {{2, 3}}}, 0.0f));
  CHECK(ledger.record().dropped_rollouts.at("version_unknown") == 2);
  CHECK(ledger.record().dropped_tokens.at("version_unknown") == 6);
  CHECK(ledger.record().buffered_rollouts == 0);
  check_balance(ledger);
  deliver(ledger, tickets[1], 1);  // may be on its way to be published
  CHECK(ledger.record().buffered_rollouts == 2);
}

TEST_CASE("a rollout newer than the batch it would be in is not trained") {
  Ledger ledger(small(2));
  const auto tickets = grant_all(ledger);
  deliver(ledger, tickets[0], 1);
  for (std::size_t i = 1; i < tickets.size(); ++i) deliver(ledger, tickets[i], 0);
  const auto batch = ledger.take(0);  // version 1 was not published after all
  REQUIRE(batch);
  for (const BatchGroup& group : batch->groups) CHECK(group.ticket != 0);
  CHECK(batch->lag_histogram == std::vector<std::uint64_t>{12});
  CHECK(ledger.record().dropped_rollouts.at("version_unknown") == 2);
  check_balance(ledger);
}

TEST_CASE("a completion longer than any can be is dropped and counted with the longest length") {
  LedgerConfig config = small(0);
  config.max_completion_tokens = 2;
  config.group_size = 4;
  Ledger ledger(config);
  grant_all(ledger);
  ledger.notice({0, 0, 0, ~0ull});
  ledger.notice({0, 1, 0, ~0ull, true});
  ledger.append(graded({.ticket = 0, .index = 2}, 1.0f));  // 3 tokens
  ledger.notice({0, 3, 0, 1});
  ledger.append(graded({.ticket = 0, .index = 3}, 1.0f));  // says 1 and has 3
  CHECK(ledger.record().dropped_rollouts.at("too_long") == 4);
  CHECK(ledger.record().dropped_tokens.at("too_long") == 7);
  CHECK(ledger.record().generated_tokens == 7);
  CHECK(ledger.record().duplicate_rollouts == 0);
  CHECK(ledger.record().buffered_rollouts == 0);
  check_balance(ledger);
}

TEST_CASE("a late word on a lost rollout claims no more tokens than a completion can have") {
  LedgerConfig config = small(0);
  config.max_completion_tokens = 2;
  Ledger ledger(config);
  grant_all(ledger, "first");
  ledger.lose("first");
  ledger.notice({0, 0, 0, ~0ull});
  CHECK(ledger.record().dropped_tokens.at("late") == 2);
  check_balance(ledger);
}

TEST_CASE("whoever asked hears of each dropped attempt once and of its length when it is known") {
  std::vector<DroppedRollout> dropped;
  Ledger ledger(small(), [&](const DroppedRollout& one) { dropped.push_back(one); });
  const auto tickets = grant_all(ledger);
  REQUIRE(tickets.size() == 2);
  deliver(ledger, tickets[0], 0);
  ledger.lose("g");
  REQUIRE(dropped.size() == 2);  // those of the second ticket
  CHECK(dropped[0].key.id == rollout_id(42, 1, 0));
  CHECK(dropped[0].key.ticket == 1);
  CHECK(dropped[1].key.index == 1);
  CHECK(dropped[0].holder == "g");
  CHECK(dropped[0].reason == "generator_lost");
  CHECK_FALSE(dropped[0].tokens);
  ledger.notice({1, 0, 0, 3, false});  // it had been finished
  REQUIRE(dropped.size() == 3);
  CHECK(dropped[2].key.id == dropped[0].key.id);
  CHECK(dropped[2].reason == "late");
  CHECK(dropped[2].tokens == 3);
  const auto again = ledger.grant("h", 0, any_prompt);
  REQUIRE(again);
  deliver(ledger, *again, 0);
  const auto batch = ledger.take(0);
  REQUIRE(batch);
  ledger.refused(batch->id, "refused_update");
  REQUIRE(dropped.size() == 7);
  CHECK(dropped.back().reason == "refused_update");
  CHECK(dropped.back().key.attempt == 1);
  CHECK(dropped.back().tokens == 3);
  check_balance(ledger);
}

}  // namespace troupe
