#include "gpu/training/kl.hpp"

#include "gpu/sampling/philox.hpp"

#include <doctest/doctest.h>

#include <cmath>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

TEST_CASE("k3 is zero where both policies agree and positive elsewhere") {
  CHECK(k3(-1.0, -1.0).value == 0.0);
  CHECK(k3(-1.0, -2.0).value == doctest::Approx(std::exp(-1.0)));       // e^-1 + 1 - 1
  CHECK(k3(-2.0, -1.0).value == doctest::Approx(std::exp(1.0) - 2.0));  // e - 1 - 1
}

TEST_CASE("the derivative of k3 equals its finite differences") {
  PhiloxStream draws(3, 0);
  for (int i = 0; i < 200; ++i) {
    const double log_prob = -3.0 * draws.uniform(), reference = -3.0 * draws.uniform(), h = 1e-6;
    const double slope =
        (k3(log_prob + h, reference).value - k3(log_prob - h, reference).value) / (2 * h);
    CHECK(k3(log_prob, reference).derivative == doctest::Approx(slope).epsilon(1e-6));
  }
}

TEST_CASE("the mean of k3 over samples is the divergence") {
  // Two policies over two tokens: KL(p || q) = sum p log(p / q), and so is the mean of k3 under p.
  const double p = 0.3, q = 0.6;
  const double exact = p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
  const double mean =
      p * k3(std::log(p), std::log(q)).value + (1 - p) * k3(std::log(1 - p), std::log(1 - q)).value;
  CHECK(mean == doctest::Approx(exact));
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
