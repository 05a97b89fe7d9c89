#include "gpu/training/normaliser.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

TEST_CASE("token weighs every token of the batch alike") {
  CHECK(token_factor(Normaliser::token, {50, 4, 1}, 10, 64) == doctest::Approx(1.0 / 50));
  CHECK(token_factor(Normaliser::token, {50, 4, 1}, 20, 64) == doctest::Approx(1.0 / 50));
}

TEST_CASE("sequence weighs every rollout alike") {
  CHECK(token_factor(Normaliser::sequence, {50, 4, 1}, 10, 64) == doctest::Approx(1.0 / 40));
  CHECK(token_factor(Normaliser::sequence, {50, 4, 1}, 20, 64) == doctest::Approx(1.0 / 80));
}

TEST_CASE("constant divides by the length limit whatever the length") {
  CHECK(token_factor(Normaliser::constant, {50, 4, 1}, 10, 64) == doctest::Approx(1.0 / 256));
  CHECK(token_factor(Normaliser::constant, {50, 4, 1}, 20, 64) == doctest::Approx(1.0 / 256));
}

TEST_CASE("each of several minibatches takes its share of the total") {
  for (const auto kind : {Normaliser::token, Normaliser::sequence, Normaliser::constant})
    CHECK(token_factor(kind, {50, 4, 2}, 10, 64) ==
          doctest::Approx(2 * token_factor(kind, {50, 4, 1}, 10, 64)));
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
