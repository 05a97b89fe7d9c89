#define TROUPE_ISA avx512
#define TROUPE_SIMD "gpu/kernels/simd_avx512.hpp"
#include "gpu/kernels/decode_table.hpp"

namespace troupe::gpu {

const DecodeKernels& avx512_decode_kernels() {
  static constexpr DecodeKernels kTable = avx512::table("avx512");
  return kTable;
}

}  // namespace troupe::gpu
