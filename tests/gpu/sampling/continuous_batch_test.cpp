#include "gpu/sampling/continuous_batch.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/philox.hpp"
#include "tests/support/reference_decoder.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

namespace {

using namespace troupe::gpu;

using Tokens = std::vector<std::int32_t>;
using Runs = std::vector<VersionRun>;

constexpr std::uint64_t kSeed = 9;

/// Weights under which completions end at various lengths and every logit counts.
FlatWeights weights_of_version(std::uint64_t version) {
  return flat_weights(random_weights(tiny_llama(), 40 + version));
}

SamplingParams params(std::int32_t max_new_tokens = 20) {
  SamplingParams result;
  result.max_new_tokens = max_new_tokens;
  result.stop_tokens = {2};
  result.banned = {0, 1};
  return result;
}

Tokens prompt_of(std::uint64_t group) {
  Tokens prompt{1};
  for (std::uint64_t i = 0; i < 2 + group % 5; ++i) {
    prompt.push_back(static_cast<std::int32_t>(3 + (group * 7 + i * 5) % 23));
  }
  return prompt;
}

/// Rollout r belongs to group r / 4.
GenerationRequest request(std::uint64_t rollout, std::uint64_t min_version = 0) {
  return {rollout, rollout / 4, prompt_of(rollout / 4), min_version};
}

struct Rig {
  std::unique_ptr<Engine> engine;
  ContinuousBatch batch;

  explicit Rig(std::int32_t slots, SamplingParams sampling = params(),
               CacheAfterSwap cache = CacheAfterSwap::keep)
      : engine(make_torch_engine(tiny_llama(), slots, 40, "cpu")),
        batch(*engine, std::move(sampling), kSeed, cache) {
    at::set_num_threads(1);
  }

  std::map<std::uint64_t, Completion> run() {
    while (batch.can_step()) REQUIRE(batch.step() > 0);
    return take();
  }

  std::map<std::uint64_t, Completion> take() {
    std::map<std::uint64_t, Completion> by_rollout;
    for (Completion& completion : batch.take_finished()) {
      const std::uint64_t rollout = completion.rollout;
      REQUIRE(by_rollout.emplace(rollout, std::move(completion)).second);
    }
    return by_rollout;
  }
};

std::map<std::uint64_t, Completion> completions(std::int32_t slots, std::uint64_t count) {
  Rig rig(slots);
  rig.batch.swap(weights_of_version(0), 0);
  for (std::uint64_t rollout = 0; rollout < count; ++rollout) rig.batch.submit(request(rollout));
  return rig.run();
}

/// What the sampler does over logits of the reference decoder: one sequence, no cache, no batch.
/// versions[i]: which weights sample token i; all tokens before it are seen with those weights too.
Completion reference_completion(std::uint64_t rollout, const SamplingParams& sampling,
                                const std::vector<std::uint64_t>& versions) {
  Sampler sampler(26, sampling);
  Completion result{rollout, {}, {}, {}, FinishReason::length};
  Tokens all = prompt_of(rollout / 4);
  for (const std::uint64_t version : versions) {
    const ReferenceDecoder decoder(tiny_llama(), random_weights(tiny_llama(), 40 + version));
    const std::vector<double> exact = decoder.logits(all).back();
    const std::vector<float> logits(exact.begin(), exact.end());
    const Choice choice =
        sampler.sample(logits.data(), uniform(kSeed, rollout, result.tokens.size()));
    result.tokens.push_back(choice.token);
    result.log_probs.push_back(choice.log_prob);
    all.push_back(choice.token);
    if (choice.token == 2) {
      result.reason = FinishReason::stop;
      break;
    }
  }
  return result;
}

void check_close(const Completion& got, const Completion& expected) {
  CHECK(got.tokens == expected.tokens);
  CHECK(got.reason == expected.reason);
  REQUIRE(got.log_probs.size() == expected.log_probs.size());
  for (std::size_t i = 0; i < got.log_probs.size(); ++i) {
    CHECK(got.log_probs[i] == doctest::Approx(expected.log_probs[i]).epsilon(1e-4));
  }
}

}  // namespace

TEST_CASE("completions are those of one sequence at a time through the reference decoder") {
  const auto got = completions(5, 16);
  REQUIRE(got.size() == 16);
  int stopped = 0;
  for (const auto& entry : got) {
    const Completion& completion = entry.second;
    CAPTURE(completion.rollout);
    check_close(completion,
                reference_completion(completion.rollout, params(), std::vector<std::uint64_t>(20)));
    CHECK(completion.versions == Runs{{0, static_cast<std::uint32_t>(completion.tokens.size())}});
    stopped += completion.reason == FinishReason::stop ? 1 : 0;
  }
  CHECK(stopped > 2);  // both ways to end occur
  CHECK(stopped < 14);
}

TEST_CASE("the number of slots changes no completion") {
  const auto alone = completions(1, 40);
  REQUIRE(alone.size() == 40);
  for (const std::int32_t slots : {3, 8, 40}) {
    const auto together = completions(slots, 40);
    REQUIRE(together.size() == 40);
    for (const auto& [rollout, completion] : together) check_close(completion, alone.at(rollout));
  }
}

TEST_CASE("a common prompt is run once and changes no completion of its group") {
  const auto run = [](bool shared) {
    Rig rig(12);
    rig.batch.swap(weights_of_version(0), 0);
    for (std::uint64_t rollout = 0; rollout < 12; ++rollout) {
      GenerationRequest one = request(rollout);
      if (!shared) one.group = rollout;
      rig.batch.submit(one);
    }
    auto result = rig.run();
    std::uint64_t once = 0;
    for (std::uint64_t group = 0; group < 3; ++group) once += prompt_of(group).size();
    CHECK(rig.batch.prompt_tokens() == (shared ? once : 4 * once));
    CHECK(rig.batch.shared_prompt_tokens() == (shared ? 3 * once : 0));
    return result;
  };
  const auto shared = run(true), apart = run(false);
  REQUIRE(shared.size() == 12);
  for (const auto& [rollout, completion] : shared) check_close(completion, apart.at(rollout));
}

TEST_CASE("neighbours of one group with different prompts share nothing") {
  Rig rig(4);
  rig.batch.swap(weights_of_version(0), 0);
  for (std::uint64_t rollout = 0; rollout < 2; ++rollout) {
    GenerationRequest one = request(rollout);
    one.prompt.back() += static_cast<std::int32_t>(rollout);
    rig.batch.submit(one);
  }
  rig.run();
  CHECK(rig.batch.shared_prompt_tokens() == 0);
}

TEST_CASE("members of a group draw different tokens from the shared prompt") {
  const auto got = completions(8, 8);
  CHECK(got.at(0).tokens != got.at(1).tokens);
  CHECK(got.at(0).tokens != got.at(2).tokens);
}

TEST_CASE("a finished sequence leaves at once and a waiting one takes its place") {
  Rig rig(3, params(6));
  rig.batch.swap(weights_of_version(0), 0);
  for (std::uint64_t rollout = 0; rollout < 20; ++rollout) rig.batch.submit(request(rollout));
  std::size_t tokens = 0;
  while (rig.batch.can_step()) {
    const std::size_t waiting = rig.batch.waiting(), live = rig.batch.live();
    const std::size_t sampled = rig.batch.step();
    CHECK(sampled == std::min<std::size_t>(3, live + waiting));
    tokens += sampled;
  }
  CHECK(rig.batch.sampled_tokens() == tokens);
  std::size_t kept = 0;
  for (const auto& [rollout, completion] : rig.take()) kept += completion.tokens.size();
  CHECK(kept == tokens);
}

TEST_CASE("a swap between two steps stamps the versions of tokens and drops nothing") {
  Rig rig(8, params(10));
  rig.batch.swap(weights_of_version(3), 3);
  for (std::uint64_t rollout = 0; rollout < 8; ++rollout) rig.batch.submit(request(rollout));
  for (int i = 0; i < 4; ++i) rig.batch.step();
  rig.batch.swap(weights_of_version(5), 5);
  CHECK(rig.batch.version() == 5);
  const auto got = rig.run();
  REQUIRE(got.size() == 8);
  int crossed = 0;
  for (const auto& [rollout, completion] : got) {
    const auto size = static_cast<std::uint32_t>(completion.tokens.size());
    CHECK(completion.log_probs.size() == size);
    CHECK(completion.versions == (size <= 4 ? Runs{{3, size}} : Runs{{3, 4}, {5, size - 4}}));
    crossed += size > 4 ? 1 : 0;
  }
  CHECK(crossed > 2);
}

TEST_CASE("two swaps of the same version make one run of tokens") {
  Rig rig(1, params(6));
  rig.batch.swap(weights_of_version(1), 1);
  GenerationRequest one = request(0);
  rig.batch.submit(one);
  rig.batch.step();
  rig.batch.swap(weights_of_version(1), 1);
  const auto got = rig.run();
  CHECK(got.at(0).versions.size() == 1);
}

TEST_CASE("a recomputed cache gives what the new weights make of all earlier tokens") {
  const auto run = [](CacheAfterSwap cache) {
    Rig rig(8, params(10), cache);
    rig.batch.swap(weights_of_version(0), 0);
    for (std::uint64_t rollout = 0; rollout < 8; ++rollout) rig.batch.submit(request(rollout));
    for (int i = 0; i < 3; ++i) rig.batch.step();
    rig.batch.swap(weights_of_version(1), 1);
    return rig.run();
  };
  const auto recomputed = run(CacheAfterSwap::recompute), kept = run(CacheAfterSwap::keep);
  REQUIRE(recomputed.size() == 8);
  bool differs = false;
  for (const auto& entry : recomputed) {
    const Completion& completion = entry.second;
    CAPTURE(completion.rollout);
    check_close(completion, reference_completion(completion.rollout, params(10),
                                                 {0, 0, 0, 1, 1, 1, 1, 1, 1, 1}));
    differs = differs || completion.log_probs != kept.at(completion.rollout).log_probs;
  }
  CHECK(differs);
}

TEST_CASE("a request waits for its version and those behind it wait with it") {
  Rig rig(4);
  rig.batch.submit(request(0, 1));
  rig.batch.submit(request(1, 2));
  rig.batch.submit(request(2, 0));
  CHECK_FALSE(rig.batch.can_step());  // no weights yet
  CHECK(rig.batch.step() == 0);
  rig.batch.swap(weights_of_version(0), 0);
  CHECK_FALSE(rig.batch.can_step());
  rig.batch.swap(weights_of_version(1), 1);
  CHECK(rig.batch.can_step());
  CHECK(rig.batch.step() == 1);
  CHECK(rig.batch.waiting() == 2);
  rig.batch.swap(weights_of_version(2), 2);
  rig.batch.step();
  CHECK(rig.batch.waiting() == 0);
  const auto got = rig.run();
  REQUIRE(got.size() == 3);
  CHECK(got.at(1).versions.front().version == 2);
  CHECK(got.at(2).versions.front().version == 2);
}

TEST_CASE("abandon gives the tokens so far and leaves an empty batch that works on") {
  Rig rig(2);
  rig.batch.swap(weights_of_version(0), 0);
  for (std::uint64_t rollout = 0; rollout < 3; ++rollout) rig.batch.submit(request(rollout));
  const auto whole = completions(2, 3);
  REQUIRE(whole.at(0).tokens.size() > 2);
  REQUIRE(whole.at(1).tokens.size() > 2);
  rig.batch.step();
  rig.batch.step();
  std::vector<Completion> unfinished = rig.batch.abandon();
  REQUIRE(unfinished.size() == 3);
  for (const Completion& completion : unfinished) {
    const Tokens& all = whole.at(completion.rollout).tokens;
    const std::size_t expected = completion.rollout == 2 ? 0 : 2;
    CHECK(completion.tokens ==
          Tokens(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(expected)));
    CHECK(completion.log_probs.size() == expected);
  }
  CHECK(rig.batch.live() == 0);
  CHECK(rig.batch.waiting() == 0);
  CHECK(rig.take().empty());
  rig.batch.submit(request(7));
  check_close(rig.run().at(7), reference_completion(7, params(), std::vector<std::uint64_t>(20)));
}

TEST_CASE("what waits for newer weights is given back and the rest goes on") {
  Rig rig(2);
  rig.batch.swap(weights_of_version(0), 0);
  rig.batch.submit(request(0));
  CHECK_FALSE(rig.batch.held_up());
  GenerationRequest newer = request(1);
  newer.min_version = 1;
  rig.batch.submit(newer);
  rig.batch.step();
  CHECK(rig.batch.held_up());
  const std::vector<Completion> back = rig.batch.give_back();
  REQUIRE(back.size() == 1);
  CHECK(back[0].rollout == 1);
  CHECK(back[0].tokens.empty());
  CHECK_FALSE(rig.batch.held_up());
  CHECK(rig.batch.live() == 1);
  check_close(rig.run().at(0), reference_completion(0, params(), std::vector<std::uint64_t>(20)));
}

TEST_CASE("requests that cannot fit and weights that go back are refused") {
  Rig rig(2);
  GenerationRequest longest = request(0);
  longest.prompt.assign(20, 3);
  CHECK_NOTHROW(rig.batch.submit(longest));
  longest.prompt.push_back(3);
  CHECK_THROWS_WITH_AS(rig.batch.submit(longest),
                       "a prompt of 21 tokens and 20 new ones need a capacity of 41 tokens per "
                       "slot, the engine has 40",
                       Error);
  longest.prompt.clear();
  CHECK_THROWS_AS(rig.batch.submit(longest), Error);
  longest.prompt = {26};
  CHECK_THROWS_AS(rig.batch.submit(longest), Error);
  rig.batch.swap(weights_of_version(4), 4);
  rig.batch.step();
  CHECK_THROWS_AS(rig.batch.swap(weights_of_version(3), 3), Error);
}

TEST_SUITE_END();
