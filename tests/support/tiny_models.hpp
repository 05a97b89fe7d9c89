#pragma once
// Small decoder shapes and random weights for tests. One builder per family; change the field that
// matters.
#include "gpu/model/decoder_config.hpp"
#include "gpu/model/manifest.hpp"
#include "gpu/sampling/philox.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe::gpu {

/// Llama: tied embeddings, 4 query heads on 2 KV heads.
inline DecoderConfig tiny_llama() {
  return {.vocab_size = 26,
          .hidden_size = 16,
          .intermediate_size = 40,
          .num_layers = 2,
          .num_heads = 4,
          .num_kv_heads = 2,
          .head_dim = 4,
          .max_positions = 64,
          .rope_theta = 1000.0f,
          .rms_norm_eps = 1e-6f,
          .tied_embeddings = true,
          .bos_token = 1,
          .eos_token = 2,
          .pad_token = 0};
}

/// Qwen2: biases on q, k and v, untied head, one KV head.
inline DecoderConfig tiny_qwen2() {
  DecoderConfig config = tiny_llama();
  config.num_heads = 3;
  config.num_kv_heads = 1;
  config.head_dim = 6;
  config.hidden_size = 18;
  config.qkv_bias = true;
  config.tied_embeddings = false;
  return config;
}

/// Qwen3: norms of q and k, heads wider than hidden_size / num_heads, as many KV heads as query
/// heads.
inline DecoderConfig tiny_qwen3() {
  DecoderConfig config = tiny_llama();
  config.num_layers = 3;
  config.num_heads = 2;
  config.num_kv_heads = 2;
  config.head_dim = 12;
  config.rope_theta = 10000.0f;
  config.qk_norm = true;
  return config;
}

/// Weights of a size that makes logits differ and every tensor matter: norms around 1, biases and
/// the rest around 0.
inline std::vector<float> random_weights(const DecoderConfig& config, std::uint64_t seed) {
  const Manifest manifest = manifest_of(config);
  std::vector<float> weights(manifest.elements);
  PhiloxStream stream(seed, 0);
  for (const TensorEntry& entry : manifest.tensors) {
    const bool norm = entry.name.ends_with("norm.weight");
    for (std::int64_t i = 0; i < entry.elements(); ++i) {
      weights[entry.offset + static_cast<std::uint64_t>(i)] =
          static_cast<float>((norm ? 1.0 : 0.0) + 0.25 * stream.normal());
    }
  }
  return weights;
}

/// The same numbers as the immutable buffer that engines take.
inline FlatWeights flat_weights(const std::vector<float>& values) {
  auto kept = std::make_shared<const std::vector<float>>(values);
  return FlatWeights(kept, kept->data());
}

}  // namespace troupe::gpu
