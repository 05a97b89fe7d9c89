#include "gpu/error.hpp"
#include "gpu/training/policy_update.hpp"
#include "tests/support/table_engine.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cmath>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

TEST_CASE("the loss is the mean cross-entropy of all targets and the step follows its gradient") {
  TableEngine engine({-1, -2, -4});
  const std::vector<Document> documents{{{0, 1, 2}, 1}, {{0, 2}, 1}};
  const SupervisedStats stats = supervised_update(engine, documents, {}, 0.0f, 0.3f);
  CHECK(stats.loss == doctest::Approx((2.0 + 4.0 + 4.0) / 3));
  CHECK(stats.targets == 3);
  CHECK(stats.positions == 5);
  CHECK(stats.gradient_norm == doctest::Approx(std::sqrt(5.0) / 3));
  CHECK(engine.table[0] == doctest::Approx(-1.0));
  CHECK(engine.table[1] == doctest::Approx(-1.9));
  CHECK(engine.table[2] == doctest::Approx(-3.8));
}

TEST_CASE("a loss or gradient that is not finite refuses the step") {
  TableEngine broken({NAN, -1});
  CHECK(supervised_update(broken, std::vector<Document>{{{1, 0}, 1}}, {}, 1.0f, 0.1f).refused);
  TableEngine steep({-1, -1});
  steep.norm_is_infinite = true;
  CHECK(supervised_update(steep, std::vector<Document>{{{1, 0}, 1}}, {}, 1.0f, 0.1f).refused);
  CHECK(broken.steps + steep.steps == 0);
}

TEST_CASE("documents without any target are an error") {
  TableEngine engine({-1, -1});
  CHECK_THROWS_AS(supervised_update(engine, std::vector<Document>{{{1, 0}, 2}}, {}, 1.0f, 0.1f),
                  Error);
}

/// <1> a b c <2> a b c: the second half repeats the first.
std::vector<Document> copies(PhiloxStream& draws, int count) {
  std::vector<Document> documents;
  for (int i = 0; i < count; ++i) {
    std::vector<std::int32_t> tokens{1};
    for (int t = 0; t < 3; ++t) tokens.push_back(static_cast<std::int32_t>(3 + draws.below(5)));
    tokens.push_back(2);
    for (std::size_t t = 1; t <= 3; ++t) tokens.push_back(tokens[t]);
    documents.push_back({tokens, 5});
  }
  return documents;
}

TEST_CASE("a small model learns to copy what it has seen") {
  const DecoderConfig config = tiny_llama();
  const auto engine = make_torch_training_engine(config, {}, 256, "cpu");
  engine->load(initial_weights(config, 1).data());
  PhiloxStream draws(4, 2);
  const double first = supervised_update(*engine, copies(draws, 32), {}, 1.0f, 1e-2f).loss;
  CHECK(first > 1.5);
  double last = first;
  for (int i = 0; i < 250; ++i)
    last = supervised_update(*engine, copies(draws, 32), {}, 1.0f, 1e-2f).loss;
  CHECK(last < 0.3);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
