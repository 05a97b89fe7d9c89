#include "gpu/error.hpp"
#include "gpu/training/policy_update.hpp"
#include "gpu/training/training_engine.hpp"
#include "tests/support/reference_decoder.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <ATen/Parallel.h>
#include <cmath>
#include <limits>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

// For all cases of this binary: at these sizes a second thread only waits for a busy core.
[[maybe_unused]] const bool kOneThread = (at::set_num_threads(1), true);

const std::vector<std::vector<std::int32_t>> kTokens{
    {1, 7, 9, 12, 3, 9, 25, 8}, {1, 5, 24}, {1, 8, 8, 20, 11, 6}};
const std::vector<Sequence> kSequences{{kTokens[0], 3}, {kTokens[1], 1}, {kTokens[2], 2}};
constexpr std::size_t kTargets = 5 + 2 + 4;

/// Weight of the n-th target of all sequences.
TokenWeight weight_of(std::size_t n) {
  return {static_cast<float>(std::sin(1.0 + static_cast<double>(n))),
          static_cast<float>(0.5 * std::cos(static_cast<double>(n)))};
}

DecoderConfig untied_llama() {
  DecoderConfig config = tiny_llama();
  config.tied_embeddings = false;
  return config;
}
std::vector<DecoderConfig> families() {
  return {tiny_llama(), untied_llama(), tiny_qwen2(), tiny_qwen3()};
}

std::unique_ptr<TrainingEngine> engine_with(const DecoderConfig& config,
                                            const std::vector<float>& weights,
                                            const SamplingView& view = {},
                                            std::int64_t tokens = 1024) {
  auto engine = make_torch_training_engine(config, view, tokens, "cpu");
  engine->load(weights.data());
  return engine;
}

std::vector<float> weights_of(const TrainingEngine& engine) {
  std::vector<float> weights(engine.elements());
  engine.copy_weights(weights.data());
  return weights;
}

/// Takes the accumulated gradient out of the engine: with both betas 0 a step is lr g / (|g| +
/// epsilon), which the huge epsilon makes linear. The optimizer is reset.
std::vector<double> take_gradient(TrainingEngine& engine) {
  constexpr double kHuge = 1e6;
  const std::vector<float> kept = weights_of(engine);
  engine.step({0.0f, 0.0f, static_cast<float>(kHuge), 0.0f}, static_cast<float>(kHuge), 1.0f);
  const std::vector<float> moved = weights_of(engine);
  engine.load(kept.data());
  std::vector<double> gradient;
  for (std::size_t i = 0; i < kept.size(); ++i) gradient.push_back(double{moved[i]} - kept[i]);
  return gradient;
}

void accumulate(TrainingEngine& engine) {
  const std::size_t starts[] = {0, 5, 7};
  engine.forward_backward(kSequences, [&](std::size_t first, std::span<const TokenValue> values,
                                          std::span<TokenWeight> weights) {
    for (std::size_t i = 0; i < values.size(); ++i) weights[i] = weight_of(starts[first] + i);
  });
}

double norm(const std::vector<double>& v) {
  double squares = 0;
  for (const double x : v) squares += x * x;
  return std::sqrt(squares);
}
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return norm(difference) / norm(b);
}

/// Log-probs and entropies of all targets in double precision.
std::vector<std::pair<double, double>> reference_values(const DecoderConfig& config,
                                                        const std::vector<float>& weights,
                                                        const SamplingView& view) {
  const ReferenceDecoder decoder(config, weights);
  std::vector<std::pair<double, double>> values;
  for (const Sequence& sequence : kSequences) {
    const std::vector<std::int32_t> tokens(sequence.tokens.begin(), sequence.tokens.end());
    auto logits = decoder.logits(tokens);
    for (auto t = static_cast<std::size_t>(sequence.first_target); t < tokens.size(); ++t) {
      for (const std::int32_t banned : view.banned)
        logits[t - 1][static_cast<std::size_t>(banned)] = -1e9;
      double entropy = 0;
      for (std::int32_t v = 0; v < config.vocab_size; ++v) {
        const double log_prob = reference_log_prob(logits[t - 1], v, view.temperature);
        entropy -= std::exp(log_prob) * log_prob;
      }
      values.emplace_back(reference_log_prob(logits[t - 1], tokens[t], view.temperature), entropy);
    }
  }
  return values;
}

double reference_objective_of(const DecoderConfig& config, const std::vector<float>& weights,
                              const SamplingView& view) {
  double sum = 0;
  std::size_t n = 0;
  for (const auto& [log_prob, entropy] : reference_values(config, weights, view)) {
    sum += weight_of(n).log_prob * log_prob + weight_of(n).entropy * entropy;
    ++n;
  }
  return sum;
}

TEST_CASE("log-probs and entropies equal a double-precision decoder under temperature and bans") {
  for (const DecoderConfig& config : families())
    for (const SamplingView& view : {SamplingView{}, SamplingView{0.7f, {0, 4}}}) {
      const std::vector<float> weights = random_weights(config, 2);
      const auto found = engine_with(config, weights, view)->score(kSequences);
      const auto expected = reference_values(config, weights, view);
      REQUIRE(found.size() == kTargets);
      for (std::size_t i = 0; i < kTargets; ++i) {
        CHECK(std::abs(found[i].log_prob - expected[i].first) < 1e-5);
        CHECK(std::abs(found[i].entropy - expected[i].second) < 1e-5);
      }
    }
}

TEST_CASE("the gradient of every tensor equals finite differences of a double-precision decoder") {
  const SamplingView view{0.7f, {0, 4}};
  for (const DecoderConfig& config : families()) {
    const std::vector<float> weights = random_weights(config, 2);
    const auto engine = engine_with(config, weights, view);
    accumulate(*engine);
    const std::vector<double> gradient = take_gradient(*engine);
    PhiloxStream draws(6, 0);
    for (const TensorEntry& entry : manifest_of(config).tensors) {
      double worst = 0, largest = 0;
      for (int k = 0; k < 6; ++k) {
        const std::size_t at =
            entry.offset + draws.below(static_cast<std::uint64_t>(entry.elements()));
        std::vector<float> above = weights, below = weights;
        above[at] += 0x1p-11f;
        below[at] -= 0x1p-11f;
        const double slope = (reference_objective_of(config, above, view) -
                              reference_objective_of(config, below, view)) /
                             (double{above[at]} - below[at]);
        worst = std::max(worst, std::abs(gradient[at] - slope));
        largest = std::max(largest, std::abs(slope));
      }
      INFO(entry.name);
      CHECK(worst < 2e-5 * norm(gradient));
      CHECK(worst < 0.02 * largest + 1e-5);
    }
  }
}

TEST_CASE("the slope along random directions equals the gradient times the direction") {
  for (const DecoderConfig& config : families()) {
    const std::vector<float> weights = random_weights(config, 2);
    const auto engine = engine_with(config, weights);
    accumulate(*engine);
    const std::vector<double> gradient = take_gradient(*engine);
    PhiloxStream draws(9, 0);
    for (int k = 0; k < 5; ++k) {
      std::vector<float> above = weights, below = weights;
      double expected = 0;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const auto h = static_cast<float>(2e-5 * draws.normal());
        above[i] += h;
        below[i] -= h;
        expected += gradient[i] * (double{above[i]} - below[i]);
      }
      const double found =
          reference_objective_of(config, above, {}) - reference_objective_of(config, below, {});
      CHECK(found == doctest::Approx(expected).epsilon(2e-4));
    }
  }
}

TEST_CASE("micro-batches of any size give the same gradient") {
  const DecoderConfig config = tiny_llama();
  const std::vector<float> weights = random_weights(config, 2);
  const auto whole = engine_with(config, weights);
  accumulate(*whole);
  const std::vector<double> expected = take_gradient(*whole);
  for (const std::int64_t tokens : {1, 9, 11}) {
    const auto parts = engine_with(config, weights, {}, tokens);
    accumulate(*parts);
    CHECK(distance(take_gradient(*parts), expected) < 2e-6);
    const auto found = parts->score(kSequences), all = whole->score(kSequences);
    for (std::size_t i = 0; i < kTargets; ++i)
      CHECK(found[i].log_prob == doctest::Approx(all[i].log_prob).epsilon(1e-5));
  }
}

TEST_CASE("gradients add up until they are forgotten") {
  const DecoderConfig config = tiny_llama();
  const auto engine = engine_with(config, random_weights(config, 2));
  accumulate(*engine);
  const double once = engine->gradient_norm();
  accumulate(*engine);
  CHECK(engine->gradient_norm() == doctest::Approx(2 * once).epsilon(1e-5));
  const double reported = engine->gradient_norm();
  CHECK(reported == doctest::Approx(norm(take_gradient(*engine))).epsilon(1e-5));
  accumulate(*engine);
  engine->zero_gradient();
  CHECK(engine->gradient_norm() == 0.0);
}

TEST_CASE("AdamW equals the published update in double precision over several steps") {
  const DecoderConfig config = tiny_llama();
  const AdamW adamw{0.9f, 0.95f, 1e-6f, 0.1f};
  const auto engine = engine_with(config, random_weights(config, 2));
  const auto probe = engine_with(config, random_weights(config, 2));
  std::vector<float> start = weights_of(*engine);
  std::vector<double> w(start.begin(), start.end()), m(w.size()), v(w.size());
  for (int step = 1; step <= 5; ++step) {
    probe->load(weights_of(*engine).data());
    accumulate(*probe);
    const std::vector<double> gradient = take_gradient(*probe);
    const double rate = 1e-2 / step;
    for (std::size_t i = 0; i < w.size();
         ++i) {  // arXiv:1711.05101, algorithm 2, for a loss of minus the objective
      const double g = -0.5 * gradient[i];
      m[i] = adamw.beta1 * m[i] + (1.0 - adamw.beta1) * g;
      v[i] = adamw.beta2 * v[i] + (1.0 - adamw.beta2) * g * g;
      const double first = m[i] / (1.0 - std::pow(adamw.beta1, step)),
                   second = v[i] / (1.0 - std::pow(adamw.beta2, step));
      w[i] -= rate * (first / (std::sqrt(second) + adamw.epsilon) + adamw.weight_decay * w[i]);
    }
    accumulate(*engine);
    engine->step(adamw, static_cast<float>(rate), 0.5f);
    CHECK(engine->gradient_norm() == 0.0);
  }
  const std::vector<float> found = weights_of(*engine);
  CHECK(distance({found.begin(), found.end()}, w) < 2e-5);
  CHECK(distance({start.begin(), start.end()}, w) > 0.01);
}

TEST_CASE("a step raises the objective") {
  const DecoderConfig config = tiny_llama();
  const std::vector<float> weights = random_weights(config, 2);
  const auto engine = engine_with(config, weights);
  accumulate(*engine);
  engine->step({}, 1e-4f, 1.0f);
  CHECK(reference_objective_of(config, weights_of(*engine), {}) >
        reference_objective_of(config, weights, {}));
}

TEST_CASE("loading weights resets the optimizer") {
  const DecoderConfig config = tiny_llama();
  const std::vector<float> weights = random_weights(config, 2);
  const auto used = engine_with(config, weights), fresh = engine_with(config, weights);
  for (int i = 0; i < 3; ++i) {
    accumulate(*used);
    used->step({}, 1e-2f, 1.0f);
  }
  used->load(weights.data());
  for (TrainingEngine* engine : {used.get(), fresh.get()}) {
    accumulate(*engine);
    engine->step({}, 1e-2f, 1.0f);
  }
  CHECK(weights_of(*used) == weights_of(*fresh));
}

TEST_CASE("scoring under other weights equals loading them and leaves the engine's own") {
  const DecoderConfig config = tiny_qwen3();
  const std::vector<float> own = random_weights(config, 2), other = random_weights(config, 3);
  const auto engine = engine_with(config, own), loaded = engine_with(config, other);
  const auto found = engine->score(kSequences, flat_weights(other)),
             expected = loaded->score(kSequences);
  for (std::size_t i = 0; i < kTargets; ++i) {
    CHECK(found[i].log_prob == expected[i].log_prob);
    CHECK(found[i].entropy == expected[i].entropy);
  }
  CHECK(weights_of(*engine) == own);
}

TEST_CASE("the gap to log-probs that the engine itself recorded is zero") {
  const DecoderConfig config = tiny_llama();
  const auto engine = engine_with(config, random_weights(config, 2));
  TrainingRollout rollout{.id = 1, .tokens = kTokens[0], .prompt_length = 3};
  for (const TokenValue& value : engine->score(std::span(kSequences).first(1)))
    rollout.log_probs.push_back(value.log_prob);
  const std::vector<const TrainingRollout*> rollouts{&rollout};
  CHECK(log_prob_gap(*engine, rollouts, flat_weights(weights_of(*engine))).max == 0.0);
  rollout.log_probs[2] += 0.25f;
  CHECK(log_prob_gap(*engine, rollouts, nullptr).max == doctest::Approx(0.25));
}

TEST_CASE("weights that are not finite refuse the update and stay untouched") {
  const DecoderConfig config = tiny_llama();
  std::vector<float> weights = random_weights(config, 2);
  weights[manifest_of(config).find("model.norm.weight").offset] =
      std::numeric_limits<float>::infinity();
  const auto engine = engine_with(config, weights);
  TrainingGroup group;
  for (const float reward : {0.0f, 1.0f})
    group.push_back({.id = 1,
                     .tokens = kTokens[1],
                     .prompt_length = 1,
                     .log_probs = {-1, -1},
                     .versions = {{0, 2}},
                     .reward = reward});
  CHECK(policy_update(*engine, std::vector<TrainingGroup>{group}, {}, 1e-3f, 0, 0).refused);
  CHECK(
      supervised_update(*engine, std::vector<Document>{{kTokens[0], 1}}, {}, 1.0f, 1e-3f).refused);
  CHECK(weights_of(*engine) == weights);
  CHECK(engine->gradient_norm() == 0.0);
}

TEST_CASE("sequences without targets give nothing and do no harm") {
  const DecoderConfig config = tiny_llama();
  const auto engine = engine_with(config, random_weights(config, 2));
  const std::vector<Sequence> none{{kTokens[0], 8}};
  CHECK(engine->score(none).empty());
  engine->forward_backward(none,
                           [](std::size_t, std::span<const TokenValue>, std::span<TokenWeight>) {});
  CHECK(engine->gradient_norm() == 0.0);
}

TEST_CASE("a sampling view that no sampler could follow is refused") {
  CHECK_THROWS_AS(make_torch_training_engine(tiny_llama(), {0.0f, {}}, 64, "cpu"), Error);
  CHECK_THROWS_AS(make_torch_training_engine(tiny_llama(), {1.0f, {26}}, 64, "cpu"), Error);
  CHECK_THROWS_AS(make_torch_training_engine(tiny_llama(), {}, 0, "cpu"), Error);
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
