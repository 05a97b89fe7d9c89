#include "actors/dashboard/bottleneck.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/dashboard");

namespace troupe {

namespace {

/// Shares of time waited by learner, generators, verifiers.
RoleShares waiting(double learner, double generators, double verifiers) {
  return {learner, generators, verifiers, 2, 1};
}

}  // namespace

TEST_CASE("a learner that waits while generators work wants generators") {
  const Bottleneck found = bottleneck(waiting(0.62, 0.05, 0.9));
  CHECK(found.role == "generator");
  CHECK(found.sentence ==
        "The learner waits 62 % of the time for data; generators are the limit: add generators.");
}

TEST_CASE("a learner that waits while verifiers are the busiest wants verifiers") {
  const Bottleneck found = bottleneck(waiting(0.7, 0.6, 0.02));
  CHECK(found.role == "verifier");
  CHECK(found.sentence ==
        "The learner waits 70 % of the time for data; verifiers are the limit: add verifiers.");
}

TEST_CASE("when generators and verifiers both work the busier ones are the limit") {
  CHECK(bottleneck(waiting(0.7, 0.1, 0.4)).role == "generator");
  CHECK(bottleneck(waiting(0.7, 0.4, 0.1)).role == "verifier");
}

TEST_CASE("generators that wait for a busy learner say that it is the limit") {
  const Bottleneck found = bottleneck(waiting(0.04, 0.55, 0.9));
  CHECK(found.role == "learner");
  CHECK(found.sentence.rfind("Generators wait 55 % of the time; the learner is the limit", 0) == 0);
}

TEST_CASE("when all wait for each other the staleness bound is named") {
  const Bottleneck found = bottleneck(waiting(0.6, 0.55, 0.9));
  CHECK(found.role == "bound");
  CHECK(found.sentence.find("staleness-bound") != std::string::npos);
}

TEST_CASE("a run where nobody waits long is balanced") {
  CHECK(bottleneck(waiting(0.1, 0.2, 0.9)).role == "none");
  CHECK(bottleneck(waiting(0.24, 0.24, 0.9)).role == "none");
}

TEST_CASE("nothing is said of what is not known") {
  CHECK(bottleneck({}).role.empty());
  CHECK(bottleneck({0.9, {}, 0.1, 0, 1}).role.empty());
  CHECK(bottleneck({{}, 0.9, 0.1, 1, 1}).role.empty());
  // Without a verifier's figures it is not blamed.
  CHECK(bottleneck({0.9, 0.1, {}, 1, 0}).role == "generator");
}

TEST_CASE("shares are means over the actors of a role whatever their names") {
  const RoleShares shares = role_shares({{"generator-0", {1, 3}},
                                         {"gen-b", {3, 1}},
                                         {"verifier-0", {1, 9}},
                                         {"learner", {1, 1}},
                                         {"evaluator", {5, 0}},
                                         {"generator-9", {0, 0}}});
  CHECK(shares.generators == doctest::Approx(0.5));
  CHECK(shares.generator_count == 2);
  CHECK(shares.verifiers == doctest::Approx(0.9));
  CHECK(shares.learner == doctest::Approx(0.5));
}

}  // namespace troupe

TEST_SUITE_END();
