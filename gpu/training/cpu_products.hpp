#pragma once
// The matrix products of a linear layer over many rows, by the kernels of gpu/kernels.
#include <cstdint>

namespace troupe::gpu {

struct LinearShape {
  std::int64_t rows = 0, in = 0, out = 0;
};

/// True where the kernels serve: the columns of every product are whole vectors.
bool serves_forward(const LinearShape& shape);
bool serves_backward(const LinearShape& shape);

// Tensors are contiguous. Each element is one chain of fused multiply-adds, so that the result does
// not depend on the number of threads, LibTorch's of the calling one.

/// y [rows, out] = x w^T + addend; x [rows, in], w [out, in]; addend: null, or rows addend_row
/// apart. REQUIRES: serves_forward(shape).
void linear(const LinearShape& shape, const float* x, const float* w, const float* addend,
            std::int64_t addend_row, float* y);
/// dx [rows, in] = dy w; dw [out, in] += dy^T x. REQUIRES: serves_backward(shape).
void linear_backward(const LinearShape& shape, const float* dy, const float* x, const float* w,
                     float* dx, float* dw);

}  // namespace troupe::gpu
