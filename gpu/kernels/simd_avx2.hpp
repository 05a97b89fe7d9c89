#pragma once
// Sixteen float lanes in two ymm registers. Included only by decode_kernels_avx2.cpp.
#include <immintrin.h>

#define TROUPE_INLINE inline __attribute__((always_inline))

namespace troupe::gpu::TROUPE_ISA {
namespace {

constexpr int kAccumulators = 6, kBand = 6, kHeads = 2;  // as in simd_avx512.hpp

struct V16 {
  __m256 lo, hi;
};
using Mask = V16;

TROUPE_INLINE V16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
TROUPE_INLINE void store(float* p, V16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
TROUPE_INLINE V16 set1(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
TROUPE_INLINE V16 operator+(V16 a, V16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
TROUPE_INLINE V16 operator-(V16 a, V16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
TROUPE_INLINE V16 operator*(V16 a, V16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
TROUPE_INLINE V16 operator/(V16 a, V16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
TROUPE_INLINE V16 fma(V16 a, V16 b, V16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
TROUPE_INLINE V16 larger(V16 a, V16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
TROUPE_INLINE V16 smaller(V16 a, V16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
TROUPE_INLINE Mask less(V16 a, V16 b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
TROUPE_INLINE Mask first(int n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lanes)),
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lanes))};
}
TROUPE_INLINE V16 select(Mask m, V16 yes, V16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}
TROUPE_INLINE V16 swap_halves(V16 a) {
  return {a.hi, a.lo};
}
TROUPE_INLINE __m256 exponent(__m256 bits, int origin) {
  const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(bits), _mm256_set1_epi32(origin - 127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
TROUPE_INLINE V16 exponent(V16 bits, int origin) {
  return {exponent(bits.lo, origin), exponent(bits.hi, origin)};
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
