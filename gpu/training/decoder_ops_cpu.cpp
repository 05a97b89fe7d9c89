#include "gpu/model/decoder_views.hpp"
#include "gpu/training/cpu_kernels.hpp"
#include "gpu/training/cpu_products.hpp"
#include "gpu/training/decoder_ops.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <cstring>
#include <tuple>
#include <vector>

namespace troupe::gpu {
namespace {

float* data(const at::Tensor& tensor) {
  return tensor.data_ptr<float>();
}
const std::int64_t* indices(const at::Tensor& tensor) {
  return tensor.data_ptr<std::int64_t>();
}
Rows rows_of(const at::Tensor& x) {
  return {x.size(0), x.dim() == 3 ? x.size(1) : 1, x.size(-1)};
}

class CpuOps final : public DecoderOps {
 public:
  CpuOps(const DecoderConfig& config, const SamplingView& view)
      : shape_{config.num_heads, config.num_kv_heads, config.head_dim},
        epsilon_(config.rms_norm_eps),
        inverse_temperature_(1.0f / view.temperature),
        bias_(static_cast<std::size_t>(config.vocab_size), 0.0f) {
    std::tie(cos_, sin_) = rope_tables(config, "cpu");
    for (const std::int32_t token : view.banned) bias_[static_cast<std::size_t>(token)] = -1e30f;
  }

  void embed(const at::Tensor& table, const PackedBatch& batch,
             const at::Tensor& out) const override {
    copy_rows(data(table), indices(batch.ids), batch.tokens, out.size(1), data(out));
  }

  void embed_backward(const at::Tensor& dout, const PackedBatch& batch,
                      const at::Tensor& dtable) const override {
    const std::int64_t width = dout.size(1);
    const std::int64_t* ids = indices(batch.ids);
    const float* from = data(dout);
    float* const table = data(dtable);
    for (std::int64_t t = 0; t < batch.tokens; ++t, from += width) {
      float* to = table + ids[t] * width;
      for (std::int64_t i = 0; i < width; ++i) to[i] += from[i];
    }
  }

  void linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& out,
              const at::Tensor& addend) const override {
    const LinearShape shape{x.size(0), w.size(1), w.size(0)};
    at::Tensor result = out;
    if (!serves_forward(shape))
      addend.defined() ? at::addmm_out(result, addend, x, w.t()) : at::mm_out(result, x, w.t());
    else
      gpu::linear(shape, data(x), data(w), addend.defined() ? data(addend) : nullptr,
                  addend.defined() && addend.dim() == 2 ? shape.out : 0, data(out));
  }
  void linear_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& w,
                       const at::Tensor& dx, const at::Tensor& dw) const override {
    const LinearShape shape{x.size(0), w.size(1), w.size(0)};
    if (serves_backward(shape))
      return gpu::linear_backward(shape, data(dy), data(x), data(w), data(dx), data(dw));
    at::Tensor result = dx;
    at::mm_out(result, dy, w);
    dw.addmm_(dy.t(), x);
  }

  void rms_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y,
                const at::Tensor& inverse) const override {
    kernels_.rms_norm(rows_of(x), data(x), x.stride(0), data(weight), epsilon_, data(y),
                      y.stride(0), data(inverse));
  }

  void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& inverse, bool accumulate, const at::Tensor& dx,
                         const at::Tensor& dweight) const override {
    kernels_.rms_norm_backward(rows_of(x), data(dy), dy.stride(0), data(x), x.stride(0),
                               data(weight), data(inverse), accumulate, data(dx), dx.stride(0),
                               data(dweight));
  }

  void rope(const at::Tensor& qkv, const PackedBatch& batch, float sign) const override {
    kernels_.rope(batch.tokens, shape_.heads + shape_.kv_heads, shape_.dim, data(qkv), shape_.row(),
                  indices(batch.positions), data(cos_), data(sin_), sign);
  }

  void swiglu(const at::Tensor& gate_up, const at::Tensor& activated) const override {
    kernels_.swiglu(activated.size(0), activated.size(1), data(gate_up), data(activated));
  }
  void swiglu_backward(const at::Tensor& dactivated, const at::Tensor& gate_up,
                       const at::Tensor& dgate_up) const override {
    kernels_.swiglu_backward(dactivated.size(0), dactivated.size(1), data(dactivated),
                             data(gate_up), data(dgate_up));
  }

  void attention(const at::Tensor& qkv, const PackedBatch& batch, const at::Tensor& out,
                 const at::Tensor& lse) const override {
    each_sequence(batch, [&](std::int64_t start, std::int64_t length, float* scratch) {
      kernels_.attention(shape_, length, data(qkv) + start * shape_.row(),
                         data(out) + start * shape_.heads * shape_.dim,
                         data(lse) + start * shape_.heads, scratch);
    });
  }

  void attention_backward(const at::Tensor& qkv, const at::Tensor& out, const at::Tensor& lse,
                          const at::Tensor& dout, const PackedBatch& batch,
                          const at::Tensor& dqkv) const override {
    each_sequence(batch, [&](std::int64_t start, std::int64_t length, float* scratch) {
      const std::int64_t outputs = start * shape_.heads * shape_.dim;
      kernels_.attention_backward(shape_, length, data(qkv) + start * shape_.row(),
                                  data(out) + outputs, data(lse) + start * shape_.heads,
                                  data(dout) + outputs, data(dqkv) + start * shape_.row(), scratch);
    });
  }

  void take_predicting(const at::Tensor& x, const PackedBatch& batch,
                       const at::Tensor& out) const override {
    copy_rows(data(x), indices(batch.rows), batch.target_count, x.size(1), data(out));
  }
  void take_predicting_backward(const at::Tensor& dout, const PackedBatch& batch,
                                const at::Tensor& dx) const override {
    const std::size_t width = static_cast<std::size_t>(dx.size(1)), bytes = width * sizeof(float);
    const std::int64_t* rows = indices(batch.rows);
    const float* from = data(dout);
    float* const to = data(dx);
    std::memset(to, 0, static_cast<std::size_t>(batch.tokens) * bytes);
    for (std::int64_t i = 0; i < batch.target_count; ++i, from += width)
      std::memcpy(to + rows[i] * dx.size(1), from, bytes);
  }

  void token_values(const at::Tensor& logits, const PackedBatch& batch, const at::Tensor& log_probs,
                    const at::Tensor& entropies) const override {
    kernels_.log_softmax(batch.target_count, logits.size(1), data(logits), bias_.data(),
                         inverse_temperature_, indices(batch.targets), data(log_probs),
                         data(entropies));
  }
  void token_values_backward(const at::Tensor& logits, const at::Tensor& entropies,
                             const PackedBatch& batch, const at::Tensor& weights) const override {
    kernels_.log_softmax_backward(batch.target_count, logits.size(1), data(logits), data(entropies),
                                  inverse_temperature_, indices(batch.targets), data(weights),
                                  data(weights) + 1, 2);
  }

 private:
  static void copy_rows(const float* from, const std::int64_t* rows, std::int64_t count,
                        std::int64_t width, float* to) {
    for (std::int64_t i = 0; i < count; ++i)
      std::memcpy(to + i * width, from + rows[i] * width,
                  static_cast<std::size_t>(width) * sizeof(float));
  }

  /// Sequences share nothing, so the result does not depend on the number of threads.
  template <typename Body>
  void each_sequence(const PackedBatch& batch, const Body& body) const {
    at::parallel_for(0, static_cast<std::int64_t>(batch.starts.size()), 8,
                     [&](std::int64_t begin, std::int64_t end) {
                       std::vector<float> scratch(attention_scratch(shape_, batch.longest));
                       for (std::int64_t i = begin; i < end; ++i)
                         body(batch.starts[static_cast<std::size_t>(i)],
                              batch.lengths[static_cast<std::size_t>(i)], scratch.data());
                     });
  }

  const CpuKernels& kernels_ = best_cpu_kernels();
  AttentionShape shape_;
  float epsilon_, inverse_temperature_;
  std::vector<float> bias_;  // [vocab]: 0, or so low that the token has probability 0
  at::Tensor cos_, sin_;     // [max_positions, head_dim / 2]
};

}  // namespace

std::unique_ptr<DecoderOps> make_cpu_ops(const DecoderConfig& config, const SamplingView& view) {
  return std::make_unique<CpuOps>(config, view);
}

}  // namespace troupe::gpu
