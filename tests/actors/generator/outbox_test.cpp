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
  box.acknowledge({taken[0].read().getId()});
  CHECK(box.size() == 2);
}

TEST_CASE("a borrower that is gone gives back what it had not acknowledged") {
  Box box;
  for (std::uint64_t ticket = 0; ticket < 4; ++ticket)
    box.put(support::rollout({.ticket = ticket}));
  const Rollouts a = box.take(2, "a");
  box.take(1, "b");
  box.acknowledge({a[0].read().getId()});
  CHECK(box.give_back("a") == 1);
  CHECK(box.ready() == 2);
  CHECK(box.take(1, "c")[0].read().getTicket() == 1);
  CHECK(box.give_back("nobody") == 0);
}

}  // namespace troupe
