#include "gpu/model/decoder_views.hpp"

#include "gpu/model/manifest.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <cmath>

namespace troupe::gpu {
namespace {

/// Consecutive tensors of the manifest as one matrix or vector: the first one's columns, the rows
/// of all.
at::Tensor view(const at::Tensor& flat, const Manifest& manifest, const std::string& first,
                std::int64_t rows) {
  const TensorEntry& entry = manifest.find(first);
  const auto offset = static_cast<std::int64_t>(entry.offset);
  if (entry.shape.size() == 1) return flat.narrow(0, offset, rows);
  return flat.narrow(0, offset, rows * entry.shape[1]).view({rows, entry.shape[1]});
}

}  // namespace

DecoderViews views_of(const DecoderConfig& config, const at::Tensor& flat) {
  const Manifest manifest = manifest_of(config);
  const std::int64_t head_dim = config.head_dim;
  const std::int64_t qkv_rows = (config.num_heads + 2 * config.num_kv_heads) * head_dim;
  DecoderViews views;
  views.embeddings = view(flat, manifest, "model.embed_tokens.weight", config.vocab_size);
  for (std::int32_t i = 0; i < config.num_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const std::string attention = layer + "self_attn.";
    LayerViews one;
    one.input_norm = view(flat, manifest, layer + "input_layernorm.weight", config.hidden_size);
    one.qkv = view(flat, manifest, attention + "q_proj.weight", qkv_rows);
    if (config.qkv_bias) one.qkv_bias = view(flat, manifest, attention + "q_proj.bias", qkv_rows);
    if (config.qk_norm) {
      one.q_norm = view(flat, manifest, attention + "q_norm.weight", head_dim);
      one.k_norm = view(flat, manifest, attention + "k_norm.weight", head_dim);
    }
    one.output = view(flat, manifest, attention + "o_proj.weight", config.hidden_size);
    one.post_norm =
        view(flat, manifest, layer + "post_attention_layernorm.weight", config.hidden_size);
    one.gate_up =
        view(flat, manifest, layer + "mlp.gate_proj.weight", 2 * config.intermediate_size);
    one.down = view(flat, manifest, layer + "mlp.down_proj.weight", config.hidden_size);
    views.layers.push_back(std::move(one));
  }
  views.final_norm = view(flat, manifest, "model.norm.weight", config.hidden_size);
  views.head = config.tied_embeddings ? views.embeddings
                                      : view(flat, manifest, "lm_head.weight", config.vocab_size);
  return views;
}

std::pair<at::Tensor, at::Tensor> rope_tables(const DecoderConfig& config,
                                              const std::string& device) {
  const std::int64_t half = config.head_dim / 2;
  at::Tensor cos = at::empty({config.max_positions, half}), sin = at::empty_like(cos);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i) {
    frequencies.push_back(std::pow(static_cast<double>(config.rope_theta),
                                   -2.0 * static_cast<double>(i) / config.head_dim));
  }
  auto* cos_data = cos.data_ptr<float>();
  auto* sin_data = sin.data_ptr<float>();
  for (std::int64_t position = 0; position < config.max_positions; ++position) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *cos_data++ = static_cast<float>(std::cos(angle));
      *sin_data++ = static_cast<float>(std::sin(angle));
    }
  }
  return {cos.to(c10::Device(device)), sin.to(c10::Device(device))};
}

}  // namespace troupe::gpu
