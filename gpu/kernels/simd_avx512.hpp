#pragma once
// Sixteen float lanes in one zmm register. Included only by decode_kernels_avx512.cpp, and like
// everything the kernel files include it has no inline function of the standard library: one
// compiled with AVX-512 could be the copy the linker keeps for everybody.
#include <immintrin.h>

#define TROUPE_INLINE inline __attribute__((always_inline))

namespace troupe::gpu::TROUPE_ISA {
namespace {

constexpr int kAccumulators = 24;  // vectors of a block of a product that stay in registers
constexpr int kBand = 6;           // rows of such a block at most
constexpr int kHeads = 4;          // query heads of one KV head that attention takes at once

using Mask = __mmask16;
struct V16 {
  __m512 v;
};

TROUPE_INLINE V16 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
TROUPE_INLINE void store(float* p, V16 a) {
  _mm512_storeu_ps(p, a.v);
}
TROUPE_INLINE V16 set1(float x) {
  return {_mm512_set1_ps(x)};
}
TROUPE_INLINE V16 operator+(V16 a, V16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
TROUPE_INLINE V16 operator-(V16 a, V16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
TROUPE_INLINE V16 operator*(V16 a, V16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
TROUPE_INLINE V16 operator/(V16 a, V16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
TROUPE_INLINE V16 fma(V16 a, V16 b, V16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
TROUPE_INLINE V16 larger(V16 a, V16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
TROUPE_INLINE V16 smaller(V16 a, V16 b) {
  return {_mm512_min_ps(a.v, b.v)};
}
TROUPE_INLINE Mask less(V16 a, V16 b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ);
}
TROUPE_INLINE Mask first(int n) {
  return static_cast<Mask>((1u << n) - 1u);
}
TROUPE_INLINE V16 select(Mask m, V16 yes, V16 no) {
  return {_mm512_mask_blend_ps(m, no.v, yes.v)};
}
TROUPE_INLINE V16 swap_halves(V16 a) {
  return {_mm512_shuffle_f32x4(a.v, a.v, 0x4e)};
}
/// 2^(n - origin), for the bits n of a float.
TROUPE_INLINE V16 exponent(V16 bits, int origin) {
  const __m512i n = _mm512_sub_epi32(_mm512_castps_si512(bits.v), _mm512_set1_epi32(origin - 127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(n, 23))};
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
