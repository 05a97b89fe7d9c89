#pragma once
// Forward and backward of a decoder over a micro-batch, written out by hand over DecoderOps, which
// add weight gradients in place to one flat buffer. No autograd graph: at a hidden size of 64 it
// costs as much as the arithmetic, and the order of sums stays ours.
#include "gpu/model/decoder_views.hpp"
#include "gpu/training/arena.hpp"
#include "gpu/training/decoder_ops.hpp"
#include "gpu/training/packed_batch.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe::gpu {

/// Used by one thread at a time, under c10::InferenceMode.
class DecoderPass {
 public:
  DecoderPass(const DecoderConfig& config, std::unique_ptr<DecoderOps> ops,
              const std::string& device);

  /// The batch has at least one target. Fills log_probs() and entropies(), both [target_count, 1],
  /// nats.
  void forward(const DecoderViews& weights, const PackedBatch& batch);
  const at::Tensor& log_probs() const { return log_probs_; }
  const at::Tensor& entropies() const { return entropies_; }

  /// After forward() of the same batch, once. d_values [target_count, 2]: d objective / d
  /// (log_prob, entropy). Adds to `gradients`.
  void backward(const DecoderViews& weights, const DecoderViews& gradients,
                const PackedBatch& batch, const at::Tensor& d_values);

 private:
  /// What the backward of a layer needs. From `mixed` on the last layer has a row per target only:
  /// the others would be computed for nobody.
  struct Layer {
    at::Tensor input, normed, inverse;         // [n, hidden] twice, [n, 1]
    at::Tensor raw_qkv, q_inverse, k_inverse;  // before QK norm, where there is one
    at::Tensor qkv, attended, lse;             // rotated
    at::Tensor mixed, middle, middle_normed, middle_inverse, gate_up, activated;
  };
  at::Tensor layer_forward(const LayerViews& w, const PackedBatch& batch, const at::Tensor& input,
                           bool last, Layer& saved);
  void project_qkv(const LayerViews& w, const PackedBatch& batch, Layer& saved);
  at::Tensor feed_forward(const LayerViews& w, Layer& saved);
  /// dx becomes the gradient of the layer's input.
  void feed_forward_backward(const LayerViews& w, const LayerViews& g, const Layer& saved,
                             const at::Tensor& dx);
  void attention_backward(const LayerViews& w, const LayerViews& g, const PackedBatch& batch,
                          const Layer& saved, const at::Tensor& dmixed, const at::Tensor& dx);
  /// [n, count, head_dim]: heads first .. first + count - 1 of a row of q, k and v.
  at::Tensor heads(const at::Tensor& qkv, std::int64_t first, std::int64_t count) const;

  DecoderConfig config_;
  std::unique_ptr<DecoderOps> ops_;
  Arena arena_;
  std::vector<Layer> layers_;
  at::Tensor final_input_, final_normed_, final_inverse_, logits_, log_probs_, entropies_;
};

}  // namespace troupe::gpu
