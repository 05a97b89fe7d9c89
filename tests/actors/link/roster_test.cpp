#include "actors/link/roster.hpp"

#include "actors/link/granted.hpp"
#include "actors/link/lent.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

using Entry = Roster::Entry;

constexpr std::uint64_t kFirst = 100;

Ticket ticket(std::uint64_t id, std::uint32_t attempt = 0) {
  return Ticket::build([&](wire::Ticket::Builder builder) {
    builder.setId(id);
    builder.setAttempt(attempt);
    builder.initPromptTokens(1);
    builder.initIndices(1);
    builder.setGroupSize(1);
  });
}

}  // namespace

TEST_CASE("whoever is new gets a lease that nobody had before") {
  Roster roster(kFirst);
  const auto first = roster.join("a", "generator", 1, 0);
  const auto second = roster.join("b", "generator", 2, 0);
  CHECK(first.entry == Entry::fresh);
  CHECK(first.lease > kFirst);
  CHECK(second.lease > first.lease);
  CHECK_FALSE(first.replaced);
  CHECK_FALSE(first.gave_up);
  CHECK_FALSE(first.fenced);
  CHECK(roster.size() == 2);
  CHECK(roster.present("a", first.lease));
  CHECK_FALSE(roster.present("a", second.lease));
}

TEST_CASE("with its lease a peer that was away goes on with the same stay") {
  Roster roster(kFirst);
  const auto before = roster.join("a", "generator", 1, 0);
  CHECK(roster.away("a", 1));
  const auto after = roster.join("a", "generator", 2, before.lease);
  CHECK(after.entry == Entry::resumed);
  CHECK(after.lease == before.lease);
  CHECK_FALSE(after.replaced);
  CHECK_FALSE(after.gave_up);
  CHECK_FALSE(after.fenced);
  CHECK_FALSE(roster.give_up("a", before.lease));  // it is back
}

TEST_CASE("with its lease a peer replaces its own session that has not ended yet") {
  Roster roster(kFirst);
  const auto before = roster.join("a", "generator", 1, 0);
  const auto after = roster.join("a", "generator", 2, before.lease);
  CHECK(after.entry == Entry::resumed);
  REQUIRE(after.replaced);
  CHECK(*after.replaced == 1);
  CHECK_FALSE(roster.away("a", 1));  // the end of the old session is no absence
  CHECK_FALSE(roster.give_up("a", before.lease));
  CHECK(roster.away("a", 2));
  CHECK(roster.give_up("a", before.lease));
}

TEST_CASE("a name is taken as long as its owner is connected") {
  Roster roster(kFirst);
  const auto owner = roster.join("a", "generator", 1, 0);
  for (const std::uint64_t lease : {std::uint64_t{0}, owner.lease + 1, owner.lease - 1}) {
    const auto other = roster.join("a", "generator", 2, lease);
    CHECK(other.entry == Entry::name_taken);
    CHECK_FALSE(other.gave_up);
  }
  CHECK(roster.join("a", "verifier", 2, owner.lease).entry == Entry::name_taken);
  CHECK(roster.present("a", owner.lease));
  CHECK_FALSE(roster.away("a", 2));
}

TEST_CASE("a new process of a name ends the stay of one that is away") {
  Roster roster(kFirst);
  const auto before = roster.join("a", "generator", 1, 0);
  roster.away("a", 1);
  const auto after = roster.join("a", "generator", 2, 0);
  CHECK(after.entry == Entry::fresh);
  CHECK(after.gave_up);
  CHECK_FALSE(after.fenced);
  CHECK(after.lease > before.lease);
  CHECK_FALSE(roster.give_up("a", before.lease));  // a timer of the old stay does no harm
  CHECK(roster.present("a", after.lease));
}

TEST_CASE("the lease of a stay that was given up lets nobody go on") {
  Roster roster(kFirst);
  const auto before = roster.join("a", "generator", 1, 0);
  roster.away("a", 1);
  CHECK(roster.give_up("a", before.lease));
  CHECK_FALSE(roster.give_up("a", before.lease));
  CHECK(roster.size() == 0);
  const auto after = roster.join("a", "generator", 2, before.lease);
  CHECK(after.entry == Entry::fresh);
  CHECK(after.fenced);
  CHECK_FALSE(after.gave_up);
  CHECK(after.lease > before.lease);
}

TEST_CASE("a lease of another role or of another name is none") {
  Roster roster(kFirst);
  const auto a = roster.join("a", "generator", 1, 0);
  roster.away("a", 1);
  CHECK(roster.join("b", "generator", 2, a.lease).fenced);
  const auto as_verifier = roster.join("a", "verifier", 3, a.lease);
  CHECK(as_verifier.entry == Entry::fresh);
  CHECK(as_verifier.fenced);
  CHECK(as_verifier.gave_up);
}

TEST_CASE("only whoever is away can be given up") {
  Roster roster(kFirst);
  const auto a = roster.join("a", "generator", 1, 0);
  CHECK_FALSE(roster.give_up("a", a.lease));
  CHECK_FALSE(roster.give_up("b", a.lease));
  CHECK_FALSE(roster.away("a", 7));
  CHECK_FALSE(roster.away("b", 1));
  CHECK(roster.away("a", 1));
  CHECK_FALSE(roster.give_up("a", a.lease + 1));
  CHECK(roster.give_up("a", a.lease));
}

TEST_CASE("a generator answers for the attempts that it was granted") {
  Granted granted;
  granted.add({ticket(3), ticket(4, 2)});
  granted.add({ticket(3, 1)});
  CHECK(granted.has(3, 0));
  CHECK(granted.has(3, 1));
  CHECK(granted.has(4, 2));
  CHECK_FALSE(granted.has(3, 2));
  CHECK_FALSE(granted.has(4, 0));
  CHECK_FALSE(granted.has(5, 0));
}

TEST_CASE("what a generator was granted is remembered within bounds and oldest first forgotten") {
  Granted granted;
  constexpr std::uint64_t kMany = 20000;
  for (std::uint64_t id = 0; id < kMany; ++id) granted.add({ticket(id)});
  CHECK_FALSE(granted.has(0, 0));
  CHECK(granted.has(kMany - 1, 0));
  CHECK(granted.has(kMany - 10000, 0));
}

TEST_CASE("a verdict counts on a rollout as it was lent and on no other") {
  const auto one = [](std::uint32_t index, std::int32_t token = 8) {
    return support::graded({.ticket = 3, .index = index, .completion = {token, 2}}, 1.0f);
  };
  Lent lent;
  CHECK_FALSE(lent.settle(one(0)));
  lent.lend(0, {one(0).rollout, one(1).rollout});
  lent.lend(1, {one(2).rollout});
  for (const std::uint32_t index : {0, 1, 2}) {
    const auto settled = lent.settle(one(index, 9));  // with another token than it was lent with
    REQUIRE(settled);
    CHECK(settled->rollout.read().getTokens()[2] == 8);
    CHECK(settled->verdict.read().getReward() == 1.0f);
  }
  CHECK_FALSE(lent.settle(one(3)));
  CHECK_FALSE(lent.settle(support::graded({.ticket = 3, .index = 0, .attempt = 1}, 1.0f)));
  lent.lend(0, {one(3).rollout});  // who takes again has given back
  CHECK(lent.settle(one(3)));
  CHECK_FALSE(lent.settle(one(0)));
  CHECK(lent.settle(one(2)));
  lent.forget(1);  // and who takes no more has nothing
  CHECK_FALSE(lent.settle(one(2)));
  CHECK(lent.settle(one(3)));
}

}  // namespace troupe
