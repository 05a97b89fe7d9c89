#pragma once
// Norm, rotation, cache, activation and the masses of the sampler. Included only by
// decode_table.hpp.
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/kernels/simd.hpp"

namespace troupe::gpu::TROUPE_ISA {
namespace {

/// Four chains of sixteen lanes, block mod 4, joined as (0 + 1) + (2 + 3).
TROUPE_INLINE float sum_of_squares(const float* x, Index width) {
  V16 chains[4] = {set1(0.0f), set1(0.0f), set1(0.0f), set1(0.0f)};
  Index i = 0;
  for (; i + 64 <= width; i += 64)
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const V16 v = load(x + i + 16 * c);
      chains[c] = fma(v, v, chains[c]);
    }
#pragma GCC unroll 3
  for (int c = 0; c < 3; ++c)
    if (i + 16 * c < width) {
      const V16 v = load(x + i + 16 * c);
      chains[c] = fma(v, v, chains[c]);
    }
  return sum((chains[0] + chains[1]) + (chains[2] + chains[3]));
}

void rms_norm(const NormShape& shape, const float* x, const float* weight, float* y) {
  for (Index row = 0; row < shape.rows; ++row, x += shape.width, y += shape.width) {
    const float mean = sum_of_squares(x, shape.width) / static_cast<float>(shape.mean_over);
    const V16 scale = set1(1.0f / __builtin_sqrtf(mean + shape.epsilon));
    for (Index i = 0; i < shape.width; i += 16)
      store(y + i, load(x + i) * scale * load(weight + i));
  }
}

/// One head in place.
TROUPE_INLINE void rotate(float* x, const float* cos, const float* sin, V16 scale, Index dim) {
  if (dim == 16) {
    const V16 v = load(x);
    store(x, fma(v, load(cos), swap_halves(v) * load(sin)) * scale);
    return;
  }
  const Index half = dim / 2;
  for (Index i = 0; i < half; i += 16) {
    const V16 lower = load(x + i), upper = load(x + half + i);
    store(x + i, fma(lower, load(cos + i), upper * load(sin + i)) * scale);
    store(x + half + i, fma(upper, load(cos + half + i), lower * load(sin + half + i)) * scale);
  }
}

TROUPE_INLINE void store_in_cache(const HeadShape& shape, const CachedRow& row, const float* k,
                                  const float* v) {
  const Index head_stride = shape.capacity * shape.dim;
  float* key = row.keys + row.position / 16 * 16 * shape.dim + row.position % 16;
  float* value = row.values + row.position * shape.dim;
  for (Index head = 0; head < shape.kv; ++head) {
    for (Index i = 0; i < shape.dim; ++i) key[i * 16] = k[i];
    for (Index i = 0; i < shape.dim; i += 16) store(value + i, load(v + i));
    k += shape.dim, v += shape.dim;
    key += head_stride, value += head_stride;
  }
}

void append(const HeadShape& shape, const Rotation& rotation, const CachedRow* rows, Index count,
            float* qkv) {
  const V16 query_scale = set1(rotation.query_scale), one = set1(1.0f);
  NormShape queries = rotation.norm, keys = rotation.norm;
  queries.rows = shape.query;
  keys.rows = shape.kv;
  for (Index r = 0; r < count; ++r) {
    float* const q = qkv + r * shape.row();
    float* const k = q + shape.query * shape.dim;
    if (rotation.q_norm) {
      rms_norm(queries, q, rotation.q_norm, q);
      rms_norm(keys, k, rotation.k_norm, k);
    }
    const float* cos = rotation.cos + rows[r].position * shape.dim;
    const float* sin = rotation.sin + rows[r].position * shape.dim;
    for (Index h = 0; h < shape.query; ++h)
      rotate(q + h * shape.dim, cos, sin, query_scale, shape.dim);
    for (Index h = 0; h < shape.kv; ++h) rotate(k + h * shape.dim, cos, sin, one, shape.dim);
    store_in_cache(shape, rows[r], k, k + shape.kv * shape.dim);
  }
}

void swiglu(Index rows, Index width, const float* gate_up, float* out) {
  const V16 one = set1(1.0f), zero = set1(0.0f);
  for (Index row = 0; row < rows; ++row, gate_up += 2 * width, out += width)
    for (Index i = 0; i < width; i += 16) {
      const V16 gate = load(gate_up + i);
      store(out + i, gate / (one + exp(zero - gate)) * load(gate_up + width + i));
    }
}

void masses(Index count, const float* logits, const float* bias, float best, float scale,
            float* mass) {
  const V16 shift = set1(best), factor = set1(scale);
  Index i = 0;
  for (; i + 16 <= count; i += 16)
    store(mass + i, exp((load(logits + i) + load(bias + i) - shift) * factor));
  if (i == count) return;
  float rest[16] = {}, biases[16] = {};
  for (Index j = i; j < count; ++j) rest[j - i] = logits[j], biases[j - i] = bias[j];
  store(rest, exp((load(rest) + load(biases) - shift) * factor));
  for (Index j = i; j < count; ++j) mass[j] = rest[j - i];
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
