#include "gpu/model/decoder_views.hpp"
#include "gpu/training/decoder_ops.hpp"

#include <ATen/ATen.h>
#include <cmath>
#include <tuple>

namespace troupe::gpu {
namespace {

class AtenOps final : public DecoderOps {
 public:
  AtenOps(const DecoderConfig& config, const SamplingView& view, const std::string& device)
      : heads_(config.num_heads),
        kv_heads_(config.num_kv_heads),
        dim_(config.head_dim),
        epsilon_(config.rms_norm_eps),
        temperature_(view.temperature),
        scale_(1.0 / std::sqrt(static_cast<double>(config.head_dim))) {
    std::tie(cos_, sin_) = rope_tables(config, device);
    const std::vector<std::int64_t> banned(view.banned.begin(), view.banned.end());
    banned_ = at::tensor(banned, at::kLong).to(c10::Device(device));
  }

  void embed(const at::Tensor& table, const PackedBatch& batch,
             const at::Tensor& out) const override {
    out.copy_(table.index_select(0, batch.ids));
  }
  void embed_backward(const at::Tensor& dout, const PackedBatch& batch,
                      const at::Tensor& dtable) const override {
    // index_add_ would use atomics on a GPU; this one sorts.
    dtable.add_(at::embedding_dense_backward(dout, batch.ids, dtable.size(0), -1, false));
  }

  void linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& out,
              const at::Tensor& addend) const override {
    at::Tensor result = out;
    if (addend.defined())
      at::addmm_out(result, addend, x, w.t());
    else
      at::mm_out(result, x, w.t());
  }
  void linear_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& w,
                       const at::Tensor& dx, const at::Tensor& dw) const override {
    at::Tensor result = dx;
    at::mm_out(result, dy, w);
    dw.addmm_(dy.t(), x);
  }

  void rms_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y,
                const at::Tensor& inverse) const override {
    const at::Tensor scale = x.square().mean(-1, true).add_(epsilon_).rsqrt_();
    inverse.view(-1).copy_(scale.reshape(-1));
    y.copy_(x * scale * weight);
  }
  void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& inverse, bool accumulate, const at::Tensor& dx,
                         const at::Tensor& dweight) const override {
    auto shape = x.sizes().vec();
    shape.back() = 1;
    const at::Tensor scale = inverse.view(shape), normed = x * scale, weighted = dy * weight;
    const at::Tensor result = (weighted - normed * (weighted * normed).mean(-1, true)) * scale;
    dweight.add_((dy * normed).reshape({-1, weight.size(0)}).sum(0));
    if (accumulate)
      dx.add_(result);
    else
      dx.copy_(result);
  }

  void rope(const at::Tensor& qkv, const PackedBatch& batch, float sign) const override {
    const at::Tensor cos = cos_.index_select(0, batch.positions).unsqueeze(1);
    const at::Tensor sin = sin_.index_select(0, batch.positions).unsqueeze(1) * sign;
    const at::Tensor heads = qkv.view({batch.tokens, -1, dim_}).narrow(1, 0, heads_ + kv_heads_);
    const at::Tensor first = heads.narrow(2, 0, dim_ / 2),
                     second = heads.narrow(2, dim_ / 2, dim_ / 2);
    const at::Tensor turned = first * cos - second * sin;
    second.copy_(second * cos + first * sin);
    first.copy_(turned);
  }

  void swiglu(const at::Tensor& gate_up, const at::Tensor& activated) const override {
    const auto halves = gate_up.chunk(2, -1);
    activated.copy_(at::silu(halves[0]) * halves[1]);
  }
  void swiglu_backward(const at::Tensor& dactivated, const at::Tensor& gate_up,
                       const at::Tensor& dgate_up) const override {
    const auto halves = gate_up.chunk(2, -1), gradients = dgate_up.chunk(2, -1);
    gradients[0].copy_(at::silu_backward(dactivated * halves[1], halves[0]));
    gradients[1].copy_(dactivated * at::silu(halves[0]));
  }

  void attention(const at::Tensor& qkv, const PackedBatch& batch, const at::Tensor& out,
                 const at::Tensor& lse) const override {
    const Heads heads = split(qkv, batch);
    const at::Tensor s = scores(heads);
    const at::Tensor log_sum = s.logsumexp(-1);
    out.copy_(packed(at::matmul((s - log_sum.unsqueeze(-1)).exp_(), heads.v), batch));
    lse.copy_(log_sum.permute({0, 3, 1, 2}).reshape({-1, heads_}).index_select(0, batch.padded));
  }

  void attention_backward(const at::Tensor& qkv, const at::Tensor& out, const at::Tensor& lse,
                          const at::Tensor& dout, const PackedBatch& batch,
                          const at::Tensor& dqkv) const override {
    const Heads heads = split(qkv, batch);
    const at::Tensor log_sum = padded(lse, batch)
                                   .view({-1, batch.longest, kv_heads_, heads_ / kv_heads_, 1})
                                   .permute({0, 2, 3, 1, 4});
    const at::Tensor p = (scores(heads) - log_sum).exp_();
    const at::Tensor d = queries(padded(dout, batch), batch),
                     o = queries(padded(out, batch), batch);
    const at::Tensor ds =
        p * (at::matmul(d, heads.v.transpose(-1, -2)) - (d * o).sum(-1, true)) * scale_;
    const std::int64_t keys = heads_ * dim_, values = keys + kv_heads_ * dim_;
    dqkv.narrow(1, 0, keys).copy_(packed(at::matmul(ds, heads.k), batch));
    dqkv.narrow(1, keys, kv_heads_ * dim_)
        .copy_(packed(at::matmul(ds.transpose(-1, -2), heads.q).sum(2, true), batch));
    dqkv.narrow(1, values, kv_heads_ * dim_)
        .copy_(packed(at::matmul(p.transpose(-1, -2), d).sum(2, true), batch));
  }

  void take_predicting(const at::Tensor& x, const PackedBatch& batch,
                       const at::Tensor& out) const override {
    out.copy_(x.index_select(0, batch.rows));
  }
  void take_predicting_backward(const at::Tensor& dout, const PackedBatch& batch,
                                const at::Tensor& dx) const override {
    dx.zero_().index_copy_(0, batch.rows, dout);
  }

  void token_values(const at::Tensor& logits, const PackedBatch& batch, const at::Tensor& log_probs,
                    const at::Tensor& entropies) const override {
    if (banned_.numel() > 0) logits.index_fill_(1, banned_, -INFINITY);
    logits.copy_(at::log_softmax(logits.div_(temperature_), -1));
    log_probs.copy_(logits.gather(1, batch.targets.unsqueeze(1)).squeeze(1));
    entropies.copy_((logits.exp() * finite(logits)).sum(-1).neg_());
  }
  void token_values_backward(const at::Tensor& logits, const at::Tensor& entropies,
                             const PackedBatch& batch, const at::Tensor& weights) const override {
    const at::Tensor d_log_prob = weights.narrow(1, 0, 1), d_entropy = weights.narrow(1, 1, 1);
    const at::Tensor surprise = (finite(logits) + entropies.unsqueeze(1)) * d_entropy + d_log_prob;
    logits.copy_(surprise.mul_(logits.exp()).neg_());
    logits.scatter_add_(1, batch.targets.unsqueeze(1),
                        d_log_prob);  // one target per row: no two additions meet
    logits.div_(temperature_);
  }

 private:
  struct Heads {
    at::Tensor q, k, v;  // [sequences, kv_heads, heads / kv_heads or 1, longest, dim]
  };

  /// Log-probs with 0 for banned tokens, whose probability 0 they multiply.
  static at::Tensor finite(const at::Tensor& log_probs) {
    return at::where(at::isinf(log_probs), 0.0, log_probs);
  }

  /// [tokens, width] -> [sequences * longest, width], 0 beyond a sequence's end.
  static at::Tensor padded(const at::Tensor& x, const PackedBatch& batch) {
    const auto sequences = static_cast<std::int64_t>(batch.starts.size());
    return at::zeros({sequences * batch.longest, x.size(1)}, x.options())
        .index_copy_(0, batch.padded, x);
  }
  at::Tensor queries(const at::Tensor& x, const PackedBatch& batch) const {
    return x.reshape({-1, batch.longest, kv_heads_, heads_ / kv_heads_, dim_})
        .permute({0, 2, 3, 1, 4});
  }
  at::Tensor keys(const at::Tensor& x, const PackedBatch& batch) const {
    return x.reshape({-1, batch.longest, kv_heads_, 1, dim_}).permute({0, 2, 3, 1, 4});
  }
  Heads split(const at::Tensor& qkv, const PackedBatch& batch) const {
    const at::Tensor x = padded(qkv, batch);
    const std::int64_t q = heads_ * dim_, k = kv_heads_ * dim_;
    return {queries(x.narrow(1, 0, q), batch), keys(x.narrow(1, q, k), batch),
            keys(x.narrow(1, q + k, k), batch)};
  }
  at::Tensor scores(const Heads& heads) const {
    const std::int64_t longest = heads.q.size(3);
    const at::Tensor future =
        at::ones({longest, longest}, heads.q.options().dtype(at::kBool)).triu_(1);
    return at::matmul(heads.q, heads.k.transpose(-1, -2))
        .mul_(scale_)
        .masked_fill_(future, -INFINITY);
  }
  /// [sequences, kv_heads, n, longest, dim] -> [tokens, kv_heads * n * dim].
  static at::Tensor packed(const at::Tensor& x, const PackedBatch& batch) {
    return x.permute({0, 3, 1, 2, 4})
        .reshape({x.size(0) * batch.longest, -1})
        .index_select(0, batch.padded);
  }

  std::int64_t heads_, kv_heads_, dim_;
  double epsilon_, temperature_, scale_;
  at::Tensor cos_, sin_;  // [max_positions, head_dim / 2]
  at::Tensor banned_;     // int64
};

}  // namespace

std::unique_ptr<DecoderOps> make_aten_ops(const DecoderConfig& config, const SamplingView& view,
                                          const std::string& device) {
  return std::make_unique<AtenOps>(config, view, device);
}

}  // namespace troupe::gpu
