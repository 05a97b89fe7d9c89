#pragma once
// What a decoder computes, forward and backward. Two implementations:
// LibTorch operators (any device) and fused CPU kernels. Both are compared with each other and with
// finite differences in the tests.
#include "gpu/model/decoder_config.hpp"
#include "gpu/training/packed_batch.hpp"
#include "gpu/training/training_engine.hpp"

#include <ATen/core/Tensor.h>
#include <memory>
#include <string>

namespace troupe::gpu {

/// Tensors are float32 and their last dimension is contiguous. n = batch.tokens, m =
/// batch.target_count, h = heads, k = KV heads, d = head_dim. Outputs are given; `+=` says that
/// they are added to. Used by one thread at a time.
class DecoderOps {
 public:
  virtual ~DecoderOps() = default;

  /// out [n, hidden] = table[ids].
  virtual void embed(const at::Tensor& table, const PackedBatch& batch,
                     const at::Tensor& out) const = 0;
  /// dtable += ; in a fixed order of sums.
  virtual void embed_backward(const at::Tensor& dout, const PackedBatch& batch,
                              const at::Tensor& dtable) const = 0;

  /// out [rows, o] = x w^T, or x w^T + addend; x [rows, i], w [o, i], addend [rows, o] or [o].
  virtual void linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& out,
                      const at::Tensor& addend = {}) const = 0;
  /// dx [rows, i] = dy w; dw [o, i] += dy^T x.
  virtual void linear_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& w,
                               const at::Tensor& dx, const at::Tensor& dw) const = 0;

  /// x, y: [rows, width] or [rows, groups, width]; weight [width]; inverse [rows * groups] is kept
  /// for the backward.
  virtual void rms_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y,
                        const at::Tensor& inverse) const = 0;
  /// dx += where `accumulate`; else dx may be dy. dweight +=.
  virtual void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x,
                                 const at::Tensor& weight, const at::Tensor& inverse,
                                 bool accumulate, const at::Tensor& dx,
                                 const at::Tensor& dweight) const = 0;

  /// Rotates q and k of qkv [n, (h + 2k) d] in place; sign -1 rotates back (the backward).
  virtual void rope(const at::Tensor& qkv, const PackedBatch& batch, float sign) const = 0;

  /// activated [rows, width] = silu(gate) * up; gate_up [rows, 2 width].
  virtual void swiglu(const at::Tensor& gate_up, const at::Tensor& activated) const = 0;
  virtual void swiglu_backward(const at::Tensor& dactivated, const at::Tensor& gate_up,
                               const at::Tensor& dgate_up) const = 0;

  /// Causal, within each sequence. out [n, h d]; lse [n, h] is kept for the backward.
  virtual void attention(const at::Tensor& qkv, const PackedBatch& batch, const at::Tensor& out,
                         const at::Tensor& lse) const = 0;
  virtual void attention_backward(const at::Tensor& qkv, const at::Tensor& out,
                                  const at::Tensor& lse, const at::Tensor& dout,
                                  const PackedBatch& batch, const at::Tensor& dqkv) const = 0;

  /// out [m, width] = x[batch.rows].
  virtual void take_predicting(const at::Tensor& x, const PackedBatch& batch,
                               const at::Tensor& out) const = 0;
  /// dx [n, width] = dout at batch.rows, 0 elsewhere.
  virtual void take_predicting_backward(const at::Tensor& dout, const PackedBatch& batch,
                                        const at::Tensor& dx) const = 0;

  /// logits [m, vocab] become log-probs under the sampling view; log_probs, entropies [m], nats.
  virtual void token_values(const at::Tensor& logits, const PackedBatch& batch,
                            const at::Tensor& log_probs, const at::Tensor& entropies) const = 0;
  /// The log-probs of token_values become d/d logits of sum of weights[:, 0] * log_prob +
  /// weights[:, 1] * entropy. weights [m, 2].
  virtual void token_values_backward(const at::Tensor& logits, const at::Tensor& entropies,
                                     const PackedBatch& batch, const at::Tensor& weights) const = 0;
};

std::unique_ptr<DecoderOps> make_aten_ops(const DecoderConfig& config, const SamplingView& view,
                                          const std::string& device);
std::unique_ptr<DecoderOps> make_cpu_ops(const DecoderConfig& config, const SamplingView& view);

}  // namespace troupe::gpu
