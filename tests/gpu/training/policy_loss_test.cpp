#include "gpu/training/policy_loss.hpp"

#include "gpu/sampling/philox.hpp"
#include "tests/support/reference_loss.hpp"

#include <doctest/doctest.h>

#include <cmath>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

const ClipBounds kBounds{0.2, 0.28, 3.0};

PolicyTerm term_of_ratio(double ratio, double advantage, const ClipBounds& bounds = kBounds) {
  return clipped_policy_term(std::log(ratio) - 1.5, -1.5, advantage, bounds);
}

void check(const PolicyTerm& term, double objective, double derivative, Clip clip) {
  CHECK(term.objective == doctest::Approx(objective));
  CHECK(term.derivative == doctest::Approx(derivative));
  CHECK(term.clip == clip);
}

TEST_CASE("inside the bounds the term is ratio times advantage and so is its derivative") {
  check(term_of_ratio(1.1, 2.0), 2.2, 2.2, Clip::none);
  check(term_of_ratio(0.9, -2.0), -1.8, -1.8, Clip::none);
  check(term_of_ratio(1.27, 1.0), 1.27, 1.27, Clip::none);
}

TEST_CASE("a good token whose ratio rose beyond the upper bound stops pulling") {
  check(term_of_ratio(1.5, 2.0), 2.56, 0.0, Clip::high);
  check(term_of_ratio(0.5, 2.0), 1.0, 1.0, Clip::none);  // it may still come back
}

TEST_CASE("a bad token whose ratio fell below the lower bound stops pushing") {
  check(term_of_ratio(0.5, -2.0), -1.6, 0.0, Clip::low);
  check(term_of_ratio(1.5, -2.0), -3.0, -3.0, Clip::none);
}

TEST_CASE("dual clip bounds what one bad token of a large ratio can push") {
  check(term_of_ratio(5.0, -2.0), -6.0, 0.0, Clip::dual);
  check(term_of_ratio(5.0, -2.0, {0.2, 0.28, 0.0}), -10.0, -10.0, Clip::none);
  check(term_of_ratio(5.0, 2.0), 2.56, 0.0, Clip::high);
}

TEST_CASE("terms equal the definition and derivatives its finite differences") {
  PhiloxStream draws(11, 0);
  for (int i = 0; i < 500; ++i) {
    const double old = -0.1 - 2.0 * draws.uniform(), current = old + 0.9 * draws.normal(),
                 advantage = draws.normal();
    ObjectiveConfig config;
    config.clip_low = static_cast<float>(0.5 * draws.uniform());
    config.clip_high = static_cast<float>(0.5 * draws.uniform());
    const ClipBounds bounds{config.clip_low, config.clip_high, config.dual_clip};
    const PolicyTerm term = clipped_policy_term(current, old, advantage, bounds);
    const auto definition = [&](double log_prob) {
      return reference_surrogate(std::exp(log_prob - old), advantage, config);
    };
    CHECK(term.objective == doctest::Approx(definition(current)).epsilon(1e-9));
    const double h = 1e-6, slope = (definition(current + h) - definition(current - h)) / (2 * h);
    CHECK(term.derivative == doctest::Approx(slope).epsilon(1e-6));
  }
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
