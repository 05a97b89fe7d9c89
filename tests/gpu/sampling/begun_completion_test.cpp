// Completions that one generator begins and another goes on with.
#include "gpu/error.hpp"
#include "gpu/sampling/continuous_batch.hpp"
#include "gpu/sampling/cpu_engine.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <ATen/Parallel.h>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

namespace {

using namespace troupe::gpu;

using Completions = std::map<std::uint64_t, Completion>;
using Runs = std::vector<VersionRun>;
using MakeEngine = std::function<std::unique_ptr<Engine>(std::int32_t slots)>;

constexpr std::uint64_t kRollouts = 24;

std::unique_ptr<Engine> torch_engine(std::int32_t slots) {
  at::set_num_threads(1);
  return make_torch_engine(tiny_llama(), slots, 40, "cpu");
}

std::unique_ptr<Engine> own_engine(std::int32_t slots) {
  return make_cpu_engine(tiny_llama(), slots, 40);
}

FlatWeights weights_of_version(std::uint64_t version) {
  return flat_weights(random_weights(tiny_llama(), 40 + version));
}

SamplingParams params() {
  SamplingParams result;
  result.max_new_tokens = 20;
  result.stop_tokens = {2};
  result.banned = {0, 1};
  return result;
}

/// In groups of four, which share their prompts.
GenerationRequest request(std::uint64_t rollout, BegunCompletion begun = {}) {
  const std::uint64_t group = rollout / 4;
  std::vector<std::int32_t> prompt{1};
  for (std::uint64_t i = 0; i < 2 + group % 5; ++i)
    prompt.push_back(static_cast<std::int32_t>(3 + (group * 7 + i * 5) % 23));
  return {rollout, group, prompt, 0, std::move(begun)};
}

struct Generator {
  Generator(const MakeEngine& make, std::int32_t slots, std::uint64_t version)
      : engine(make(slots)), batch(*engine, params(), 9) {
    batch.swap(weights_of_version(version), version);
  }
  /// Makes up to `steps` steps and adds what is finished.
  void run(Completions& into, int steps = 1000) {
    for (; steps > 0 && batch.step() > 0; --steps) {
    }
    for (Completion& one : batch.take_finished()) {
      const std::uint64_t rollout = one.rollout;
      REQUIRE(into.emplace(rollout, std::move(one)).second);
    }
  }

  std::unique_ptr<Engine> engine;
  ContinuousBatch batch;
};

Completions uninterrupted(const MakeEngine& make, std::int32_t slots) {
  Generator generator(make, slots, 0);
  for (std::uint64_t i = 0; i < kRollouts; ++i) generator.batch.submit(request(i));
  Completions all;
  generator.run(all);
  return all;
}

/// Each of a row of generators, of other sizes, leaves after a few steps; the last one finishes.
Completions handed_from_one_to_the_next(const MakeEngine& make) {
  Completions all;
  std::vector<GenerationRequest> open;
  for (std::uint64_t i = 0; i < kRollouts; ++i) open.push_back(request(i));
  for (const std::int32_t slots : {16, 5, 24, 7}) {
    Generator generator(make, slots, 0);
    for (GenerationRequest& one : open) generator.batch.submit(std::move(one));
    generator.run(all, slots == 7 ? 1000 : 4);
    open.clear();
    for (const Completion& one : generator.batch.abandon())
      open.push_back(request(one.rollout, {one.tokens, one.log_probs, one.versions}));
  }
  CHECK(open.empty());
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("what is handed from one to the next is what one alone samples to the bit") {
  const Completions whole = uninterrupted(own_engine, 16);
  const Completions handed = handed_from_one_to_the_next(own_engine);
  REQUIRE(handed.size() == kRollouts);
  int crossed = 0;
  for (const auto& entry : handed) {
    const Completion& completion = entry.second;
    const std::uint64_t rollout = completion.rollout;
    CAPTURE(rollout);
    CHECK(completion.tokens == whole.at(rollout).tokens);
    CHECK(same_bits(completion.log_probs, whole.at(rollout).log_probs));
    CHECK(completion.versions == whole.at(rollout).versions);
    CHECK(completion.reason == whole.at(rollout).reason);
    crossed += completion.tokens.size() > 8 ? 1 : 0;
  }
  CHECK(crossed > 5);  // three or more of them had a share in these
}

TEST_CASE("with the LibTorch engine what is handed on has the tokens that one alone samples") {
  const Completions whole = uninterrupted(torch_engine, 16);
  const Completions handed = handed_from_one_to_the_next(torch_engine);
  REQUIRE(handed.size() == kRollouts);
  for (const auto& entry : handed) {
    const Completion& completion = entry.second;
    const std::uint64_t rollout = completion.rollout;
    CAPTURE(rollout);
    CHECK(completion.tokens == whole.at(rollout).tokens);
    REQUIRE(completion.log_probs.size() == whole.at(rollout).log_probs.size());
    for (std::size_t i = 0; i < completion.log_probs.size(); ++i)
      CHECK(completion.log_probs[i] ==
            doctest::Approx(whole.at(rollout).log_probs[i]).epsilon(1e-4));
  }
}

TEST_CASE("what is begun keeps its versions and waits for none older") {
  Generator generator(own_engine, 4, 1);
  const BegunCompletion part{{5, 6, 7}, {-1.0f, -2.0f, -3.0f}, {{0, 1}, {2, 2}}};
  generator.batch.submit(request(0, part));
  CHECK_FALSE(generator.batch.can_step());  // version 1 after version 2
  generator.batch.swap(weights_of_version(3), 3);
  Completions all;
  generator.run(all);
  const Completion& completion = all.at(0);
  const auto size = static_cast<std::uint32_t>(completion.tokens.size());
  REQUIRE(size > 3);
  CHECK(completion.tokens[1] == 6);
  CHECK(completion.log_probs[2] == -3.0f);
  CHECK(completion.versions == Runs{{0, 1}, {2, 2}, {3, size - 3}});
}

TEST_CASE("what is begun is run with its prompt and counts as no sampled token") {
  Generator generator(own_engine, 8, 0);
  const BegunCompletion part{{5, 6, 7}, {-1.0f, -2.0f, -3.0f}, {{0, 3}}};
  generator.batch.submit(request(0));
  generator.batch.submit(request(1));
  generator.batch.submit(request(2, part));
  generator.batch.submit(request(3));
  const std::size_t prompt = request(0).prompt.size();
  CHECK(generator.batch.step() == 4);
  CHECK(generator.batch.sampled_tokens() == 4);
  CHECK(generator.batch.shared_prompt_tokens() == prompt);  // only the second has a neighbour
  CHECK(generator.batch.prompt_tokens() == 3 * prompt + 3);
  generator.batch.step();
  CHECK(generator.batch.prompt_tokens() == 3 * prompt + 3);
}

TEST_CASE("what has ended already is finished without another token") {
  Generator generator(own_engine, 4, 0);
  generator.batch.submit(request(0, {{5, 2}, {-1.0f, -2.0f}, {{0, 2}}}));
  generator.batch.submit(
      request(1, {std::vector<std::int32_t>(20, 5), std::vector<float>(20, -1.0f), {{0, 20}}}));
  CHECK_FALSE(generator.batch.can_step());
  Completions all;
  generator.run(all);
  REQUIRE(all.size() == 2);
  CHECK(all.at(0).reason == FinishReason::stop);
  CHECK(all.at(1).reason == FinishReason::length);
  CHECK(generator.batch.sampled_tokens() == 0);
}

TEST_CASE("given up before it joined a begun completion is as it came") {
  Generator generator(own_engine, 1, 0);
  generator.batch.submit(request(0));
  generator.batch.submit(request(1, {{5, 6}, {-1.0f, -2.0f}, {{0, 2}}}));
  generator.batch.step();
  const auto unfinished = generator.batch.abandon();
  REQUIRE(unfinished.size() == 2);
  CHECK(unfinished[1].rollout == 1);
  CHECK(unfinished[1].tokens == std::vector<std::int32_t>{5, 6});
  CHECK(unfinished[1].log_probs == std::vector<float>{-1.0f, -2.0f});
  CHECK(unfinished[1].versions == Runs{{0, 2}});
}

TEST_CASE("a begun completion whose parts disagree is refused") {
  Generator generator(own_engine, 2, 0);
  CHECK_THROWS_AS(generator.batch.submit(request(0, {{5, 6}, {-1.0f}, {{0, 2}}})), Error);
  CHECK_THROWS_AS(generator.batch.submit(request(0, {{5, 6}, {-1.0f, -1.0f}, {{0, 1}}})), Error);
  CHECK_THROWS_AS(generator.batch.submit(request(0, {{5, 26}, {-1.0f, -1.0f}, {{0, 2}}})), Error);
  CHECK(generator.batch.waiting() == 0);
}

TEST_SUITE_END();
