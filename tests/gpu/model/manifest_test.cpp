#include "gpu/model/manifest.hpp"

#include "gpu/error.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("gpu/model");

using namespace troupe::gpu;

namespace {

std::vector<std::string> names(const DecoderConfig& config) {
  std::vector<std::string> result;
  for (const TensorEntry& entry : manifest_of(config).tensors) result.push_back(entry.name);
  return result;
}

double deviation(const std::vector<float>& weights, const TensorEntry& entry) {
  double squares = 0.0;
  for (std::int64_t i = 0; i < entry.elements(); ++i) {
    const double value = static_cast<double>(weights[entry.offset + static_cast<std::uint64_t>(i)]);
    squares += value * value;
  }
  return std::sqrt(squares / static_cast<double>(entry.elements()));
}

}  // namespace

TEST_CASE("tensors have the names and the order of Hugging Face's models") {
  DecoderConfig config = tiny_llama();
  config.num_layers = 1;
  CHECK(names(config) ==
        std::vector<std::string>{
            "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
            "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
            "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
            "model.layers.0.post_attention_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
            "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
            "model.norm.weight"});
}

TEST_CASE("biases and norms and the head are there where the shape has them") {
  const std::vector<std::string> llama = names(tiny_llama()), qwen2 = names(tiny_qwen2()),
                                 qwen3 = names(tiny_qwen3());
  const auto has = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  for (const char* name : {"q_proj.bias", "k_proj.bias", "v_proj.bias"}) {
    CHECK(has(qwen2, std::string("model.layers.1.self_attn.") + name));
    CHECK_FALSE(has(llama, std::string("model.layers.1.self_attn.") + name));
  }
  for (const char* name : {"q_norm.weight", "k_norm.weight"}) {
    CHECK(has(qwen3, std::string("model.layers.2.self_attn.") + name));
    CHECK_FALSE(has(llama, std::string("model.layers.1.self_attn.") + name));
  }
  CHECK(qwen2.back() == "lm_head.weight");
  CHECK(llama.back() == "model.norm.weight");
}

TEST_CASE("tensors lie packed one after another with the shapes of the config") {
  for (const DecoderConfig& config : {tiny_llama(), tiny_qwen2(), tiny_qwen3()}) {
    const Manifest manifest = manifest_of(config);
    std::uint64_t end = 0;
    for (const TensorEntry& entry : manifest.tensors) {
      CHECK(entry.offset == end);
      end += static_cast<std::uint64_t>(entry.elements());
    }
    CHECK(manifest.elements == end);
    CHECK(manifest.bytes() == 4 * end);
  }
  const Manifest qwen2 = manifest_of(tiny_qwen2());
  CHECK(qwen2.find("model.layers.0.self_attn.q_proj.weight").shape ==
        std::vector<std::int64_t>{18, 18});
  CHECK(qwen2.find("model.layers.0.self_attn.k_proj.weight").shape ==
        std::vector<std::int64_t>{6, 18});
  CHECK(qwen2.find("model.layers.0.mlp.down_proj.weight").shape ==
        std::vector<std::int64_t>{18, 40});
  CHECK(manifest_of(tiny_qwen3()).find("model.layers.0.self_attn.o_proj.weight").shape ==
        std::vector<std::int64_t>{16, 24});
}

TEST_CASE("the demo model has 88,000 parameters") {
  DecoderConfig demo = tiny_llama();
  demo.hidden_size = 64;
  demo.intermediate_size = 160;
  demo.head_dim = 16;
  // embeddings 26 * 64; per layer two norms, q and o 64 * 64, k and v 32 * 64, three of 160 * 64; a
  // norm
  CHECK(manifest_of(demo).elements == 26 * 64 + 2 * (128 + 2 * 4096 + 2 * 2048 + 3 * 10240) + 64);
}

TEST_CASE("a tensor that is not there is refused by name") {
  CHECK_THROWS_WITH_AS(manifest_of(tiny_llama()).find("lm_head.weight"),
                       "a model of this shape has no tensor 'lm_head.weight'", Error);
}

TEST_CASE("initial weights have the deviations of the recipe") {
  DecoderConfig config = tiny_qwen2();
  config.hidden_size = 90;
  config.intermediate_size = 160;
  config.head_dim = 30;
  const Manifest manifest = manifest_of(config);
  const std::vector<float> weights = initial_weights(config, 3);
  REQUIRE(weights.size() == manifest.elements);
  for (const TensorEntry& entry : manifest.tensors) {
    CAPTURE(entry.name);
    double expected = 1.0 / std::sqrt(90.0);
    if (entry.name.ends_with("norm.weight")) expected = 1.0;
    if (entry.name.ends_with("bias")) expected = 0.0;
    if (entry.name == "model.embed_tokens.weight") expected = 0.02;
    if (entry.name.ends_with("o_proj.weight")) expected = 1.0 / std::sqrt(90.0 * 2 * 2);
    if (entry.name.ends_with("down_proj.weight")) expected = 1.0 / std::sqrt(160.0 * 2 * 2);
    CHECK(std::abs(deviation(weights, entry) - expected) <= 0.06 * expected);
  }
}

TEST_CASE("initial weights are a function of shape and seed") {
  CHECK(initial_weights(tiny_llama(), 1) == initial_weights(tiny_llama(), 1));
  CHECK(initial_weights(tiny_llama(), 1) != initial_weights(tiny_llama(), 2));
  const std::vector<float> weights = initial_weights(tiny_llama(), 1);
  const Manifest manifest = manifest_of(tiny_llama());
  const auto first_of = [&](const char* name) { return weights[manifest.find(name).offset]; };
  CHECK(first_of("model.layers.0.self_attn.q_proj.weight") !=
        first_of("model.layers.1.self_attn.q_proj.weight"));
}

TEST_CASE("a digest is the known XXH3 value and changes with every bit") {
  CHECK(weights_digest(nullptr, 0) == "99aa06d3014798d86001c324468d497f");
  std::vector<float> weights = initial_weights(tiny_llama(), 1);
  const std::string before = weights_digest(weights.data(), weights.size());
  CHECK(before.size() == 32);
  CHECK(before == weights_digest(weights.data(), weights.size()));
  weights.back() = std::nextafter(weights.back(), 2.0f);
  CHECK(before != weights_digest(weights.data(), weights.size()));
}

TEST_SUITE_END();
