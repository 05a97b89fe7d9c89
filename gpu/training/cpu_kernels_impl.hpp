#pragma once
// Included only by cpu_kernels_<isa>.cpp, each of which defines TROUPE_ISA (a namespace) and has
// its own compiler flags. No standard header with inline code here: an inline function compiled
// with AVX-512 could be the copy the linker keeps for everybody.
#include "gpu/training/cpu_kernels.hpp"

#define TROUPE_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define TROUPE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define TROUPE_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace troupe::gpu::TROUPE_ISA {
namespace {

using Index = std::ptrdiff_t;
constexpr Index kLanes = 16;
typedef float V16 __attribute__((vector_size(64)));
typedef float V16Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef int I16 __attribute__((vector_size(64)));

constexpr float kMasked = -1e30f;  // finite, so that 0 * masked is 0

TROUPE_INLINE V16 load(const float* p) {
  return *reinterpret_cast<const V16Unaligned*>(p);
}
TROUPE_INLINE void store(float* p, V16 v) {
  *reinterpret_cast<V16Unaligned*>(p) = v;
}
TROUPE_INLINE V16 set1(float x) {
  return V16{} + x;
}
TROUPE_INLINE V16 load_first(const float* p, Index n, float rest = 0.0f) {
  if (n >= kLanes) return load(p);
  V16 v = set1(rest);
  for (Index i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
TROUPE_INLINE void store_first(float* p, Index n, V16 v) {
  if (n >= kLanes) return store(p, v);
  for (Index i = 0; i < n; ++i) p[i] = v[i];
}
TROUPE_INLINE V16 larger(V16 a, V16 b) {
  return a > b ? a : b;
}
TROUPE_INLINE float sum(V16 v) {
  float half[8], quarter[4];
  for (int i = 0; i < 8; ++i) half[i] = v[i] + v[i + 8];
  for (int i = 0; i < 4; ++i) quarter[i] = half[i] + half[i + 4];
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}
TROUPE_INLINE float highest(V16 v) {
  float best = v[0];
  for (int i = 1; i < 16; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

/// exp to 2 ulp; exactly 0 below -87; NaN stays NaN. REQUIRES: x below 88.
TROUPE_INLINE V16 exp(V16 x) {
  const V16 floor = set1(-87.0f);
  const V16 clamped = x < floor ? floor : x;
  const V16 rounded =
      clamped * 1.44269504f + 12582912.0f;  // the integer part lands in the low mantissa bits
  const V16 n = rounded - 12582912.0f;
  const V16 r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
  V16 y = r * 1.3981999e-3f + 8.3333333e-3f;
  y = y * r + 4.1666677e-2f;
  y = y * r + 1.6666666e-1f;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  const I16 exponent = ((I16)rounded - 0x4B400000 + 127) << 23;
  const V16 result = y * (V16)exponent;
  return x < floor ? V16{} : result;
}

TROUPE_INLINE float dot(const float* a, const float* b, Index n) {
  V16 total{};
  for (Index i = 0; i < n; i += kLanes)
    total += load_first(a + i, n - i) * load_first(b + i, n - i);
  return sum(total);
}

// ---- Norm, rotation, activation ----

void rms_norm(Rows shape, const float* x, Index x_stride, const float* weight, float epsilon,
              float* y, Index y_stride, float* inverse) {
  const Index n = shape.width;
  for (Index row = 0; row < shape.rows; ++row)
    for (Index group = 0; group < shape.groups; ++group) {
      const float* from = x + row * x_stride + group * n;
      float* to = y + row * y_stride + group * n;
      const float scale =
          1.0f / __builtin_sqrtf(dot(from, from, n) / static_cast<float>(n) + epsilon);
      inverse[row * shape.groups + group] = scale;
      for (Index i = 0; i < n; i += kLanes)
        store_first(to + i, n - i,
                    load_first(from + i, n - i) * scale * load_first(weight + i, n - i));
    }
}

/// One vector of x, dy and the weight: d(x * scale * w) with `shared` = mean(dy w x) * scale^3
/// taken out.
TROUPE_INLINE void rms_norm_backward_lanes(const float* dy, const float* x, const float* weight,
                                           float scale, float shared, bool accumulate, float* dx,
                                           float* dweight, Index n) {
  const V16 gradient = load_first(dy, n), value = load_first(x, n);
  V16 result = gradient * load_first(weight, n) * scale - value * shared;
  if (accumulate) result += load_first(dx, n);
  store_first(dweight, n, load_first(dweight, n) + gradient * value * scale);
  store_first(dx, n, result);
}

void rms_norm_backward(Rows shape, const float* dy, Index dy_stride, const float* x, Index x_stride,
                       const float* weight, const float* inverse, bool accumulate, float* dx,
                       Index dx_stride, float* dweight) {
  const Index n = shape.width;
  for (Index row = 0; row < shape.rows; ++row)
    for (Index group = 0; group < shape.groups; ++group) {
      const float* gradient = dy + row * dy_stride + group * n;
      const float* value = x + row * x_stride + group * n;
      float* to = dx + row * dx_stride + group * n;
      const float scale = inverse[row * shape.groups + group];
      V16 product{};
      for (Index i = 0; i < n; i += kLanes)
        product += load_first(gradient + i, n - i) * load_first(value + i, n - i) *
                   load_first(weight + i, n - i);
      const float shared = sum(product) / static_cast<float>(n) * scale * scale * scale;
      for (Index i = 0; i < n; i += kLanes)
        rms_norm_backward_lanes(gradient + i, value + i, weight + i, scale, shared, accumulate,
                                to + i, dweight + i, n - i);
    }
}

void rope(Index rows, Index heads, Index dim, float* x, Index x_stride,
          const std::int64_t* positions, const float* cos, const float* sin, float sign) {
  const Index half = dim / 2;
  for (Index row = 0; row < rows; ++row) {
    const float* c = cos + positions[row] * half;
    const float* s = sin + positions[row] * half;
    for (Index head = 0; head < heads; ++head) {
      float* first = x + row * x_stride + head * dim;
      float* second = first + half;
      TROUPE_INDEPENDENT
      for (Index i = 0; i < half; ++i) {
        const float a = first[i], b = second[i], turn = sign * s[i];
        first[i] = a * c[i] - b * turn;
        second[i] = b * c[i] + a * turn;
      }
    }
  }
}

TROUPE_INLINE V16 sigmoid(V16 x) {
  const V16 limit = set1(-87.0f);
  const V16 safe = x < limit ? limit : x;  // exp(-x) stays finite
  return 1.0f / (1.0f + exp(-safe));
}

void swiglu(Index rows, Index width, const float* gate_up, float* activated) {
  for (Index row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    for (Index i = 0; i < width; i += kLanes) {
      const V16 g = load_first(gate + i, width - i);
      store_first(activated + row * width + i, width - i,
                  g * sigmoid(g) * load_first(gate + width + i, width - i));
    }
  }
}

void swiglu_backward(Index rows, Index width, const float* dactivated, const float* gate_up,
                     float* dgate_up) {
  for (Index row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    float* dgate = dgate_up + row * 2 * width;
    for (Index i = 0; i < width; i += kLanes) {
      const Index n = width - i;
      const V16 d = load_first(dactivated + row * width + i, n), g = load_first(gate + i, n);
      const V16 s = sigmoid(g);
      store_first(dgate + i, n, d * load_first(gate + width + i, n) * s * (1.0f + g * (1.0f - s)));
      store_first(dgate + width + i, n, d * g * s);
    }
  }
}

// ---- Attention ----
// Four queries of one KV head at a time: their score chains are independent, and each key and value
// is read once for all.

constexpr Index kQueries = 4;

TROUPE_INLINE Index padded(Index n) {
  return (n + kLanes - 1) / kLanes * kLanes;
}

/// Scratch of one KV head. Transposed: [key / 16][dim][16], lane = key. By row: [key][padded dim].
/// Padding is 0.
struct HeadCache {
  Index length, dim, wide;  // wide: padded(dim)
  float *keys, *values;     // by row
  float *keys_transposed, *values_transposed;
  float *dkeys, *dvalues;         // by row
  float *scores, *dscores;        // [kQueries][padded(length)]
  float *queries, *douts, *outs;  // [kQueries][wide]
};

TROUPE_INLINE HeadCache carve(float* scratch, Index length, Index dim) {
  const Index wide = padded(dim), by_row = padded(length) * wide, transposed = padded(length) * dim;
  HeadCache c{length,  dim,     wide,    nullptr, nullptr, nullptr, nullptr,
              nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  float** const parts[] = {&c.keys, &c.values, &c.dkeys, &c.dvalues};
  for (float** part : parts) *part = scratch, scratch += by_row;
  c.keys_transposed = scratch, scratch += transposed;
  c.values_transposed = scratch, scratch += transposed;
  c.scores = scratch, scratch += kQueries * padded(length);
  c.dscores = scratch, scratch += kQueries * padded(length);
  c.queries = scratch, scratch += kQueries * wide;
  c.douts = scratch, scratch += kQueries * wide;
  c.outs = scratch;
  return c;
}

TROUPE_INLINE void copy_padded(const float* from, Index n, Index wide, float* to) {
  for (Index i = 0; i < n; ++i) to[i] = from[i];
  for (Index i = n; i < wide; ++i) to[i] = 0.0f;
}

void transpose(const float* rows, Index length, Index dim, Index stride, float* to) {
  for (Index block = 0; block < length; block += kLanes)
    for (Index lane = 0; lane < kLanes; ++lane)
      for (Index d = 0; d < dim; ++d)
        to[block * dim + d * kLanes + lane] =
            block + lane < length ? rows[(block + lane) * stride + d] : 0.0f;
}

TROUPE_INLINE void cache_head(const AttentionShape& shape, Index kv_head, const float* qkv,
                              const HeadCache& c) {
  const float* k = qkv + (shape.heads + kv_head) * shape.dim;
  const float* v = k + shape.kv_heads * shape.dim;
  transpose(k, c.length, c.dim, shape.row(), c.keys_transposed);
  for (Index t = 0; t < c.length; ++t)
    copy_padded(v + t * shape.row(), c.dim, c.wide, c.values + t * c.wide);
}

/// to[r][keys] = rows of `queries` times the transposed keys, blocks [0, blocks).
TROUPE_INLINE void products(const float* queries, Index wide, const float* transposed, Index dim,
                            Index blocks, Index width, float* to) {
  for (Index b = 0; b < blocks; ++b) {
    V16 s0{}, s1{}, s2{}, s3{};
    const float* block = transposed + b * kLanes * dim;
    for (Index d = 0; d < dim; ++d) {
      const V16 k = load(block + d * kLanes);
      s0 += queries[d] * k;
      s1 += queries[wide + d] * k;
      s2 += queries[2 * wide + d] * k;
      s3 += queries[3 * wide + d] * k;
    }
    store(to + b * kLanes, s0);
    store(to + width + b * kLanes, s1);
    store(to + 2 * width + b * kLanes, s2);
    store(to + 3 * width + b * kLanes, s3);
  }
}

/// out[r][0..16) = sum over keys of weights[r][key] * rows[key][0..16).
TROUPE_INLINE void weighted_sum(const float* weights, Index width, const float* rows, Index stride,
                                Index keys, float* out, Index out_stride) {
  V16 s0{}, s1{}, s2{}, s3{};
  for (Index j = 0; j < keys; ++j) {
    const V16 row = load(rows + j * stride);
    s0 += weights[j] * row;
    s1 += weights[width + j] * row;
    s2 += weights[2 * width + j] * row;
    s3 += weights[3 * width + j] * row;
  }
  store(out, s0);
  store(out + out_stride, s1);
  store(out + 2 * out_stride, s2);
  store(out + 3 * out_stride, s3);
}

/// rows[key][0..16) += sum over r of weights[r][key] * queries[r][0..16).
TROUPE_INLINE void spread(const float* weights, Index width, const float* queries, Index wide,
                          Index keys, float* rows) {
  const V16 q0 = load(queries), q1 = load(queries + wide), q2 = load(queries + 2 * wide),
            q3 = load(queries + 3 * wide);
  for (Index j = 0; j < keys; ++j) {
    const V16 upper = weights[j] * q0 + weights[width + j] * q1;
    const V16 lower = weights[2 * width + j] * q2 + weights[3 * width + j] * q3;
    store(rows + j * wide, load(rows + j * wide) + (upper + lower));
  }
}

TROUPE_INLINE V16 lanes_from(Index first) {
  const V16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lanes + static_cast<float>(first);
}

/// Scores to unnormalised probabilities in place; returns their sum and sets `top` to the largest
/// scaled score.
TROUPE_INLINE float softmax(float* scores, Index position, Index blocks, float scale, float* top) {
  V16 best = set1(kMasked);
  for (Index b = 0; b < blocks; ++b) {
    const V16 lanes = lanes_from(b * kLanes);
    const V16 s = lanes > set1(static_cast<float>(position)) ? set1(kMasked)
                                                             : load(scores + b * kLanes) * scale;
    store(scores + b * kLanes, s);
    best = larger(best, s);
  }
  *top = highest(best);
  V16 total{};
  for (Index b = 0; b < blocks; ++b) {
    const V16 p = exp(load(scores + b * kLanes) - *top);
    store(scores + b * kLanes, p);
    total += p;
  }
  return sum(total);
}

/// The query of index n among the queries of a KV head, position by position; the last one again
/// beyond the end.
struct Query {
  Index position, head;
};
TROUPE_INLINE Query query_at(const AttentionShape& shape, Index kv_head, Index n, Index count) {
  const Index group = shape.heads / shape.kv_heads, at = n < count ? n : count - 1;
  return {at / group, kv_head * group + at % group};
}

void attention_head(const AttentionShape& shape, Index kv_head, const HeadCache& c,
                    const float* qkv, float* out, float* lse, float scale) {
  const Index width = padded(c.length), count = c.length * (shape.heads / shape.kv_heads),
              out_row = shape.heads * shape.dim;
  for (Index n = 0; n < count; n += kQueries) {
    const Index last = query_at(shape, kv_head, n + kQueries - 1, count).position,
                blocks = last / kLanes + 1;
    for (Index r = 0; r < kQueries; ++r) {
      const Query q = query_at(shape, kv_head, n + r, count);
      copy_padded(qkv + q.position * shape.row() + q.head * c.dim, c.dim, c.wide,
                  c.queries + r * c.wide);
    }
    products(c.queries, c.wide, c.keys_transposed, c.dim, blocks, width, c.scores);
    float sums[kQueries];
    for (Index r = 0; r < kQueries; ++r) {
      const Query q = query_at(shape, kv_head, n + r, count);
      float top;
      sums[r] = softmax(c.scores + r * width, q.position, blocks, scale, &top);
      lse[q.position * shape.heads + q.head] = top + __builtin_logf(sums[r]);
    }
    for (Index d = 0; d < c.wide; d += kLanes)
      weighted_sum(c.scores, width, c.values + d, c.wide, last + 1, c.outs + d, c.wide);
    for (Index r = 0; r < kQueries; ++r) {
      const Query q = query_at(shape, kv_head, n + r, count);
      float* to = out + q.position * out_row + q.head * c.dim;
      const float inverse = 1.0f / sums[r];
      for (Index d = 0; d < c.dim; d += kLanes)
        store_first(to + d, c.dim - d, load(c.outs + r * c.wide + d) * inverse);
    }
  }
}

void attention(AttentionShape shape, Index length, const float* qkv, float* out, float* lse,
               float* scratch) {
  const HeadCache c = carve(scratch, length, shape.dim);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(shape.dim));
  for (Index kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    cache_head(shape, kv_head, qkv, c);
    attention_head(shape, kv_head, c, qkv, out, lse, scale);
  }
}

/// Scores and d p to probabilities and d scores, in place. Both 0 where `live` is false.
TROUPE_INLINE void softmax_backward(float* scores, float* dscores, Index position, Index blocks,
                                    float scale, float lse, float delta, bool live) {
  const float limit = live ? static_cast<float>(position) : -1.0f;
  for (Index b = 0; b < blocks; ++b) {
    const V16 masked = set1(kMasked);
    const V16 s =
        lanes_from(b * kLanes) > set1(limit) ? masked : load(scores + b * kLanes) * scale - lse;
    const V16 p = exp(s);
    store(scores + b * kLanes, p);
    store(dscores + b * kLanes, p * (load(dscores + b * kLanes) - delta) * scale);
  }
}

struct AttentionGradient {
  const float *qkv, *out, *lse, *dout;
  float* dqkv;
};

void attention_backward_queries(const AttentionShape& shape, Index kv_head, const HeadCache& c,
                                const AttentionGradient& g, Index n, Index count, float scale) {
  const Index width = padded(c.length), out_row = shape.heads * shape.dim;
  const Index last = query_at(shape, kv_head, n + kQueries - 1, count).position,
              blocks = last / kLanes + 1;
  for (Index r = 0; r < kQueries; ++r) {
    const Query q = query_at(shape, kv_head, n + r, count);
    copy_padded(g.qkv + q.position * shape.row() + q.head * c.dim, c.dim, c.wide,
                c.queries + r * c.wide);
    copy_padded(g.dout + q.position * out_row + q.head * c.dim, c.dim, c.wide,
                c.douts + r * c.wide);
  }
  products(c.queries, c.wide, c.keys_transposed, c.dim, blocks, width, c.scores);
  products(c.douts, c.wide, c.values_transposed, c.dim, blocks, width, c.dscores);
  for (Index r = 0; r < kQueries; ++r) {
    const Query q = query_at(shape, kv_head, n + r, count);
    const float delta =
        dot(c.douts + r * c.wide, g.out + q.position * out_row + q.head * c.dim, c.dim);
    softmax_backward(c.scores + r * width, c.dscores + r * width, q.position, blocks, scale,
                     g.lse[q.position * shape.heads + q.head], delta, n + r < count);
  }
  for (Index d = 0; d < c.wide; d += kLanes) {
    weighted_sum(c.dscores, width, c.keys + d, c.wide, last + 1, c.outs + d, c.wide);
    spread(c.dscores, width, c.queries + d, c.wide, last + 1, c.dkeys + d);
    spread(c.scores, width, c.douts + d, c.wide, last + 1, c.dvalues + d);
  }
  for (Index r = 0; r < kQueries && n + r < count; ++r) {
    const Query q = query_at(shape, kv_head, n + r, count);
    float* to = g.dqkv + q.position * shape.row() + q.head * c.dim;
    for (Index d = 0; d < c.dim; ++d) to[d] = c.outs[r * c.wide + d];
  }
}

void attention_backward(AttentionShape shape, Index length, const float* qkv, const float* out,
                        const float* lse, const float* dout, float* dqkv, float* scratch) {
  const HeadCache c = carve(scratch, length, shape.dim);
  const AttentionGradient g{qkv, out, lse, dout, dqkv};
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(shape.dim));
  const Index count = length * (shape.heads / shape.kv_heads);
  for (Index kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    const Index k = (shape.heads + kv_head) * shape.dim, v = k + shape.kv_heads * shape.dim;
    cache_head(shape, kv_head, qkv, c);
    transpose(qkv + v, length, c.dim, shape.row(), c.values_transposed);
    for (Index t = 0; t < length; ++t)
      copy_padded(qkv + t * shape.row() + k, c.dim, c.wide, c.keys + t * c.wide);
    for (Index i = 0; i < length * c.wide; ++i) c.dkeys[i] = c.dvalues[i] = 0.0f;
    for (Index n = 0; n < count; n += kQueries)
      attention_backward_queries(shape, kv_head, c, g, n, count, scale);
    for (Index t = 0; t < length; ++t)
      for (Index d = 0; d < c.dim; ++d) {
        dqkv[t * shape.row() + k + d] = c.dkeys[t * c.wide + d];
        dqkv[t * shape.row() + v + d] = c.dvalues[t * c.wide + d];
      }
  }
}

// ---- Head ----

void log_softmax(Index rows, Index vocab, float* logits, const float* bias,
                 float inverse_temperature, const std::int64_t* targets, float* log_probs,
                 float* entropies) {
  for (Index row = 0; row < rows; ++row) {
    float* z = logits + row * vocab;
    V16 best = set1(kMasked);
    for (Index i = 0; i < vocab; i += kLanes) {
      const V16 value = load_first(z + i, vocab - i) * inverse_temperature +
                        load_first(bias + i, vocab - i, kMasked);
      store_first(z + i, vocab - i, value);
      best = larger(best, value);
    }
    const float top = highest(best);
    V16 total{}, weighted{};
    for (Index i = 0; i < vocab; i += kLanes) {
      const V16 shifted = load_first(z + i, vocab - i, kMasked) - top, p = exp(shifted);
      total += p;
      weighted += p * shifted;
    }
    const float mass = sum(total), lse = __builtin_logf(mass);
    for (Index i = 0; i < vocab; i += kLanes)
      store_first(z + i, vocab - i, load_first(z + i, vocab - i) - top - lse);
    log_probs[row] = bias[targets[row]] < 0.0f ? -__builtin_inff() : z[targets[row]];
    entropies[row] = lse - sum(weighted) / mass;
  }
}

void log_softmax_backward(Index rows, Index vocab, float* log_probs, const float* entropies,
                          float inverse_temperature, const std::int64_t* targets,
                          const float* d_log_prob, const float* d_entropy, Index d_stride) {
  for (Index row = 0; row < rows; ++row) {
    float* z = log_probs + row * vocab;
    const float first = d_log_prob[row * d_stride], second = d_entropy[row * d_stride],
                entropy = entropies[row];
    for (Index i = 0; i < vocab; i += kLanes) {
      const V16 value = load_first(z + i, vocab - i, kMasked), p = exp(value);
      store_first(z + i, vocab - i,
                  -inverse_temperature * p * (first + second * (value + entropy)));
    }
    z[targets[row]] += first * inverse_temperature;
  }
}

constexpr CpuKernels table(const char* name) {
  return {name,
          rms_norm,
          rms_norm_backward,
          rope,
          swiglu,
          swiglu_backward,
          attention,
          attention_backward,
          log_softmax,
          log_softmax_backward};
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
