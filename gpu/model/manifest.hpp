#pragma once
// One flat buffer holds all weights of a version; the manifest says which tensor lies where.
#include "gpu/model/decoder_config.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe::gpu {

struct TensorEntry {
  std::string name;  // Hugging Face's name, e.g. "model.layers.0.self_attn.q_proj.weight"
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // in elements from the start of the buffer

  std::int64_t elements() const;
  bool operator==(const TensorEntry&) const = default;
};

/// float32 throughout. q, k and v of a layer are adjacent (so are their biases, and gate and up),
/// so that each triple and pair is also one [rows, hidden] matrix. Order: embeddings, layers, final
/// norm, head.
struct Manifest {
  std::vector<TensorEntry> tensors;
  std::uint64_t elements = 0;

  std::uint64_t bytes() const { return elements * sizeof(float); }
  /// Errors: throws gpu::Error if there is no tensor of that name.
  const TensorEntry& find(const std::string& name) const;
  bool operator==(const Manifest&) const = default;
};

/// The layout of a model of this shape. A function of the config alone: every process computes the
/// same.
Manifest manifest_of(const DecoderConfig& config);

/// Immutable weights of one version: the owner may be anybody, readers share it. Safe from any
/// thread.
using FlatWeights = std::shared_ptr<const float[]>;

/// Fresh weights: embeddings N(0, 0.02), matrices N(0, 1/sqrt(fan_in)), attention and MLP output
/// projections also divided by sqrt(2 * layers), norms 1, biases 0. A function of (config, seed),
/// the same on every machine with the same libm. Returns manifest_of(config).elements floats.
std::vector<float> initial_weights(const DecoderConfig& config, std::uint64_t seed);

/// 128-bit XXH3 of the bytes, as 32 hex digits.
std::string weights_digest(const float* weights, std::uint64_t elements);

}  // namespace troupe::gpu
