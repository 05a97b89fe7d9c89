#pragma once
// The small operations between the matrix products of a decoder, fused for the CPU: each reads and
// writes its rows once. Written once (cpu_kernels_impl.hpp), compiled per instruction set, chosen
// at run time. Plain pointers, no LibTorch.
#include <cstddef>
#include <cstdint>

namespace troupe::gpu {

/// Element (row, group, i) of a tensor lies at data[row * stride + group * width + i].
struct Rows {
  std::ptrdiff_t rows = 0, groups = 1, width = 0;
};

/// Causal attention over packed sequences. q, k and v of a token are adjacent in one row of `qkv`,
/// in heads of `dim`.
struct AttentionShape {
  std::ptrdiff_t heads = 0, kv_heads = 0, dim = 0;
  std::ptrdiff_t row() const { return (heads + 2 * kv_heads) * dim; }
};

/// Reductions run in an order given by the shape alone. Safe from any thread.
struct CpuKernels {
  const char* name;

  /// y = x / sqrt(mean(x^2) + epsilon) * weight; inverse [rows * groups] keeps 1 / sqrt(...).
  void (*rms_norm)(Rows shape, const float* x, std::ptrdiff_t x_stride, const float* weight,
                   float epsilon, float* y, std::ptrdiff_t y_stride, float* inverse);
  /// dx += or = (accumulate) the gradient; dweight += its own. dx may be dy.
  void (*rms_norm_backward)(Rows shape, const float* dy, std::ptrdiff_t dy_stride, const float* x,
                            std::ptrdiff_t x_stride, const float* weight, const float* inverse,
                            bool accumulate, float* dx, std::ptrdiff_t dx_stride, float* dweight);
  /// Rotates the first `heads` heads of each row in place by its position. sign -1 undoes it. cos,
  /// sin: [positions][dim / 2].
  void (*rope)(std::ptrdiff_t rows, std::ptrdiff_t heads, std::ptrdiff_t dim, float* x,
               std::ptrdiff_t x_stride, const std::int64_t* positions, const float* cos,
               const float* sin, float sign);
  /// activated[rows][width] = silu(gate) * up; gate_up[rows][2 * width].
  void (*swiglu)(std::ptrdiff_t rows, std::ptrdiff_t width, const float* gate_up, float* activated);
  void (*swiglu_backward)(std::ptrdiff_t rows, std::ptrdiff_t width, const float* dactivated,
                          const float* gate_up, float* dgate_up);
  /// One sequence of `length` tokens. out[length][heads * dim]; lse[length][heads]: log of the
  /// softmax's sum. scratch: attention_scratch() floats.
  void (*attention)(AttentionShape shape, std::ptrdiff_t length, const float* qkv, float* out,
                    float* lse, float* scratch);
  void (*attention_backward)(AttentionShape shape, std::ptrdiff_t length, const float* qkv,
                             const float* out, const float* lse, const float* dout, float* dqkv,
                             float* scratch);
  /// logits[rows][vocab] become log-probs of softmax(logits * inverse_temperature + bias); bias is
  /// 0 or below -1e29 (never chosen).
  void (*log_softmax)(std::ptrdiff_t rows, std::ptrdiff_t vocab, float* logits, const float* bias,
                      float inverse_temperature, const std::int64_t* targets, float* log_probs,
                      float* entropies);
  /// log-probs become d/d logits of sum of d_log_prob * log p(target) + d_entropy * entropy.
  void (*log_softmax_backward)(std::ptrdiff_t rows, std::ptrdiff_t vocab, float* log_probs,
                               const float* entropies, float inverse_temperature,
                               const std::int64_t* targets, const float* d_log_prob,
                               const float* d_entropy, std::ptrdiff_t d_stride);
};

/// Floats of scratch that attention and its backward need for a sequence of `length` tokens.
std::size_t attention_scratch(AttentionShape shape, std::ptrdiff_t length);

/// The widest table this processor runs.
const CpuKernels& best_cpu_kernels();
const CpuKernels& portable_cpu_kernels();

}  // namespace troupe::gpu
