#include "gpu/training/importance.hpp"

#include <doctest/doctest.h>

#include <cmath>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

const TokenLogProbs kToken{-1.0, -2.0, -1.6};  // current, behaviour, proximal

TEST_CASE("ppo takes the ratio against the policy that sampled") {
  const Importance found = importance(Correction::ppo, kToken, 2.0);
  CHECK(found.old_log_prob == -2.0);
  CHECK(found.weight == 1.0);
}

TEST_CASE(
    "decoupled takes the ratio against the proximal policy and weighs by proximal over behaviour") {
  const Importance found = importance(Correction::decoupled, kToken, 2.0);
  CHECK(found.old_log_prob == -1.6);
  CHECK(found.weight == doctest::Approx(std::exp(0.4)));
}

TEST_CASE("the decoupled weight is capped from above only") {
  CHECK(importance(Correction::decoupled, kToken, 1.2).weight == doctest::Approx(1.2));
  CHECK(importance(Correction::decoupled, {-1.0, -0.5, -4.0}, 2.0).weight ==
        doctest::Approx(std::exp(-3.5)));
}

TEST_CASE("none ignores the behaviour policy") {
  const Importance found = importance(Correction::none, kToken, 2.0);
  CHECK(found.old_log_prob == -1.6);
  CHECK(found.weight == 1.0);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
