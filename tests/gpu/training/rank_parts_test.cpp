#include "gpu/training/rank_parts.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

std::vector<std::size_t> counts(const std::vector<std::size_t>& lengths, int ranks) {
  std::vector<std::vector<std::int32_t>> tokens;
  for (const std::size_t length : lengths) tokens.emplace_back(length);
  std::vector<Sequence> sequences;
  for (const auto& of_one : tokens) sequences.push_back({of_one, 1});
  std::vector<std::size_t> result;
  std::size_t next = 0;
  for (const FlatRange& part : rank_parts(sequences, ranks)) {
    CHECK(part.first == next);
    next += part.count;
    result.push_back(part.count);
  }
  CHECK(next == lengths.size());
  return result;
}

using Counts = std::vector<std::size_t>;

TEST_CASE("ranks take runs of sequences with about equally many tokens") {
  CHECK(counts({5, 5, 5, 5}, 2) == Counts{2, 2});
  CHECK(counts({12, 2, 2, 2, 2}, 2) == Counts{1, 4});
  CHECK(counts({1, 1, 1, 9}, 2) == Counts{3, 1});
  CHECK(counts({4, 4, 4, 4, 4, 4, 4}, 3) == Counts{2, 3, 2});
}

TEST_CASE("a rank may be left without a sequence") {
  CHECK(counts({7}, 3) == Counts{0, 1, 0});
  CHECK(counts({}, 2) == Counts{0, 0});
  CHECK(counts({100, 1, 1}, 3) == Counts{0, 1, 2});
}

}  // namespace
}  // namespace troupe::gpu
