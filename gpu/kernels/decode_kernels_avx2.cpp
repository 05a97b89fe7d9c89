#define TROUPE_ISA avx2
#define TROUPE_SIMD "gpu/kernels/simd_avx2.hpp"
#include "gpu/kernels/decode_table.hpp"

namespace troupe::gpu {

const DecodeKernels& avx2_decode_kernels() {
  static constexpr DecodeKernels kTable = avx2::table("avx2");
  return kTable;
}

}  // namespace troupe::gpu
