#pragma once
// One pass of some rows through a packed decoder, on one thread.
#include "gpu/kernels/aligned_floats.hpp"
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/sampling/engine.hpp"
#include "gpu/sampling/kv_cache.hpp"
#include "gpu/sampling/packed_decoder.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace troupe::gpu {

/// cos and sin per position, [positions][dim] in the layout of padded heads, sin negated in its
/// first half; angles in double, as rope_tables() has them. Source: arXiv:2104.09864.
struct RotationTables {
  RotationTables(const PackedDecoder& decoder, std::int32_t positions);
  AlignedFloats cos, sin;
};

/// What all passes over a model read; the cache is also written, each slot by one pass at a time.
struct DecodeModel {
  const DecodeKernels& kernels;
  PackedDecoder decoder;
  KvCache cache;
  RotationTables rotations;
  FlatWeights weights;  // as packed; embeddings are read from here; null: none yet
};

/// A row whose logits are wanted, and which row of the logits they become.
struct WantedRow {
  std::size_t row, place;
};

/// Each row's result is a function of its own sequence alone, to the bit. Used by one thread at a
/// time.
class DecodePass {
 public:
  /// REQUIRES: model outlives the pass.
  explicit DecodePass(const DecodeModel& model);

  /// Engine::forward for rows that are in order; wanted ascends. logits: [...][vocab].
  void run(std::span<const Row> rows, std::span<const WantedRow> wanted, float* logits);

 private:
  void run_some(std::span<const Row> rows, float* logits);
  void embed();
  void layer(std::int32_t index);
  void keep_wanted();
  void head(float* logits);
  void norm(const float* weight);
  NormShape norm_shape(std::ptrdiff_t width, std::ptrdiff_t mean_over) const;
  Rotation rotation(const PackedLayer& layer) const;
  std::ptrdiff_t count() const { return static_cast<std::ptrdiff_t>(rows_.size()); }

  const DecodeModel& model_;
  std::vector<Row> rows_;          // under way; in the last layer only the wanted ones
  std::vector<CachedRow> cached_;  // of rows_, in the layer under way
  std::vector<WantedRow> wanted_;  // among rows_
  AlignedFloats x_, normed_, qkv_, attended_, gate_up_, activated_, logits_, scratch_;
};

}  // namespace troupe::gpu
