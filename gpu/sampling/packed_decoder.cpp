#include "gpu/sampling/packed_decoder.hpp"

#include <algorithm>
#include <utility>

namespace troupe::gpu {
namespace {

constexpr std::ptrdiff_t kLanes = 16, kPanel = 64;

std::ptrdiff_t padded(std::ptrdiff_t n, std::ptrdiff_t to = kLanes) {
  return (n + to - 1) / to * to;
}

/// Each half of a head is a multiple of 16 wide, or both fit into 16.
std::ptrdiff_t padded_head(std::ptrdiff_t dim) {
  return dim <= kLanes ? kLanes : padded(dim, 2 * kLanes);
}

/// `blocks` runs of `size`, each padded to whole vectors.
PackedMatrix::Places in_order(std::ptrdiff_t size, std::ptrdiff_t blocks = 1) {
  PackedMatrix::Places places;
  for (std::ptrdiff_t block = 0; block < blocks; ++block)
    for (std::ptrdiff_t i = 0; i < size; ++i) places.of.push_back(block * padded(size) + i);
  places.width = blocks * padded(size);
  return places;
}

void scatter(const float* from, const PackedMatrix::Places& places, float* to) {
  for (std::size_t i = 0; i < places.of.size(); ++i) to[places.of[i]] = from[i];
}

AlignedFloats floats(std::ptrdiff_t count) {
  return AlignedFloats(static_cast<std::size_t>(count));
}

}  // namespace

PackedMatrix::PackedMatrix(Places outputs, Places inputs)
    : outputs_(std::move(outputs)),
      inputs_(std::move(inputs)),
      panels_(floats(padded(outputs_.width, kPanel) * inputs_.width)) {}

void PackedMatrix::pack(const float* weights) {
  for (const std::ptrdiff_t output : outputs_.of) {
    float* to = panels_.data() + output / kPanel * kPanel * inputs_.width + output % kPanel;
    for (const std::ptrdiff_t input : inputs_.of) to[input * kPanel] = *weights++;
  }
}

Gemm PackedMatrix::times(std::ptrdiff_t rows, const float* a, float* c) const {
  Gemm gemm;
  gemm.rows = rows;
  gemm.columns = outputs_.width;
  gemm.depth = inputs_.width;
  gemm.a = a;
  gemm.a_row = inputs_.width;
  gemm.b = panels_.data();
  gemm.b_panel = kPanel * inputs_.width;
  gemm.c = c;
  gemm.c_row = outputs_.width;
  gemm.addend_row = outputs_.width;
  return gemm;
}

PackedDecoder::PackedDecoder(const DecoderConfig& config)
    : config_(config),
      manifest_(manifest_of(config)),
      hidden_(padded(config.hidden_size)),
      intermediate_(padded(config.intermediate_size)),
      heads_{config.num_heads, config.num_kv_heads, padded_head(config.head_dim), 0},
      head_(in_order(config.vocab_size), in_order(config.hidden_size)),
      final_norm_(floats(hidden_)) {
  for (std::int32_t i = 0; i < config.num_layers; ++i) layers_.push_back(make_layer());
}

std::ptrdiff_t PackedDecoder::place_in_head(std::ptrdiff_t i) const {
  const std::ptrdiff_t half = config_.head_dim / 2;
  return i < half ? i : heads_.dim / 2 + i - half;
}

PackedMatrix::Places PackedDecoder::head_places(std::ptrdiff_t heads) const {
  PackedMatrix::Places places;
  for (std::ptrdiff_t head = 0; head < heads; ++head)
    for (std::ptrdiff_t i = 0; i < config_.head_dim; ++i)
      places.of.push_back(head * heads_.dim + place_in_head(i));
  places.width = heads * heads_.dim;
  return places;
}

PackedLayer PackedDecoder::make_layer() const {
  const PackedMatrix::Places hidden = in_order(config_.hidden_size);
  return {{head_places(heads_.query + 2 * heads_.kv), hidden},
          {hidden, head_places(heads_.query)},
          {in_order(config_.intermediate_size, 2), hidden},
          {hidden, in_order(config_.intermediate_size)},
          floats(hidden_),
          floats(hidden_),
          floats(config_.qkv_bias ? heads_.row() : 0),
          floats(config_.qk_norm ? heads_.dim : 0),
          floats(config_.qk_norm ? heads_.dim : 0)};
}

const float* PackedDecoder::find(const float* weights, const std::string& name) const {
  return weights + manifest_.find(name).offset;
}

void PackedDecoder::pack(const float* weights) {
  for (std::size_t i = 0; i < layers_.size(); ++i)
    pack_layer("model.layers." + std::to_string(i) + ".", weights, layers_[i]);
  scatter(find(weights, "model.norm.weight"), in_order(config_.hidden_size), final_norm_.data());
  head_.pack(
      find(weights, config_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"));
}

/// q, k and v are adjacent in the buffer, and so are gate and up (manifest.hpp).
void PackedDecoder::pack_layer(const std::string& prefix, const float* weights,
                               PackedLayer& layer) const {
  const auto tensor = [&](const char* name) { return find(weights, prefix + name); };
  const PackedMatrix::Places hidden = in_order(config_.hidden_size);
  layer.qkv.pack(tensor("self_attn.q_proj.weight"));
  layer.output.pack(tensor("self_attn.o_proj.weight"));
  layer.gate_up.pack(tensor("mlp.gate_proj.weight"));
  layer.down.pack(tensor("mlp.down_proj.weight"));
  scatter(tensor("input_layernorm.weight"), hidden, layer.input_norm.data());
  scatter(tensor("post_attention_layernorm.weight"), hidden, layer.post_norm.data());
  if (config_.qkv_bias)
    scatter(tensor("self_attn.q_proj.bias"), head_places(heads_.query + 2 * heads_.kv),
            layer.qkv_bias.data());
  if (config_.qk_norm) {
    scatter(tensor("self_attn.q_norm.weight"), head_places(1), layer.q_norm.data());
    scatter(tensor("self_attn.k_norm.weight"), head_places(1), layer.k_norm.data());
  }
}

}  // namespace troupe::gpu
