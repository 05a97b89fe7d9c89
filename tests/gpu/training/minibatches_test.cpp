#include "gpu/training/minibatches.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

std::vector<std::size_t> joined(const std::vector<std::vector<std::size_t>>& parts) {
  std::vector<std::size_t> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST_CASE("one minibatch keeps the order") {
  CHECK(minibatches(4, 1, 7) == std::vector<std::vector<std::size_t>>{{0, 1, 2, 3}});
}

TEST_CASE("several minibatches deal each rollout to exactly one") {
  const auto parts = minibatches(10, 4, 7);
  REQUIRE(parts.size() == 4);
  CHECK(parts[0].size() == 3);
  CHECK(parts[3].size() == 1);
  const auto all = joined(parts);
  CHECK(std::set<std::size_t>(all.begin(), all.end()).size() == 10);
  CHECK_FALSE(std::is_sorted(all.begin(), all.end()));
}

TEST_CASE("the deal is a function of the key") {
  CHECK(minibatches(40, 4, 7) == minibatches(40, 4, 7));
  CHECK(minibatches(40, 4, 7) != minibatches(40, 4, 8));
}

TEST_CASE("there are no more minibatches than rollouts") {
  CHECK(minibatches(2, 5, 7).size() == 2);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
