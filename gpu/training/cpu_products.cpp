#include "gpu/training/cpu_products.hpp"

#include "gpu/kernels/aligned_floats.hpp"
#include "gpu/kernels/decode_kernels.hpp"

#include <ATen/Parallel.h>
#include <algorithm>

namespace troupe::gpu {
namespace {

constexpr std::int64_t kLanes = 16, kPanel = 64;
constexpr std::int64_t kRows = 192;       // of a product at once: they stay in the second cache
constexpr std::int64_t kWorth = 1 << 16;  // multiply-adds that another thread is worth

/// w [out, in] as panels of 64 outputs, [out / 64][in][64].
AlignedFloats pack(const LinearShape& shape, const float* w) {
  const std::int64_t panels = (shape.out + kPanel - 1) / kPanel;
  AlignedFloats packed(static_cast<std::size_t>(panels * kPanel * shape.in));
  for (std::int64_t o = 0; o < shape.out; ++o) {
    float* to = packed.data() + o / kPanel * kPanel * shape.in + o % kPanel;
    for (std::int64_t i = 0; i < shape.in; ++i) to[i * kPanel] = *w++;
  }
  return packed;
}

/// All rows of a product, kRows at a time, by as many threads as LibTorch uses.
void run(const Gemm& whole) {
  const std::int64_t work = std::max<std::int64_t>(1, whole.columns * whole.depth);
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; row += kRows) {
      Gemm part = whole;
      part.rows = std::min(kRows, end - row);
      part.a += row * whole.a_row;
      part.c += row * whole.c_row;
      if (part.addend != nullptr) part.addend += row * whole.addend_row;
      decode_kernels()->gemm(part);
    }
  };
  at::parallel_for(0, whole.rows, std::max<std::int64_t>(1, kWorth / work), some);
}

}  // namespace

bool serves_forward(const LinearShape& shape) {
  return shape.out % kLanes == 0;
}
bool serves_backward(const LinearShape& shape) {
  return shape.in % kLanes == 0;
}

void linear(const LinearShape& shape, const float* x, const float* w, const float* addend,
            std::int64_t addend_row, float* y) {
  const AlignedFloats packed = pack(shape, w);
  Gemm g;
  g.rows = shape.rows, g.columns = shape.out, g.depth = shape.in;
  g.a = x, g.a_row = shape.in;
  g.b = packed.data(), g.b_panel = kPanel * shape.in;
  g.c = y, g.c_row = shape.out;
  g.addend = addend, g.addend_row = addend_row;
  run(g);
}

void linear_backward(const LinearShape& shape, const float* dy, const float* x, const float* w,
                     float* dx, float* dw) {
  Gemm input;
  input.rows = shape.rows, input.columns = shape.in, input.depth = shape.out;
  input.a = dy, input.a_row = shape.out;
  input.b = w, input.b_k = shape.in, input.b_panel = kPanel;
  input.c = dx, input.c_row = shape.in;
  run(input);
  Gemm weight;
  weight.rows = shape.out, weight.columns = shape.in, weight.depth = shape.rows;
  weight.a = dy, weight.a_row = 1, weight.a_k = shape.out;
  weight.b = x, weight.b_k = shape.in, weight.b_panel = kPanel;
  weight.c = dw, weight.c_row = shape.in;
  weight.addend = dw, weight.addend_row = shape.in;
  run(weight);
}

}  // namespace troupe::gpu
