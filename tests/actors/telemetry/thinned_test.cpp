#include "actors/telemetry/thinned.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

using Numbers = Thinned<int>;

namespace {

Numbers first(int count) {
  Numbers numbers;
  for (int i = 0; i < count; ++i) numbers.push_back(i);
  return numbers;
}

}  // namespace

TEST_CASE("a short list is kept whole") {
  const Numbers numbers = first(Numbers::kMost - 1);
  REQUIRE(numbers.kept().size() == Numbers::kMost - 1);
  for (std::size_t i = 0; i < numbers.kept().size(); ++i)
    CHECK(numbers.kept()[i] == static_cast<int>(i));
}

TEST_CASE("a long list is thinned evenly and keeps its first and its newest") {
  for (const int count : {1025, 5000, 123'456, 1'000'000}) {
    CAPTURE(count);
    const Numbers numbers = first(count);
    const auto& kept = numbers.kept();
    CHECK(numbers.added() == static_cast<std::uint64_t>(count));
    CHECK(kept.size() <= Numbers::kMost);
    CHECK(kept.size() > Numbers::kMost / 3);
    CHECK(numbers.front() == 0);
    for (std::size_t i = 0; i < Numbers::kRecent; ++i)
      CHECK(kept[kept.size() - 1 - i] == count - 1 - static_cast<int>(i));
    const std::size_t older = kept.size() - Numbers::kRecent;
    for (std::size_t i = 1; i < older; ++i) CHECK(kept[i] - kept[i - 1] == kept[1]);
    CHECK(kept[older] - kept[older - 1] <= kept[1]);
  }
}

}  // namespace troupe

TEST_SUITE_END();
