#define TROUPE_ISA portable
#define TROUPE_SIMD "gpu/kernels/simd_portable.hpp"
#include "gpu/kernels/decode_table.hpp"

namespace troupe::gpu {

const DecodeKernels& portable_decode_kernels() {
  static constexpr DecodeKernels kTable = portable::table("portable");
  return kTable;
}

}  // namespace troupe::gpu
