#pragma once
// The kernels of one instruction set. Included only by decode_kernels_<isa>.cpp, each of which has
// its own compiler flags, names its vectors (TROUPE_SIMD) and a namespace (TROUPE_ISA).
#include "gpu/kernels/decode_attention.hpp"
#include "gpu/kernels/decode_gemm.hpp"
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/kernels/decode_rows.hpp"

namespace troupe::gpu::TROUPE_ISA {

constexpr DecodeKernels table(const char* name) {
  return {name, gemm, rms_norm, append, attention, swiglu, masses};
}

}  // namespace troupe::gpu::TROUPE_ISA
