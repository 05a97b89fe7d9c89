#include "gpu/training/advantage.hpp"

#include "gpu/sampling/philox.hpp"
#include "tests/support/reference_loss.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

using Groups = std::vector<std::vector<float>>;

TEST_CASE("grpo divides the distance to the group mean by the population deviation") {
  const std::vector<double> a = grpo_advantages(Groups{{1, 0, 0, 1}, {3, 0, 0}});
  CHECK(a[0] == doctest::Approx(0.5 / 0.5001));
  CHECK(a[1] == doctest::Approx(-0.5 / 0.5001));
  CHECK(a[4] == doctest::Approx(2.0 / (std::sqrt(2.0) + 1e-4)));
  CHECK(a[6] == doctest::Approx(-1.0 / (std::sqrt(2.0) + 1e-4)));
}

TEST_CASE("a group without signal gets advantages of zero") {
  for (const auto kind : {AdvantageKind::grpo, AdvantageKind::dr_grpo, AdvantageKind::batch})
    for (const double a : advantages(kind, Groups{{0.5f, 0.5f, 0.5f}})) CHECK(a == 0.0);
}

TEST_CASE("dr_grpo only takes the group mean off") {
  const std::vector<double> a = dr_grpo_advantages(Groups{{1, 0, 0, 1}, {3, 0, 0}});
  CHECK(a[0] == doctest::Approx(0.5));
  CHECK(a[4] == doctest::Approx(2.0));
  CHECK(a[5] == doctest::Approx(-1.0));
}

TEST_CASE("batch divides by the deviation over all groups") {
  const std::vector<double> a = batch_advantages(Groups{{1, 0}, {3, 0}});
  const double spread = std::sqrt((0.25 + 0.25 + 2.25 + 2.25) / 3.0) + 1e-4;
  CHECK(a[0] == doctest::Approx(0.5 / spread));
  CHECK(a[2] == doctest::Approx(1.5 / spread));
  CHECK(a[3] == doctest::Approx(-1.5 / spread));
}

TEST_CASE("every kind of advantage agrees with the reference on random rewards") {
  PhiloxStream draws(5, 0);
  Groups rewards(7);
  std::vector<ReferenceGroup> groups(7);
  for (std::size_t g = 0; g < rewards.size(); ++g)
    for (std::size_t i = 0; i < 2 + g; ++i) {
      rewards[g].push_back(static_cast<float>(draws.normal()));
      groups[g].push_back({.reward = rewards[g].back()});
    }
  for (const auto kind : {AdvantageKind::grpo, AdvantageKind::dr_grpo, AdvantageKind::batch}) {
    const std::vector<double> found = advantages(kind, rewards);
    std::size_t at = 0;
    for (const auto& group : reference_advantages(kind, groups))
      for (const double expected : group)
        CHECK(found.at(at++) == doctest::Approx(expected).epsilon(1e-9));
    CHECK(at == found.size());
  }
}

TEST_CASE("a group has signal if its rewards differ") {
  const std::vector<float> same{0.1f, 0.1f}, other{0.1f, 0.1f, 1.1f}, one{1.0f}, none;
  CHECK_FALSE(has_signal(same));
  CHECK(has_signal(other));
  CHECK_FALSE(has_signal(one));
  CHECK_FALSE(has_signal(none));
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
