#include "gpu/training/policy_update.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

TEST_CASE("the learning rate warms up and then falls to its final value") {
  const Schedule schedule{1e-3f, 1e-4f, 5, 50};
  CHECK(schedule.at(1) == doctest::Approx(1e-3 * 0.2 * (1 - 0.9 / 50)));
  CHECK(schedule.at(5) == doctest::Approx(1e-3 * (1 - 0.9 * 5 / 50)));
  CHECK(schedule.at(25) == doctest::Approx(1e-3 * 0.55));
  CHECK(schedule.at(50) == doctest::Approx(1e-4));
}

TEST_CASE("without warm-up the first update has almost the peak rate") {
  CHECK(Schedule{1e-3f, 1e-3f, 0, 50}.at(1) == doctest::Approx(1e-3));
}

TEST_CASE("beyond the last update the rate stays at its final value") {
  CHECK(Schedule{1e-3f, 1e-4f, 5, 50}.at(80) == doctest::Approx(1e-4));
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
