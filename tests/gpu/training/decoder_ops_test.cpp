#include "gpu/training/decoder_ops.hpp"

#include "gpu/training/decoder_pass.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

const SamplingView kView{0.8f, {0, 4}};

struct Result {
  at::Tensor log_probs, entropies, gradient;
};

/// One micro-batch of ragged sequences with random weights per token.
Result pass_with(const DecoderConfig& config, std::unique_ptr<DecoderOps> ops) {
  const std::vector<float> weights = random_weights(config, 3);
  const at::Tensor flat =
      at::from_blob(const_cast<float*>(weights.data()), {static_cast<std::int64_t>(weights.size())})
          .clone();
  const at::Tensor gradient = at::zeros_like(flat);
  PhiloxStream draws(8, 1);
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<Sequence> sequences;
  for (const std::size_t length : {7, 1, 20, 16, 33, 64, 64, 64, 64, 64, 64, 64}) {
    tokens.emplace_back(length);
    for (auto& token : tokens.back()) token = static_cast<std::int32_t>(5 + draws.below(20));
  }
  for (const auto& sequence : tokens) sequences.push_back({sequence, 3});
  const PackedBatch batch = pack(sequences, config, "cpu");
  at::Tensor d_values = at::empty({batch.target_count, 2});
  for (std::int64_t i = 0; i < d_values.numel(); ++i)
    d_values.data_ptr<float>()[i] = static_cast<float>(draws.normal());
  DecoderPass pass(config, std::move(ops), "cpu");
  pass.forward(views_of(config, flat), batch);
  const Result result{pass.log_probs().clone(), pass.entropies().clone(), gradient};
  pass.backward(views_of(config, flat), views_of(config, gradient), batch, d_values);
  return result;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

TEST_CASE("fused CPU kernels and LibTorch operators compute the same decoder") {
  const c10::InferenceMode guard;
  DecoderConfig wide = tiny_llama();  // all widths are whole vectors, as in the demo
  wide.hidden_size = 64;
  wide.intermediate_size = 160;
  wide.head_dim = 16;
  wide.vocab_size = 96;
  for (const DecoderConfig& config : {tiny_llama(), tiny_qwen2(), tiny_qwen3(), wide}) {
    const Result fused = pass_with(config, make_cpu_ops(config, kView));
    const Result plain = pass_with(config, make_aten_ops(config, kView, "cpu"));
    CHECK(distance(fused.log_probs, plain.log_probs) < 2e-6);
    CHECK(distance(fused.entropies, plain.entropies) < 2e-6);
    CHECK(distance(fused.gradient, plain.gradient) < 5e-6);
    CHECK(plain.gradient.norm().item<double>() > 1.0);
  }
}

TEST_CASE("a banned target has log-prob minus infinity with either kind of operators") {
  const c10::InferenceMode guard;
  const DecoderConfig config = tiny_llama();
  const std::vector<std::int32_t> tokens{5, 4, 6};
  const std::vector<Sequence> sequences{{tokens, 1}};
  const PackedBatch batch = pack(sequences, config, "cpu");
  const at::Tensor log_probs = at::empty({2}), entropies = at::empty({2});
  for (const bool fused : {true, false}) {
    const auto ops = fused ? make_cpu_ops(config, kView) : make_aten_ops(config, kView, "cpu");
    ops->token_values(at::zeros({2, 26}), batch, log_probs, entropies);
    CHECK(std::isinf(log_probs[0].item<double>()));
    CHECK(log_probs[1].item<double>() == doctest::Approx(-std::log(24.0)));
    CHECK(entropies[1].item<double>() == doctest::Approx(std::log(24.0)));
  }
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
