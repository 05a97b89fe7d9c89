#pragma once
// The shape of a decoder of the Llama / Qwen2 / Qwen3 family, as `config.json` states it.
#include <cstdint>
#include <string>

namespace troupe::gpu {

/// Plain data. Names follow Hugging Face's `config.json`.
struct DecoderConfig {
  std::int32_t vocab_size = 0;
  std::int32_t hidden_size = 0;
  std::int32_t intermediate_size = 0;
  std::int32_t num_layers = 0;
  std::int32_t num_heads = 0;
  std::int32_t num_kv_heads = 0;  // divides num_heads; query heads k*r .. k*r+r-1 share KV head k
  std::int32_t head_dim = 0;      // even
  std::int32_t max_positions = 0;
  float rope_theta = 10000.0f;
  float rms_norm_eps = 1e-6f;
  bool tied_embeddings = true;
  bool qkv_bias = false;  // Qwen2
  bool qk_norm = false;   // Qwen3: RMSNorm over head_dim of q and k, before RoPE
  std::int32_t bos_token = -1;
  std::int32_t eos_token = -1;
  std::int32_t pad_token = -1;

  bool operator==(const DecoderConfig&) const = default;
};

/// Errors: throws gpu::Error naming the field that is out of range or contradicts another.
void validate(const DecoderConfig& config);

/// "LlamaForCausalLM", "Qwen2ForCausalLM" or "Qwen3ForCausalLM", by qkv_bias and qk_norm.
std::string architecture(const DecoderConfig& config);

}  // namespace troupe::gpu
