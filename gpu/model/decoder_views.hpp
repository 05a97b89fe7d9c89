#pragma once
// The tensors of a decoder as views into one flat buffer. One of the few headers with tensors.
#include "gpu/model/decoder_config.hpp"

#include <ATen/core/Tensor.h>
#include <string>
#include <utility>
#include <vector>

namespace troupe::gpu {

/// Undefined tensors where the shape has none (qkv_bias, q_norm, k_norm).
struct LayerViews {
  at::Tensor input_norm;  // [hidden]
  at::Tensor qkv;         // [(heads + 2 kv_heads) * head_dim, hidden]
  at::Tensor qkv_bias;    // [(heads + 2 kv_heads) * head_dim]
  at::Tensor q_norm;      // [head_dim]
  at::Tensor k_norm;      // [head_dim]
  at::Tensor output;      // [hidden, heads * head_dim]
  at::Tensor post_norm;   // [hidden]
  at::Tensor gate_up;     // [2 * intermediate, hidden]: gate, then up
  at::Tensor down;        // [hidden, intermediate]
};
struct DecoderViews {
  at::Tensor embeddings;  // [vocab, hidden]
  std::vector<LayerViews> layers;
  at::Tensor final_norm;  // [hidden]
  at::Tensor head;        // [vocab, hidden]; the embeddings themselves where tied
};

/// flat: [manifest_of(config).elements], float32, contiguous. The views share its storage.
DecoderViews views_of(const DecoderConfig& config, const at::Tensor& flat);

/// cos and sin, each [max_positions, head_dim / 2] float32, computed in double. Rotation pairs
/// dimension i with i + head_dim / 2 (Hugging Face's half-split form). Source: arXiv:2104.09864.
std::pair<at::Tensor, at::Tensor> rope_tables(const DecoderConfig& config,
                                              const std::string& device);

}  // namespace troupe::gpu
