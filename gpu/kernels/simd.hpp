#pragma once
// What is the same for all instruction sets: sums in one fixed order, and exp. Each lane's
// operation is one correctly rounded IEEE operation everywhere.
#include TROUPE_SIMD

#include <cstddef>

namespace troupe::gpu::TROUPE_ISA {
namespace {

using Index = std::ptrdiff_t;

/// Lanes i and i + 8, then i and i + 4, i and i + 2, 0 and 1.
TROUPE_INLINE float sum(V16 a) {
  float v[16];
  store(v, a);
#pragma GCC unroll 4
  for (int half = 8; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) v[i] = v[i] + v[i + half];
  return v[0];
}
TROUPE_INLINE float highest(V16 a) {
  float v[16];
  store(v, a);
#pragma GCC unroll 4
  for (int half = 8; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
  return v[0];
}

/// e^x within 2 ulp from -87 to 88; exactly 0 below, also at -infinity; NaN stays NaN (the order of
/// the operands of smaller and larger sees to that).
TROUPE_INLINE V16 exp(V16 x) {
  constexpr int kOrigin = 0x4B400000;  // the bits of 1.5 * 2^23, whose unit in the last place is 1
  const V16 lowest = set1(-87.0f), magic = set1(12582912.0f);
  const V16 t = larger(lowest, smaller(set1(88.0f), x));
  const V16 rounded = fma(t, set1(1.44269504f), magic);
  const V16 n = rounded - magic;
  V16 r = fma(n, set1(-0.693145752f), t);
  r = fma(n, set1(-1.42860677e-6f), r);
  V16 y = fma(r, set1(1.98756912e-4f), set1(1.39819996e-3f));
  y = fma(y, r, set1(8.33345205e-3f));
  y = fma(y, r, set1(4.16657962e-2f));
  y = fma(y, r, set1(1.66666657e-1f));
  y = fma(y, r, set1(0.5f));
  y = fma(y, r * r, r) + set1(1.0f);
  return select(less(x, lowest), set1(0.0f), y * exponent(rounded, kOrigin));
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
