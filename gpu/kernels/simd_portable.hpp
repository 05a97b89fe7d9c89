#pragma once
// Sixteen float lanes in an array, for any processor. Included only by decode_kernels_portable.cpp.

#define TROUPE_INLINE inline __attribute__((always_inline))
#define TROUPE_EACH for (int i = 0; i < 16; ++i)

namespace troupe::gpu::TROUPE_ISA {
namespace {

constexpr int kAccumulators = 4, kBand = 4, kHeads = 1;  // as in simd_avx512.hpp

struct V16 {
  float v[16];
};
struct Mask {
  bool v[16];
};

TROUPE_INLINE V16 load(const float* p) {
  V16 r;
  TROUPE_EACH r.v[i] = p[i];
  return r;
}
TROUPE_INLINE void store(float* p, V16 a) {
  TROUPE_EACH p[i] = a.v[i];
}
TROUPE_INLINE V16 set1(float x) {
  V16 r;
  TROUPE_EACH r.v[i] = x;
  return r;
}
TROUPE_INLINE V16 operator+(V16 a, V16 b) {
  TROUPE_EACH a.v[i] = a.v[i] + b.v[i];
  return a;
}
TROUPE_INLINE V16 operator-(V16 a, V16 b) {
  TROUPE_EACH a.v[i] = a.v[i] - b.v[i];
  return a;
}
TROUPE_INLINE V16 operator*(V16 a, V16 b) {
  TROUPE_EACH a.v[i] = a.v[i] * b.v[i];
  return a;
}
TROUPE_INLINE V16 operator/(V16 a, V16 b) {
  TROUPE_EACH a.v[i] = a.v[i] / b.v[i];
  return a;
}
TROUPE_INLINE V16 fma(V16 a, V16 b, V16 c) {
  TROUPE_EACH c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return c;
}
TROUPE_INLINE V16 larger(V16 a, V16 b) {
  TROUPE_EACH b.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return b;
}
TROUPE_INLINE V16 smaller(V16 a, V16 b) {
  TROUPE_EACH b.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return b;
}
TROUPE_INLINE Mask less(V16 a, V16 b) {
  Mask r;
  TROUPE_EACH r.v[i] = a.v[i] < b.v[i];
  return r;
}
TROUPE_INLINE Mask first(int n) {
  Mask r;
  TROUPE_EACH r.v[i] = i < n;
  return r;
}
TROUPE_INLINE V16 select(Mask m, V16 yes, V16 no) {
  TROUPE_EACH no.v[i] = m.v[i] ? yes.v[i] : no.v[i];
  return no;
}
TROUPE_INLINE V16 swap_halves(V16 a) {
  V16 r;
  TROUPE_EACH r.v[i] = a.v[(i + 8) & 15];
  return r;
}
TROUPE_INLINE V16 exponent(V16 bits, int origin) {
  const unsigned offset = static_cast<unsigned>(127 - origin);
  TROUPE_EACH {
    const unsigned n = __builtin_bit_cast(unsigned, bits.v[i]) + offset;
    bits.v[i] = __builtin_bit_cast(float, n << 23);
  }
  return bits;
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA

#undef TROUPE_EACH
