#include "gpu/sampling/sampler.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/philox.hpp"
#include "tests/support/reference_decoder.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

namespace {

using namespace troupe::gpu;

std::vector<float> random_logits(std::size_t count, std::uint64_t seed) {
  PhiloxStream stream(seed, 1);
  std::vector<float> logits;
  while (logits.size() < count) logits.push_back(static_cast<float>(2.0 * stream.normal()));
  return logits;
}

/// Exact probabilities; `allowed` empty: all tokens.
std::vector<double> probabilities(const std::vector<float>& logits, double temperature,
                                  const std::set<std::int32_t>& banned = {}) {
  std::vector<double> p;
  double total = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool out = banned.count(static_cast<std::int32_t>(i)) > 0;
    p.push_back(out ? 0.0 : std::exp(static_cast<double>(logits[i]) / temperature));
    total += p.back();
  }
  for (double& value : p) value /= total;
  return p;
}

/// Chi-square of `draws` samples against the probabilities; expected counts below 5 go into one
/// bin.
double chi_square(Sampler& sampler, const std::vector<float>& logits, const std::vector<double>& p,
                  int draws) {
  std::vector<int> seen(p.size());
  for (int i = 0; i < draws; ++i) {
    ++seen[static_cast<std::size_t>(
        sampler.sample(logits.data(), uniform(11, 3, static_cast<std::uint64_t>(i))).token)];
  }
  double result = 0.0, rare_expected = 0.0, rare_seen = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * draws;
    if (expected < 5.0) {
      rare_expected += expected;
      rare_seen += seen[i];
    } else {
      result += (seen[i] - expected) * (seen[i] - expected) / expected;
    }
  }
  if (rare_expected > 0.0) {
    result += (rare_seen - rare_expected) * (rare_seen - rare_expected) / rare_expected;
  }
  return result;
}

/// Every token that some draw can give.
std::set<std::int32_t> reachable(Sampler& sampler, const std::vector<float>& logits) {
  std::set<std::int32_t> tokens;
  for (int i = 0; i < 4000; ++i) {
    tokens.insert(sampler.sample(logits.data(), (i + 0.5) / 4000.0).token);
  }
  return tokens;
}

using Set = std::set<std::int32_t>;
const float kLn2 = std::log(2.0f);
// Probabilities 1/16, 1/4, 1/2, 1/16, 1/8.
const std::vector<float> kHalves{-4 * kLn2, -2 * kLn2, -1 * kLn2, -4 * kLn2, -3 * kLn2};

}  // namespace

TEST_CASE("a draw picks the token whose share of the running sum it falls into") {
  Sampler sampler(5, {});
  const auto token = [&](double draw) { return sampler.sample(kHalves.data(), draw).token; };
  CHECK(token(0.06) == 0);
  CHECK(token(0.07) == 1);
  CHECK(token(0.31) == 1);
  CHECK(token(0.32) == 2);
  CHECK(token(0.81) == 2);
  CHECK(token(0.82) == 3);
  CHECK(token(0.88) == 4);
  CHECK(token(1.0 - 0x1p-53) == 4);
  CHECK(sampler.sample(kHalves.data(), 0.5).log_prob == doctest::Approx(-std::log(2.0)));
}

TEST_CASE("tokens come with their probabilities at temperatures 1 and 0.6") {
  const std::vector<float> logits = random_logits(24, 1);
  Sampler one(24, {});
  CHECK(chi_square(one, logits, probabilities(logits, 1.0), 40000) < 49.7);  // df <= 23, p = 0.001
  Sampler colder(24, {.temperature = 0.6f});
  CHECK(chi_square(colder, logits, probabilities(logits, 0.6), 40000) < 49.7);
  CHECK(chi_square(colder, logits, probabilities(logits, 1.0), 40000) > 1000.0);
}

TEST_CASE("banned tokens never come and have no share in log-probs") {
  const std::vector<float> logits = random_logits(24, 2);
  Sampler sampler(24, {.banned = {0, 5, 23}});
  const std::vector<double> p = probabilities(logits, 1.0, {0, 5, 23});
  CHECK(chi_square(sampler, logits, p, 40000) < 45.3);  // df <= 20, p = 0.001
  const Set tokens = reachable(sampler, logits);
  for (const std::int32_t banned : {0, 5, 23}) CHECK(tokens.count(banned) == 0);
  for (int i = 0; i < 50; ++i) {
    const Choice choice = sampler.sample(logits.data(), (i + 0.5) / 50.0);
    CHECK(static_cast<double>(choice.log_prob) ==
          doctest::Approx(std::log(p[static_cast<std::size_t>(choice.token)])).epsilon(1e-6));
  }
}

TEST_CASE("log-probs agree with a double-precision reference for small and large vocabularies") {
  for (const std::int32_t vocab : {2, 26, 1500}) {
    for (const float temperature : {1.0f, 0.7f, 2.0f}) {
      const std::vector<float> logits = random_logits(static_cast<std::size_t>(vocab), 3);
      const std::vector<double> exact(logits.begin(), logits.end());
      Sampler sampler(vocab, {.temperature = temperature});
      for (int i = 0; i < 100; ++i) {
        const Choice choice = sampler.sample(logits.data(), (i + 0.5) / 100.0);
        const double expected =
            reference_log_prob(exact, choice.token, static_cast<double>(temperature));
        CHECK(std::abs(static_cast<double>(choice.log_prob) - expected) < 2e-6);
      }
    }
  }
}

TEST_CASE(
    "temperature 0 takes the lowest of equal best tokens with its log-prob at temperature 1") {
  const std::vector<float> logits{1.0f, 3.0f, 2.0f, 3.0f};
  Sampler sampler(4, {.temperature = 0.0f});
  const Choice choice = sampler.sample(logits.data(), 0.999);
  CHECK(choice.token == 1);
  const double total = std::exp(-2.0) + 1.0 + std::exp(-1.0) + 1.0;
  CHECK(static_cast<double>(choice.log_prob) == doctest::Approx(-std::log(total)).epsilon(1e-6));
  Sampler without(4, {.temperature = 0.0f, .banned = {1}});
  CHECK(without.sample(logits.data(), 0.0).token == 3);
}

TEST_CASE("top-k keeps the k most probable tokens and the lower ones of equals") {
  Sampler two(5, {.top_k = 2});
  CHECK(reachable(two, kHalves) == Set{1, 2});
  Sampler four(5, {.top_k = 4});
  CHECK(reachable(four, kHalves) == Set{0, 1, 2, 4});
  Sampler more(5, {.top_k = 50});
  CHECK(reachable(more, kHalves) == Set{0, 1, 2, 3, 4});
}

TEST_CASE("top-p keeps the smallest set of most probable tokens that reaches it") {
  Sampler half(5, {.top_p = 0.49f});
  CHECK(reachable(half, kHalves) == Set{2});
  Sampler more(5, {.top_p = 0.51f});
  CHECK(reachable(more, kHalves) == Set{1, 2});
  Sampler most(5, {.top_p = 0.9f});
  CHECK(reachable(most, kHalves) == Set{0, 1, 2, 4});
  Sampler nearly_all(5, {.top_p = 0.99f});
  CHECK(reachable(nearly_all, kHalves) == Set{0, 1, 2, 3, 4});
}

TEST_CASE("top-p counts the mass that top-k left") {
  // Of 1/2, 1/4, 1/8 the first two are 6/7 = 0.857.
  Sampler reached(5, {.top_k = 3, .top_p = 0.85f});
  CHECK(reachable(reached, kHalves) == Set{1, 2});
  Sampler beyond(5, {.top_k = 3, .top_p = 0.87f});
  CHECK(reachable(beyond, kHalves) == Set{1, 2, 4});
}

TEST_CASE(
    "kept tokens come with their shares while log-probs stay those of the whole distribution") {
  Sampler sampler(5, {.top_k = 2});
  int twos = 0;
  for (int i = 0; i < 3000; ++i) {
    const Choice choice = sampler.sample(kHalves.data(), (i + 0.5) / 3000.0);
    twos += choice.token == 2 ? 1 : 0;
    CHECK(static_cast<double>(choice.log_prob) ==
          doctest::Approx(std::log(choice.token == 2 ? 0.5 : 0.25)).epsilon(1e-6));
  }
  CHECK(twos == 2000);
}

TEST_CASE("top-p of a large flat vocabulary needs many tokens and keeps just enough") {
  const std::vector<float> flat(3000, 0.5f);
  Sampler sampler(3000, {.top_p = 0.5f});
  std::int32_t highest = 0;
  for (int i = 0; i < 4000; ++i) {
    highest = std::max(highest, sampler.sample(flat.data(), (i + 0.5) / 4000.0).token);
  }
  CHECK(highest == 1499);
}

TEST_CASE("banned tokens stay out of top-k even when too few others are left") {
  Sampler sampler(5, {.top_k = 4, .banned = {1, 2, 4}});
  CHECK(reachable(sampler, kHalves) == Set{0, 3});
}

TEST_CASE("an impossible token never comes at the edges of the draw") {
  const float out = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits{out, 0.0f, out};
  Sampler sampler(3, {});
  CHECK(sampler.sample(logits.data(), 0x1p-53).token == 1);
  CHECK(sampler.sample(logits.data(), 1.0 - 0x1p-53).token == 1);
}

TEST_CASE("logits that are not numbers are refused") {
  const float out = -std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Sampler sampler(2, {});
  for (const std::vector<float>& logits :
       {std::vector<float>{out, out}, {nan, nan}, {nan, 1.0f}, {1.0f, nan}, {-out, 0.0f}}) {
    CHECK_THROWS_AS(sampler.sample(logits.data(), 0.5), Error);
  }
  Sampler banned(2, {.banned = {1}});
  const std::vector<float> only_banned{out, 1.0f};
  CHECK_THROWS_AS(banned.sample(only_banned.data(), 0.5), Error);
}

TEST_CASE("parameters out of range are refused") {
  const auto refused = [](const SamplingParams& params) {
    CHECK_THROWS_AS(Sampler(4, params), Error);
  };
  refused({.temperature = -1.0f});
  refused({.temperature = std::numeric_limits<float>::quiet_NaN()});
  refused({.temperature = 1e-9f});
  refused({.top_k = -1});
  refused({.top_p = 0.0f});
  refused({.top_p = 1.5f});
  refused({.max_new_tokens = 0});
  refused({.stop_tokens = {4}});
  refused({.banned = {-1}});
  refused({.banned = {0, 1, 2, 3}});
}

TEST_SUITE_END();
