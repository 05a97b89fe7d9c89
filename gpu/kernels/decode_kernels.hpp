#pragma once
// What a generator computes per row, as a table of functions per instruction set. All tables give
// the same bits: the order of every sum is a function of the model's shape and the position alone,
// never of the batch, the instruction set or the number of threads. Plain pointers, no LibTorch.
#include <cstddef>

namespace troupe::gpu {

/// c[row][column] = addend[row][column] (0 without one) plus the sum over k of a[row][k] *
/// b[k][column], as one chain of fused multiply-adds over ascending k that begins with the addend.
struct Gemm {
  std::ptrdiff_t rows = 0, columns = 0, depth = 0;  // columns: a multiple of 16
  const float* a = nullptr;                         // a[row][k] = a[row * a_row + k * a_k]
  std::ptrdiff_t a_row = 0, a_k = 1;
  const float* b =
      nullptr;  // b[k][64 j + i] = b[j * b_panel + k * b_k + i]: packed in panels of 64
  std::ptrdiff_t b_k = 64, b_panel = 0;  // columns (64, 64 * depth), or plain rows (width, 64)
  float* c = nullptr;
  std::ptrdiff_t c_row = 0;
  const float* addend = nullptr;  // may be c
  std::ptrdiff_t addend_row = 0;  // 0: one row for all
};

/// Rows of `width` floats, a multiple of 16; what is past `mean_over` is 0.
struct NormShape {
  std::ptrdiff_t rows = 0, width = 0, mean_over = 0;
  float epsilon = 0.0f;
};

/// Heads are `dim` wide: 16 or a multiple of 32, zero-padded. The first half of a rotation's pairs
/// lies in [0, dim / 2), the second in [dim / 2, dim).
struct HeadShape {
  std::ptrdiff_t query = 0, kv = 0, dim = 0;
  std::ptrdiff_t capacity = 0;  // keys per sequence, a multiple of 16

  std::ptrdiff_t row() const { return (query + 2 * kv) * dim; }  // q, k and v of a token
};

/// Where a row's sequence lies, in one layer. keys: [kv][capacity / 16][dim][16], lane = key;
/// values: [kv][capacity][dim].
struct CachedRow {
  float* keys = nullptr;
  float* values = nullptr;
  std::ptrdiff_t position = 0;
};

struct Rotation {
  const float *cos = nullptr, *sin = nullptr;  // [positions][dim]; sin negated in its first half
  float query_scale = 1.0f;
  const float *q_norm = nullptr, *k_norm = nullptr;  // [dim], or none
  NormShape norm;                                    // of one head
};

/// Safe from any thread.
struct DecodeKernels {
  const char* name;

  void (*gemm)(const Gemm&);
  /// y = x / sqrt(mean(x^2) + epsilon) * weight, rows of x and y shape.width apart; y may be x.
  void (*rms_norm)(const NormShape& shape, const float* x, const float* weight, float* y);
  /// Norms and rotates q and k of each row in place, scales q, and stores k and v in the caches.
  void (*append)(const HeadShape& shape, const Rotation& rotation, const CachedRow* rows,
                 std::ptrdiff_t count, float* qkv);
  /// out[row][query * dim]: each row against keys 0 .. its position. scratch: attention_scratch().
  void (*attention)(const HeadShape& shape, const CachedRow* rows, std::ptrdiff_t count,
                    const float* qkv, float* out, float* scratch);
  /// out[row][width] = silu(gate) * up; gate_up[row][2 * width]; width: a multiple of 16.
  void (*swiglu)(std::ptrdiff_t rows, std::ptrdiff_t width, const float* gate_up, float* out);
  /// mass[i] = exp((logits[i] + bias[i] - highest) * scale), i < count; NaN stays NaN.
  void (*masses)(std::ptrdiff_t count, const float* logits, const float* bias, float highest,
                 float scale, float* mass);
};

/// Floats of scratch that attention needs.
std::size_t attention_scratch(const HeadShape& shape);

/// The tables that this processor runs: 0 is the widest, the last one is portable; null past it.
const DecodeKernels* decode_kernels(std::size_t index = 0);

}  // namespace troupe::gpu
