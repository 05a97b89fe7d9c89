#include "actors/link/shown_queue.hpp"

#include "actors/link/director_stand_in.hpp"
#include "tests/actors/link/showing_run.hpp"
#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

#include <caf/send.hpp>
#include <cstdint>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using linked::shown_of_bytes;

namespace {

std::vector<std::uint64_t> numbers(const ShownPage& page) {
  std::vector<std::uint64_t> all;
  for (const NumberedRollout& one : page) all.push_back(one.number);
  return all;
}

}  // namespace

TEST_CASE("what is shown is read by number and as much at once as a frame may hold") {
  const std::size_t each = shown_of_bytes(1000).bytes();
  ShownQueue queue({100 * each, 100 * each});
  for (std::uint64_t id = 0; id < 5; ++id) queue.add(shown_of_bytes(1000, id));
  CHECK(queue.end() == 5);
  CHECK(numbers(queue.from(0, 3 * each)) == std::vector<std::uint64_t>{0, 1, 2});
  CHECK(numbers(queue.from(3, 3 * each)) == std::vector<std::uint64_t>{3, 4});
  CHECK(numbers(queue.from(2, 1)) == std::vector<std::uint64_t>{2});  // one in any case
  CHECK(queue.from(5, 3 * each).empty());
  CHECK(queue.forget_below(2) == 2);
  CHECK(queue.forget_below(2) == 0);
  CHECK(queue.front().number == 2);
  CHECK(queue.forget_below(queue.end()) == 3);
  CHECK(queue.empty());
}

TEST_CASE("the oldest make room for what is shown and what fits no frame has no number") {
  const std::size_t each = shown_of_bytes(1000).bytes();
  ShownQueue queue({3 * each, 2 * each});
  for (int i = 0; i < 3; ++i) CHECK(queue.add(shown_of_bytes(1000)).backlog == 0);
  CHECK(queue.add(shown_of_bytes(1000)).backlog == 1);
  CHECK(numbers(queue.from(0, 9 * each)) == std::vector<std::uint64_t>{1, 2, 3});
  const auto left_out = queue.add(shown_of_bytes(2 * each));
  CHECK(left_out.too_large == 1);
  CHECK(left_out.backlog == 0);
  CHECK(queue.end() == 4);
  CHECK(queue.add(shown_of_bytes(each + 500)).backlog == 2);  // as many as it needs
  CHECK(numbers(queue.from(0, 9 * each)) == std::vector<std::uint64_t>{3, 4});
}

TEST_CASE_FIXTURE(
    support::ActorFixture,
    "a director is handed the newest of many rollouts and pages that fit its frames") {
  DirectorStandInPlan plan;
  plan.frame_bytes = 1 << 16;
  plan.shown_bytes_kept = 1 << 20;
  plan.telemetry = telemetry();
  const caf::actor stand_in = keep(system.spawn(director_stand_in, plan));
  constexpr std::size_t kEach = 20'000;
  const std::size_t many = 2 * plan.shown_bytes_kept / kEach;
  for (std::uint64_t id = 0; id < many; ++id)
    caf::anon_send(stand_in, show_atom::value, shown_of_bytes(kEach, id));
  caf::anon_send(stand_in, show_atom::value, shown_of_bytes(40'000));  // more than half of a frame
  settle();
  CHECK(ask<NewsPage>(stand_in, news_atom::value, std::uint64_t{0}, false)->shown_end == many);
  const ShownPage oldest = *ask<ShownPage>(stand_in, show_atom::value, std::uint64_t{0});
  REQUIRE(oldest.size() == 1);
  CHECK(oldest[0].number >= many / 2 - 1);
  CHECK(oldest[0].number < many / 2 + many / 10);
  CHECK(oldest[0].rollout.read().getId() == oldest[0].number);
  CHECK(ask<ShownPage>(stand_in, show_atom::value, std::uint64_t{many})->empty());
  CHECK(
      telemetry()->metrics().counter("troupe_run_rollouts_not_shown_total", "too_large").Value() ==
      1);
}

}  // namespace troupe

TEST_SUITE_END();
