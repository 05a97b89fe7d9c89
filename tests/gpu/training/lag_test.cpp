#include "gpu/training/lag.hpp"

#include "gpu/error.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

TrainingRollout rollout_of_versions(std::vector<VersionRun> versions) {
  return {
      .id = 3, .tokens = {}, .prompt_length = 1, .log_probs = {}, .versions = std::move(versions)};
}

TEST_CASE("tokens are counted by lag") {
  std::vector<std::uint64_t> histogram;
  count_lags(rollout_of_versions({{5, 2}, {7, 3}}), 5, 7, 2, histogram);
  count_lags(rollout_of_versions({{6, 4}}), 4, 7, 2, histogram);
  CHECK(histogram == std::vector<std::uint64_t>{3, 4, 2});
}

TEST_CASE("one token beyond the staleness bound stops the update") {
  std::vector<std::uint64_t> histogram;
  CHECK_THROWS_WITH_AS(
      count_lags(rollout_of_versions({{4, 1}, {7, 3}}), 4, 7, 2, histogram),
      "rollout 3 holds tokens of version 4: their lag 3 exceeds the staleness bound 2", Error);
  CHECK_NOTHROW(count_lags(rollout_of_versions({{4, 1}, {7, 3}}), 4, 7, 3, histogram));
}

TEST_CASE("a version from the future stops the update") {
  std::vector<std::uint64_t> histogram;
  CHECK_THROWS_AS(count_lags(rollout_of_versions({{8, 4}}), 4, 7, 2, histogram), Error);
}

TEST_CASE("every token must be stamped") {
  std::vector<std::uint64_t> histogram;
  CHECK_THROWS_AS(count_lags(rollout_of_versions({{7, 3}}), 4, 7, 2, histogram), Error);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
