#pragma once
// Attention of single rows over their cached keys, in three passes over all heads of a row, so that
// the short dependent chains of one head overlap with those of the others. Included only by
// decode_table.hpp. Dim: the width of a head where it is known at compile time, else 0.
//
// Order of sums. Score: one chain over the head's width. Softmax: lane = key mod 16, blocks of
// sixteen keys ascending, then sum(). Output: four chains, key mod 4, joined as (0 + 1) + (2 + 3).
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/kernels/simd.hpp"

namespace troupe::gpu::TROUPE_ISA {
namespace {

/// What one row attends to. Scores of a head: [capacity].
struct Attending {
  const HeadShape& shape;
  const CachedRow& row;
  const float* q;
  float *out, *scores, *inverse_sums;

  Index keys() const { return row.position + 1; }
};

/// Count query heads of one KV head against Blocks blocks of sixteen keys; lanes past the last key
/// become -infinity after the score, so that they have no weight whatever lies there.
template <int Count, int Blocks, int Dim>
TROUPE_INLINE void score_blocks(const Attending& a, Index head, const float* keys, Index key) {
  const Index dim = Dim ? Dim : a.shape.dim;
  const float* q = a.q + head * dim;
  V16 sums[Count][Blocks];
#pragma GCC unroll 4
  for (int h = 0; h < Count; ++h)
#pragma GCC unroll 2
    for (int b = 0; b < Blocks; ++b) sums[h][b] = set1(0.0f);
#pragma GCC unroll 4
  for (Index d = 0; d < dim; ++d) {
    V16 k[Blocks];
#pragma GCC unroll 2
    for (int b = 0; b < Blocks; ++b) k[b] = load(keys + (key + 16 * b) * dim + d * 16);
#pragma GCC unroll 4
    for (int h = 0; h < Count; ++h) {
      const V16 x = set1(q[h * dim + d]);
#pragma GCC unroll 2
      for (int b = 0; b < Blocks; ++b) sums[h][b] = fma(x, k[b], sums[h][b]);
    }
  }
#pragma GCC unroll 2
  for (int b = 0; b < Blocks; ++b) {
    const Index left = a.keys() - key - 16 * b;
    const Mask valid = first(static_cast<int>(left < 16 ? left : 16));
#pragma GCC unroll 4
    for (int h = 0; h < Count; ++h)
      store(a.scores + (head + h) * a.shape.capacity + key + 16 * b,
            select(valid, sums[h][b], set1(-__builtin_inff())));
  }
}

template <int Count, int Dim>
void score(const Attending& a, Index head, const float* keys) {
  Index key = 0;
  for (; key + 16 < a.keys(); key += 32) score_blocks<Count, 2, Dim>(a, head, keys, key);
  if (key < a.keys()) score_blocks<Count, 1, Dim>(a, head, keys, key);
}

/// Scores of Count heads become exp(score - highest).
template <int Count>
void exponentials(const Attending& a, Index head) {
  float* p = a.scores + head * a.shape.capacity;
  const Index stride = a.shape.capacity;
  V16 best[Count], sums[Count];
#pragma GCC unroll 4
  for (int h = 0; h < Count; ++h) best[h] = load(p + h * stride);
  for (Index k = 16; k < a.keys(); k += 16)
#pragma GCC unroll 4
    for (int h = 0; h < Count; ++h) best[h] = larger(best[h], load(p + h * stride + k));
#pragma GCC unroll 4
  for (int h = 0; h < Count; ++h) {
    best[h] = set1(highest(best[h]));
    sums[h] = set1(0.0f);
  }
  for (Index k = 0; k < a.keys(); k += 16)
#pragma GCC unroll 4
    for (int h = 0; h < Count; ++h) {
      const V16 e = exp(load(p + h * stride + k) - best[h]);
      store(p + h * stride + k, e);
      sums[h] = sums[h] + e;
    }
#pragma GCC unroll 4
  for (int h = 0; h < Count; ++h) a.inverse_sums[head + h] = 1.0f / sum(sums[h]);
}

template <int Count, int Dim>
void weigh(const Attending& a, Index head, const float* values) {
  const Index dim = Dim ? Dim : a.shape.dim, stride = a.shape.capacity, keys = a.keys();
  const float* p = a.scores + head * stride;
  for (Index d = 0; d < dim; d += 16) {
    V16 sums[Count][4];
#pragma GCC unroll 4
    for (int h = 0; h < Count; ++h)
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) sums[h][c] = set1(0.0f);
    Index k = 0;
    for (; k + 4 <= keys; k += 4)
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        const V16 value = load(values + (k + c) * dim + d);
#pragma GCC unroll 4
        for (int h = 0; h < Count; ++h)
          sums[h][c] = fma(set1(p[h * stride + k + c]), value, sums[h][c]);
      }
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c)
      if (k + c < keys) {
        const V16 value = load(values + (k + c) * dim + d);
#pragma GCC unroll 4
        for (int h = 0; h < Count; ++h)
          sums[h][c] = fma(set1(p[h * stride + k + c]), value, sums[h][c]);
      }
#pragma GCC unroll 4
    for (int h = 0; h < Count; ++h)
      store(a.out + (head + h) * dim + d, ((sums[h][0] + sums[h][1]) + (sums[h][2] + sums[h][3])) *
                                              set1(a.inverse_sums[head + h]));
  }
}

/// Calls f<Count>(first head) for runs of up to kHeads heads out of `group`, the heads of one KV
/// head.
template <template <int> class F, class... Args>
TROUPE_INLINE void each_run(Index head, Index group, const Args&... args) {
  const Index end = head + group;
  if constexpr (kHeads >= 4)
    for (; end - head >= 4; head += 4) F<4>::run(head, args...);
  if constexpr (kHeads >= 2)
    for (; end - head >= 2; head += 2) F<2>::run(head, args...);
  for (; head < end; ++head) F<1>::run(head, args...);
}

template <int Dim>
struct Passes {
  template <int Count>
  struct Score {
    TROUPE_INLINE static void run(Index head, const Attending& a, const float* keys) {
      score<Count, Dim>(a, head, keys);
    }
  };
  template <int Count>
  struct Exponentials {
    TROUPE_INLINE static void run(Index head, const Attending& a) { exponentials<Count>(a, head); }
  };
  template <int Count>
  struct Weigh {
    TROUPE_INLINE static void run(Index head, const Attending& a, const float* values) {
      weigh<Count, Dim>(a, head, values);
    }
  };

  static void run(const Attending& a) {
    const HeadShape& s = a.shape;
    const Index group = s.query / s.kv, kv_stride = s.capacity * s.dim;
    for (Index kv = 0; kv < s.kv; ++kv)
      each_run<Score>(kv * group, group, a, a.row.keys + kv * kv_stride);
    each_run<Exponentials>(0, s.query, a);
    for (Index kv = 0; kv < s.kv; ++kv)
      each_run<Weigh>(kv * group, group, a, a.row.values + kv * kv_stride);
  }
};

using AttendFunction = void (*)(const Attending&);

AttendFunction attend_function(Index dim) {
  if (dim == 16) return Passes<16>::run;
  if (dim == 32) return Passes<32>::run;
  if (dim == 64) return Passes<64>::run;
  if (dim == 128) return Passes<128>::run;
  return Passes<0>::run;
}

void attention(const HeadShape& shape, const CachedRow* rows, Index count, const float* qkv,
               float* out, float* scratch) {
  const AttendFunction attend = attend_function(shape.dim);
  float* const inverse_sums = scratch + shape.query * shape.capacity;
  for (Index r = 0; r < count; ++r)
    attend({shape, rows[r], qkv + r * shape.row(), out + r * shape.query * shape.dim, scratch,
            inverse_sums});
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
