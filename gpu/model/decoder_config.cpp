#include "gpu/model/decoder_config.hpp"

#include "gpu/error.hpp"

#include <cmath>
#include <string>

namespace troupe::gpu {
namespace {

void require(bool ok, const std::string& problem) {
  if (!ok) throw Error("model shape: " + problem);
}

void require_positive(std::int64_t value, const char* field) {
  require(value > 0, std::string(field) + " is " + std::to_string(value) + ", must be positive");
}

void require_token(std::int32_t token, std::int32_t vocab_size, const char* field) {
  require(token >= -1 && token < vocab_size, std::string(field) + " is " + std::to_string(token) +
                                                 ", must be below vocab_size " +
                                                 std::to_string(vocab_size) + ", or -1 for none");
}

}  // namespace

void validate(const DecoderConfig& c) {
  require_positive(c.vocab_size, "vocab_size");
  require_positive(c.hidden_size, "hidden_size");
  require_positive(c.intermediate_size, "intermediate_size");
  require_positive(c.num_layers, "num_layers");
  require_positive(c.num_heads, "num_heads");
  require_positive(c.num_kv_heads, "num_kv_heads");
  require_positive(c.head_dim, "head_dim");
  require_positive(c.max_positions, "max_positions");
  require(c.num_heads % c.num_kv_heads == 0, "num_kv_heads " + std::to_string(c.num_kv_heads) +
                                                 " does not divide num_heads " +
                                                 std::to_string(c.num_heads));
  require(c.head_dim % 2 == 0,
          "head_dim is " + std::to_string(c.head_dim) + ", RoPE needs an even one");
  require(std::isfinite(c.rope_theta) && c.rope_theta > 1.0f, "rope_theta must be above 1");
  require(std::isfinite(c.rms_norm_eps) && c.rms_norm_eps > 0.0f, "rms_norm_eps must be positive");
  require(!(c.qkv_bias && c.qk_norm),
          "qkv_bias (Qwen2) and qk_norm (Qwen3) are both set; no supported family has both");
  require_token(c.bos_token, c.vocab_size, "bos_token");
  require_token(c.eos_token, c.vocab_size, "eos_token");
  require_token(c.pad_token, c.vocab_size, "pad_token");
}

std::string architecture(const DecoderConfig& config) {
  if (config.qk_norm) return "Qwen3ForCausalLM";
  return config.qkv_bias ? "Qwen2ForCausalLM" : "LlamaForCausalLM";
}

}  // namespace troupe::gpu
