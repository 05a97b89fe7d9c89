#include "actors/generator/outbox.hpp"

#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/generator");

namespace troupe {

using Box = Outbox<std::string>;

TEST_CASE("rollouts leave in order and stay until acknowledged") {
  Box box;
  for (std::uint64_t ticket = 0; ticket < 3; ++ticket)
    box.put(support::rollout({.ticket = ticket}));
  const Rollouts taken = box.take(2, "v");
  REQUIRE(taken.size() == 2);
  CHECK(taken[0].read().getTicket() == 0);
  CHECK(box.ready() == 1);
  CHECK(box.size() == 3);
  box.acknowledge({delivery_id(taken[0].read())}, "v");
  CHECK(box.size() == 2);
}

TEST_CASE("a borrower that is gone gives back what it had not acknowledged") {
  Box box;
  for (std::uint64_t ticket = 0; ticket < 4; ++ticket)
    box.put(support::rollout({.ticket = ticket}));
  const Rollouts a = box.take(2, "a");
  box.take(1, "b");
  box.acknowledge({delivery_id(a[0].read())}, "a");
  CHECK(box.give_back("a") == 1);
  CHECK(box.ready() == 2);
  CHECK(box.take(1, "c")[0].read().getTicket() == 1);
  CHECK(box.give_back("nobody") == 0);
}

TEST_CASE("attempts at one rollout are acknowledged one by one") {
  Box box;
  box.put(support::rollout({.attempt = 0}));
  box.put(support::rollout({.attempt = 1}));
  const Rollouts taken = box.take(2, "v");
  REQUIRE(taken[0].read().getId() == taken[1].read().getId());
  box.acknowledge({delivery_id(taken[0].read())}, "v");
  CHECK_FALSE(box.holds(delivery_id(taken[0].read())));
  CHECK(box.holds(delivery_id(taken[1].read())));
}

TEST_CASE("nobody acknowledges what another was lent") {
  Box box;
  box.put(support::rollout({}));
  const Rollouts taken = box.take(1, "a");
  box.acknowledge({delivery_id(taken[0].read())}, "b");
  CHECK(box.give_back("a") == 1);
}

}  // namespace troupe
