#pragma once
// Weights as the CPU kernels read them: matrices in panels, every width padded with zeros to the
// kernels' vectors, so that decoders of any shape run.
#include "gpu/kernels/aligned_floats.hpp"
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/model/decoder_config.hpp"
#include "gpu/model/manifest.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::gpu {

/// A matrix [out, in] as panels of 64 outputs, [out / 64][in][64].
class PackedMatrix {
 public:
  /// Where each row and column of the weights goes; both sides may have gaps, which stay 0.
  struct Places {
    std::vector<std::ptrdiff_t> of;
    std::ptrdiff_t width = 0;
  };
  PackedMatrix(Places outputs, Places inputs);
  /// weights: [outputs.of.size(), inputs.of.size()].
  void pack(const float* weights);
  /// c = a * W^T, for `rows` rows of a, inputs.width apart.
  Gemm times(std::ptrdiff_t rows, const float* a, float* c) const;
  std::ptrdiff_t outputs() const { return outputs_.width; }

 private:
  Places outputs_, inputs_;
  AlignedFloats panels_;
};

struct PackedLayer {
  PackedMatrix qkv, output, gate_up, down;
  AlignedFloats input_norm, post_norm, qkv_bias, q_norm, k_norm;  // padded
};

/// A decoder's weights, packed anew for each version. Used by one thread at a time.
class PackedDecoder {
 public:
  explicit PackedDecoder(const DecoderConfig& config);
  /// Errors: none; weights: manifest_of(config).elements floats.
  void pack(const float* weights);

  const DecoderConfig& config() const { return config_; }
  /// Padded widths; capacity of the heads is left to the caller.
  std::ptrdiff_t hidden() const { return hidden_; }
  std::ptrdiff_t intermediate() const { return intermediate_; }
  const HeadShape& heads() const { return heads_; }
  const std::vector<PackedLayer>& layers() const { return layers_; }
  const PackedMatrix& head() const { return head_; }
  const float* final_norm() const { return final_norm_.data(); }
  /// Where dimension i of a head lies in the padded head: halves begin at 0 and dim / 2.
  std::ptrdiff_t place_in_head(std::ptrdiff_t i) const;

 private:
  PackedMatrix::Places head_places(std::ptrdiff_t heads) const;
  PackedLayer make_layer() const;
  void pack_layer(const std::string& prefix, const float* weights, PackedLayer& layer) const;
  const float* find(const float* weights, const std::string& name) const;

  DecoderConfig config_;
  Manifest manifest_;
  std::ptrdiff_t hidden_, intermediate_;
  HeadShape heads_;
  std::vector<PackedLayer> layers_;
  PackedMatrix head_;
  AlignedFloats final_norm_;
};

}  // namespace troupe::gpu
