#include "gpu/model/manifest.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/philox.hpp"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

namespace troupe::gpu {
namespace {

/// Streams of a seed's draws that initial weights use, one per tensor; far from the small numbers
/// others choose.
constexpr std::uint64_t kWeightStreams = 0x7765696768740000;

struct Builder {
  Manifest manifest;

  void add(std::string name, std::vector<std::int64_t> shape) {
    TensorEntry entry{std::move(name), std::move(shape), manifest.elements};
    manifest.elements += static_cast<std::uint64_t>(entry.elements());
    manifest.tensors.push_back(std::move(entry));
  }
};

void add_attention(Builder& builder, const std::string& prefix, const DecoderConfig& c) {
  const std::int64_t hidden = c.hidden_size, head_dim = c.head_dim;
  const std::int64_t q_rows = c.num_heads * head_dim, kv_rows = c.num_kv_heads * head_dim;
  builder.add(prefix + "q_proj.weight", {q_rows, hidden});
  builder.add(prefix + "k_proj.weight", {kv_rows, hidden});
  builder.add(prefix + "v_proj.weight", {kv_rows, hidden});
  if (c.qkv_bias) {
    builder.add(prefix + "q_proj.bias", {q_rows});
    builder.add(prefix + "k_proj.bias", {kv_rows});
    builder.add(prefix + "v_proj.bias", {kv_rows});
  }
  if (c.qk_norm) {
    builder.add(prefix + "q_norm.weight", {head_dim});
    builder.add(prefix + "k_norm.weight", {head_dim});
  }
  builder.add(prefix + "o_proj.weight", {hidden, q_rows});
}

void add_layer(Builder& builder, const std::string& prefix, const DecoderConfig& c) {
  const std::int64_t hidden = c.hidden_size, intermediate = c.intermediate_size;
  builder.add(prefix + "input_layernorm.weight", {hidden});
  add_attention(builder, prefix + "self_attn.", c);
  builder.add(prefix + "post_attention_layernorm.weight", {hidden});
  builder.add(prefix + "mlp.gate_proj.weight", {intermediate, hidden});
  builder.add(prefix + "mlp.up_proj.weight", {intermediate, hidden});
  builder.add(prefix + "mlp.down_proj.weight", {hidden, intermediate});
}

/// Standard deviation of a matrix's initial weights.
double initial_deviation(const TensorEntry& entry, const DecoderConfig& config) {
  if (entry.name == "model.embed_tokens.weight") return 0.02;
  const double deviation = 1.0 / std::sqrt(static_cast<double>(entry.shape[1]));
  const bool residual =
      entry.name.ends_with("o_proj.weight") || entry.name.ends_with("down_proj.weight");
  return residual ? deviation / std::sqrt(2.0 * config.num_layers) : deviation;
}

}  // namespace

std::int64_t TensorEntry::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

const TensorEntry& Manifest::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorEntry& entry) { return entry.name == name; });
  if (found == tensors.end()) throw Error("a model of this shape has no tensor '" + name + "'");
  return *found;
}

Manifest manifest_of(const DecoderConfig& config) {
  validate(config);
  Builder builder;
  builder.add("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  for (std::int32_t layer = 0; layer < config.num_layers; ++layer) {
    add_layer(builder, "model.layers." + std::to_string(layer) + ".", config);
  }
  builder.add("model.norm.weight", {config.hidden_size});
  if (!config.tied_embeddings) {
    builder.add("lm_head.weight", {config.vocab_size, config.hidden_size});
  }
  return std::move(builder.manifest);
}

std::vector<float> initial_weights(const DecoderConfig& config, std::uint64_t seed) {
  const Manifest manifest = manifest_of(config);
  std::vector<float> weights(manifest.elements, 0.0f);
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorEntry& entry = manifest.tensors[i];
    const auto first = weights.begin() + static_cast<std::ptrdiff_t>(entry.offset);
    if (entry.name.ends_with("norm.weight")) {
      std::fill_n(first, entry.elements(), 1.0f);
    } else if (entry.shape.size() == 2) {
      PhiloxStream stream(seed, kWeightStreams + i);
      const double deviation = initial_deviation(entry, config);
      std::generate_n(first, entry.elements(),
                      [&] { return static_cast<float>(deviation * stream.normal()); });
    }
  }
  return weights;
}

std::string weights_digest(const float* weights, std::uint64_t elements) {
  const XXH128_hash_t hash = XXH3_128bits(weights, elements * sizeof(float));
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : canonical.digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace troupe::gpu
