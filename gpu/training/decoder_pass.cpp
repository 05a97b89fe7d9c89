#include "gpu/training/decoder_pass.hpp"

#include <ATen/ops/sum.h>

namespace troupe::gpu {

DecoderPass::DecoderPass(const DecoderConfig& config, std::unique_ptr<DecoderOps> ops,
                         const std::string& device)
    : config_(config),
      ops_(std::move(ops)),
      arena_(device),
      layers_(static_cast<std::size_t>(config.num_layers)) {}

at::Tensor DecoderPass::heads(const at::Tensor& qkv, std::int64_t first, std::int64_t count) const {
  return qkv.view({qkv.size(0), -1, config_.head_dim}).narrow(1, first, count);
}

void DecoderPass::forward(const DecoderViews& weights, const PackedBatch& batch) {
  arena_.release({});
  const std::int64_t m = batch.target_count;
  at::Tensor x = arena_.take(batch.tokens, config_.hidden_size);
  ops_->embed(weights.embeddings, batch, x);
  for (std::size_t i = 0; i < layers_.size(); ++i)
    x = layer_forward(weights.layers[i], batch, x, i + 1 == layers_.size(), layers_[i]);
  final_input_ = x;
  final_normed_ = arena_.take(m, config_.hidden_size);
  final_inverse_ = arena_.take(m, 1);
  ops_->rms_norm(x, weights.final_norm, final_normed_, final_inverse_);
  logits_ = arena_.take(m, config_.vocab_size);
  ops_->linear(final_normed_, weights.head, logits_);
  log_probs_ = arena_.take(m, 1);
  entropies_ = arena_.take(m, 1);
  ops_->token_values(logits_, batch, log_probs_.view(-1), entropies_.view(-1));
}

at::Tensor DecoderPass::layer_forward(const LayerViews& w, const PackedBatch& batch,
                                      const at::Tensor& input, bool last, Layer& saved) {
  const std::int64_t n = batch.tokens, width = config_.num_heads * config_.head_dim;
  saved.input = input;
  project_qkv(w, batch, saved);
  saved.attended = arena_.take(n, width);
  saved.lse = arena_.take(n, config_.num_heads);
  ops_->attention(saved.qkv, batch, saved.attended, saved.lse);
  at::Tensor residual = input;
  saved.mixed = saved.attended;
  if (last) {
    saved.mixed = arena_.take(batch.target_count, width);
    residual = arena_.take(batch.target_count, config_.hidden_size);
    ops_->take_predicting(saved.attended, batch, saved.mixed);
    ops_->take_predicting(input, batch, residual);
  }
  saved.middle = arena_.take(residual.size(0), config_.hidden_size);
  ops_->linear(saved.mixed, w.output, saved.middle, residual);
  return feed_forward(w, saved);
}

void DecoderPass::project_qkv(const LayerViews& w, const PackedBatch& batch, Layer& saved) {
  const std::int64_t n = batch.tokens, h = config_.num_heads, k = config_.num_kv_heads;
  saved.normed = arena_.take(n, config_.hidden_size);
  saved.inverse = arena_.take(n, 1);
  ops_->rms_norm(saved.input, w.input_norm, saved.normed, saved.inverse);
  saved.qkv = arena_.take(n, w.qkv.size(0));
  ops_->linear(saved.normed, w.qkv, saved.qkv, w.qkv_bias);
  if (config_.qk_norm) {
    saved.raw_qkv = saved.qkv;
    saved.qkv = arena_.take(n, w.qkv.size(0));
    saved.q_inverse = arena_.take(n, h);
    saved.k_inverse = arena_.take(n, k);
    ops_->rms_norm(heads(saved.raw_qkv, 0, h), w.q_norm, heads(saved.qkv, 0, h), saved.q_inverse);
    ops_->rms_norm(heads(saved.raw_qkv, h, k), w.k_norm, heads(saved.qkv, h, k), saved.k_inverse);
    heads(saved.qkv, h + k, k).copy_(heads(saved.raw_qkv, h + k, k));
  }
  ops_->rope(saved.qkv, batch, 1.0f);
}

at::Tensor DecoderPass::feed_forward(const LayerViews& w, Layer& saved) {
  const std::int64_t rows = saved.middle.size(0);
  saved.middle_normed = arena_.take(rows, config_.hidden_size);
  saved.middle_inverse = arena_.take(rows, 1);
  ops_->rms_norm(saved.middle, w.post_norm, saved.middle_normed, saved.middle_inverse);
  saved.gate_up = arena_.take(rows, 2 * config_.intermediate_size);
  ops_->linear(saved.middle_normed, w.gate_up, saved.gate_up);
  saved.activated = arena_.take(rows, config_.intermediate_size);
  ops_->swiglu(saved.gate_up, saved.activated);
  const at::Tensor out = arena_.take(rows, config_.hidden_size);
  ops_->linear(saved.activated, w.down, out, saved.middle);
  return out;
}

void DecoderPass::backward(const DecoderViews& weights, const DecoderViews& gradients,
                           const PackedBatch& batch, const at::Tensor& d_values) {
  const std::int64_t hidden = config_.hidden_size;
  ops_->token_values_backward(logits_, entropies_.view(-1), batch, d_values);
  at::Tensor dx = arena_.take(batch.target_count, hidden);
  ops_->linear_backward(logits_, final_normed_, weights.head, dx, gradients.head);
  ops_->rms_norm_backward(dx, final_input_, weights.final_norm, final_inverse_, false, dx,
                          gradients.final_norm);
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const LayerViews &w = weights.layers[i], &g = gradients.layers[i];
    const bool last = i + 1 == layers_.size();
    at::Tensor wide_dx = last ? arena_.take(batch.tokens, hidden) : dx;
    const Arena::Mark mark = arena_.mark();
    feed_forward_backward(w, g, layers_[i], dx);
    at::Tensor dmixed = arena_.take(dx.size(0), w.output.size(1));
    ops_->linear_backward(dx, layers_[i].mixed, w.output, dmixed, g.output);
    if (last) {
      const at::Tensor wide_dmixed = arena_.take(batch.tokens, dmixed.size(1));
      ops_->take_predicting_backward(dmixed, batch, wide_dmixed);
      ops_->take_predicting_backward(dx, batch, wide_dx);
      dmixed = wide_dmixed;
      dx = wide_dx;
    }
    attention_backward(w, g, batch, layers_[i], dmixed, dx);
    arena_.release(mark);
  }
  ops_->embed_backward(dx, batch, gradients.embeddings);
}

void DecoderPass::feed_forward_backward(const LayerViews& w, const LayerViews& g,
                                        const Layer& saved, const at::Tensor& dx) {
  const std::int64_t rows = dx.size(0);
  const at::Tensor dactivated = arena_.take(rows, config_.intermediate_size);
  ops_->linear_backward(dx, saved.activated, w.down, dactivated, g.down);
  const at::Tensor dgate_up = arena_.take(rows, 2 * config_.intermediate_size);
  ops_->swiglu_backward(dactivated, saved.gate_up, dgate_up);
  const at::Tensor dnormed = arena_.take(rows, config_.hidden_size);
  ops_->linear_backward(dgate_up, saved.middle_normed, w.gate_up, dnormed, g.gate_up);
  ops_->rms_norm_backward(dnormed, saved.middle, w.post_norm, saved.middle_inverse, true, dx,
                          g.post_norm);
}

void DecoderPass::attention_backward(const LayerViews& w, const LayerViews& g,
                                     const PackedBatch& batch, const Layer& saved,
                                     const at::Tensor& dmixed, const at::Tensor& dx) {
  const std::int64_t h = config_.num_heads, k = config_.num_kv_heads;
  const at::Tensor dqkv = arena_.take(batch.tokens, w.qkv.size(0));
  ops_->attention_backward(saved.qkv, saved.attended, saved.lse, dmixed, batch, dqkv);
  ops_->rope(dqkv, batch, -1.0f);
  if (config_.qk_norm) {
    const at::Tensor dq = heads(dqkv, 0, h), dk = heads(dqkv, h, k);
    ops_->rms_norm_backward(dq, heads(saved.raw_qkv, 0, h), w.q_norm, saved.q_inverse, false, dq,
                            g.q_norm);
    ops_->rms_norm_backward(dk, heads(saved.raw_qkv, h, k), w.k_norm, saved.k_inverse, false, dk,
                            g.k_norm);
  }
  if (config_.qkv_bias) g.qkv_bias.add_(dqkv.sum(0));
  const at::Tensor dnormed = arena_.take(batch.tokens, config_.hidden_size);
  ops_->linear_backward(dqkv, saved.normed, w.qkv, dnormed, g.qkv);
  ops_->rms_norm_backward(dnormed, saved.input, w.input_norm, saved.inverse, true, dx,
                          g.input_norm);
}

}  // namespace troupe::gpu
