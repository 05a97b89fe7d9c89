#include "actors/learner/gate.hpp"

#include "tests/support/bigram.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/learner");

namespace troupe {
namespace {

/// A bigram engine whose most likely successor of i is successor[i].
std::unique_ptr<support::BigramEngine> engine_with(const std::vector<std::int32_t>& successor,
                                                   std::int32_t slots) {
  const auto vocab = static_cast<std::int32_t>(successor.size());
  auto engine = std::make_unique<support::BigramEngine>(vocab, slots, 8);
  const auto weights = std::shared_ptr<float[]>(new float[successor.size() * successor.size()]());
  for (std::size_t i = 0; i < successor.size(); ++i)
    weights[i * successor.size() + static_cast<std::size_t>(successor[i])] = 1.0f;
  engine->swap(weights);
  return engine;
}

}  // namespace

TEST_CASE("the share counts documents whose every checked token is the argmax") {
  const auto engine = engine_with({1, 2, 3, 0}, 3);
  const ProbeDocument right{{0, 1, 2, 3}, 1}, wrong_end{{0, 1, 2, 0}, 1},
      wrong_start{{0, 3, 0, 1}, 2};
  CHECK(probed_share(*engine, {{right}}) == 1.0);
  CHECK(probed_share(*engine, {{wrong_end}}) == 0.0);
  CHECK(probed_share(*engine, {{wrong_start}}) == 1.0);  // the first token is given
  CHECK(probed_share(*engine, {{right, wrong_end, right, right, wrong_end}}) ==
        doctest::Approx(0.6));
}

TEST_CASE("the worst kind decides") {
  const auto engine = engine_with({1, 2, 3, 0}, 2);
  const ProbeDocument right{{0, 1, 2, 3}, 1}, wrong{{0, 2, 3, 0}, 1};
  CHECK(probed_share(*engine, {{right, right}, {right, wrong}}) == doctest::Approx(0.5));
}

}  // namespace troupe
